//! What one step works with, and how it starts children.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use piton_logs::{Redactor, RunLog};
use piton_model::{Failure, FailureClass};
use piton_process::identity::BootId;
use piton_process::{Attended, Error, Exit, ExitStatus, Invocation, Limits, RefusalKind};
use tokio_util::sync::CancellationToken;

use crate::plain::read_plain;
use crate::run_files::RunFiles;
use crate::said::LockHolder;
use crate::step::{StepInput, World};
use crate::verdict::{self, Doing, Ending, Passed, Status};
use crate::{durable, failing};

/// How much of the end of an output is read for the message of a failure.
const TAIL: u64 = 64 * 1024;

/// Who holds a lock is told in less.
const LARGEST_LOCK: u64 = 64 * 1024;

pub(crate) struct Pass<'a> {
    pub(crate) world: &'a World,
    pub(crate) input: &'a StepInput<'a>,
    pub(crate) files: RunFiles,
}

/// One child to start.
pub(crate) struct Child {
    /// The last part of its token.
    pub(crate) what: &'static str,
    pub(crate) doing: Doing,
    /// A command of the user's stands in for the tool's own.
    pub(crate) custom: bool,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// The line above its output.
    pub(crate) header: String,
}

/// A child that did what it should.
pub(crate) struct Finished {
    pub(crate) passed: Passed,
    pub(crate) ended_at: Timestamp,
    /// Why the log is not complete, where it is not.
    pub(crate) unwritten: Option<String>,
}

/// A child that did not, and what it printed last.
pub(crate) struct Refused {
    pub(crate) failure: Box<Failure>,
    pub(crate) output: String,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        *refused.failure
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused { failure: Box::new(failure), output: String::new() }
    }
}

impl Pass<'_> {
    pub(crate) fn token(&self, what: &str) -> String {
        let StepInput { run, attempt, step, .. } = self.input;
        format!("{}/{attempt}/{step}/{what}", run.id)
    }

    pub(crate) async fn log(&self, secrets: impl IntoIterator<Item = String>) -> Result<RunLog, Failure> {
        let redactor = Redactor::new(secrets);
        self.world.logs.open(self.input.run.id, redactor).await.map_err(|error| log_failure(&error))
    }

    /// Writes a line of Piton's own, once per step of an attempt.
    pub(crate) async fn note(&self, log: &RunLog, key: &str, text: &str) -> Result<(), Failure> {
        log.note(&self.token(key), &format!("piton: {text}")).await.map_err(|error| log_failure(&error))
    }

    /// Writes a line as other runners word it, for clients that wait for it.
    pub(crate) async fn announce(&self, log: &RunLog, key: &str, text: &str) -> Result<(), Failure> {
        log.note(&self.token(key), text).await.map_err(|error| log_failure(&error))
    }

    /// Fails if the step shall stop and nothing is running yet.
    pub(crate) fn go_on(&self, doing: &str) -> Result<(), Failure> {
        if self.input.stop.is_cancelled() { Err(failing::stopped_before(doing)) } else { Ok(()) }
    }

    /// Whether the child `what` was started before.
    ///
    /// Where the keeper cannot be asked, and the mark says that something was begun, it may be under way: the run must
    /// not be tried again then.
    pub(crate) async fn knows(&self, what: &str) -> Result<bool, Failure> {
        let doing = if self.files.effect(self.input.attempt).exists() { Doing::Apply } else { Doing::Init };
        self.world.runner.knows(&self.token(what)).await.map_err(|error| runner_failure(doing, error))
    }

    /// Leaves the mark that the child `what` is about to change the world. Fails if this was done before and nobody
    /// knows what became of it.
    ///
    /// The keeper writes down what it is about to start, so within one boot it knows whatever was started: Piton may
    /// have been stopped between the mark and the start. What it wrote may be gone after the machine went down.
    pub(crate) async fn begin_effect(&self, what: &'static str, doing: Doing) -> Result<(), Failure> {
        let mark = self.files.effect(self.input.attempt);
        let boot = BootId::current().map(|id| id.as_str().to_owned()).unwrap_or_default();
        let of_this_boot = || !boot.is_empty() && std::fs::read_to_string(&mark).is_ok_and(|text| text == boot);
        if self.input.resumed && mark.exists() && !of_this_boot() && !self.knows(what).await? {
            return Err(Failure::new(
                FailureClass::Uncertain,
                "effect_unseen",
                format!("{} had begun when Piton was stopped, and nobody saw how it ended", doing.as_str()),
            )
            .hint("check what exists, then run it again"));
        }
        // It may be there and not be on the disk yet. What is under way already is not given up for one that is full.
        let is_marked = of_this_boot();
        match durable::write(&mark, boot.as_bytes(), 0o600) {
            Err(error) if !is_marked => Err(failing::io("write", &mark, &error)),
            _ => Ok(()),
        }
    }

    fn invocation(&self, child: &Child) -> Invocation {
        let (argv, temp) = self.confined(child);
        let mut env = child.env.clone();
        if let Some(temp) = temp {
            env.insert("TMPDIR".to_owned(), temp.display().to_string());
        }
        Invocation {
            token: self.token(child.what),
            argv,
            env,
            cwd: child.cwd.clone(),
            header: child.header.clone(),
            stop: child.doing.stop(self.world.config.interrupt_grace),
            limits: Limits::default(),
        }
    }

    /// Runs a child, its output into the log.
    pub(crate) async fn child(&self, log: &RunLog, child: &Child) -> Result<Finished, Refused> {
        self.child_until(log, child, &self.input.stop).await
    }

    pub(crate) async fn child_until(
        &self,
        log: &RunLog,
        child: &Child,
        stop: &CancellationToken,
    ) -> Result<Finished, Refused> {
        // What runs already has to be stopped, not forgotten.
        if stop.is_cancelled() && !self.knows(child.what).await? {
            return Err(failing::stopped_before(child.doing.as_str()).into());
        }
        let invocation = self.invocation(child);
        let ended = self.world.runner.run(&invocation, self.input.run.id, log, stop).await;
        let ended = ended_of(child.doing, ended)?;
        if let Some(error) = &ended.unwritten {
            tracing::warn!(run = %self.input.run.id, %error, "the log of a run is not complete");
        }
        let output = tail(&self.world.logs.raw_path(self.input.run.id, &invocation.token));
        judge(child, ended, log, output)
    }

    /// Runs a child whose output is for Piton.
    pub(crate) async fn capture(&self, log: &RunLog, child: &Child) -> Result<Vec<u8>, Refused> {
        if self.input.stop.is_cancelled() && !self.knows(child.what).await? {
            return Err(failing::stopped_before(child.doing.as_str()).into());
        }
        let invocation = self.invocation(child);
        let captured = self.world.runner.capture(&invocation, self.input.run.id, &self.input.stop).await;
        let (ended, files) = match captured {
            Ok(captured) => {
                let attended = Attended { exit: captured.exit, unwritten: None };
                (Ok(attended), Some((captured.stdout, captured.stderr)))
            }
            Err(error) => (Err(error), None),
        };
        let ended = ended_of(child.doing, ended)?;
        let Some((stdout, stderr)) = files else { return Ok(Vec::new()) };
        judge(child, ended, log, tail(&stderr))?;
        std::fs::read(&stdout).map_err(|error| failing::io("read", &stdout, &error).into())
    }
}

