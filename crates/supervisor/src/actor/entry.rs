//! An instance among the others.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use piton_keeper::{Child, ProcessIdentity};
use piton_model::Process;
use piton_process::identity::after_boot;

use crate::clock::Now;
use crate::incarnation::{Digest, Incarnation};
use crate::instance::{Effect, Event, Instance, Rules, State, Up};
use crate::launch::Launch;
use crate::probe::Prober;
use crate::status::UNREAD;
use crate::{InstanceStatus, Settings};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) process: Arc<Process>,
    /// Its number among the instances of the process.
    pub(super) number: u32,
    pub(super) digest: Digest,
    pub(super) instance: Instance,
    /// It is not declared any more, and goes once it is stopped.
    pub(super) retiring: bool,
    /// What it waits for.
    pub(super) unmet: Option<String>,
    /// For when it is in the list of timers.
    pub(super) due: Option<Duration>,
    /// Probes the child.
    pub(super) prober: Option<Prober>,
    /// The number of the child whose output nobody reads, because the keeper that did is gone.
    pub(super) unread: Option<u64>,
    /// The file with the process id, and whose it is.
    pub(super) in_pid_file: Option<(PathBuf, ProcessIdentity)>,
    seed: u64,
}

impl Entry {
    pub(super) fn new(name: &str, process: Arc<Process>, digest: Digest, number: u32) -> Entry {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Entry {
            number,
            digest,
            process,
            instance: Instance::stopped(),
            retiring: false,
            unmet: None,
            due: None,
            prober: None,
            unread: None,
            in_pid_file: None,
            seed: hasher.finish(),
        }
    }

    pub(super) fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let instance = std::mem::replace(&mut self.instance, Instance::stopped());
        let rules = Rules { process: &self.process, digest: self.digest, seed: self.seed };
        let (instance, effects) = instance.step(event, now, &rules);
        self.instance = instance;
        effects
    }

    /// Takes over a child of a supervisor before, which may have begun with the hooks after its start.
    pub(super) fn adopt(&mut self, up: Up, announcing: bool, now: Now) {
        let rules = Rules { process: &self.process, digest: self.digest, seed: self.seed };
        self.instance = Instance::adopted(up, announcing, now, &rules);
    }

    /// Which process this child is, if it is the one that runs: what is asked of one that ended must not reach its
    /// successor.
    pub(super) fn identity_of(&self, of: Incarnation) -> Option<ProcessIdentity> {
        self.instance.up().filter(|up| up.of == of).map(|up| up.identity.clone())
    }

    pub(super) fn launch<'a>(&'a self, name: &'a str, settings: &'a Settings) -> Launch<'a> {
        Launch { settings, process: &self.process, instance: name, number: self.number }
    }

    pub(super) fn status(&self, name: &str, now: Now) -> InstanceStatus {
        let instance = &self.instance;
        let child = instance.up().map(|up| up.identity.pid);
        let seen = match &instance.state {
            State::Detached { seen, .. } => seen.as_ref(),
            _ => None,
        };
        let pid = child.or_else(|| seen?.pid);
        let next_start = match &instance.state {
            State::Backoff { until, .. } => Some(now.shows_at(*until)),
            _ => None,
        };
        let waits = self.unmet.as_ref().filter(|_| instance.state == State::Waiting);
        let is_unread = self.unread.is_some() && self.unread == instance.printing().map(|of| of.number);
        let reasons = [waits.or(instance.reason.as_ref()).map(String::as_str), is_unread.then_some(UNREAD)];
        let reasons: Vec<&str> = reasons.into_iter().flatten().collect();
        let detected_by = match (&instance.state, seen) {
            (_, Some(seen)) => seen.by.clone(),
            _ if child.is_some() => "exec:pid".to_owned(),
            (State::Waiting | State::PreStart { .. } | State::Spawning { .. }, None) => "no-pid".to_owned(),
            _ if instance.last_exit.is_some() => "exit-detected".to_owned(),
            _ => "not-found".to_owned(),
        };
        let state = instance.shown();
        // A detector may see it and no process id.
        let is_there = pid.is_some() || seen.is_some() || state.is_up();
        InstanceStatus {
            name: name.to_owned(),
            process: self.process.name.to_string(),
            state,
            pid,
            started_at: instance.started_at,
            stopped_at: instance.last_exit.as_ref().map(|exit| exit.at).filter(|_| !is_there),
            last_exit: instance.last_exit.clone(),
            restarts: instance.restarts,
            next_start,
            ready: instance.is_ready(),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            detected_by,
            usage: None,
        }
    }
}

/// What is known of a child that runs.
pub(super) fn up_of(of: Incarnation, child: &Child, now: Now) -> Up {
    Up {
        of,
        identity: child.identity.clone(),
        since: after_boot(child.identity.start_ticks).min(now.moment),
        at: crate::real_time::timestamp(child.spawned_at_unix_us).unwrap_or(now.at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use piton_keeper::ExitStatus;
    use piton_model::{Detector, Name, Program, RestartWhen};

    use super::*;
    use crate::InstanceState;
    use crate::instance::{End, Sighting};

    #[test]
    fn the_successor_is_not_taken_for_who_ended() {
        let program = Program::Shell { line: "true".to_owned() };
        let process = Arc::new(Process::new(Name::parse("web").unwrap(), program));
        let digest = Digest::of(&process);
        let mut entry = Entry::new("web", process, digest, 1);
        let now = Now { moment: Duration::from_secs(10), at: jiff::Timestamp::UNIX_EPOCH };
        let of = Incarnation { number: 2, restarts: 1, digest: entry.digest };
        let identity = ProcessIdentity::of(std::process::id()).unwrap();
        entry.adopt(Up { of, identity: identity.clone(), since: now.moment, at: now.at }, false, now);
        assert_eq!(entry.identity_of(of), Some(identity));
        assert_eq!(entry.identity_of(Incarnation { number: 1, restarts: 0, ..of }), None);
    }

    #[test]
    fn what_a_detector_sees_has_not_ended() {
        let shell = |line: &str| Program::Shell { line: line.to_owned() };
        let mut process = Process::new(Name::parse("web").unwrap(), shell("true"));
        process.detectors.push(Detector::Command { program: shell("pgrep web") });
        process.restart.when = RestartWhen::Never;
        process.start.duration = Duration::ZERO;
        let digest = Digest::of(&process);
        let mut entry = Entry::new("web", Arc::new(process), digest, 1);
        let now = Now { moment: Duration::from_secs(10), at: jiff::Timestamp::UNIX_EPOCH };
        let of = Incarnation { number: 1, restarts: 0, digest };
        let identity = ProcessIdentity::of(std::process::id()).unwrap();
        entry.adopt(Up { of, identity, since: now.moment, at: now.at }, false, now);
        entry.step(Event::Ended { number: 1, end: End { status: ExitStatus::Code(3), at: now.at } }, now);
        let told = |entry: &Entry| {
            let status = entry.status("web", now);
            (status.state, status.detected_by, status.stopped_at)
        };
        let unknown = (InstanceState::Running, "exit-detected".to_owned(), None);
        assert_eq!(told(&entry), unknown, "perhaps it has put itself into the background");
        let seen = Some(Sighting { by: "cmd:pgrep web".to_owned(), pid: None });
        entry.step(Event::Looked { number: 1, seen }, now);
        assert_eq!(told(&entry), (InstanceState::Running, "cmd:pgrep web".to_owned(), None));
        entry.step(Event::Looked { number: 1, seen: None }, now);
        assert_eq!(told(&entry), (InstanceState::Exited, "exit-detected".to_owned(), Some(now.at)));
    }
}
