//! What turns declarations into runs: time, events in the ledger, and changes of the declarations themselves.

mod event;
mod line;
mod round;
mod time;

pub use event::Events;
pub use time::Time;
