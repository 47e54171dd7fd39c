//! Why a step failed: data, because it is stored and decides what happens next.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What may be done about it.
    pub class: FailureClass,
    /// A stable word for programs, such as `plan_failed`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit code of the program that failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When that program ended, which may be before anybody heard of it. In a box, as failures are handed around by
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited_at: Option<Box<Timestamp>>,
    /// How long whoever refused wants to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

/// What may be done about a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Trying again may help.
    Transient,
    /// Trying again will fail the same way.
    Permanent,
    /// It was stopped because it took too long.
    TimedOut,
    /// It was stopped because someone asked for it.
    Interrupted,
    /// Nobody saw how it ended, and it may have had an effect outside.
    Uncertain,
}

impl Failure {
    /// A failure of `class`, of which no more is known.
    pub fn new(class: FailureClass, code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure {
            class,
            code: code.into(),
            message: message.into(),
            hint: None,
            exit_code: None,
            exited_at: None,
            retry_after: None,
        }
    }

    /// Adds what to try.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Adds how long to wait at least before the next try.
    pub fn retry_after(mut self, delay: Duration) -> Failure {
        self.retry_after = Some(delay);
        self
    }

    /// Adds the exit code of the program that failed.
    pub fn exit_code(mut self, code: i32) -> Failure {
        self.exit_code = Some(code);
        self
    }

    /// Adds when the program ended that failed.
    pub fn exited_at(mut self, at: Timestamp) -> Failure {
        self.exited_at = Some(Box::new(at));
        self
    }
}
