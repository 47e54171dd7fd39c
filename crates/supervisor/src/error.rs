//! Why something could not be done.

use piton_model::Name;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is declared under this name.
    #[error("there is no process named `{0}`")]
    UnknownProcess(String),
    /// No group is declared under this name.
    #[error("there is no group named `{0}`")]
    UnknownGroup(String),
    /// Something with this name is declared already.
    #[error("a process named `{0}` is declared already")]
    Exists(Name),
    /// The instance could not be started.
    #[error("`{instance}` could not be started: {reason}")]
    Start {
        /// Which.
        instance: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// What was asked for did not happen in time; it goes on.
    #[error("`{instance}` did not {what} in time")]
    TimedOut {
        /// Which.
        instance: String,
        /// What it should have done.
        what: &'static str,
    },
    /// The dependencies of processes form a circle.
    #[error("these processes depend on each other in a circle: {}", circle.join(" → "))]
    Circle {
        /// The names on it, the first one again at the end.
        circle: Vec<String>,
    },
    /// What somebody wants could not be remembered, so nothing was done.
    #[error("cannot remember what is wanted: {0}")]
    Memory(String),
    /// The keeper cannot be asked.
    #[error(transparent)]
    Keeper(#[from] piton_keeper::client::Error),
}
