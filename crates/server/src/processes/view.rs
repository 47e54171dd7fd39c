//! What the supervisor knows, as it travels.

use std::sync::Arc;

use piton_api as api;
use piton_engine::Loaded;
use piton_model::Name;
use piton_supervisor::{ExitStatus, GroupStatus, InstanceState, InstanceStatus, Observed, Usage};
use serde::{Serialize, Serializer};

use crate::state::App;

const MIB: f64 = 1024.0 * 1024.0;

/// Instances.
pub(super) fn statuses(app: &App, instances: &[InstanceStatus]) -> Vec<api::ProcessStatus> {
    let loaded = app.engine.loaded();
    let shown = |instance: &InstanceStatus| {
        shown(instance, instance.usage.as_ref(), is_provisioned(&loaded, &instance.process))
    };
    instances.iter().map(shown).collect()
}

fn is_provisioned(loaded: &Loaded, process: &str) -> bool {
    let declared = Name::parse(process).ok().and_then(|name| loaded.catalog.processes.get(&name));
    declared.is_some_and(|declared| declared.origin.is_configuration())
}

/// A list of [`api::ProcessStatus`], each of which is made when it is written: all of them at once would take megabytes for
/// thousands of instances.
#[derive(Debug)]
pub(super) struct Listed {
    loaded: Arc<Loaded>,
    found: Vec<Observed>,
}

impl Listed {
    pub(super) fn new(app: &App, found: Vec<Observed>) -> Listed {
        Listed { loaded: app.engine.loaded(), found }
    }

    /// The one instance, if there is exactly one.
    pub(super) fn only(&self) -> Option<api::ProcessStatus> {
        let [Observed { status, usage }] = self.found.as_slice() else { return None };
        Some(shown(status, usage.as_ref(), is_provisioned(&self.loaded, &status.process)))
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Instances of a process stand together.
        let mut last: Option<(&str, bool)> = None;
        serializer.collect_seq(self.found.iter().map(|Observed { status, usage }| {
            let provisioned = match last {
                Some((process, known)) if process == status.process => known,
                _ => is_provisioned(&self.loaded, &status.process),
            };
            last = Some((status.process.as_str(), provisioned));
            shown(status, usage.as_ref(), provisioned)
        }))
    }
}

fn shown(instance: &InstanceStatus, usage: Option<&Usage>, provisioned: bool) -> api::ProcessStatus {
    // Of one that is there nothing is known yet, and what is known of the one before would be taken for its own.
    let exit = instance.last_exit.as_ref().filter(|_| instance.stopped_at.is_some()).map(|exit| exit.status);
    api::ProcessStatus {
        name: instance.name.clone(),
        running: instance.state.is_up(),
        pid: instance.pid.unwrap_or(0),
        started_at: instance.started_at,
        stopped_at: instance.stopped_at,
        exit_error: exit.and_then(exit_error),
        detected_by: instance.detected_by.clone(),
        restarts: instance.restarts,
        state: state(instance.state).to_owned(),
        provisioned,
        phase: instance.state.as_str().to_owned(),
        process: instance.process.clone(),
        ready: instance.ready,
        exit_code: match exit {
            Some(ExitStatus::Code(code)) => Some(code),
            Some(ExitStatus::Signal(_) | ExitStatus::Unknown) | None => None,
        },
        signal: match exit {
            Some(ExitStatus::Signal(number)) => Some(signal_name(number)),
            Some(ExitStatus::Code(_) | ExitStatus::Unknown) | None => None,
        },
        reason: instance.reason.clone(),
        next_start: instance.next_start,
        usage: usage.map(|usage| metrics(instance, usage)),
    }
}

/// The state in the four words that provisr has.
pub(super) fn state(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Waiting | InstanceState::Starting => "starting",
        InstanceState::Running => "running",
        InstanceState::Stopping => "stopping",
        InstanceState::Stopped | InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal => "stopped",
    }
}

