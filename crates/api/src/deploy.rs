//! Deployments of code from git, on the wire. The members are the runner's; what Piton adds has its own names.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Gate, Output, Plan, Tool};

/// Asks for a deployment of code from git.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewDeployment {
    /// `tofu` or `terraform`.
    pub tool: DeployTool,
    /// Where the repository is: `https://…`, `http://…`, `ssh://…` or `user@host:path`. No password belongs in it.
    pub git_url: String,
    /// A branch, a tag or a commit.
    pub git_ref: String,
    /// The directory with the root module, relative to the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Environment of the tool. Never logged, never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Variable files, relative to `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tfvars_files: Option<Vec<String>>,
    /// Further flags of `init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_flags: Option<Flags>,
    /// Further flags of `plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_flags: Option<Flags>,
    /// Minutes that one attempt may take; 0 stands for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 10080)]
    pub timeout: Option<u64>,
    /// Apply without asking anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_approve: Option<bool>,
    /// What it takes to read the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_auth: Option<GitCredentials>,
    /// Version of the tool, exact or a constraint; what the code requires where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Destroy what the code describes instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy: Option<bool>,
    /// Members that mean nothing here. They are ignored, and named in the warnings of the answer.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl fmt::Debug for NewDeployment {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDeployment")
            .field("tool", &self.tool)
            .field("git_ref", &self.git_ref)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl NewDeployment {
    /// The members that there are, for suggestions.
    pub const MEMBERS: [&'static str; 13] = [
        "tool",
        "git_url",
        "git_ref",
        "path",
        "env_vars",
        "tfvars_files",
        "init_flags",
        "plan_flags",
        "timeout",
        "auto_approve",
        "git_auth",
        "version",
        "destroy",
    ];

    /// The least that a deployment needs.
    pub fn new(tool: DeployTool, git_url: impl Into<String>, git_ref: impl Into<String>) -> NewDeployment {
        NewDeployment {
            tool,
            git_url: git_url.into(),
            git_ref: git_ref.into(),
            path: None,
            env_vars: None,
            tfvars_files: None,
            init_flags: None,
            plan_flags: None,
            timeout: None,
            auto_approve: None,
            git_auth: None,
            version: None,
            destroy: None,
            other: BTreeMap::new(),
        }
    }
}

/// The tool of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeployTool {
    /// Terraform.
    Terraform,
    /// OpenTofu.
    Tofu,
}

/// Flags: one text that is split as a shell would, or one text each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub enum Flags {
    /// `-upgrade -backend-config="bucket=my state"`
    Text(String),
    /// `["-upgrade", "-backend-config=bucket=my state"]`
    List(Vec<String>),
}

/// Credentials for a git repository.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GitCredentials {
    /// HTTP Basic; a token goes where the server wants it, usually into the password.
    Http {
        /// Who asks.
        #[serde(default)]
        username: String,
        /// The password or token.
        #[serde(default)]
        password: String,
    },
    /// An SSH key.
    Ssh {
        /// The key, in OpenSSH or PEM format.
        private_key: String,
        /// What unlocks it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<String>,
        /// The keys that the host may have, as lines of a `known_hosts` file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known_hosts: Option<String>,
    },
}

impl GitCredentials {
    /// The members of a user's name and password, beside the type.
    pub const HTTP_MEMBERS: &'static [&'static str] = &["username", "password"];

    /// The members of an SSH key, beside the type.
    pub const SSH_MEMBERS: &'static [&'static str] = &["private_key", "passphrase", "known_hosts"];
}

impl fmt::Debug for GitCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GitCredentials::Http { .. } => "Http(…)",
            GitCredentials::Ssh { .. } => "Ssh(…)",
        })
    }
}

