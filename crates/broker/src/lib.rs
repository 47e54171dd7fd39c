//! Takes job messages from RabbitMQ, so that none is lost and none is done twice.
//!
//! # Purpose
//!
//! Somebody publishes jobs; any number of workers share them. Between the two there is a broker that restarts, connections
//! that break, workers that are killed, and messages that cannot be done. This crate is all that stands there: the
//! [`Inlet`] takes messages and gives each to a [`Handler`], the [`Outlet`] publishes them, [`dead`] reads and redrives
//! what failed for good.
//!
//! # Theory of operation
//!
//! What is decided is decided by pure functions: which queues there are ([`Topology`]), what a message says
//! ([`message::parse`]), what its past is ([`Marks`]), what is done with it ([`arrive`], [`answer`]), and which
//! acknowledgements say so ([`Acks`]). The shell around them is one task that has the connection and says things to the
//! broker, and one task for each message that is held.
//!
//! A [`Handler`] answers with a [`Verdict`]. `Accept` means that the message is kept where a crash does not reach it, such
//! as in a database under the name of its run; then it is acknowledged. `Later` puts a copy on a rung of the ladder: a
//! queue without consumers whose messages expire, after which the broker puts them on the work queue again. `Never`, and
//! `Later` once too often, put a copy with the dead letters, with the reason in a header. The copy is confirmed by the
//! broker before the original is acknowledged.
//!
//! A connection is never mended. It ends, with everything that knows its delivery numbers, and a new one begins, with
//! queues declared again. What goes on in the handler goes on; when the message is given out again, it is joined with
//! that, see `doing`.
//!
//! # Invariants
//!
//! - A message is acknowledged only when it was accepted, or its copy confirmed.
//! - An acknowledgement reaches the channel that delivered, or nobody.
//! - One process has the same message in its handler once at a time.
//! - No message is held longer than [`Settings::hold_limit`], so that the broker never takes it away.
//! - A message that nothing can be made of is dead after one look, one that ends its workers after
//!   [`Settings::returns`], one that fails after its retries; each says why.
//! - A queue that others made in another way is used as it is.
//!
//! # Deliberately absent
//!
//! Exactly one delivery: no broker has it. Two workers may have one message when a connection breaks; the name of its run
//! is what makes one thing of it. Exchanges and bindings: queues are addressed by name. Priorities, delays of single
//! messages, and the broker's plugins. The management API: unacknowledged messages are not counted.
#![warn(missing_docs)]

mod acks;
mod backoff;
mod connection;
pub mod dead;
mod decide;
mod declare;
mod doing;
mod error;
mod handler;
mod hold;
mod inlet;
mod marks;
pub mod message;
mod outlet;
mod session;
mod status;
mod topology;

pub use acks::{Ack, Acks};
pub use backoff::Backoff;
pub use connection::Address;
pub use decide::{Action, Arrival, Patience, Verdict, answer, arrive};
pub use declare::Foreign;
pub use error::Error;
pub use handler::{Delivery, Handler};
pub use inlet::{Batch, Inlet, Now, Settings};
pub use marks::{ATTEMPTS, FIRST_FAILED, FROM, Marks, REASON, RETURNED};
pub use outlet::{Outgoing, Outlet, Postman};
pub use status::{Counts, Depth, Problem, State, Status};
pub use topology::{Declaration, InvalidQueue, Ladder, Rung, Topology};
