//! Due times that made no run, on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A due time that made no run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skip {
    /// When it was due; the last of them where it stands for several.
    pub due: Timestamp,
    /// What the run would have been about: `workspace/NAME`, `job/NAME`, `job/WORKSPACE/NAME`.
    pub subject: String,
    /// The line of the schedule, or the event.
    pub line: String,
    /// `skipped` where there was nothing to do, or a reason not to; `missed` where nobody looked in time.
    pub verdict: String,
    /// A stable word for programs: `already_deployed`, `nothing_to_destroy`, `waiting_for_change`, `still_active`,
    /// `overtaken`, `too_late`, `dependency`, `suspended`.
    pub reason: String,
    /// The reason in words.
    pub message: String,
    /// How many due times of the line this stands for.
    pub count: u32,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}
