//! The rules of a CronJob, as Kubernetes has them: which missed start to make up for, what to do when the previous job
//! still runs, how long to sleep.
//!
//! Pure functions of what is known at a moment. One difference from Kubernetes is deliberate: its most recent start is
//! an estimate from the distance of the first two, which overshoots and silently skips runs of irregular schedules;
//! here it is exact.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::Schedule;

/// What to do when a start is due while an earlier job is still active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConcurrencyPolicy {
    /// Start it beside the others.
    #[default]
    Allow,
    /// Leave it out.
    Forbid,
    /// End the others and start it.
    Replace,
}

/// A CronJob and what is known of its past.
#[derive(Clone, Debug)]
pub struct CronJob<'a> {
    /// When it is due.
    pub schedule: &'a Schedule,
    /// The zone its schedule is read in, unless the schedule names one.
    pub zone: &'a TimeZone,
    /// When it was created: starts before that do not count.
    pub created: Timestamp,
    /// The scheduled time of the last job started.
    pub last_scheduled: Option<Timestamp>,
    /// How late a job may start.
    pub starting_deadline: Option<SignedDuration>,
    /// Suspended CronJobs start nothing and sleep until they are changed.
    pub suspended: bool,
    /// What to do when a job is still active.
    pub concurrency: ConcurrencyPolicy,
}

/// Whether [`CronJob::starting_deadline`] bounds how far back to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Starts older than the deadline are out of sight.
    Applies,
    /// All starts since the last one are considered.
    Ignored,
}

/// How many starts were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missed {
    /// None but, perhaps, the one that is due now.
    AtMostOne,
    /// Up to a hundred.
    Few,
    /// So many that clocks or deadlines are probably wrong.
    Many,
}

/// A hundred missed starts are plausible, more are suspicious.
const MANY: usize = 100;

/// The result of looking back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The moment after which starts were looked for.
    pub earliest: Timestamp,
    /// The latest of them that is not in the future.
    pub start: Option<Timestamp>,
    /// How many there were.
    pub missed: Missed,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Start something, or not.
    pub action: Action,
    /// What the owner should know.
    pub warnings: Vec<Warning>,
    /// How long to sleep before deciding again. `None`: until something changes.
    pub requeue_after: Option<SignedDuration>,
}

/// The heart of a [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start nothing.
    Wait(Because),
    /// Start the job of this scheduled time, after ending the active ones if `replace` says so.
    Start {
        /// The time it was scheduled for, which identifies the job.
        scheduled: Timestamp,
        /// Whether to end the active jobs first.
        replace: bool,
    },
}

/// Why nothing is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The CronJob is suspended.
    Suspended,
    /// No start is due.
    NotDue,
    /// The job of this scheduled time is active already.
    AlreadyStarted(Timestamp),
    /// [`ConcurrencyPolicy::Forbid`], and a job is active.
    StillActive(Timestamp),
}

/// Something worth telling the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// The expression names a zone, which wins over the one configured beside it.
    ZoneInExpression,
    /// More than a hundred starts were missed.
    TooManyMissed,
}

impl CronJob<'_> {
    /// The latest start that is not in the future.
    pub fn most_recent(&self, now: Timestamp, deadline: Deadline) -> Recent {
        let mut earliest = self.last_scheduled.unwrap_or(self.created);
        if deadline == Deadline::Applies
            && let Some(limit) = self.starting_deadline.and_then(|deadline| now.checked_sub(deadline).ok())
        {
            earliest = earliest.max(limit);
        }
        let start = self.schedule.latest(earliest, now, self.zone);
        let missed = match self.schedule.count_up_to(MANY + 1, earliest, now, self.zone) {
            0 | 1 => Missed::AtMostOne,
            count if count <= MANY => Missed::Few,
            _ => Missed::Many,
        };
        Recent { earliest, start, missed }
    }

    /// The start to make up for now: the latest one missed within the deadline.
    pub fn unmet_start(&self, now: Timestamp) -> Option<Timestamp> {
        self.most_recent(now, Deadline::Applies).start
    }

    /// How long to sleep until the next start. `None` when there is none.
    pub fn requeue_after(&self, now: Timestamp) -> Option<SignedDuration> {
        let recent = self.most_recent(now, Deadline::Ignored);
        let next = self.schedule.next(recent.start.unwrap_or(recent.earliest), self.zone)?;
        Some(next.duration_since(now))
    }

    /// What to do now, where `active` holds the scheduled times of the jobs that still run.
    pub fn decide(&self, now: Timestamp, active: &[Timestamp]) -> Decision {
        if self.suspended {
            return Decision { action: Action::Wait(Because::Suspended), warnings: Vec::new(), requeue_after: None };
        }
        let mut warnings = Vec::new();
        if self.schedule.embedded_zone().is_some() {
            warnings.push(Warning::ZoneInExpression);
        }
        let recent = self.most_recent(now, Deadline::Applies);
        if recent.missed == Missed::Many {
            warnings.push(Warning::TooManyMissed);
        }
        let action = match recent.start {
            None => Action::Wait(Because::NotDue),
            Some(start) if active.contains(&start) => Action::Wait(Because::AlreadyStarted(start)),
            Some(start) if self.concurrency == ConcurrencyPolicy::Forbid && !active.is_empty() => {
                Action::Wait(Because::StillActive(start))
            }
            Some(scheduled) => Action::Start {
                scheduled,
                replace: self.concurrency == ConcurrencyPolicy::Replace && !active.is_empty(),
            },
        };
        Decision { action, warnings, requeue_after: self.requeue_after(now) }
    }
}
