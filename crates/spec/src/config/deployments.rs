//! Keys of `[iac]` about deployments that people ask for.

use std::num::NonZeroU32;

use super::settings::Settings;

/// The keys of `[iac]` about deployments that people ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployments {
    /// How many may run at once; none for half of all runs.
    pub max_concurrent: Option<NonZeroU32>,
    /// How many may wait for their turn.
    pub max_queued: u64,
    /// How many of those that wait may be one requester's.
    pub max_queued_each: u64,
    /// Whether whoever asked for a run may approve its plan.
    pub self_approval: bool,
}

impl Deployments {
    pub(super) fn read(settings: &Settings) -> Deployments {
        let number = |key: &str| settings.integer(key).and_then(|number| u64::try_from(number).ok());
        let max_concurrent = settings.integer("iac.max_concurrent_deployments");
        Deployments {
            max_concurrent: max_concurrent.and_then(|number| u32::try_from(number).ok()).and_then(NonZeroU32::new),
            max_queued: number("iac.max_queued_deployments").unwrap_or(1000),
            max_queued_each: number("iac.max_queued_deployments_each").unwrap_or(500),
            self_approval: settings.flag("iac.self_approval"),
        }
    }
}
