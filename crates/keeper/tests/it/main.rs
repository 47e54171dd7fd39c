//! The keeper as its clients see it: the real program, real children, real signals.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail the test")]

mod crash;
mod full_disk;
mod limits;
mod logs;
mod nest;
mod place;
mod reap;
mod scale;
mod spawn;
mod tree;
mod upgrade;
mod wire;
