//! Who may do what: passwords, tokens, roles; pure.
#![warn(missing_docs)]

mod role;

pub use role::Role;
