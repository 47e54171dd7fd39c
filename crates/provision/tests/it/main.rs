//! The crate against targets and providers that are played here, over real connections.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod clock;
mod fake;
mod fake_google;
mod fake_graph;
mod google;
mod http;
mod microsoft;
mod scene;
