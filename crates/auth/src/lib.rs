//! Who may do what: roles, passwords, tokens.
//!
//! # Purpose
//! Decides who somebody is and what they may do.
//!
//! # Theory of operation
//! Everything here is a function of its arguments. Whoever asks brings what was stored and what time it is.
//!
//! # Invariants
//! - A role includes all that the roles below it may do.
//!
//! # Deliberately absent
//! The database, HTTP and the clock: they are the store's, the server's and the engine's.

#![warn(missing_docs)]

mod role;

pub use role::Role;
