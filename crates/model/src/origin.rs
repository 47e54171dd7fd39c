//! Why a run exists.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{By, DedupKey, Digest, Seq, Subject, SubjectKind};

/// Why a run exists. Each origin but a call yields a key, and the same key never makes two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum Origin {
    /// A line of a schedule fired.
    Cron {
        /// When it was due.
        fire: Timestamp,
        /// The line, as it was written.
        line: String,
    },
    /// Something in the ledger happened.
    Event {
        /// Which entry.
        seq: Seq,
        /// The word that the schedule listened for.
        word: TriggerWord,
    },
    /// The host was started.
    Boot {
        /// The kernel's id of this boot.
        boot_id: String,
    },
    /// The time that somebody chose for it had come.
    At {
        /// That time; for a further try, the time of that.
        due: Timestamp,
    },
    /// A message of the queue.
    Message {
        /// What its sender calls the run.
        delivery: String,
    },
    /// A worker elsewhere told of it.
    Report {
        /// What that calls itself.
        worker: String,
    },
    /// A declaration or its files changed.
    Change {
        /// Digest of what it is now.
        digest: Digest,
    },
    /// Somebody asked for it.
    Call {
        /// Who.
        by: By,
        /// What was asked for is one more run of a schedule: a job beside the others of that, whatever becomes of it. Those
        /// of older versions do not tell.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_schedule: bool,
    },
}

impl Origin {
    /// Somebody asked for it, and it is of no schedule.
    pub fn call(by: By) -> Origin {
        Origin::Call { by, of_schedule: false }
    }

    /// The key that keeps this origin from making a second run for `subject`.
    pub fn dedup_key(&self, subject: &Subject) -> Option<DedupKey> {
        match self {
            Origin::Cron { fire, .. } => Some(DedupKey::new(format!("cron:{subject}:{fire}"))),
            Origin::Event { seq, .. } => Some(DedupKey::new(format!("event:{subject}:{seq}"))),
            Origin::Boot { boot_id } => Some(DedupKey::new(format!("boot:{subject}:{boot_id}"))),
            // What a workspace is may come back after it was something else; whether it was already deployed is the
            // trigger's question to the workspace's state, not a matter of uniqueness. A declared job runs once.
            Origin::Change { digest } if subject.kind() == SubjectKind::Job => {
                Some(DedupKey::new(format!("declared:{subject}:{digest}")))
            }
            Origin::Message { delivery } => Some(DedupKey::new(format!("message:{delivery}"))),
            // That a row is executed once is a matter of the row, which the same transaction changes.
            // Which run a report is about is found out in the transaction that records it.
            Origin::At { .. } | Origin::Report { .. } | Origin::Change { .. } | Origin::Call { .. } => None,
        }
    }

    /// What a run of a job is called where each of its runs is a job of its own: by its schedule and the time at which
    /// it was due.
    pub fn job_name(&self, subject: &Subject) -> String {
        match self {
            Origin::Cron { fire, .. } => format!("{}-{}", subject.name(), fire.as_second()),
            Origin::Event { .. }
            | Origin::Boot { .. }
            | Origin::At { .. }
            | Origin::Message { .. }
            | Origin::Report { .. }
            | Origin::Change { .. }
            | Origin::Call { .. } => subject.name().into_owned(),
        }
    }

    /// Who is behind it.
    pub fn by(&self) -> By {
        match self {
            Origin::Call { by, .. } => by.clone(),
            Origin::Cron { .. }
            | Origin::Event { .. }
            | Origin::Boot { .. }
            | Origin::At { .. }
            | Origin::Message { .. }
            | Origin::Report { .. }
            | Origin::Change { .. } => By::System,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Cron { line, .. } => write!(f, "schedule `{line}`"),
            Origin::Event { word, .. } => write!(f, "{word}"),
            Origin::Boot { .. } => write!(f, "{}", TriggerWord::Reboot),
            Origin::At { due } => write!(f, "due at {due:.0}"),
            Origin::Message { delivery } => write!(f, "message {delivery}"),
            Origin::Report { worker } => write!(f, "reported by worker {worker}"),
            Origin::Change { .. } => f.write_str("new or changed configuration"),
            Origin::Call { by, .. } => write!(f, "asked for by {by}"),
        }
    }
}

/// The words that may stand in a schedule in place of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TriggerWord {
    /// A deployment of the workspace succeeded.
    #[serde(rename = "@deployment")]
    Deployment,
    /// A deployment of the workspace failed.
    #[serde(rename = "@deployment-failed")]
    DeploymentFailed,
    /// The workspace was destroyed.
    #[serde(rename = "@destroy")]
    Destroy,
    /// Destroying the workspace failed.
    #[serde(rename = "@destroy-failed")]
    DestroyFailed,
    /// The host was started.
    #[serde(rename = "@reboot")]
    Reboot,
}

impl TriggerWord {
    /// All words.
    pub const ALL: [TriggerWord; 5] = [
        TriggerWord::Deployment,
        TriggerWord::DeploymentFailed,
        TriggerWord::Destroy,
        TriggerWord::DestroyFailed,
        TriggerWord::Reboot,
    ];

    /// The word as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            TriggerWord::Deployment => "@deployment",
            TriggerWord::DeploymentFailed => "@deployment-failed",
            TriggerWord::Destroy => "@destroy",
            TriggerWord::DestroyFailed => "@destroy-failed",
            TriggerWord::Reboot => "@reboot",
        }
    }

    /// Recognises a word.
    pub fn parse(text: &str) -> Option<TriggerWord> {
        TriggerWord::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

impl fmt::Display for TriggerWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
