//! Exact versions, ordered as HashiCorp orders them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A released version of a tool: `1.8.0`, `1.9.0-rc1`, `1.5.7+ent`.
///
/// The order is the one of HashiCorp's `go-version`: numbers first, then a pre-release before its release, pre-release
/// parts compared as numbers where both are numbers and as text otherwise (so `rc10` sorts before `rc9`; neither vendor
/// has ever needed ten). Two corners of the original are not a total order and are settled here as SemVer does: a
/// missing pre-release part sorts before any part, and build metadata breaks ties so that the order agrees with `==`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    build: String,
}

impl Version {
    /// A release without pre-release part or build metadata.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Version { major, minor, patch, pre: String::new(), build: String::new() }
    }

    /// The three numbers.
    pub fn numbers(&self) -> [u64; 3] {
        [self.major, self.minor, self.patch]
    }

    /// The same version without pre-release part and build metadata.
    #[must_use]
    pub fn core(&self) -> Version {
        Version::new(self.major, self.minor, self.patch)
    }

    /// Whether this comes before a release (`-alpha1`, `-rc2`).
    pub fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }

    /// The pre-release part without its hyphen, empty for a release.
    pub fn prerelease(&self) -> &str {
        &self.pre
    }

    /// The version next to this one when only the last number moves.
    pub(crate) fn next_patch(&self) -> Version {
        Version::new(self.major, self.minor, self.patch.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

/// The text is no version of the form `x.y.z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: expected three numbers such as `1.8.0`, optionally with `-rc1` or `+build`")]
pub struct InvalidVersion(pub String);

impl FromStr for Version {
    type Err = InvalidVersion;

    /// Reads `1.8.0` or `v1.8.0`.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        let loose = Loose::parse(text).ok_or_else(invalid)?;
        let [major, minor, patch] = loose.segments[..] else { return Err(invalid()) };
        Ok(Version { major, minor, patch, pre: loose.pre, build: loose.build })
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers()
            .cmp(&other.numbers())
            .then_with(|| compare_prereleases(&self.pre, &other.pre))
            .then_with(|| self.build.cmp(&other.build))
    }
}

/// Orders two pre-release parts; the empty one is the release and comes last.
pub(crate) fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => compare_parts(x, y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers come before words; equal numbers written differently (`1`, `01`) are told apart by their text.
fn compare_parts(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// What HashiCorp's version grammar accepts: any number of numeric segments. Constraints are written this loosely
/// (`1`, `1.11`, `1.11.4.0`), released versions never are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Loose {
    pub(crate) segments: Vec<u64>,
    pub(crate) pre: String,
    pub(crate) build: String,
}

impl Loose {
    pub(crate) fn parse(text: &str) -> Option<Loose> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (rest, build) = match text.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (text, None),
        };
        // The pre-release part may follow without a hyphen when it starts with a letter (`1.0.0beta1`).
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (numbers, tail) = rest.split_at(end);
        let pre = match tail.strip_prefix('-') {
            Some("") => return None,
            Some(pre) => pre,
            None => tail,
        };
        let segments = numbers.split('.').map(parse_number).collect::<Option<Vec<u64>>>()?;
        let identifiers = |text: &str| text.split('.').all(is_identifier);
        if !(pre.is_empty() || identifiers(pre)) || build.is_some_and(|build| !identifiers(build)) {
            return None;
        }
        Some(Loose { segments, pre: pre.to_owned(), build: build.unwrap_or_default().to_owned() })
    }
}

/// Digits only: `u64::from_str` alone would also take a plus sign.
fn parse_number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_vendors_publish() {
        for text in ["1.8.0", "1.11.4", "1.9.0-alpha1", "1.6.0-rc2", "0.12.0-beta2", "1.5.7+ent", "1.0.0-a.1.b-c+x.y"] {
            assert_eq!(version(text).to_string(), text);
        }
        assert_eq!(version("v1.8.0"), version("1.8.0"));
        assert_eq!(version("1.08.0"), version("1.8.0"));
        assert_eq!(version("1.0.0beta1"), version("1.0.0-beta1"));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "1",
            "1.8",
            "1.8.0.1",
            "1.8.x",
            "1..8",
            ".1.8",
            "1.8.",
            "vv1.8.0",
            "1.8.0-",
            "1.8.0+",
            "1.8.0-a..b",
            "+1.8.0",
            "1.8.0 ",
            "1.8.0/..",
            "99999999999999999999.0.0",
        ] {
            assert_eq!(text.parse::<Version>(), Err(InvalidVersion(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn orders_like_the_vendors() {
        let sorted =
            ["0.15.5", "1.0.0-alpha1", "1.0.0-beta1", "1.0.0-rc1", "1.0.0-rc2", "1.0.0", "1.0.1", "1.2.0", "1.11.4"];
        for pair in sorted.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert!(version("1.0.0-1") < version("1.0.0-alpha"), "numbers come before words");
        assert!(version("1.0.0-alpha") < version("1.0.0-alpha.1"), "a shorter pre-release comes first");
        assert!(version("1.0.0-rc.9") < version("1.0.0-rc.10"), "numeric parts compare as numbers");
    }

    fn any_version() -> impl Strategy<Value = Version> {
        let part = "(0|[1-9][0-9]{0,2}|0[0-9]|[a-z]{1,3}[0-9]{0,2}|[a-b]-~)";
        let list = proptest::collection::vec(part, 0..4).prop_map(|parts| parts.join("."));
        (0..4u64, 0..4u64, 0..4u64, list.clone(), list).prop_map(|(major, minor, patch, pre, build)| Version {
            major,
            minor,
            patch,
            pre,
            build,
        })
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(version in any_version()) {
            prop_assert_eq!(version.to_string().parse::<Version>(), Ok(version.clone()));
            let json = serde_json::to_string(&version).unwrap();
            prop_assert_eq!(serde_json::from_str::<Version>(&json).unwrap(), version);
        }

        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn a_prerelease_comes_before_its_release(version in any_version()) {
            prop_assert_eq!(version.is_prerelease(), version < version.core());
        }

        #[test]
        fn parsing_never_panics(text in ".{0,24}") {
            let _ = text.parse::<Version>();
        }
    }
}
