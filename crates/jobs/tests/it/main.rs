//! The example does what it says.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "the tests are outside of the program and see real time and processes")]

mod embedding;
