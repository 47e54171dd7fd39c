//! Jobs: scripts, commands and templates that run on a schedule or after an event.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_cron::cronjob::ConcurrencyPolicy;
use piton_model::{
    Action, ApprovalPolicy, Batch, Command, CustomCommands, Digest, Iac, Name, Operation, Program, Secret, Source,
    Subject, ToolChoice,
};

use crate::{Catalog, CatchUp, JobTrigger};

/// The identity that jobs outside workspaces have where a workspace's name is expected.
pub const STANDALONE: &str = "_standalone_";

/// A validated job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its identity: of a workspace, or standalone.
    pub subject: Subject,
    /// Its own name, which is part of the subject.
    pub name: Name,
    /// The file that declares it.
    pub file: Arc<Path>,
    /// Whether its triggers are in force; see also [`Catalog::is_enabled`].
    pub enabled: bool,
    /// What it does.
    pub work: JobWork,
    /// What starts it by itself; empty for a job that is only started by hand.
    pub triggers: Vec<JobTrigger>,
    /// The zone its cron expressions are read in.
    pub time_zone: TimeZone,
    /// What is done about fires that were missed.
    pub catch_up: CatchUp,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What else it says.
    pub extras: Arc<Extras>,
    /// What holds for its runs.
    pub rules: Arc<RunRules>,
    /// Whether `file` is the configuration, in which nothing is changed over the API.
    pub inline: bool,
}

/// What a job may say and most do not. There may be a hundred thousand of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// Environment, beside what Piton sets itself.
    pub environment: BTreeMap<String, Secret<String>>,
    /// Working directory, relative to the deployment directory or absolute.
    pub working_dir: Option<PathBuf>,
    /// Jobs of the same scope whose last run must have succeeded.
    pub depends_on: Vec<Name>,
    /// Words to find it by.
    pub tags: BTreeSet<String>,
}

impl Extras {
    /// Where nothing is said, the one copy that all such jobs have.
    pub(crate) fn shared(self) -> Arc<Extras> {
        static NOTHING: LazyLock<Arc<Extras>> = LazyLock::new(Arc::default);
        if self == **NOTHING { Arc::clone(&NOTHING) } else { Arc::new(self) }
    }
}

/// What holds for the runs of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRules {
    /// What happens when it is due while a run of it is active.
    pub concurrency: ConcurrencyPolicy,
    /// Its declaration suspends it: its triggers start nothing, and a job that runs once waits.
    pub suspended: bool,
    /// So many of its runs that succeeded are kept; none for as many as are kept of anything.
    pub successful_history: Option<u32>,
    /// So many of its runs that failed are kept.
    pub failed_history: Option<u32>,
    /// A run that could not start so long after it was due is left out; none for no such limit.
    pub starting_deadline: Option<Duration>,
}

impl RunRules {
    /// The usual ones, of which most jobs have the same copy.
    pub(crate) fn usual() -> Arc<RunRules> {
        static USUAL: LazyLock<Arc<RunRules>> = LazyLock::new(Arc::default);
        Arc::clone(&USUAL)
    }
}

impl Default for RunRules {
    /// Those of jobs of workspaces and of `jobs/`.
    fn default() -> Self {
        RunRules {
            concurrency: ConcurrencyPolicy::Forbid,
            suspended: false,
            successful_history: None,
            failed_history: None,
            starting_deadline: None,
        }
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobWork {
    /// A script with its own `#!` line.
    Script(String),
    /// A line for `/bin/sh -c`.
    Command(String),
    /// Deploys a registered template into a deployment of the job's own.
    Template(Name),
    /// Runs a program until it has succeeded often enough: a Job, or the template of a CronJob.
    Batch(Arc<Batch>),
}

impl JobWork {
    /// The word that `type` has in the file.
    pub fn type_word(&self) -> &'static str {
        match self {
            JobWork::Script(_) => "script",
            JobWork::Command(_) => "command",
            JobWork::Template(_) => "template",
            JobWork::Batch(_) => "batch",
        }
    }
}

impl Job {
    /// The workspace it belongs to, if any.
    pub fn workspace(&self) -> Option<&Name> {
        self.subject.workspace()
    }

    /// The job of tasks that it is, or that it starts when it is due.
    pub fn batch(&self) -> Option<&Arc<Batch>> {
        match &self.work {
            JobWork::Batch(batch) => Some(batch),
            JobWork::Script(_) | JobWork::Command(_) | JobWork::Template(_) => None,
        }
    }

    /// The digest of the declaration that it runs once for: that of a file of `type = "job"`.
    pub fn declared(&self) -> Option<&Digest> {
        self.triggers.iter().find_map(|trigger| match trigger {
            JobTrigger::Declared(digest) => Some(digest),
            JobTrigger::Cron(_) | JobTrigger::Word(_) => None,
        })
    }

