//! Makes repositories of blueprints: the executor's part.
//!
//! A pass renders everything in memory, makes the commit, and sees to it that the repository is there with it. All that it
//! depends on is kept with the run, so a second pass makes the same commit, finds its own repository, and does what is
//! missing.

mod forges;
mod pins;
mod reporter;
mod reports;

use std::path::PathBuf;
use std::time::Duration;

use piton_engine::{Clock, Passed, Task};
use piton_exec::Git;
use piton_exec::guard::Guard;
use piton_forge::{
    BranchName, Commit, CommitError, Identity, Limits, PRIVATE, RepositoryName, RunMark, Visibility, Wanted, Words,
};
use piton_logs::{LogStore, Redactor, RunLog};
use piton_model::{
    Failure, FailureClass, Outcome, OutcomeKind, Report, RepositoryVisibility, Run, Scaffold, ScaffoldStep,
    ScaffoldedRepository,
};
use piton_scaffold::{Meta, Mode, Order};
use serde_json::{Value, json};

use crate::blueprints::{Blueprints, Found};
use crate::error::{CommandError, Exit};
use crate::place::Place;
use forges::Forges;
use pins::Pins;
use reporter::{Line, Lines, Reporter};
pub use reports::Reports;

/// Where it is written down what runs have rendered, in the workspace.
const PINS: &str = "pins";
/// Runs that have failed are known for as long, and may be sent again.
const LONGEST_PINNED: Duration = Duration::from_secs(90 * 24 * 3600);

/// Makes repositories of blueprints.
#[derive(Debug)]
pub struct Scaffolding {
    blueprints: Blueprints,
    pins: Pins,
    forges: Forges,
    reporter: Reporter,
    author: Identity,
    branch: BranchName,
    clock: Clock,
    logs: LogStore,
}

/// Where a run keeps what it needs on a disk.
pub fn workspace_dir(place: &Place) -> PathBuf {
    place.config.worker.workspace_dir.clone().unwrap_or_else(|| place.data_dir.join("scaffold"))
}

/// Removes what runs of a process that was killed have left: it may hold keys. What is younger than the longest run may be
/// another worker's.
pub fn sweep(place: &Place) {
    let directory = workspace_dir(place);
    Pins::new(directory.join(PINS)).sweep(LONGEST_PINNED);
    // Where nothing was ever needed there is none.
    let Ok(entries) = std::fs::read_dir(&directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PRIVATE));
        let age = entry.metadata().and_then(|found| found.modified()).map(|time| time.elapsed().unwrap_or_default());
        if is_ours && age.is_ok_and(|age| age > place.config.worker.max_job_duration) {
            let path = entry.path();
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(%error, path = %path.display(), "what a run has left could not be removed");
            }
        }
    }
}

impl Scaffolding {
    /// Contacts nobody yet.
    pub fn new(
        place: &Place,
        guard: &Guard,
        git: Git,
        clock: &Clock,
        logs: LogStore,
        worker: &str,
    ) -> Result<Scaffolding, CommandError> {
        let config = &place.config.worker;
        let bad =
            |key: &str, error: &dyn std::fmt::Display| CommandError::new(Exit::BadConfig, format!("{key}: {error}"));
        let (name, email) = &config.author;
        Ok(Scaffolding {
            blueprints: Blueprints::new(place, git, clock.clone())?,
            pins: Pins::new(workspace_dir(place).join(PINS)),
            forges: Forges::new(place, guard)?,
            reporter: Reporter::new(place, clock, worker)?,
            author: Identity::new(name, email).map_err(|error| bad("worker.author_name", &error))?,
            branch: config.branch.parse().map_err(|error| bad("worker.branch", &error))?,
            clock: clock.clone(),
            logs,
        })
    }

    /// Executes one step.
    pub async fn step(&self, task: &Task, scaffold: &Scaffold, step: ScaffoldStep) -> Result<Passed, Failure> {
        match step {
            ScaffoldStep::Build => {
                let talk = Talk::open(self, task, scaffold).await?;
                let built = tokio::select! {
                    biased;
                    built = self.build(task, scaffold, &talk) => built,
                    () = task.stop.cancelled() => {
                        Err(Failure::new(FailureClass::Interrupted, "stopped", "stopped before the repository was there"))
                    }
                };
                if let Err(failure) = &built {
                    self.tell_failure(task, failure, &talk).await?;
                }
                talk.lines.end().await;
                built.map(Passed::Done)
            }
        }
    }

    /// Forgets what a run that has ended does not need any more. One that has failed may be sent again, and may find what
    /// it has pushed.
    pub fn ended(&self, run: &Run, scaffold: &Scaffold) {
        if run.outcome().map(Outcome::kind) == Some(OutcomeKind::Succeeded) {
            self.pins.forget(&scaffold.run_id.mark());
        }
    }

