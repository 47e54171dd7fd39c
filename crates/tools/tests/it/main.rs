//! Installs from a mirror on the loopback, with artefacts signed by a key made for the test.

mod harness;
mod hostile;
mod install;
mod key;
mod real;
mod resolve;
mod server;
