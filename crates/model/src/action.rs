//! What a run does, frozen when it is submitted, and the steps it walks through.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Batch, Digest, Mode, Name, Provision, Remote, Scaffold, Secret, WorkerId};

/// What a run does. Frozen at submission: a reload never changes a run that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// OpenTofu or Terraform over a directory of code.
    Iac(Iac),
    /// One program or script.
    Command(Command),
    /// One program, as often as it takes.
    Batch(Batch),
    /// One call to a provisioning API.
    Provision(Provision),
    /// One repository, made of a blueprint.
    Scaffold(Scaffold),
    /// One repository that somebody else makes.
    Remote(Remote),
}

/// Deploys, destroys or plans infrastructure code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iac {
    /// What to do with it.
    pub operation: Operation,
    /// Where the code comes from.
    pub source: Source,
    /// Name of the directory below `deployments/` in which the tool works and keeps its state.
    pub deployment: Name,
    /// The value of the variable `workspace_name`, passed when the code declares it; none for code that belongs to no
    /// workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_name: Option<Name>,
    /// Which tool.
    #[serde(default)]
    pub tool: ToolChoice,
    /// Which version of the tool: exact or a constraint; none for what the code requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Values of input variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Variable files, relative to the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub var_files: Vec<PathBuf>,
    /// Environment of the tool, beside what Piton sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret<String>>,
    /// Whether a person must approve the plan.
    #[serde(default)]
    pub approval: Approval,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Commands that replace the tool's own.
    #[serde(default, skip_serializing_if = "CustomCommands::is_empty")]
    pub commands: CustomCommands,
    /// Further arguments of `init`, checked where they came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_flags: Vec<String>,
    /// Further arguments of `plan`, checked where they came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan_flags: Vec<String>,
    /// Digest of all that the deployment depends on when the run was submitted: the declaration, its files and the
    /// template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// Digest of the declaration and its files alone. A changed declaration is deployed at once, a changed template
    /// with the next deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration_digest: Option<Digest>,
    /// The worker that last applied this, and so holds its state unless the code keeps it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_at: Option<WorkerId>,
}

/// What to do with infrastructure code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Operation {
    /// Create or change what the code describes, optionally in a mode.
    Deploy {
        /// The mode to deploy in, for workspaces with modes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
    },
    /// Destroy everything in the state.
    Destroy,
    /// Show what a deploy would change, and stop there.
    Plan {
        /// The mode to plan for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
    },
}

impl Operation {
    /// The mode, where the operation has one.
    pub fn mode(&self) -> Option<&Mode> {
        match self {
            Operation::Deploy { mode } | Operation::Plan { mode } => mode.as_ref(),
            Operation::Destroy => None,
        }
    }

    /// Whether it is carried out to change something.
    pub fn changes(&self) -> bool {
        match self {
            Operation::Deploy { .. } | Operation::Destroy => true,
            Operation::Plan { .. } => false,
        }
    }

    /// The verb for people.
    pub fn verb(&self) -> &'static str {
        match self {
            Operation::Deploy { .. } => "deploy",
            Operation::Destroy => "destroy",
            Operation::Plan { .. } => "plan",
        }
    }
}

/// Where infrastructure code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// A directory of the host; its own `main.tf` wins over a template.
    Directory {
        /// Absolute path.
        path: PathBuf,
    },
    /// A registered template, with the other files of a workspace directory laid over it where there is one.
    Template {
        /// The template's name.
        name: Name,
        /// The workspace directory, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlay: Option<PathBuf>,
    },
    /// A git repository, fetched anew for each run.
    Git(GitSource),
}

impl Source {
    /// The credentials it takes to read it, where there are any.
    pub fn auth(&self) -> Option<&GitAuth> {
        match self {
            Source::Git(git) => git.auth.as_ref(),
            Source::Directory { .. } | Source::Template { .. } => None,
        }
    }
}

/// One commit of a git repository, and a directory in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// Where the repository is. It holds no password.
    pub url: String,
    /// A branch, a tag or a commit, full or abbreviated.
    pub reference: String,
    /// The directory with the root module, relative to the repository.
    pub path: PathBuf,
    /// What it takes to read the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GitAuth>,
}

