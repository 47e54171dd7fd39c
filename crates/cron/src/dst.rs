//! What a schedule does where local time jumps.

/// What happens to local times that a change of the zone's offset skips or repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DstPolicy {
    /// The rule of Vixie's cron. Fixed times (neither minute nor hour is written with a `*`) that fall into a gap fire
    /// once, right after it; in an overlap they fire once, in the first pass. Interval patterns (`*/15 * * * *`) follow
    /// the clock on the wall: nothing in a gap, both passes of an overlap. A change of three hours or more (a zone that
    /// moves across the date line) is a new calendar, not daylight saving: nothing is made up for and nothing is held
    /// back.
    #[default]
    Vixie,
    /// The rule of robfig/cron, Kubernetes and provisr: whatever the wall shows. Times in a gap are skipped, times in an
    /// overlap fire twice.
    Robfig,
    /// Times in a gap fire later by the length of the gap, times in an overlap fire in the first pass only, intervals
    /// too. (The rule of RFC 5545 calendars and of croner for JavaScript.)
    FirstPass,
}

/// From this size on, [`DstPolicy::Vixie`] takes a change of offset for a change of calendar. It is the limit at which
/// cronie stops catching up with its clock.
const CALENDAR_CHANGE_SECONDS: i64 = 3 * 3600;

/// What to do with the local times that a jump forward skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InGap {
    Skip,
    /// One fire at the moment of the change stands for all of them.
    OnceAfter,
    /// Each one keeps the old offset.
    Shift,
}

/// What to do with the second pass of the local times that a jump backward repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InOverlap {
    BothPasses,
    FirstPassOnly,
}

impl DstPolicy {
    /// The treatment of local times skipped by a jump of `seconds` (positive).
    pub(crate) fn in_gap(self, interval: bool, seconds: i64) -> InGap {
        match self {
            Self::Vixie if interval || seconds >= CALENDAR_CHANGE_SECONDS => InGap::Skip,
            Self::Vixie => InGap::OnceAfter,
            Self::Robfig => InGap::Skip,
            Self::FirstPass => InGap::Shift,
        }
    }

    /// The treatment of local times repeated by a jump back of `seconds` (positive).
    pub(crate) fn in_overlap(self, interval: bool, seconds: i64) -> InOverlap {
        match self {
            Self::Vixie if interval || seconds >= CALENDAR_CHANGE_SECONDS => InOverlap::BothPasses,
            Self::Vixie | Self::FirstPass => InOverlap::FirstPassOnly,
            Self::Robfig => InOverlap::BothPasses,
        }
    }
}
