//! Doing what the state machines say. Everything that takes time is done beside the actor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use piton_keeper::client::Error as KeeperError;
use piton_keeper::protocol::{RefusalKind, Target};
use piton_keeper::{ProcessIdentity, Signal, Token};
use piton_model::{Detector, HookPhase, Program};
use piton_process::{Keeping, orphan};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::entry::up_of;
use super::lane::OnItsWay;
use super::{Actor, Message};
use crate::clock::Now;
use crate::detector::{self, Seen};
use crate::incarnation::Incarnation;
use crate::instance::{Effect, Event, Sighting};
use crate::launch::Launch;
use crate::probe::{Probed, Prober};
use crate::real_time::pause;
use crate::{command, pid_file};

/// Between two attempts to reach the keeper.
const AGAIN: Duration = Duration::from_millis(500);

impl Actor {
    pub(super) fn perform(&mut self, name: &str, effect: Effect) {
        match effect {
            Effect::Spawn(of) => match self.runs_elsewhere(name) {
                None => self.spawn(name, of),
                Some(message) => self.tell(name, Event::Refused { number: of.number, transient: false, message }),
            },
            Effect::Signal { of, index } => self.signal(name, of, index),
            Effect::Sweep(of) => self.sweep(name, of),
            Effect::Acknowledge(of) => self.acknowledge(name, of),
            Effect::RunHooks { phase, number } => {
                let reason = (phase == HookPhase::PreStart).then(|| self.runs_elsewhere(name)).flatten();
                match reason {
                    None => self.run_hooks(name, phase, number),
                    Some(reason) => self.tell(name, Event::Hooked { phase, number, result: Err(reason) }),
                }
            }
            Effect::EndHooks { number, grace } => self.end_hooks(name, number, grace),
            Effect::Command { of, timeout } => self.stop_command(name, of, timeout),
            Effect::Look { of, after } => self.look(name, of, after),
        }
    }

    /// Why an instance must not be started: the file with its process id, as Piton and provisr write it, names a process
    /// that lives and is none of this supervisor's. Mostly another daemon with the same configuration keeps it running,
    /// and two of them would do the same work twice.
    fn runs_elsewhere(&self, name: &str) -> Option<String> {
        let path = self.entries.get(name)?.launch(name, &self.settings).pid_file();
        let identity = pid_file::started(&path)?;
        let mut own = self.entries.values().filter_map(|entry| entry.instance.up());
        if own.any(|up| up.identity == identity) {
            return None;
        }
        let (pid, path) = (identity.pid, path.display());
        Some(format!(
            "process {pid} runs already, as {path} says, and was not started by this daemon; stop it where it was \
             started, for example by a daemon with another data directory, or declare another `pid_file` or `pid_dir`"
        ))
    }

    fn tell(&self, name: &str, event: Event) {
        // Without an actor there is nobody to tell.
        let _ = self.outbox.send(Message::Event { instance: name.to_owned(), event });
    }

    /// Does something beside, and tells the instance what came of it.
    fn beside(&mut self, name: &str, work: impl Future<Output = Option<Event>> + Send + 'static) {
        let (outbox, instance) = (self.outbox.clone(), name.to_owned());
        self.tasks.spawn(async move {
            if let Some(event) = work.await {
                // Without an actor there is nobody to tell.
                let _ = outbox.send(Message::Event { instance, event });
            }
        });
    }

    fn spawn(&mut self, name: &str, of: Incarnation) {
        let Some(entry) = self.entries.get(name) else { return };
        let (keeping, settings) = (self.keeping.clone(), Arc::clone(&self.settings));
        let (process, instance, number) = (Arc::clone(&entry.process), name.to_owned(), entry.number);
        let outbox = self.outbox.clone();
        self.starts.put(move |on_its_way| async move {
            let launch = Launch { settings: &settings, process: &process, instance: &instance, number };
            let event = Box::pin(start(&keeping, of, launch, &on_its_way)).await;
            // Without an actor there is nobody to tell.
            let _ = outbox.send(Message::Event { instance, event });
        });
    }

