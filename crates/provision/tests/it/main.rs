//! The crate against targets and providers that are played here, over real connections.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#[test]
fn x() {}