/// Credentials for a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GitAuth {
    /// HTTP Basic; a token goes where the server wants it, usually in the password.
    Http {
        /// Who asks.
        username: String,
        /// The password or token.
        password: Secret<String>,
    },
    /// An SSH key.
    Ssh {
        /// The key, in OpenSSH or PEM format.
        private_key: Secret<String>,
        /// What unlocks it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<Secret<String>>,
        /// The keys that the host may have, as lines of a `known_hosts` file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known_hosts: Option<String>,
    },
}

/// Which tool runs infrastructure code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// `tofu` on PATH, else `terraform` on PATH, else a downloaded OpenTofu.
    #[default]
    Auto,
    /// OpenTofu.
    Tofu,
    /// Terraform.
    Terraform,
}

/// Whether a person must approve a plan before it is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum Approval {
    /// Apply at once.
    #[default]
    None,
    /// Wait for a decision, at most this long.
    Manual {
        /// After this the run ends as expired.
        timeout: Duration,
    },
}

/// Commands that replace the tool's own, run by a shell in the deployment directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomCommands {
    /// Replaces `init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Replaces `plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Replaces the apply of a deploy or a destroy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<String>,
}

impl CustomCommands {
    /// No command is replaced.
    pub fn is_empty(&self) -> bool {
        *self == CustomCommands::default()
    }
}

/// Runs one program or script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to run.
    pub program: Program,
    /// Environment, beside what Piton sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret<String>>,
    /// Name of the directory below `deployments/` that is the base of `working_dir`.
    pub deployment: Name,
    /// Working directory, relative to the deployment directory or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// The program of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Program {
    /// A script with its own `#!` line, else for `/bin/sh`.
    Script {
        /// The whole text.
        text: String,
    },
    /// A line for `/bin/sh -c`.
    Shell {
        /// The line.
        line: String,
    },
    /// A program and its arguments; no shell is involved.
    Exec {
        /// Program, then arguments.
        argv: Vec<String>,
    },
}

/// How a flag begins that gives a variable its value.
const VARIABLE: &str = "-var=";

/// Where in its action a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", content = "step")]
pub enum Step {
    /// A step of [`Action::Iac`].
    Iac(IacStep),
    /// A step of [`Action::Command`].
    Command(CommandStep),
    /// A step of [`Action::Batch`].
    Batch(BatchStep),
    /// A step of [`Action::Provision`].
    Provision(ProvisionStep),
    /// A step of [`Action::Scaffold`].
    Scaffold(ScaffoldStep),
    /// A step of [`Action::Remote`].
    Remote(RemoteStep),
}

/// The steps of [`Action::Iac`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IacStep {
    /// Choose the tool and lay out the deployment directory, as far as that can be done without the code.
    Prepare,
    /// Fetch the code. Only for [`Source::Git`].
    Checkout,
    /// `init`
    Init,
    /// `plan -out`, and the summary of what it would change. A gate may follow.
    Plan,
    /// `apply` of exactly that plan.
    Apply,
    /// Read the outputs.
    Outputs,
}

/// The steps of [`Action::Command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandStep {
    /// Run the program.
    Execute,
}

/// The steps of [`Action::Batch`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStep {
    /// Run the hooks before the start. Only where there are any.
    PreStart,
    /// Run the tasks, and the hooks after the start, before the stop and after the end.
    Execute,
}

/// The steps of [`Action::Provision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionStep {
    /// Call the provisioning API.
    Call,
}

/// The steps of [`Action::Scaffold`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaffoldStep {
    /// Render the files, make the repository and push them. It may be done again: it finds its own repository.
    Build,
}

/// The steps of [`Action::Remote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteStep {
    /// Somebody else does it.
    Elsewhere,
}

