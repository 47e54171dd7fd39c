//! The run's state machine under random events, and the auditor against it.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod audit;
mod batch;
mod batch_rules;
mod machine;
mod provisions;
mod samples;