    /// Whether it runs once for its declaration.
    pub fn runs_once(&self) -> bool {
        self.declared().is_some()
    }

    /// Whether it is a schedule, such as a CronJob: it runs once for each time that it is due, or that what it waits for
    /// happens.
    pub fn is_scheduled(&self) -> bool {
        let starts_again = |trigger: &JobTrigger| match trigger {
            JobTrigger::Cron(_) | JobTrigger::Word(_) => true,
            JobTrigger::Declared(_) => false,
        };
        self.triggers.iter().any(starts_again)
    }

    /// The jobs it depends on.
    pub fn dependencies(&self) -> impl Iterator<Item = Subject> {
        self.extras
            .depends_on
            .iter()
            .map(|name| Subject::Job { workspace: self.workspace().cloned(), name: name.clone() })
    }

    /// The name under which its workspace is known to programs: `_standalone_` where there is none.
    pub fn workspace_id(&self) -> Name {
        self.workspace().cloned().unwrap_or_else(standalone)
    }

    /// The deployment that it works in.
    ///
    /// A script or a command works where its workspace is deployed; a template is deployed apart, so that the state of
    /// the workspace is never touched.
    pub fn deployment(&self) -> Name {
        match self.work {
            JobWork::Script(_) | JobWork::Command(_) | JobWork::Batch(_) => self.workspace_id(),
            JobWork::Template(_) => template_deployment(&self.subject),
        }
    }

    /// What a run of this job does. `catalog` says which tool its workspace uses.
    pub fn action(&self, catalog: &Catalog) -> Action {
        let program = match &self.work {
            JobWork::Script(text) => Program::Script { text: text.clone() },
            JobWork::Command(line) => Program::Shell { line: line.clone() },
            JobWork::Template(name) => return Action::Iac(self.template_action(name, catalog)),
            JobWork::Batch(batch) => return Action::Batch(batch.as_ref().clone()),
        };
        Action::Command(Command {
            program,
            env: self.extras.environment.clone(),
            deployment: self.deployment(),
            working_dir: self.extras.working_dir.clone(),
            timeout: self.timeout,
        })
    }

    fn template_action(&self, template: &Name, catalog: &Catalog) -> Iac {
        let workspace = self.workspace().and_then(|name| catalog.workspaces.get(name));
        let content = catalog.templates.get(template).map(|template| template.content_hash.as_str());
        Iac {
            operation: Operation::Deploy { mode: None },
            source: Source::Template { name: template.clone(), overlay: None },
            deployment: self.deployment(),
            workspace_name: Some(self.workspace_id()),
            tool: workspace.map_or_else(ToolChoice::default, |workspace| workspace.tool),
            version: workspace.and_then(|workspace| workspace.version.clone()),
            vars: BTreeMap::new(),
            var_files: Vec::new(),
            env: self.extras.environment.clone(),
            approval: ApprovalPolicy::None,
            timeout: self.timeout,
            commands: CustomCommands::default(),
            init_flags: Vec::new(),
            plan_flags: Vec::new(),
            source_digest: content.map(|content| Digest::of(format!("template {template} {content}").as_bytes())),
            declaration_digest: None,
            state_at: None,
        }
    }
}

/// `_standalone_` as a name.
pub(crate) fn standalone() -> Name {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    Name::parse(STANDALONE).expect("`_standalone_` is a name")
}

/// The deployment of a template job: `_job_SCOPE_NAME`, made unique by a digest where that could mean two jobs.
fn template_deployment(subject: &Subject) -> Name {
    let (scope, named_scope) = match subject.workspace() {
        Some(workspace) => (workspace.as_str(), workspace.as_str() == "standalone"),
        None => ("standalone", false),
    };
    let plain = format!("_job_{scope}_{}", subject.name());
    // Without `_` in the scope the text splits in one way only.
    let unique = !scope.contains('_') && !named_scope;
    match Name::parse(&plain) {
        Ok(name) if unique => name,
        _ => {
            let digest = Digest::of(subject.to_string().as_bytes());
            let beginning: String = plain.chars().take(80).collect();
            let text = format!("{beginning}_{}", digest.short());
            Name::parse(&text).unwrap_or_else(|_| standalone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_jobs_have_deployments_of_their_own() {
        let of = |text: &str| template_deployment(&text.parse().unwrap()).to_string();
        assert_eq!(standalone().as_str(), STANDALONE);
        assert_eq!(of("job/web/backup"), "_job_web_backup");
        assert_eq!(of("job/cleanup"), "_job_standalone_cleanup");
        assert_ne!(of("job/standalone/cleanup"), of("job/cleanup"));
        assert_ne!(of("job/a_b/c"), of("job/a/b_c"));
        let long = "x".repeat(100);
        assert_ne!(of(&format!("job/{long}/a")), of(&format!("job/{long}/b")));
    }
}
