//! Jobs of several tasks.

use piton_api::BatchJob;

use super::second_or_never;
use crate::clock::Clock;
use crate::table::{Cell, Fields};

/// A job in full.
pub fn status(job: &BatchJob, clock: &Clock) -> String {
    let status = &job.status;
    let mut fields = Fields::default();
    fields
        .field("Job", &job.name)
        .field("Phase", Cell::state(&status.phase))
        .field("Active", status.active.to_string())
        .field("Succeeded", status.succeeded.to_string())
        .field("Failed", status.failed.to_string())
        .maybe("Completed Indexes", status.completed_indexes.as_ref())
        .maybe("Failed Indexes", status.failed_indexes.as_ref())
        .field("Started", second_or_never(clock, status.start_time))
        .field("Ended", second_or_never(clock, status.completion_time))
        .maybe("Suspended", job.suspended.then_some("true"));
    for condition in status.conditions.iter().filter(|condition| condition.status == "True") {
        fields.field(&condition.kind, format!("{}: {}", condition.reason, condition.message));
    }
    fields.maybe("Run", job.run.as_ref());
    fields.render()
}
