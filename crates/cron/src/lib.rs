//! The schedule language of Piton: *when* something is due.
//!
//! # Purpose
//!
//! [`Schedule::parse`] turns a cron expression into a [`Schedule`]; [`Schedule::next`] and [`Schedule::prev`] answer
//! with instants; [`explain`] says in English what was understood and where daylight saving will interfere. The rules
//! of a Kubernetes-style CronJob on top of a schedule are in [`cronjob`].
//!
//! # Theory of operation
//!
//! An expression becomes one bit set per field ([`Dialect`] decides what may be written). The search never walks
//! minutes. It works in two layers:
//!
//! * In **local time** the next match is found by bit scans: the months of a year, the days of a month as one 32-bit
//!   mask, then hour, minute and second. A year without a match costs a few instructions.
//! * The **zone** is a row of spans of constant offset. Within a span local time and instants differ by a constant, so
//!   a local match is an instant. What happens where two spans meet (a gap or an overlap of local time) is the business
//!   of [`DstPolicy`] alone.
//!
//! # Invariants
//!
//! * Successive fires are strictly increasing instants on whole seconds, whatever the zone does.
//! * `prev` is the inverse of `next`: both walk the same set of fires.
//! * A parsed schedule fires at least once in the Gregorian cycle; an expression that never can is a [`ParseError`].
//!   Deciding so takes a bounded number of steps (14 kinds of year of 12 months).
//! * No function panics, on any text and any instant.
//!
//! # Deliberately absent
//!
//! No clock, no I/O, no async: the caller says what "now" is. (Time zones are looked up by name in the database of
//! `jiff`, or in one handed in with [`Schedule::parse_in`].) Event words such as `@reboot` and `@deployment` are not
//! times, so they are refused here and belong to the declaration that uses them. No hashed (`H`) or random (`~`)
//! fields: a schedule means the same instants for everyone who reads it.

mod bits;
mod calendar;
pub mod cronjob;
mod describe;
mod dialect;
mod dst;
mod error;
mod every;
mod explain;
mod field;
mod parse;
mod pattern;
mod piece;
mod remark;
mod schedule;
mod search;
mod values;

pub use dialect::Dialect;
pub use dst::DstPolicy;
pub use error::{ParseError, ParseErrorKind};
pub use explain::{Explanation, explain};
pub use field::Field;
pub use remark::Remark;
pub use schedule::{Schedule, Upcoming};
pub use values::ValueSet;