/// How an instance ended, in the words of provisr; nothing for a success.
pub(super) fn exit_error(exit: ExitStatus) -> Option<String> {
    match exit {
        ExitStatus::Code(0) => None,
        ExitStatus::Code(code) => Some(format!("exit status {code}")),
        ExitStatus::Signal(number) => Some(match number {
            1 => "signal: hangup".to_owned(),
            2 => "signal: interrupt".to_owned(),
            3 => "signal: quit".to_owned(),
            4 => "signal: illegal instruction".to_owned(),
            6 => "signal: aborted".to_owned(),
            7 => "signal: bus error".to_owned(),
            8 => "signal: floating point exception".to_owned(),
            9 => "signal: killed".to_owned(),
            11 => "signal: segmentation fault".to_owned(),
            13 => "signal: broken pipe".to_owned(),
            15 => "signal: terminated".to_owned(),
            number => format!("signal: {number}"),
        }),
        ExitStatus::Unknown => Some("ended unseen".to_owned()),
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

/// What an instance uses.
pub(super) fn metrics(instance: &InstanceStatus, usage: &Usage) -> api::ProcessMetrics {
    api::ProcessMetrics {
        pid: usage.pid,
        name: instance.name.clone(),
        cpu_percent: usage.cpu_percent,
        memory_mb: usage.rss as f64 / MIB,
        memory_rss: usage.rss,
        memory_vms: usage.vms,
        memory_swap: Some(usage.swap).filter(|swap| *swap > 0),
        timestamp: usage.at,
        num_threads: usage.threads,
        num_fds: usage.fds,
        read_bytes: usage.read_bytes,
        written_bytes: usage.written_bytes,
    }
}

/// A group.
pub(super) fn group(group: &GroupStatus) -> api::ProcessGroup {
    let instances = || group.members.iter().flat_map(|(_, instances)| instances);
    let members = group.members.iter();
    api::ProcessGroup {
        name: group.name.clone(),
        members: members
            .map(|(name, instances)| api::GroupMember { name: name.clone(), instances: instances.len() })
            .collect(),
        state: group.state.as_str().to_owned(),
        running: instances().filter(|instance| instance.state.is_up()).count(),
        total: instances().count(),
    }
}

#[cfg(test)]
mod tests {
    use piton_supervisor::LastExit;

    use super::*;

    fn instance(state: InstanceState, exit: Option<ExitStatus>) -> InstanceStatus {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        InstanceStatus {
            state,
            pid: (state == InstanceState::Running).then_some(42),
            started_at: Some(at),
            stopped_at: exit.filter(|_| !state.is_up()).map(|_| at),
            last_exit: exit.map(|status| LastExit { status, at, unexpected: true }),
            restarts: 3,
            detected_by: "exec:pid".to_owned(),
            ..InstanceStatus::at_rest("web-1", "web")
        }
    }

    #[test]
    fn states_are_told_in_the_words_of_provisr_and_more_exactly() {
        for known in InstanceState::ALL {
            let seen = shown(&instance(known, None), None, false);
            assert!(["stopped", "starting", "running", "stopping"].contains(&seen.state.as_str()), "{known}");
            assert_eq!(seen.phase, known.as_str());
        }
        let running = serde_json::to_value(shown(&instance(InstanceState::Running, None), None, true)).unwrap();
        let wanted = serde_json::json!({
            "name": "web-1", "running": true, "pid": 42, "started_at": "2026-01-02T03:04:05Z",
            "stopped_at": "0001-01-01T00:00:00Z", "detected_by": "exec:pid", "restarts": 3, "state": "running",
            "provisioned": true, "phase": "running", "process": "web", "ready": false,
        });
        assert_eq!(running, wanted);
    }

    #[test]
    fn ends() {
        let told = |exit| {
            let seen = shown(&instance(InstanceState::Exited, Some(exit)), None, false);
            (seen.exit_error, seen.exit_code, seen.signal)
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(told(ExitStatus::Code(0)), (None, Some(0), None));
        assert_eq!(told(ExitStatus::Code(3)), (own("exit status 3"), Some(3), None));
        assert_eq!(told(ExitStatus::Signal(9)), (own("signal: killed"), None, own("SIGKILL")));
        assert_eq!(told(ExitStatus::Unknown), (own("ended unseen"), None, None));
    }

    #[test]
    fn what_runs_has_not_ended() {
        for known in InstanceState::ALL {
            for exit in [ExitStatus::Code(3), ExitStatus::Signal(9)] {
                let seen = shown(&instance(known, Some(exit)), None, false);
                let tells_an_end = seen.exit_code.is_some() || seen.signal.is_some();
                let agree = (seen.stopped_at.is_some(), seen.exit_error.is_some(), tells_an_end);
                assert_eq!(agree, (!seen.running, !seen.running, !seen.running), "{known}: {seen:?}");
            }
        }
    }
}
