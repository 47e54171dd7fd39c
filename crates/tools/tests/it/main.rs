//! Installs from a mirror on the loopback, with artefacts signed by a key made for the test.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod harness;
mod hostile;
mod install;
mod key;
mod real;
mod resolve;
mod server;
