//! Fixtures for tests: a real PostgreSQL, a real RabbitMQ, real git servers, and a deterministic simulation of the engine.
//!
//! # Purpose
//! What several crates' tests need and no program does.
//!
//! # Theory of operation
//! A [`simulation`] runs one or more engines on one real SQLite store, with a clock that stands still until it is moved
//! and an executor whose children are entries of a table ([`scripted`]). It calls one round of one loop at a time, in
//! an order that a seed decides, and may throw a whole engine away between any two calls. [`ledger`] prints what came
//! of it.
//!
//! [`hosting`] is a place that hosts code: git's own server behind HTTP, with and without a password, and a registry of
//! modules behind a token. [`sshd`] is OpenSSH's server in front of the same repositories, which [`repository`] makes.
//!
//! [`relay`] is a way to PostgreSQL that can be cut.
//!
//! [`forges`] are GitLab, GitHub and Gitea as far as making repositories goes, with git's own server behind them.
//!
//! [`amqp_relay`] stands in front of a message broker and breaks connections in place of acknowledgements.
//!
//! # Invariants
//! - What a fixture starts ends with the test process, however that ends.
//! - A fixture that cannot be had is an error, never a reason to skip a test.
//! - The same seed makes the same ledger, to the byte.
//!
//! # Deliberately absent
//! Stand-ins for databases, files and programs: those are tested with the real thing.
#![warn(missing_docs)]

pub mod amqp_relay;
#[cfg(feature = "forges")]
pub mod forges;
#[cfg(feature = "hosting")]
pub mod hosting;
#[cfg(feature = "hosting")]
mod http_backend;
#[cfg(feature = "simulation")]
pub mod ledger;
pub mod postgres;
pub mod rabbit;
pub mod relay;
#[cfg(feature = "hosting")]
pub mod repository;
#[cfg(feature = "simulation")]
pub mod scripted;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(feature = "hosting")]
pub mod sshd;
