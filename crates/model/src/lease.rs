//! Who does a run at present, and for how long that is believed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AttemptNo, Uptime, WorkerId};

/// Who holds a running run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub worker: WorkerId,
    /// The number of this attempt: the fencing token.
    pub attempt: AttemptNo,
    /// When the attempt begins: not before the run is due, even where it was claimed a moment ahead of that.
    pub since: Timestamp,
    /// When the lease ends unless it is renewed.
    pub until: Timestamp,
    /// How long the worker's host has been up when the attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Uptime>,
}
