//! Processes, under the names that provisr has for them.
//!
//! What happens is counted by listening to the supervisor; how things are is asked when somebody looks, so that what is
//! gone is told no more.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use piton_supervisor::{Change, InstanceState, InstanceStatus, Selector, Supervisor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Metrics;

type Number = Gauge<f64, AtomicU64>;

/// What is counted of processes, and how they are.
#[derive(Debug)]
pub(super) struct Processes {
    starts: Family<NameLabel, Counter>,
    restarts: Family<NameLabel, Counter>,
    stops: Family<NameLabel, Counter>,
    start_duration: Family<NameLabel, Histogram>,
    transitions: Family<TransitionLabels, Counter>,
    running: Family<BaseLabel, Gauge>,
    state: Family<StateLabels, Gauge>,
    cpu: Family<InstanceLabels, Number>,
    memory: Family<InstanceLabels, Number>,
    threads: Family<InstanceLabels, Gauge>,
    fds: Family<InstanceLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BaseLabel {
    base: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    name: String,
    from: &'static str,
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    name: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    process_name: String,
    instance_id: String,
}

/// Those of the libraries for Prometheus.
const STARTS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Processes {
    /// `registry` is that of provisr's names.
    pub(super) fn register(registry: &mut Registry) -> Processes {
        let start_duration = Family::<NameLabel, Histogram>::new_with_constructor(|| Histogram::new(STARTS));
        let processes = Processes {
            starts: Family::default(),
            restarts: Family::default(),
            stops: Family::default(),
            start_duration,
            transitions: Family::default(),
            running: Family::default(),
            state: Family::default(),
            cpu: Family::default(),
            memory: Family::default(),
            threads: Family::default(),
            fds: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("process");
        registry.register("starts", "Starts that came up", processes.starts.clone());
        registry.register("restarts", "Starts that nobody asked for", processes.restarts.clone());
        registry.register("stops", "Stops, however they went", processes.stops.clone());
        let help = "From the start to the moment from which it counts as up";
        registry.register_with_unit("start_duration", help, Unit::Seconds, processes.start_duration.clone());
        registry.register("running_instances", "Instances of a process that run", processes.running.clone());
        registry.register("state_transitions", "Changes of state", processes.transitions.clone());
        registry.register("current_state", "1 for the state that it is in", processes.state.clone());
        registry.register("cpu_percent", "Share of the processor, in percent of one core", processes.cpu.clone());
        registry.register("memory_mb", "Resident memory in MiB", processes.memory.clone());
        registry.register("num_threads", "Threads", processes.threads.clone());
        registry.register("num_fds", "Open file descriptors", processes.fds.clone());
        processes
    }

    fn count(&self, change: &Change, seen: &mut Seen) {
        let name = || NameLabel { name: change.now.name.clone() };
        let (from, to) = (change.from, change.now.state);
        let labels = TransitionLabels { name: change.now.name.clone(), from: from.as_str(), to: to.as_str() };
        self.transitions.get_or_create(&labels).inc();
        match to {
            InstanceState::Starting => {
                seen.begun.insert(change.now.name.clone(), change.at);
            }
            InstanceState::Running => {
                self.starts.get_or_create(&name()).inc();
                // So that these are there: what is missing cannot be told from what is zero.
                drop((self.restarts.get_or_create(&name()), self.stops.get_or_create(&name())));
                if let Some(begun) = seen.begun.remove(&change.now.name) {
                    let took = change.at.duration_since(begun).as_secs_f64().max(0.0);
                    self.start_duration.get_or_create(&name()).observe(took);
                }
            }
            InstanceState::Stopping => drop(self.stops.get_or_create(&name()).inc()),
            InstanceState::Stopped
            | InstanceState::Waiting
            | InstanceState::Backoff
            | InstanceState::Exited
            | InstanceState::Fatal => {}
        }
        // Those before it was first seen were counted by the daemon before, or by nobody.
        let before = seen.restarts.insert(change.now.name.clone(), change.now.restarts);
        let before = before.unwrap_or(change.now.restarts);
        let more = change.now.restarts.saturating_sub(before);
        if more > 0 {
            self.restarts.get_or_create(&name()).inc_by(u64::from(more));
        }
    }

    /// Looks at every instance.
    pub(super) fn look(&self, instances: &[InstanceStatus]) {
        self.running.clear();
        self.state.clear();
        self.cpu.clear();
        self.memory.clear();
        self.threads.clear();
        self.fds.clear();
        let mut running: BTreeMap<&str, i64> = BTreeMap::new();
        for instance in instances {
            *running.entry(&instance.process).or_default() += i64::from(instance.state == InstanceState::Running);
            for state in InstanceState::ALL {
                let labels = StateLabels { name: instance.name.clone(), state: state.as_str() };
                self.state.get_or_create(&labels).set(i64::from(state == instance.state));
            }
            let Some(usage) = &instance.usage else { continue };
            let labels = InstanceLabels { process_name: instance.process.clone(), instance_id: instance.name.clone() };
            self.cpu.get_or_create(&labels).set(usage.cpu_percent);
            self.memory.get_or_create(&labels).set(usage.rss as f64 / (1024.0 * 1024.0));
            self.threads.get_or_create(&labels).set(i64::from(usage.threads));
            if let Some(fds) = usage.fds {
                self.fds.get_or_create(&labels).set(i64::from(fds));
            }
        }
        for (base, count) in running {
            self.running.get_or_create(&BaseLabel { base: base.to_owned() }).set(count);
        }
    }
}

/// What must be remembered to count.
#[derive(Debug, Default)]
struct Seen {
    /// When instances that are not up yet were begun.
    begun: HashMap<String, Timestamp>,
    /// How often each instance had been started again when it was last seen.
    restarts: HashMap<String, u32>,
}

impl Seen {
    /// So that what happened before this process is not counted, and nothing is kept of what is gone.
    fn of(supervisor: &Supervisor) -> Seen {
        let instances = supervisor.status(&Selector::All).unwrap_or_default();
        let restarts = instances.into_iter().map(|instance| (instance.name, instance.restarts)).collect();
        Seen { begun: HashMap::new(), restarts }
    }
}

/// After so many changes it is looked what is still there.
const TIDY: u64 = 10_000;

/// Counts what happens to processes, until `stop`.
pub async fn follow(metrics: Metrics, supervisor: Supervisor, stop: CancellationToken) {
    let processes = metrics.processes();
    let mut changes = supervisor.changes();
    let mut seen = Seen::of(&supervisor);
    let mut count = 0_u64;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) => {
                processes.count(&change, &mut seen);
                count += 1;
                if count.is_multiple_of(TIDY) {
                    let begun = std::mem::take(&mut seen.begun);
                    seen = Seen::of(&supervisor);
                    seen.begun = begun.into_iter().filter(|(name, _)| seen.restarts.contains_key(name)).collect();
                }
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "more happened to processes than could be counted");
                seen = Seen::of(&supervisor);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn instance(name: &str, state: InstanceState, restarts: u32) -> InstanceStatus {
        InstanceStatus {
            state,
            restarts,
            usage: Some(piton_supervisor::Usage {
                cpu_percent: 12.5,
                rss: 3 * 1024 * 1024,
                threads: 4,
                fds: Some(7),
                ..piton_supervisor::Usage::default()
            }),
            ..InstanceStatus::at_rest(name, "web")
        }
    }

    fn encoded(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_series_of_provisr_is_written() {
        let mut registry = Registry::default();
        let processes = Processes::register(registry.sub_registry_with_prefix("provisr"));
        let mut seen = Seen::default();
        use InstanceState as S;
        let life = [
            (S::Stopped, S::Starting, 0, 0),
            (S::Starting, S::Running, 0, 2),
            (S::Running, S::Backoff, 0, 3),
            (S::Backoff, S::Starting, 1, 4),
            (S::Starting, S::Running, 1, 4),
            (S::Running, S::Stopping, 1, 9),
            (S::Stopping, S::Stopped, 1, 9),
        ];
        for (number, (from, to, restarts, second)) in life.into_iter().enumerate() {
            let change = Change {
                number: number as u64,
                at: Timestamp::from_second(1_700_000_000 + second).unwrap(),
                from,
                now: Arc::new(instance("web-1", to, restarts)),
            };
            processes.count(&change, &mut seen);
        }
        // One that was taken over, with the restarts that it had.
        for (number, (from, to, restarts)) in
            [(S::Running, S::Starting, 7), (S::Starting, S::Running, 8)].into_iter().enumerate()
        {
            let now = Arc::new(instance("old", to, restarts));
            processes.count(&Change { number: number as u64, at: Timestamp::UNIX_EPOCH, from, now }, &mut seen);
        }
        processes.look(&[instance("web-1", S::Running, 1), instance("web-2", S::Stopped, 0)]);
        let text = encoded(&registry);
        for line in [
            r#"provisr_process_starts_total{name="web-1"} 2"#,
            r#"provisr_process_restarts_total{name="web-1"} 1"#,
            r#"provisr_process_restarts_total{name="old"} 1"#,
            r#"provisr_process_stops_total{name="web-1"} 1"#,
            r#"provisr_process_start_duration_seconds_sum{name="web-1"} 2.0"#,
            r#"provisr_process_start_duration_seconds_count{name="web-1"} 2"#,
            r#"provisr_process_running_instances{base="web"} 1"#,
            r#"provisr_process_state_transitions_total{name="web-1",from="starting",to="running"} 2"#,
            r#"provisr_process_current_state{name="web-1",state="running"} 1"#,
            r#"provisr_process_current_state{name="web-2",state="running"} 0"#,
            r#"provisr_process_current_state{name="web-2",state="stopped"} 1"#,
            r#"provisr_process_cpu_percent{process_name="web",instance_id="web-1"} 12.5"#,
            r#"provisr_process_memory_mb{process_name="web",instance_id="web-1"} 3.0"#,
            r#"provisr_process_num_threads{process_name="web",instance_id="web-1"} 4"#,
            r#"provisr_process_num_fds{process_name="web",instance_id="web-1"} 7"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        processes.look(&[]);
        let text = encoded(&registry);
        assert!(!text.contains("provisr_process_current_state{"), "what is gone is told no more:\n{text}");
    }
}
