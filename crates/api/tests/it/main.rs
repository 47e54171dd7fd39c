//! The client against a server of a few lines, which says what it is told to say.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod http;
mod server;
mod tls;
