//! What becomes of deployments, under the names that the runner's document gives.

use piton_model::{Outcome, Phase, Run, RunState, SubjectKind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::sometimes::Sometimes;
use crate::deploy::Status;

/// From seconds to hours.
const TOOK: [f64; 11] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];

#[derive(Debug)]
pub(super) struct Deployments {
    ended: Family<StatusLabel, Counter>,
    took: Histogram,
    active: Sometimes<Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

impl Deployments {
    pub(super) fn register(registry: &mut Registry) -> Deployments {
        let told = Deployments { ended: Family::default(), took: Histogram::new(TOOK), active: Sometimes::default() };
        registry.register("iac_runner_deployments", "Deployments that ended, by how they did", told.ended.clone());
        let help = "From the beginning of a deployment to its end, with what it waited for approval";
        registry.register_with_unit("iac_runner_deployment_duration", help, Unit::Seconds, told.took.clone());
        let help = "Deployments that were begun and have not ended, those that wait for approval too";
        registry.register("iac_runner_active_deployments", help, told.active.clone());
        told
    }

    /// So that a series is there before anything has happened.
    pub(super) fn begin(&self) {
        for status in [Status::Success, Status::Failed, Status::Cancelled] {
            drop(self.ended.get_or_create(&StatusLabel { status: status.as_str() }));
        }
    }

    /// A deployment ended.
    pub(super) fn count(&self, outcome: &Outcome) {
        self.ended.get_or_create(&StatusLabel { status: Status::of_outcome(outcome).as_str() }).inc();
    }

    /// It took so long. One that was never begun took no time that would say anything.
    pub(super) fn observe(&self, run: &Run) {
        if let (Some(started), RunState::Ended { at, .. }) = (run.started_at, &run.state) {
            self.took.observe(at.duration_since(started).as_secs_f64().max(0.0));
        }
    }

    /// What is so now.
    pub(super) fn look(&self, begun: &[Run]) {
        let active = begun.iter().filter(|run| {
            run.subject.kind() == SubjectKind::Deployment && matches!(run.phase(), Phase::Running | Phase::Gated)
        });
        self.active.set(i64::try_from(active.count()).unwrap_or(i64::MAX));
    }

    /// Nobody knows what is so now.
    pub(super) fn forget(&self) {
        self.active.forget();
    }
}
