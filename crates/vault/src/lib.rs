//! Seals what must not be read where it lies.
//!
//! # Purpose
//! Secrets that have to be kept, such as credentials of a deployment, are kept sealed.
//!
//! # Theory of operation
//! The key is not stored beside what it seals.
//!
//! # Invariants
//! - What is sealed is bound to the place it is for, and cannot be opened as something else.
//!
//! # Deliberately absent
//! Files, databases and HTTP.
