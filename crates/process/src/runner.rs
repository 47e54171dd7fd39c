//! Starting commands, or finding them again.

use std::ffi::OsString;
use std::fmt;
use std::future::pending;
use std::path::{Path, PathBuf};

use piton_keeper::{Child, Output, Remembered, Spec, Token};
use piton_logs::{LogStore, RunLog};
use piton_model::RunId;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::attend::{Attendance, End};
use crate::{Attended, Captured, Error, Invocation, Keeping};

/// Runs commands through the keeper of one data directory. Clones share the connection.
#[derive(Clone)]
pub struct Runner {
    keeping: Keeping,
    logs: LogStore,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("logs", &self.logs).finish_non_exhaustive()
    }
}

impl Runner {
    /// For the keeper in this directory, started with this command when none answers.
    pub fn new(keeper_dir: PathBuf, keeper_argv: Vec<OsString>, logs: LogStore) -> Runner {
        Runner { keeping: Keeping::new(keeper_dir, keeper_argv), logs }
    }

    /// The keeper that it asks, for commands that belong to no run.
    pub fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    /// Runs a command with its output in the run's log, until it and all it started are gone.
    ///
    /// Idempotent by token: a command that was started before is found again, be it running or ended. Once `stop` is
    /// cancelled the command is stopped; the result is then its end all the same. Dropping the future lets the command
    /// go on.
    ///
    /// Without a log nothing is started. What was started is attended to without one, and its end is what counts.
    pub async fn run(
        &self,
        invocation: &Invocation,
        run: RunId,
        log: &RunLog,
        stop: &CancellationToken,
    ) -> Result<Attended, Error> {
        let token: Token = invocation.token.parse()?;
        self.unless_stopped(&token, stop).await?;
        let raw = absolute(&self.logs.raw_path(run, token.as_str()))?;
        let section = log.section(token.as_str(), &invocation.header).await;
        let known = section.is_ok() || self.knows(token.as_str()).await?;
        let section = match section {
            Err(error) if !known => return Err(error.into()),
            section => section,
        };
        let output = Output::File(raw.clone());
        let child = match self.start(&token, invocation, output.clone(), output).await {
            Ok(child) => child,
            Err(error) => {
                // Why it does not run matters more than that the log does not say so.
                let _ = log.note(&format!("{}/start", invocation.token), &format!("piton: {error}")).await;
                return Err(error);
            }
        };
        let attendance =
            Attendance { keeping: &self.keeping, child: &child, sequence: &invocation.stop, stop, log: Some(log) };
        let (gone, is_gone) = oneshot::channel();
        let live = async {
            let end = attendance.until_gone().await?;
            let _ = gone.send(());
            Ok::<End, Error>(end)
        };
        let output_ended = async {
            // Without a word from the other side the command still runs, and its output has not ended.
            if is_gone.await.is_err() {
                pending::<()>().await;
            }
        };
        // A log that cannot be written must not leave the command unattended: its error has to wait.
        let pump = async {
            let noted = note_warnings(log, &child).await;
            let pumped = match section {
                Ok(section) => section.pump(&raw, output_ended).await.map(drop),
                Err(error) => Err(error),
            };
            Ok(pumped.and(noted))
        };
        let (end, logged) = tokio::try_join!(live, pump)?;
        let swept = note_leftovers(log, &invocation.token, &end).await;
        Ok(Attended { exit: end.exit?, unwritten: logged.and(swept).err() })
    }