impl Action {
    /// The step every fresh pass begins with.
    pub fn first_step(&self) -> Step {
        match self {
            Action::Iac(_) => Step::Iac(IacStep::Prepare),
            Action::Command(_) => Step::Command(CommandStep::Execute),
            Action::Batch(batch) if batch.hooks.pre_start.is_empty() => Step::Batch(BatchStep::Execute),
            Action::Batch(_) => Step::Batch(BatchStep::PreStart),
            Action::Provision(_) => Step::Provision(ProvisionStep::Call),
            Action::Scaffold(_) => Step::Scaffold(ScaffoldStep::Build),
            Action::Remote(_) => Step::Remote(RemoteStep::Elsewhere),
        }
    }

    /// The step that an approved gate leads to.
    pub fn approved_step(&self) -> Step {
        match self {
            Action::Iac(_) => Step::Iac(IacStep::Apply),
            Action::Command(_) => Step::Command(CommandStep::Execute),
            Action::Batch(_) => Step::Batch(BatchStep::Execute),
            Action::Provision(_) => Step::Provision(ProvisionStep::Call),
            Action::Scaffold(_) => Step::Scaffold(ScaffoldStep::Build),
            Action::Remote(_) => Step::Remote(RemoteStep::Elsewhere),
        }
    }

    /// The step that comes after `step`; none after the last.
    pub fn step_after(&self, step: Step) -> Option<Step> {
        let next = match step {
            Step::Iac(IacStep::Prepare) if self.fetches() => IacStep::Checkout,
            Step::Iac(IacStep::Prepare | IacStep::Checkout) => IacStep::Init,
            Step::Iac(IacStep::Init) => IacStep::Plan,
            Step::Iac(IacStep::Plan) => IacStep::Apply,
            Step::Iac(IacStep::Apply) => IacStep::Outputs,
            Step::Batch(BatchStep::PreStart) => return Some(Step::Batch(BatchStep::Execute)),
            Step::Iac(IacStep::Outputs)
            | Step::Command(CommandStep::Execute)
            | Step::Batch(BatchStep::Execute)
            | Step::Provision(ProvisionStep::Call)
            | Step::Scaffold(ScaffoldStep::Build)
            | Step::Remote(RemoteStep::Elsewhere) => return None,
        };
        Some(Step::Iac(next))
    }

    /// Whether it holds what not everybody may see: values of an environment or of variables, credentials.
    pub fn holds_secrets(&self) -> bool {
        match self {
            Action::Iac(iac) => {
                !iac.env.is_empty()
                    || !iac.vars.is_empty()
                    || iac.source.auth().is_some()
                    || iac.plan_flags.iter().any(|flag| flag.starts_with(VARIABLE))
            }
            Action::Command(command) => !command.env.is_empty(),
            Action::Batch(batch) => !batch.env.is_empty() || batch.hooks.hold_secrets(),
            Action::Provision(provision) => !provision.request.expose().is_null(),
            Action::Scaffold(scaffold) => !scaffold.values.expose().is_empty(),
            Action::Remote(_) => false,
        }
    }

    /// The same without any of that: enough to tell what it does, not enough to do it.
    #[must_use]
    pub fn without_secrets(&self) -> Action {
        match self.clone() {
            Action::Iac(mut iac) => {
                iac.env.clear();
                iac.vars.clear();
                iac.plan_flags.retain(|flag| !flag.starts_with(VARIABLE));
                if let Source::Git(source) = &mut iac.source {
                    source.auth = None;
                }
                Action::Iac(iac)
            }
            Action::Command(mut command) => {
                command.env.clear();
                Action::Command(command)
            }
            Action::Batch(mut batch) => {
                batch.env.clear();
                batch.hooks.clear_secrets();
                Action::Batch(batch)
            }
            Action::Provision(provision) => Action::Provision(Provision { request: Secret::default(), ..provision }),
            Action::Scaffold(scaffold) => Action::Scaffold(Scaffold { values: Secret::default(), ..scaffold }),
            Action::Remote(remote) => Action::Remote(remote),
        }
    }

    /// The infrastructure code that it deploys, destroys or plans.
    pub fn iac(&self) -> Option<&Iac> {
        match self {
            Action::Iac(iac) => Some(iac),
            Action::Command(_) | Action::Batch(_) | Action::Provision(_) | Action::Scaffold(_) | Action::Remote(_) => {
                None
            }
        }
    }

