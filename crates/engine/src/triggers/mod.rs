//! What turns declarations into runs: time, events in the ledger, and changes of the declarations themselves.

mod event;
pub(crate) mod line;
mod round;
pub(crate) mod time;

pub use event::Events;
pub use time::Time;