    fn signal(&mut self, name: &str, of: Incarnation, index: usize) {
        let Some(entry) = self.entries.get(name) else { return };
        let Some(stage) = entry.process.stop.stages.get(index) else { return };
        let identity = entry.identity_of(of);
        // What goes on without its first process has also left that one's group.
        let target = if identity.is_some() { Target::Group } else { Target::Tree };
        // A name that means nothing was refused where it was declared.
        let signal: Signal = stage.signal.parse().unwrap_or(Signal::Term);
        let (keeping, Ok(token)) = (self.keeping.clone(), of.token(name)) else { return };
        self.signals.put(move |on_its_way| async move {
            let (token, on_its_way) = (&token, &on_its_way);
            let ask =
                || keeping.ask(|keeper| async move { on_its_way.send(keeper.signal(token, signal, target)).await });
            if let Err((kind, message)) = insist(ask).await {
                match (kind, identity) {
                    (RefusalKind::NotRunning, _) => {}
                    (RefusalKind::UnknownToken, Some(identity)) => signal_unknown(&identity, signal, target),
                    _ => warn!(token = token.as_str(), %signal, message, "a signal could not be sent"),
                }
            }
        });
    }

    fn sweep(&mut self, name: &str, of: Incarnation) {
        let Some(entry) = self.entries.get(name) else { return };
        let identity = entry.identity_of(of);
        let (keeping, Ok(token)) = (self.keeping.clone(), of.token(name)) else { return };
        self.beside(name, async move {
            let token = &token;
            let survivors = match insist(|| keeping.ask(|keeper| async move { keeper.sweep(token).await })).await {
                Ok(report) => report.survivors,
                Err((RefusalKind::UnknownToken, _)) => {
                    if let Some(identity) = identity {
                        signal_unknown(&identity, Signal::Kill, Target::Tree);
                    }
                    Vec::new()
                }
                Err((_, message)) => {
                    warn!(token = token.as_str(), message, "what a process left behind could not be looked for");
                    Vec::new()
                }
            };
            Some(Event::Swept { number: of.number, survivors })
        });
    }

    fn acknowledge(&mut self, name: &str, of: Incarnation) {
        let (keeping, Ok(token)) = (self.keeping.clone(), of.token(name)) else { return };
        self.tasks.spawn(async move { forget(&keeping, &token).await });
    }

    fn stop_command(&mut self, name: &str, of: Incarnation, timeout: Duration) {
        let Some(entry) = self.entries.get(name) else { return };
        let done = Event::Commanded { number: of.number };
        let surroundings = entry.launch(name, &self.settings).surroundings();
        let (Some(program), Ok(mut around)) = (entry.process.stop.command.clone(), surroundings) else {
            return self.beside(name, async { Some(done) });
        };
        if let Some(up) = entry.instance.up() {
            around.env.insert("PITON_PID".to_owned(), up.identity.pid.to_string());
        }
        let keeping = self.keeping.clone();
        let instance = name.to_owned();
        self.beside(name, async move {
            if let Err(problem) = command::ask(&keeping, &around, &program, timeout, &CancellationToken::new()).await {
                warn!(instance, problem, "the command that stops a process failed");
            }
            Some(done)
        });
    }

    fn look(&mut self, name: &str, of: Incarnation, after: Duration) {
        let Some(entry) = self.entries.get(name) else { return };
        let detectors = entry.process.detectors.clone();
        let surroundings = entry.launch(name, &self.settings).surroundings();
        let (keeping, instance) = (self.keeping.clone(), name.to_owned());
        self.beside(name, async move {
            pause(after).await;
            let mut seen = None;
            if let Ok(around) = surroundings {
                for detector in &detectors {
                    match detector::look(&keeping, detector, &around).await {
                        Ok(Seen::Alive(pid)) => {
                            seen = Some(Sighting { by: shown(detector), pid });
                            break;
                        }
                        Ok(Seen::Nothing) => {}
                        Err(problem) => warn!(instance, problem, "a detector cannot tell"),
                    }
                }
            }
            Some(Event::Looked { number: of.number, seen })
        });
    }

    /// Keeps the file with the process id in step with the child.
    pub(super) fn follow_child(&mut self, name: &str, before: Option<Incarnation>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let up = entry.instance.up().cloned();
        if up.as_ref().map(|up| up.of) == before {
            return;
        }
        let path = entry.launch(name, &self.settings).pid_file();
        // Where it was written: the declaration may name another file by now.
        if let Some((written, old)) = entry.in_pid_file.take()
            && (up.is_none() || written != path)
        {
            remove_pid_file(name, &written, &old);
        }
        let Some(up) = up else { return };
        match pid_file::write(&path, &up.identity, &pid_file::declaration(&entry.process, name)) {
            Ok(()) => entry.in_pid_file = Some((path, up.identity.clone())),
            Err(problem) => warn!(instance = name, path = %path.display(), %problem, "a pid file could not be written"),
        }
    }

