//! Who may do what: roles, passwords, tokens.
//!
//! # Purpose
//! Decides who somebody is and what they may do.
//!
//! # Theory of operation
//! Everything here is a function of its arguments. Whoever asks brings what was stored, what time it is, and random
//! bytes where some are needed.
//!
//! A password is kept as an argon2id hash. A client's secret is 256 random bits, so a plain digest keeps it. A token is
//! a JWT that names its owner, the generation of the owner's rights that it was given out in, and itself; what its
//! owner may do is not read from it but from the store, so that nothing has to wait for a token to be over.
//!
//! Only HS256 is spoken, by some twenty lines of our own: the libraries read the wall clock themselves, and offer every
//! algorithm that must not be accepted here.
//!
//! # Invariants
//! - A role includes all that the roles below it may do.
//! - Nothing of a token but the name of its key is looked at before its signature was found right.
//! - Checking the password of somebody unknown takes as long as that of somebody known.
//! - What is remembered of failed logins is bounded, whoever tries.
//!
//! # Deliberately absent
//! The database, HTTP and the clock: they are the store's, the server's and the engine's. Other algorithms, refresh
//! tokens, and tokens of other issuers.

#![warn(missing_docs)]

mod known;
mod password;
mod secret;
mod throttle;
mod token;
mod words;

pub use known::{is_known_password, is_known_secret};
pub use password::{Hasher, PasswordProblem, check_password};
pub use piton_model::Role;
pub use secret::{ClientSecret, digest, matches_digest, new_client_id, new_id};
pub use throttle::{Refused, Throttle};
pub use token::{Claims, Invalid, LONGEST_TOKEN, MIN_SECRET, Verified, issue, key_of_secret, new_key, verify};
pub use words::{NameProblem, UnknownRole, check_name, parse_roles};