    /// Runs a command whose output is meant for a program, such as `show -json`: it goes to files and not to a log.
    ///
    /// Otherwise as [`Runner::run`].
    pub async fn capture(
        &self,
        invocation: &Invocation,
        run: RunId,
        stop: &CancellationToken,
    ) -> Result<Captured, Error> {
        let token: Token = invocation.token.parse()?;
        self.unless_stopped(&token, stop).await?;
        self.logs.prepare(run).await?;
        let stdout = absolute(&self.logs.raw_path(run, token.as_str()))?;
        let stderr = stdout.with_extension("err");
        let outputs = (Output::File(stdout.clone()), Output::File(stderr.clone()));
        let child = self.start(&token, invocation, outputs.0, outputs.1).await?;
        let attendance =
            Attendance { keeping: &self.keeping, child: &child, sequence: &invocation.stop, stop, log: None };
        let exit = attendance.until_gone().await?.exit?;
        Ok(Captured { exit, stdout, stderr })
    }

    /// Whether the keeper holds a command under this token, running or ended.
    pub async fn knows(&self, token: &str) -> Result<bool, Error> {
        let token: Token = token.parse()?;
        Ok(self.keeping.find(&token).await?.is_some())
    }

    /// Lets the keeper forget the commands of a run, and discards their raw output. For a run whose end is on record.
    ///
    /// A command that still runs is not forgotten, and reported as an error after all others are.
    pub async fn release(&self, run: RunId) -> Result<(), Error> {
        self.keeping.release(&format!("{run}/")).await?;
        self.logs.discard_raw(run).await?;
        Ok(())
    }

    /// Every command that the keeper holds.
    pub async fn held(&self) -> Result<Vec<Child>, Error> {
        self.keeping.held().await
    }

    /// Stops whatever still runs of a run that is over, and forgets it.
    pub async fn abandon(&self, run: RunId) -> Result<(), Error> {
        self.keeping.abandon(&format!("{run}/")).await?;
        self.release(run).await
    }

    /// Ends the keeper, if there is one and it holds nothing.
    pub async fn stop_if_idle(&self) -> Result<(), Error> {
        Ok(self.keeping.stop_if_idle().await?)
    }

    /// Nothing is started only to be stopped. What was started before is another matter.
    async fn unless_stopped(&self, token: &Token, stop: &CancellationToken) -> Result<(), Error> {
        if stop.is_cancelled() && !self.knows(token.as_str()).await? {
            return Err(Error::NotStarted);
        }
        Ok(())
    }

    async fn start(
        &self,
        token: &Token,
        invocation: &Invocation,
        stdout: Output,
        stderr: Output,
    ) -> Result<Child, Error> {
        let spec = Spec {
            argv: invocation.argv.iter().map(OsString::from).collect(),
            env: invocation.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            cwd: absolute(&invocation.cwd)?,
            stdout,
            stderr,
            limits: invocation.limits.clone(),
            remembered: Remembered::OverPowerLoss,
        };
        self.keeping.start(token, &spec).await
    }
}

/// What the command has to do without.
async fn note_warnings(log: &RunLog, child: &Child) -> Result<(), piton_logs::Error> {
    for (number, warning) in child.warnings.iter().enumerate() {
        let key = format!("{}/warning/{number}", child.token.as_str());
        log.note(&key, &format!("piton: {warning}")).await?;
    }
    Ok(())
}

async fn note_leftovers(log: &RunLog, token: &str, end: &End) -> Result<(), piton_logs::Error> {
    let notice = match &end.sweep {
        Ok(report) if report.killed == 0 && report.survivors.is_empty() => return Ok(()),
        Ok(report) if report.survivors.is_empty() => format!("piton: killed {}", processes(report.killed as usize)),
        Ok(report) => {
            let pids: Vec<String> = report.survivors.iter().map(u32::to_string).collect();
            let count = processes(report.survivors.len());
            format!(
                "piton: killed {}, but could not kill {count}: {}",
                processes(report.killed as usize),
                pids.join(", ")
            )
        }
        Err(error) => format!("piton: could not look for leftover processes: {error}"),
    };
    log.note(&format!("{token}/sweep"), &notice).await
}

fn processes(count: usize) -> String {
    format!("{count} leftover process{}", if count == 1 { "" } else { "es" })
}

/// The keeper has another current directory.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}
