//! What people do to a scheduled provision that waits.

use jiff::Timestamp;

use super::{ApprovalStatus, ScheduleStatus, ScheduledProvision};
use crate::Act;

/// What somebody does to a scheduled provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// Nobody wants it any more.
    Cancel,
    /// It shall not wait for its time.
    ExecuteNow,
    /// It shall be executed at another time.
    Reschedule {
        /// Then.
        to: Timestamp,
        /// The IANA zone in which that was meant; none for the one that it has.
        timezone: Option<String>,
    },
    /// It was not done, and shall be tried once more. Where nobody agreed to it, they are asked, once more if somebody
    /// refused it, and it keeps its time.
    Retry,
    /// Somebody agrees to it.
    Approve {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// Somebody refuses it.
    Reject {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
}

/// Why something cannot be done to a scheduled provision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAltered {
    /// It does not wait any more.
    #[error("it is {0}, and only what is pending can be changed")]
    NoLongerPending(ScheduleStatus),
    /// It is not over without having been done.
    #[error("it is {0}, and only what failed or was cancelled can be tried again")]
    Unfinished(ScheduleStatus),
    /// Somebody has to agree first.
    #[error("somebody has to approve it first")]
    Unapproved,
    /// Nobody is asked to agree.
    #[error("no approval is asked for: it is {0}")]
    Unasked(ApprovalStatus),
}

impl Alteration {
    /// How it is told in the audit trail.
    pub fn act(&self) -> Act {
        match self {
            Alteration::Cancel => Act::ProvisionCancelled,
            Alteration::ExecuteNow => Act::ProvisionHastened,
            Alteration::Reschedule { .. } => Act::ProvisionRescheduled,
            Alteration::Retry => Act::ProvisionRetried,
            Alteration::Approve { .. } => Act::ProvisionApproved,
            Alteration::Reject { .. } => Act::ProvisionRejected,
        }
    }

    /// What somebody said to it, for the audit trail.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Alteration::Approve { reason, .. } | Alteration::Reject { reason, .. } => reason.as_deref(),
            Alteration::Cancel | Alteration::ExecuteNow | Alteration::Reschedule { .. } | Alteration::Retry => None,
        }
    }

    /// What `row` is after it. Pure.
    pub fn apply(&self, row: &ScheduledProvision, at: Timestamp) -> Result<ScheduledProvision, NotAltered> {
        let approval = row.wanted.approval;
        match (self, row.status) {
            (Alteration::Retry, ScheduleStatus::Failed | ScheduleStatus::Cancelled) => {}
            (Alteration::Retry, status) => return Err(NotAltered::Unfinished(status)),
            (_, ScheduleStatus::Pending) => {}
            (_, status) => return Err(NotAltered::NoLongerPending(status)),
        }
        let mut row = row.clone();
        row.updated_at = at;
        match self {
            Alteration::Cancel => row.end(ScheduleStatus::Cancelled),
            Alteration::ExecuteNow if approval.allows() => row.next_attempt_at = Some(at),
            Alteration::ExecuteNow => return Err(NotAltered::Unapproved),
            Alteration::Reschedule { to, timezone } => {
                row.wanted.schedule_time = *to;
                row.wanted.timezone = timezone.clone().or(row.wanted.timezone);
                row.next_attempt_at = None;
            }
            Alteration::Retry => {
                row.status = ScheduleStatus::Pending;
                row.next_attempt_at = Some(at);
                row.retry_count = 0;
                if !approval.allows() {
                    row.ask_anew();
                }
            }
            Alteration::Approve { .. } | Alteration::Reject { .. } if approval != ApprovalStatus::PendingApproval => {
                return Err(NotAltered::Unasked(approval));
            }
            Alteration::Approve { by, reason } => {
                row.wanted.approval = ApprovalStatus::Approved;
                row.approved_by = Some(by.clone());
                row.approval_reason.clone_from(reason);
            }
            Alteration::Reject { by, reason } => {
                row.wanted.approval = ApprovalStatus::Rejected;
                row.approved_by = Some(by.clone());
                row.approval_reason.clone_from(reason);
                row.refuse();
            }
        }
        Ok(row)
    }
}

impl ScheduledProvision {
    /// What a row is that waits although somebody has written into it that it was refused. Pure.
    #[must_use]
    pub fn refused(&self, at: Timestamp) -> ScheduledProvision {
        let mut row = ScheduledProvision { updated_at: at, ..self.clone() };
        row.refuse();
        row
    }

    fn refuse(&mut self) {
        let by = self.approved_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let because = self.approval_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.error_message = Some(format!("rejected{by}{because}"));
        self.end(ScheduleStatus::Cancelled);
    }

    /// As if it had been scheduled just now: nobody has decided anything about it.
    fn ask_anew(&mut self) {
        self.wanted.approval = ApprovalStatus::PendingApproval;
        self.approved_by = None;
        self.approval_reason = None;
        self.error_message = None;
        self.next_attempt_at = None;
    }

    fn end(&mut self, status: ScheduleStatus) {
        self.status = status;
        self.next_attempt_at = None;
        self.first_run = None;
    }
}
