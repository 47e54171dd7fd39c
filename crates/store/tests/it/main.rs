//! The conformance suite of the store, on both engines, and what is particular to each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod crash;
mod fixture;
mod model;
mod postgres;
mod processes;
mod provisions;
mod races;
mod reports;
mod requests;
mod sealing;
mod sqlite;
mod suite;
mod unwanted_provisions;
