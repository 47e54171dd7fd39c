//! Logs on a real file system.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod crash;
mod following;
mod reading;
mod rotated;
mod scene;
mod sections;
