//! What is so at the moment in which somebody looks.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use piton_model::{Phase, RunState, SubjectKind};
use piton_store::Census;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::sometimes::Sometimes;
use crate::state::App;

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Gauges {
    runs: Family<RunLabels, Gauge>,
    oldest: Sometimes<Seconds>,
    lease_age: Sometimes<Seconds>,
    gate_age: Sometimes<Seconds>,
    ledger: Sometimes<Gauge>,
    store: Gauge,
    ready: Gauge,
    keeper: Gauge,
    children: Gauge,
    driving: Gauge,
    declared: Family<KindLabel, Gauge>,
    diagnostics: Gauge,
    log_bytes: Sometimes<Gauge>,
    uptime: Seconds,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    state: &'static str,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Gauges {
        let gauges = Gauges {
            runs: Family::default(),
            oldest: Sometimes::default(),
            lease_age: Sometimes::default(),
            gate_age: Sometimes::default(),
            ledger: Sometimes::default(),
            store: Gauge::default(),
            ready: Gauge::default(),
            keeper: Gauge::default(),
            children: Gauge::default(),
            driving: Gauge::default(),
            declared: Family::default(),
            diagnostics: Gauge::default(),
            log_bytes: Sometimes::default(),
            uptime: Gauge::default(),
        };
        registry.register("build", "The program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("runs", "Runs that have not ended, by state", gauges.runs.clone());
        let help = "How long the oldest run waits that might be claimed";
        registry.register_with_unit("queue_oldest", help, Unit::Seconds, gauges.oldest.clone());
        let help = "How long the oldest attempt has been under way";
        registry.register_with_unit("lease_age", help, Unit::Seconds, gauges.lease_age.clone());
        let help = "How long the oldest run waits for a person";
        registry.register_with_unit("gate_age", help, Unit::Seconds, gauges.gate_age.clone());
        registry.register("ledger_position", "The last entry of the ledger", gauges.ledger.clone());
        registry.register("store_up", "Whether the database answers", gauges.store.clone());
        registry.register("ready", "Whether work is accepted", gauges.ready.clone());
        registry.register("keeper_up", "Whether the keeper answers", gauges.keeper.clone());
        registry.register("keeper_children", "Children that the keeper holds", gauges.children.clone());
        registry.register("runs_driven", "Runs that this process drives", gauges.driving.clone());
        registry.register("declared", "What the files declare", gauges.declared.clone());
        registry.register("diagnostics", "Mistakes in the files", gauges.diagnostics.clone());
        let help = "Size of the logs of the runs that were begun and have not ended";
        registry.register_with_unit("log", help, Unit::Bytes, gauges.log_bytes.clone());
        registry.register_with_unit("uptime", "Since this process started", Unit::Seconds, gauges.uptime.clone());
        gauges
    }

    /// Looks at everything. There is a census where the database answers.
    pub(super) async fn look(&self, app: &App, census: Option<&Census>) {
        let now = app.engine.clock().now();
        self.store.set(i64::from(census.is_some()));
        if let Some(census) = census {
            self.look_at_runs(census, now);
            let sizes = census.begun.iter().map(|run| size(&app.logs.run_dir(run.id).join("log")));
            self.log_bytes.set(sizes.sum());
            self.ledger.set(census.head);
        } else {
            self.forget();
        }
        let held = app.probes.keeper_children().await;
        self.keeper.set(i64::from(held.is_some()));
        self.children.set(held.and_then(|held| i64::try_from(held).ok()).unwrap_or(0));
        self.driving.set(app.engine.driving() as i64);
        self.ready.set(i64::from(app.engine.accepting() && !app.front.ending.is_cancelled()));
        let loaded = app.engine.loaded();
        let catalog = &loaded.catalog;
        for (kind, count) in [("workspace", catalog.workspaces.len()), ("job", catalog.jobs.len())] {
            self.declared.get_or_create(&KindLabel { kind }).set(count as i64);
        }
        self.diagnostics.set(loaded.diagnostics.len() as i64);
        self.uptime.set(now.duration_since(app.about.started_at).as_secs_f64());
    }

    /// What the database has told before is not so now.
    fn forget(&self) {
        self.runs.clear();
        for gauge in [&self.oldest, &self.lease_age, &self.gate_age] {
            gauge.forget();
        }
        for gauge in [&self.ledger, &self.log_bytes] {
            gauge.forget();
        }
    }

    fn look_at_runs(&self, census: &Census, now: Timestamp) {
        let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        let mut ages = [0.0_f64; 3];
        for waiting in &census.waiting {
            counts.insert((Phase::Pending.as_str(), waiting.kind.as_str()), waiting.count);
            if let Some(since) = waiting.since {
                ages[0] = ages[0].max(now.duration_since(since).as_secs_f64());
            }
        }
        for run in &census.begun {
            *counts.entry((run.phase().as_str(), run.subject.kind().as_str())).or_default() += 1;
            let (place, since) = match &run.state {
                RunState::Running { lease, .. } => (1, lease.since),
                RunState::Gated { gate: _, expires: _ } => (2, run.started_at.unwrap_or(run.submitted_at)),
                RunState::Pending { .. } | RunState::Ended { .. } => continue,
            };
            ages[place] = ages[place].max(now.duration_since(since).as_secs_f64());
        }
        for (gauge, age) in [&self.oldest, &self.lease_age, &self.gate_age].into_iter().zip(ages) {
            gauge.set(age);
        }
        for state in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Ended).map(Phase::as_str) {
            for kind in SubjectKind::ALL.map(SubjectKind::as_str) {
                let count = counts.get(&(state, kind)).copied().unwrap_or(0);
                self.runs.get_or_create(&RunLabels { state, kind }).set(count);
            }
        }
    }
}

fn size(path: &std::path::Path) -> i64 {
    std::fs::metadata(path).map_or(0, |found| i64::try_from(found.len()).unwrap_or(i64::MAX))
}
