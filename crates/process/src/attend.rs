//! Staying with a command until it is gone, and stopping it when asked.

use std::time::Duration;

use jiff::Timestamp;
use piton_keeper::client::Error as KeeperError;
use piton_keeper::protocol::{RefusalKind, SweepReport};
use piton_keeper::{Child, ExitStatus, Exited, Signal, is_alive};
use piton_logs::RunLog;
use rustix::io::Errno;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::orphan;
use crate::stop::{Notice, Stage, StopSequence};
use crate::wait::{now, pause};
use crate::{Error, Exit, Keeping};

/// How often a keeper is sought for a process that has ended. Its journal may still know how.
const SEARCHES: u32 = 5;
/// How long a stop waits for its note to be written.
const NOTE_PATIENCE: Duration = Duration::from_secs(2);

/// A command that was started.
pub(crate) struct Attendance<'a> {
    pub(crate) keeping: &'a Keeping,
    pub(crate) child: &'a Child,
    pub(crate) sequence: &'a StopSequence,
    pub(crate) stop: &'a CancellationToken,
    /// Where the stages of a stop are noted.
    pub(crate) log: Option<&'a RunLog>,
}

/// The end of a command and of all it started.
pub(crate) struct End {
    pub(crate) exit: Result<Exit, Error>,
    pub(crate) sweep: Result<SweepReport, KeeperError>,
}

enum Ending {
    Seen(ExitStatus, Timestamp),
    Unseen(Timestamp),
}

enum Sent {
    Delivered,
    /// Nobody was left to receive it.
    TooLate,
}

/// What was asked of the command.
#[derive(Default)]
struct Asked {
    stopped: bool,
    killed: bool,
}

impl Attendance<'_> {
    /// Waits for the end, stops the command when asked to, then kills what it left behind.
    pub(crate) async fn until_gone(&self) -> Result<End, Error> {
        let mut asked = Asked::default();
        let gone = CancellationToken::new();
        // Side by side and not one against the other: a signal under way when the command ends was sent or was not, and
        // the report has to say which.
        let watch = async {
            let ending = self.ending().await;
            gone.cancel();
            ending
        };
        let (ending, ()) = tokio::join!(watch, self.escalate(&mut asked, &gone));
        let ending = ending?;
        let sweep = match self.keeping.ask(|keeper| async move { keeper.sweep(&self.child.token).await }).await {
            Err(error) if error.refusal() == Some(RefusalKind::UnknownToken) => Ok(SweepReport::default()),
            result => result,
        };
        let swept = sweep.as_ref().map_or(0, |report| report.killed as usize);
        let exit = match ending {
            Ending::Seen(status, ended_at) => {
                let killed = asked.killed && status == ExitStatus::Signal(Signal::Kill.number());
                Ok(Exit { status, ended_at, stopped: asked.stopped, killed, swept })
            }
            Ending::Unseen(ended_at) => Err(Error::Lost { identity: self.child.identity.clone(), ended_at }),
        };
        Ok(End { exit, sweep })
    }

    async fn ending(&self) -> Result<Ending, Error> {
        let token = &self.child.token;
        let mut searches = 0;
        loop {
            match self.keeping.ask(|keeper| async move { keeper.wait_for_end(token).await }).await {
                Ok(Exited { status, at_unix_us }) => {
                    let ended_at = Timestamp::from_microsecond(at_unix_us).unwrap_or_else(|_| now());
                    return Ok(match status {
                        ExitStatus::Unknown => Ending::Unseen(ended_at),
                        ExitStatus::Code(_) | ExitStatus::Signal(_) => Ending::Seen(status, ended_at),
                    });
                }
                Err(error) if error.refusal() == Some(RefusalKind::UnknownToken) => {
                    // Its journal is gone as well. The process itself cannot lie about being there.
                    orphan::gone(&self.child.identity).await;
                    return Ok(Ending::Unseen(now()));
                }
                Err(error @ KeeperError::Refused(_)) => return Err(error.into()),
                Err(error) => {
                    // No keeper can be had at present. While the command runs there is time to look for one.
                    if !is_alive(&self.child.identity) {
                        searches += 1;
                        if searches == SEARCHES {
                            return Err(error.into());
                        }
                    }
                    pause(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Once the command has to end, works through the stages until it is gone.
    async fn escalate(&self, asked: &mut Asked, gone: &CancellationToken) {
        tokio::select! {
            biased;
            () = gone.cancelled() => return,
            () = self.stop.cancelled(), if self.child.exit().is_none() => {}
        }
        let mut after = None;
        for (number, stage) in self.sequence.0.iter().enumerate() {
            // Before sending, so that in the log it is above what the command says to it.
            self.note(number, "", Notice { stage, after }.to_string()).await;
            match self.send(stage).await {
                Ok(Sent::Delivered) => {
                    asked.stopped = true;
                    asked.killed |= stage.signal == Signal::Kill;
                }
                Ok(Sent::TooLate) => return,
                Err(problem) => {
                    self.note(number, "/problem", format!("piton: could not send {}: {problem}", stage.signal.name()))
                        .await;
                }
            }
            tokio::select! {
                biased;
                () = gone.cancelled() => return,
                () = pause(stage.wait) => after = Some(stage.wait),
            }
        }
    }

    /// Notes a stage of the stop. A disk that is full, or hangs, must not keep the command from being stopped.
    async fn note(&self, stage: usize, part: &str, text: String) {
        if let Some(log) = self.log {
            let key = format!("{}/stop/{stage}{part}", self.child.token.as_str());
            let _ = timeout(NOTE_PATIENCE, log.note(&key, &text)).await;
        }
    }

    async fn send(&self, stage: &Stage) -> Result<Sent, String> {
        let Stage { signal, target, .. } = *stage;
        match self.keeping.ask(|keeper| async move { keeper.signal(&self.child.token, signal, target).await }).await {
            Ok(()) => Ok(Sent::Delivered),
            Err(error) if error.refusal() == Some(RefusalKind::NotRunning) => Ok(Sent::TooLate),
            Err(_) => match orphan::signal(&self.child.identity, signal, target) {
                Ok(()) => Ok(Sent::Delivered),
                Err(Errno::SRCH) => Ok(Sent::TooLate),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}
