//! The keeper as its clients see it: the real program, real children, real signals.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail the test")]

mod crash;
mod nest;
mod place;
mod reap;
mod spawn;
mod tree;
mod upgrade;
mod wire;