    fn fetches(&self) -> bool {
        self.iac().is_some_and(|iac| matches!(iac.source, Source::Git(_)))
    }

    /// How long one attempt may take. The tasks of a [`Batch`] count their own time, which stands still while they are
    /// held back, and so does a call, which may have to wait for its turn.
    pub fn timeout(&self) -> Duration {
        match self {
            Action::Iac(iac) => iac.timeout,
            Action::Command(command) => command.timeout,
            Action::Scaffold(scaffold) => scaffold.timeout,
            Action::Batch(_) | Action::Provision(_) | Action::Remote(_) => Duration::MAX,
        }
    }

    /// The verb for people: `deploy`, `destroy`, `plan`, `run`, `scaffold`, or what is done to an account.
    pub fn verb(&self) -> &'static str {
        match self {
            Action::Iac(iac) => iac.operation.verb(),
            Action::Command(_) | Action::Batch(_) => "run",
            Action::Provision(provision) => provision.job_type.as_str(),
            Action::Scaffold(_) | Action::Remote(_) => "scaffold",
        }
    }
}

impl Step {
    /// Whether stopping in the middle may leave an effect outside that nobody recorded.
    pub fn may_have_effect(self) -> bool {
        match self {
            Step::Iac(IacStep::Apply)
            | Step::Command(CommandStep::Execute)
            | Step::Batch(BatchStep::Execute)
            // Nobody here knows what is there when no more is heard of it.
            | Step::Remote(RemoteStep::Elsewhere) => true,
            Step::Iac(IacStep::Prepare | IacStep::Checkout | IacStep::Init | IacStep::Plan | IacStep::Outputs)
            | Step::Batch(BatchStep::PreStart)
            // It can be done again: whom it calls knows it by its key.
            | Step::Provision(ProvisionStep::Call)
            // It finds what an earlier pass has made.
            | Step::Scaffold(ScaffoldStep::Build) => false,
        }
    }

    /// Whether the step comes after the one that has the effect.
    pub fn follows_effect(self) -> bool {
        match self {
            Step::Iac(IacStep::Outputs) => true,
            Step::Iac(IacStep::Prepare | IacStep::Checkout | IacStep::Init | IacStep::Plan | IacStep::Apply)
            | Step::Command(CommandStep::Execute)
            | Step::Batch(BatchStep::PreStart | BatchStep::Execute)
            | Step::Provision(ProvisionStep::Call)
            | Step::Scaffold(ScaffoldStep::Build)
            | Step::Remote(RemoteStep::Elsewhere) => false,
        }
    }

    /// Whether no step comes after this one.
    pub fn is_last(self) -> bool {
        match self {
            Step::Iac(IacStep::Outputs)
            | Step::Command(CommandStep::Execute)
            | Step::Batch(BatchStep::Execute)
            | Step::Provision(ProvisionStep::Call)
            | Step::Scaffold(ScaffoldStep::Build)
            | Step::Remote(RemoteStep::Elsewhere) => true,
            Step::Iac(IacStep::Prepare | IacStep::Checkout | IacStep::Init | IacStep::Plan | IacStep::Apply)
            | Step::Batch(BatchStep::PreStart) => false,
        }
    }

    /// The step's word, as logs, tables and the API show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Iac(IacStep::Prepare) => "prepare",
            Step::Iac(IacStep::Checkout) => "checkout",
            Step::Iac(IacStep::Init) => "init",
            Step::Iac(IacStep::Plan) => "plan",
            Step::Iac(IacStep::Apply) => "apply",
            Step::Iac(IacStep::Outputs) => "outputs",
            Step::Command(CommandStep::Execute) | Step::Batch(BatchStep::Execute) => "execute",
            Step::Batch(BatchStep::PreStart) => "pre_start",
            Step::Provision(ProvisionStep::Call) => "call",
            Step::Scaffold(ScaffoldStep::Build) => "build",
            Step::Remote(RemoteStep::Elsewhere) => "elsewhere",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