    async fn build(&self, task: &Task, scaffold: &Scaffold, talk: &Talk<'_>) -> Result<Report, Failure> {
        talk.say("start", "INFO", format!("Starting provisioning for run: {}", scaffold.run_id)).await?;
        talk.lines.status(reports::status(
            &task.run,
            &reports::About::own(&task.run, scaffold),
            "running",
            self.clock.now(),
            self.reporter.worker().unwrap_or_default(),
            json!({}),
        ));
        let (forge, owner) = self.forges.of(scaffold)?;
        let wanted = Wanted {
            name: scaffold.name.parse::<RepositoryName>().map_err(|error| forges::failure(&error.into()))?,
            owner,
            visibility: match scaffold.visibility {
                RepositoryVisibility::Private => Visibility::Private,
                RepositoryVisibility::Internal => Visibility::Internal,
                RepositoryVisibility::Public => Visibility::Public,
            },
            description: format!("{}, made of {}", scaffold.name, scaffold.template),
            run: scaffold.run_id.mark().parse::<RunMark>().map_err(|error| forges::failure(&error.into()))?,
            branch: self.branch.clone(),
            topics: Vec::new(),
            adopt_empty: false,
        };
        talk.say("render", "INFO", format!("Rendering template: {}", scaffold.template)).await?;
        let found = self.find(scaffold).await?;
        let commit = self.commit(scaffold, &wanted.run, found.clone()).await?;
        if let Some(from) = &found.commit {
            self.pins.keep(&scaffold.run_id.mark(), from).map_err(|error| {
                let message =
                    format!("it cannot be written down from which commit of its blueprint it is made: {error}");
                Failure::new(FailureClass::Transient, "template_io", message)
            })?;
        }
        let place = if scaffold.namespace.is_empty() { "" } else { "/" };
        let full_name = format!("{}{place}{}", scaffold.namespace, scaffold.name);
        talk.say("create", "INFO", format!("Creating repository: {full_name}")).await?;
        let repository =
            forge.ensure_repository(&wanted, commit.id()).await.map_err(|error| self.not_pushed(scaffold, &error))?;
        let files = commit.files();
        let noun = if files == 1 { "file" } else { "files" };
        talk.say("commit", "INFO", format!("Committing files ({files} {noun})")).await?;
        talk.say("push", "INFO", format!("Pushing to {}", scaffold.provider.name())).await?;
        let pushed =
            forge.push(&repository, &wanted, &commit).await.map_err(|error| self.not_pushed(scaffold, &error))?;
        forge.finish(&repository, &wanted, pushed).await.map_err(|error| forges::failure(&error))?;
        let began = task.run.started_at.unwrap_or(task.run.submitted_at);
        let first = pushed.first(commit.id());
        let took = self.clock.now().duration_since(began).as_secs_f64().max(0.0);
        talk.say("success", "SUCCESS", format!("Provisioning completed in {took:.1}s")).await?;
        Ok(Report {
            commit: Some(first.to_string()),
            repository: Some(ScaffoldedRepository {
                url: repository.web_url.clone(),
                name: repository.full_name.clone(),
                branch: self.branch.to_string(),
                commit: first.to_string(),
                files: files as u64,
            }),
            ..Report::default()
        })
    }

    /// The blueprint, at the commit that an earlier pass has rendered, if there was one.
    async fn find(&self, scaffold: &Scaffold) -> Result<Found, Failure> {
        let mark = scaffold.run_id.mark();
        let pinned = self.pins.of(&mark);
        match self.blueprints.find(&scaffold.template, pinned.as_deref()).await {
            // Nobody has it any more, as after a forced push of the blueprint: what there is now has to do.
            Err(failure) if pinned.is_some() && failure.class == FailureClass::Permanent => {
                self.pins.forget(&mark);
                self.blueprints.find(&scaffold.template, None).await
            }
            found => found,
        }
    }

    /// What went wrong before anything was pushed. If that is for good, a later pass need not make the same commit.
    fn not_pushed(&self, scaffold: &Scaffold, error: &piton_forge::Error) -> Failure {
        let failure = forges::failure(error);
        if failure.class == FailureClass::Permanent {
            self.pins.forget(&scaffold.run_id.mark());
        }
        failure
    }

