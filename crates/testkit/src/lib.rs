//! Fixtures for tests: a real PostgreSQL, later more.
//!
//! # Purpose
//! What several crates' tests need and no program does.
//!
//! # Invariants
//! - What a fixture starts ends with the test process, however that ends.
//! - A fixture that cannot be had is an error, never a reason to skip a test.
#![warn(missing_docs)]

pub mod postgres;