    /// Probes what is there now, if that was not what was there `before`.
    pub(super) fn follow_probes(&mut self, name: &str, before: Option<Incarnation>) {
        if self.entries.get(name).is_some_and(|entry| entry.instance.to_probe() != before) {
            self.probe(name);
        }
    }

    /// Begins to probe what is there, with the probes that are declared now; ends with it where nothing is.
    pub(super) fn probe(&mut self, name: &str) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.prober = None;
        let probes = &entry.process.probes;
        let Some(of) = entry.instance.to_probe() else { return };
        if *probes == piton_model::Probes::default() {
            return;
        }
        match entry.launch(name, &self.settings).surroundings() {
            Ok(around) => {
                let probed = Probed { instance: name.to_owned(), incarnation: of.number, around };
                entry.prober = Some(Prober::start(&self.keeping, probed, probes, self.verdicts.0.clone()));
            }
            Err(problem) => warn!(instance = name, problem, "an instance cannot be probed"),
        }
    }
}

/// Starts a child.
async fn start(keeping: &Keeping, of: Incarnation, launch: Launch<'_>, on_its_way: &OnItsWay) -> Event {
    let refused = |transient, message| Event::Refused { number: of.number, transient, message };
    let token = match of.token(launch.instance) {
        Ok(token) => token,
        Err(error) => return refused(false, error.to_string()),
    };
    let spec = match launch.spec() {
        Ok(spec) => spec,
        Err(message) => return refused(false, message),
    };
    let (token, spec) = (&token, &spec);
    let ask = || keeping.ask(|keeper| async move { on_its_way.send(keeper.spawn(token, spec)).await });
    match insist(ask).await {
        Ok(child) => {
            for missing in &child.warnings {
                warn!(instance = launch.instance, missing, "a process runs without something that it was to have");
            }
            Event::Spawned(up_of(of, &child, Now::read()))
        }
        Err((RefusalKind::StartUncertain, message)) => {
            // It is not there now. Whatever it did, another one has another token.
            forget(keeping, token).await;
            refused(true, message)
        }
        Err((kind, message)) => refused(may_pass(kind), message),
    }
}

/// Asks until the keeper says yes or no.
pub(super) async fn insist<T, F>(ask: impl Fn() -> F) -> Result<T, (RefusalKind, String)>
where
    F: Future<Output = Result<T, KeeperError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(KeeperError::Refused(refusal)) => return Err((refusal.kind, refusal.message)),
            Err(
                error @ (KeeperError::Disconnected
                | KeeperError::Absent { .. }
                | KeeperError::Start { .. }
                | KeeperError::Protocol(_)),
            ) => {
                warn!(%error, "the keeper cannot be asked; trying again");
                pause(AGAIN).await;
            }
            Err(error) => return Err((RefusalKind::Other, error.to_string())),
        }
    }
}

pub(super) async fn forget(keeping: &Keeping, token: &Token) {
    if let Err((_, message)) = insist(|| keeping.ask(|keeper| async move { keeper.acknowledge(token).await })).await {
        warn!(token = token.as_str(), message, "the keeper could not forget a child");
    }
}

pub(super) fn remove_pid_file(instance: &str, path: &Path, identity: &ProcessIdentity) {
    if let Err(problem) = pid_file::remove(path, identity) {
        warn!(instance, path = %path.display(), %problem, "a pid file could not be removed");
    }
}

/// The machine, or the keeper, may be better off later.
fn may_pass(kind: RefusalKind) -> bool {
    matches!(kind, RefusalKind::Resources | RefusalKind::Journal | RefusalKind::Output | RefusalKind::Other)
}

/// For a child whose records are gone.
fn signal_unknown(identity: &ProcessIdentity, signal: Signal, target: Target) {
    match orphan::signal(identity, signal, target) {
        // It may have ended in this moment, which is what was wanted.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => warn!(pid = identity.pid, %signal, %error, "a signal could not be sent"),
    }
}

fn shown(detector: &Detector) -> String {
    match detector {
        Detector::PidFile { path } => format!("pidfile:{}", path.display()),
        Detector::Command { program } => match program {
            Program::Exec { argv } => format!("cmd:{}", argv.join(" ")),
            Program::Shell { line } | Program::Script { text: line } => format!("cmd:{line}"),
        },
    }
}