    /// Renders and packs. The time is that of the request, so that every pass makes the same.
    async fn commit(&self, scaffold: &Scaffold, mark: &RunMark, found: Found) -> Result<Commit, Failure> {
        let order = Order {
            name: scaffold.name.clone(),
            namespace: scaffold.namespace.clone(),
            values: scaffold.values.expose().clone(),
            meta: Meta {
                timestamp: scaffold.asked_at,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                run_id: scaffold.run_id.to_string(),
                template: scaffold.template.clone(),
                commit: found.commit,
                kind: scaffold.job_type.as_str().to_owned(),
            },
        };
        let words = Words {
            author: self.author.clone(),
            committer: self.author.clone(),
            date: scaffold.asked_at,
            message: format!("Create {} from {}", scaffold.name, scaffold.template),
            run: mark.clone(),
        };
        let blueprint = found.blueprint;
        let work = move || -> Result<Commit, Failure> {
            let tree = blueprint.render(&order).map_err(|error| Failure::from(&error))?;
            let refused = |error: CommitError| forges::failure(&error.into());
            let mut files = piton_forge::Tree::new(Limits::default());
            for entry in tree.entries() {
                let (path, bytes) = (entry.path.as_str(), entry.bytes.to_vec());
                match entry.mode {
                    Mode::Link => files.link(path, bytes),
                    Mode::File => files.file(path, bytes, false),
                    Mode::Executable => files.file(path, bytes, true),
                }
                .map_err(|error| refused(error.into()))?;
            }
            Commit::build(&files, &words).map_err(refused)
        };
        let rendering = tokio::task::spawn_blocking(work);
        rendering.await.map_err(|error| {
            Failure::new(FailureClass::Permanent, "internal_error", format!("the rendering broke off: {error}"))
        })?
    }

    async fn tell_failure(&self, task: &Task, failure: &Failure, talk: &Talk<'_>) -> Result<(), Failure> {
        let again = task.run.retry.delay_after(task.run.failures + 1, failure);
        let retry = again.filter(|_| failure.class == FailureClass::Transient);
        let sentence = match &failure.hint {
            Some(hint) => format!("{} ({hint})", failure.message),
            None => failure.message.clone(),
        };
        match retry {
            Some(delay) => {
                let message = format!("{sentence}; trying again in {}s", delay.as_secs());
                talk.say("failure", "WARN", message).await
            }
            None => talk.say("failure", "ERROR", format!("Provisioning failed: {sentence}")).await,
        }
    }
}

/// What a run says: to its log, and to the control plane.
struct Talk<'a> {
    log: RunLog,
    lines: Lines,
    clock: &'a Clock,
    prefix: String,
}

impl<'a> Talk<'a> {
    async fn open(scaffolding: &'a Scaffolding, task: &Task, scaffold: &Scaffold) -> Result<Talk<'a>, Failure> {
        let redactor = Redactor::new(secrets(scaffold));
        scaffolding.logs.prepare(task.run.id).await.map_err(|error| log_failure(&error))?;
        let log = scaffolding.logs.open(task.run.id, redactor).await.map_err(|error| log_failure(&error))?;
        Ok(Talk {
            log,
            lines: scaffolding.reporter.lines(scaffold.run_id.as_str(), format!("{}-{}", task.run.id, task.attempt)),
            clock: &scaffolding.clock,
            prefix: format!("{}/{}/{}", task.run.id, task.attempt, task.step),
        })
    }

    /// Says a line, once per attempt.
    async fn say(&self, key: &str, level: &'static str, message: String) -> Result<(), Failure> {
        let message = self.log.redactor().redact(&message);
        let line = Line { timestamp: self.clock.now(), level, message };
        let noted = self.log.note(&format!("{}/{key}", self.prefix), &line.text()).await;
        noted.map_err(|error| log_failure(&error))?;
        self.lines.tell(line);
        Ok(())
    }
}

fn log_failure(error: &piton_logs::Error) -> Failure {
    Failure::new(FailureClass::Transient, "log_failed", format!("the log of the run cannot be written: {error}"))
}

/// Values that are probably nobody's business, by their names.
fn secrets(scaffold: &Scaffold) -> Vec<String> {
    const NAMES: [&str; 6] = ["password", "passwd", "secret", "token", "api_key", "private_key"];
    let mut found = Vec::new();
    let mut waiting: Vec<(bool, &Value)> = Vec::new();
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        NAMES.iter().any(|word| name.contains(word))
    };
    waiting.extend(scaffold.values.expose().iter().map(|(name, value)| (is_secret(name), value)));
    while let Some((secret, value)) = waiting.pop() {
        match value {
            Value::String(text) if secret && !text.is_empty() => found.push(text.clone()),
            Value::Array(items) => waiting.extend(items.iter().map(|item| (secret, item))),
            Value::Object(fields) => {
                waiting.extend(fields.iter().map(|(name, value)| (secret || is_secret(name), value)));
            }
            _ => {}
        }
    }
    found
}