pub(crate) fn log_failure(error: &piton_logs::Error) -> Failure {
    Failure::new(FailureClass::Transient, "log_failed", format!("the run's log cannot be written: {error}"))
}

/// The end of a child.
struct Ended {
    /// None where nobody saw it.
    exit: Option<Exit>,
    at: Timestamp,
    unwritten: Option<String>,
}

fn ended_of(doing: Doing, ended: Result<Attended, Error>) -> Result<Ended, Failure> {
    match ended {
        Ok(Attended { exit, unwritten }) => {
            let unwritten = unwritten.map(|error| error.to_string());
            Ok(Ended { exit: Some(exit), at: exit.ended_at, unwritten })
        }
        Err(Error::Lost { ended_at, .. }) => Ok(Ended { exit: None, at: ended_at, unwritten: None }),
        Err(error) => Err(runner_failure(doing, error)),
    }
}

fn judge(
    child: &Child,
    Ended { exit, at, unwritten }: Ended,
    log: &RunLog,
    output: String,
) -> Result<Finished, Refused> {
    let output = log.redactor().redact(&output);
    let left_lock = match child.doing {
        Doing::Apply | Doing::Destroy => left_lock(&child.cwd),
        _ => None,
    };
    let ending = Ending {
        doing: child.doing,
        custom: child.custom,
        status: exit.map_or(Status::Unknown, |exit| status(exit.status)),
        stopped: exit.is_some_and(|exit| exit.stopped),
        killed: exit.is_some_and(|exit| exit.killed),
        output: &output,
        left_lock: left_lock.as_ref(),
    };
    match verdict::judge(&ending) {
        Ok(passed) => Ok(Finished { passed, ended_at: at, unwritten }),
        Err(failure) => {
            let failure = with_unwritten(failure.exited_at(at), unwritten.as_deref());
            Err(Refused { failure: Box::new(failure), output })
        }
    }
}

/// What could not be written is told beside the outcome, and takes nothing from it.
pub(crate) fn with_unwritten(failure: Failure, unwritten: Option<&str>) -> Failure {
    match unwritten {
        Some(error) => {
            Failure { message: format!("{} (the log is not complete: {error})", failure.message), ..failure }
        }
        None => failure,
    }
}

pub(crate) fn runner_failure(doing: Doing, error: Error) -> Failure {
    let message = error.to_string();
    let code = match error {
        Error::NotStarted => return failing::stopped_before(doing.as_str()),
        Error::Spawn { kind, .. } => {
            let failure = failing::permanent("spawn_failed", message);
            return match (doing, kind) {
                (_, RefusalKind::Resources) => Failure { class: FailureClass::Transient, ..failure },
                (Doing::Job, _) => failure.hint("check the program's name, its permissions and PATH"),
                _ => failure,
            };
        }
        Error::Log(error) => return log_failure(&error),
        _ => "keeper_lost",
    };
    // A child may have been started, or may run on, and its end was not seen.
    if doing.applies() || doing == Doing::Job {
        return Failure::new(FailureClass::Uncertain, code, message).hint("check what exists, then run it again");
    }
    Failure::new(FailureClass::Transient, code, message)
}

fn status(status: ExitStatus) -> Status {
    match status {
        ExitStatus::Code(code) => Status::Code(code),
        ExitStatus::Signal(signal) => Status::Signal(signal),
        ExitStatus::Unknown => Status::Unknown,
    }
}

/// The lock that the local backend left in the deployment directory.
fn left_lock(dir: &Path) -> Option<LockHolder> {
    let bytes = read_plain(&dir.join(".terraform.tfstate.lock.info"), LARGEST_LOCK).ok()?;
    LockHolder::in_lock_file(str::from_utf8(&bytes).ok()?)
}

/// The end of a file, as far as it can be read.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
