//! Names and numbers that identify things; each is checked where it is made.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid name: {problem}")]
pub struct InvalidName {
    /// What was given, escaped for display.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The name of a declaration: 1 to 100 of `A-Z a-z 0-9 . _ -`, starting with a letter, a digit or `_`, no `..`.
///
/// A name is safe as a file name, in a URL path and on a command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text` and makes a name of it.
    pub fn parse(text: &str) -> Result<Name, InvalidName> {
        let invalid = |problem| InvalidName { text: text.escape_debug().to_string(), problem };
        let Some(first) = text.chars().next() else { return Err(invalid("it is empty")) };
        if text.len() > 100 {
            return Err(invalid("it is longer than 100 characters"));
        }
        if text.contains('/') || text.contains('\\') {
            return Err(invalid("it contains a path separator"));
        }
        if text.contains("..") {
            return Err(invalid("it contains `..`"));
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return Err(invalid("only letters, digits, `.`, `_` and `-` are allowed"));
        }
        if !(first.is_ascii_alphanumeric() || first == '_') {
            return Err(invalid("it must start with a letter, a digit or `_`"));
        }
        Ok(Name(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// It compares and hashes as its text does.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Name::parse(&text)
    }
}

impl FromStr for Name {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Name::parse(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().to_owned()
    }
}

/// A deployment mode of a workspace, such as `busy` or `hibernation`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mode(pub Name);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies a run: a UUIDv7, so ids sort by the time of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// Makes an id from the time and ten random bytes, so that simulations are reproducible.
    pub fn new(at: Timestamp, random: [u8; 10]) -> RunId {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        RunId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl RunId {
    /// A number from 0 to below 1 that is as random as the id.
    pub(crate) fn fraction(self) -> f64 {
        let [.., a, b, c, d] = *self.0.as_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }
}

impl From<RunId> for Uuid {
    fn from(id: RunId) -> Uuid {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.hyphenated().to_string())
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(RunId)
    }
}

macro_rules! text_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the key's text.
            pub fn new(text: impl Into<String>) -> $name {
                $name(text.into())
            }
            /// The key's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_key! {
    /// Two runs never share one: the same trigger firing twice makes one run.
    DedupKey
}
text_key! {
    /// At most one run that holds the same lock is active (running or gated).
    LockKey
}
text_key! {
    /// One worker: stable over restarts of the daemon on the same data directory, so it takes its own leases back.
    WorkerId
}

/// The number of an attempt: it rises with every claim, and fences every write of that attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNo(NonZeroU32);

impl AttemptNo {
    /// The first attempt.
    pub const FIRST: AttemptNo = AttemptNo(NonZeroU32::MIN);

    /// The attempt after `count` attempts.
    pub fn after(count: u32) -> AttemptNo {
        AttemptNo(NonZeroU32::MIN.saturating_add(count))
    }

    /// The number itself, from 1.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The revision of a stored run; every write names the one it replaces.
pub type Rev = i64;

/// The position of an entry in the ledger, from 1 and without gaps.
pub type Seq = i64;

/// A SHA-256 digest in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(hex::encode(Sha256::digest(bytes)))
    }

    /// Takes 64 hexadecimal characters.
    pub fn parse(text: &str) -> Option<Digest> {
        (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Digest(text.to_ascii_lowercase()))
    }

    /// The 64 hexadecimal characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum By {
    /// A person, by the name they are known to the host or to Piton.
    User(String),
    /// A program with its own credentials.
    Client(String),
    /// Piton itself: a schedule, an event, a policy.
    System,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::User(name) => write!(f, "{name}"),
            By::Client(name) => write!(f, "client {name}"),
            By::System => f.write_str("piton"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for bad in ["", "..", "a/b", "../x", "-rf", "a b", "é", "a\0", "a\n", ".hidden", "a..b", &"x".repeat(101)] {
            assert!(Name::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["everest", "_standalone_", "web-app.v2", "0", &"x".repeat(100)] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn run_ids_sort_by_time() {
        let early = RunId::new(Timestamp::from_millisecond(1_000).unwrap(), [0xff; 10]);
        let late = RunId::new(Timestamp::from_millisecond(1_001).unwrap(), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string().parse::<RunId>().unwrap(), early);
    }
}
