//! Workspaces: infrastructure code that is deployed and destroyed on a schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_model::{
    Action, ApprovalPolicy, CustomCommands, Digest, Iac, Mode, Name, Operation, Secret, Source, Subject, ToolChoice,
};

use crate::{CatchUp, ScheduleLine};

/// A validated workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    /// Its name: that of its directory.
    pub name: Name,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether its schedule and its jobs are in force.
    pub enabled: bool,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// Where its code comes from: its own `*.tf` files win over a template.
    pub source: Source,
    /// Its schedule.
    pub lines: Vec<ScheduleLine>,
    /// The zone its schedule is read in.
    pub time_zone: TimeZone,
    /// Which tool runs its code.
    pub tool: ToolChoice,
    /// Which version of the tool.
    pub version: Option<String>,
    /// Values of input variables.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Variable files, relative to its directory.
    pub var_files: Vec<PathBuf>,
    /// Environment of the tool.
    pub env: BTreeMap<String, Secret<String>>,
    /// How long one attempt of a deploy or destroy may take.
    pub timeout: Duration,
    /// Whether a person must approve what is applied.
    pub approval: ApprovalPolicy,
    /// What is done about fires that were missed.
    pub catch_up: CatchUp,
    /// Words to find it by.
    pub tags: BTreeSet<String>,
    /// Commands that replace the tool's own.
    pub commands: WorkspaceCommands,
    /// The modes it can be deployed in; empty for a workspace without modes.
    pub modes: BTreeSet<Mode>,
    /// Its jobs, in the order of the file; [`crate::Catalog::jobs`] holds them.
    pub jobs: Vec<Name>,
    /// Digest of everything that matters to a deployment: configuration, files, content of the template.
    pub digest: Digest,
    /// The same without the content of the template.
    pub declaration_digest: Digest,
}

/// Commands that replace the tool's own, by operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceCommands {
    /// From `custom_deploy`.
    pub deploy: CustomCommands,
    /// From `custom_destroy`.
    pub destroy: CustomCommands,
}

impl Workspace {
    /// Its identity.
    pub fn subject(&self) -> Subject {
        Subject::Workspace(self.name.clone())
    }

    /// The template it is made from, if it is.
    pub fn template(&self) -> Option<&Name> {
        match &self.source {
            Source::Template { name, .. } => Some(name),
            Source::Directory { .. } | Source::Git(_) => None,
        }
    }

    /// What a run of `operation` does, frozen.
    pub fn action(&self, operation: Operation) -> Action {
        let commands = match operation {
            Operation::Destroy => self.commands.destroy.clone(),
            Operation::Deploy { .. } | Operation::Plan { .. } => self.commands.deploy.clone(),
        };
        Action::Iac(Iac {
            operation,
            source: self.source.clone(),
            deployment: self.name.clone(),
            workspace_name: Some(self.name.clone()),
            tool: self.tool,
            version: self.version.clone(),
            vars: self.vars.clone(),
            var_files: self.var_files.clone(),
            env: self.env.clone(),
            approval: self.approval,
            timeout: self.timeout,
            commands,
            init_flags: Vec::new(),
            plan_flags: Vec::new(),
            source_digest: Some(self.digest.clone()),
            declaration_digest: Some(self.declaration_digest.clone()),
            state_at: None,
        })
    }

    /// Digest of the part of the configuration that matters to a deployment: not its schedule, its words, its limits.
    pub(crate) fn configuration_digest(&self) -> Digest {
        let env: BTreeMap<&str, &str> =
            self.env.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
        let canonical = serde_json::json!({
            "tool": self.tool,
            "version": self.version,
            "vars": self.vars,
            "var_files": self.var_files,
            "env": env,
            "deploy": self.commands.deploy,
            "destroy": self.commands.destroy,
        });
        Digest::of(canonical.to_string().as_bytes())
    }
}