/// A deployment was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStarted {
    /// Its id, a UUID. It is the id of its run, too.
    pub deployment_id: String,
    /// `running`
    pub status: String,
    /// `Deployment started`
    pub message: String,
    /// How many deployments will begin before this one, as things are now.
    #[serde(default)]
    pub position: u64,
    /// What is odd about the request, such as members that mean nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A deployment in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentSummary {
    /// Its id.
    pub deployment_id: String,
    /// `running`, `awaiting_approval`, `success`, `failed` or `cancelled`.
    pub status: String,
    /// `initializing`, `cloning`, `init`, `plan`, `apply` or `completed`.
    pub phase: String,
    /// Whether it still waits for its turn.
    #[serde(default)]
    pub queued: bool,
    /// How many deployments will begin before this one, while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When it began; when it was accepted, while it is queued.
    pub started_at: Timestamp,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it did not succeed; empty otherwise.
    pub error: String,
    /// How it ended, in the words of runs: `succeeded`, `failed`, `timed_out`, `cancelled`, `rejected`, `expired`,
    /// `superseded`, `indeterminate`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// `deploy` or `destroy`.
    pub operation: String,
    /// Where the code comes from. It never holds a password.
    pub git_url: String,
    /// What was asked for.
    pub git_ref: String,
    /// The directory in the repository.
    pub path: String,
    /// The commit that was checked out.
    #[serde(default)]
    pub commit: Option<String>,
    /// Who asked.
    pub submitted_by: String,
    /// The decision that is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Gate>,
    /// Who approved the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Whether somebody asked it to stop.
    #[serde(default)]
    pub cancelling: bool,
    /// The tool that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// A stable word for why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a deployment stands, with its logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStatus {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: DeploymentSummary,
    /// What `init` and what comes before it printed; of a long log the end.
    pub init_log: String,
    /// What `plan` printed; of a long log the end.
    pub plan_log: String,
    /// What the plan would change, one line each. Without values, so without secrets.
    pub plan_output: String,
    /// What `apply` printed; of a long log the end.
    pub apply_log: String,
    /// The outputs as JSON, as the tool's `output -json` has them; sensitive values are null.
    pub apply_output: String,
    /// The plan, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The outputs, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, Output>>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentAnswer {
    /// `Deployment approved`, `Deployment rejected` or `Cancellation requested`.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_members_are_those_that_travel() {
        let mut full = NewDeployment::new(DeployTool::Tofu, "https://example.org/x.git", "main");
        full.path = Some(".".to_owned());
        full.env_vars = Some(BTreeMap::new());
        full.tfvars_files = Some(vec![]);
        full.init_flags = Some(Flags::Text(String::new()));
        full.plan_flags = Some(Flags::List(vec![]));
        full.timeout = Some(1);
        full.auto_approve = Some(true);
        full.git_auth = Some(GitCredentials::Http { username: "u".to_owned(), password: "hunter22".to_owned() });
        full.version = Some("1".to_owned());
        full.destroy = Some(false);
        let value = serde_json::to_value(&full).unwrap();
        let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = NewDeployment::MEMBERS.to_vec();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert!(!format!("{full:?}").contains("hunter22"));
    }

    #[test]
    fn the_members_of_credentials_are_those_that_travel() {
        let text = || Some("x".to_owned());
        let http = GitCredentials::Http { username: "u".to_owned(), password: "p".to_owned() };
        let ssh = GitCredentials::Ssh { private_key: "k".to_owned(), passphrase: text(), known_hosts: text() };
        for (credentials, wanted) in [(http, GitCredentials::HTTP_MEMBERS), (ssh, GitCredentials::SSH_MEMBERS)] {
            let value = serde_json::to_value(credentials).unwrap();
            let names = value.as_object().unwrap().keys().map(String::as_str);
            let mut names: Vec<&str> = names.filter(|name| *name != "type").collect();
            let mut wanted = wanted.to_vec();
            names.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(names, wanted);
        }
    }

    #[test]
    fn what_go_leaves_empty_may_be_null() {
        let text = r#"{"tool":"terraform","git_url":"u","git_ref":"r","path":null,"env_vars":null,"tfvars_files":null,
            "init_flags":null,"plan_flags":["-lock=false"],"timeout":null,"auto_approve":null,"git_auth":null,
            "auto_aprove":true}"#;
        let read: NewDeployment = serde_json::from_str(text).unwrap();
        assert_eq!(read.plan_flags, Some(Flags::List(vec!["-lock=false".to_owned()])));
        assert_eq!(read.other.keys().collect::<Vec<_>>(), ["auto_aprove"]);
    }
}
