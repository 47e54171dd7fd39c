//! What a pin file or the configuration may ask for.

use std::fmt;

use regex_lite::Regex;

use crate::claim::Place;
use crate::constraint::{Constraints, Reading};
use crate::error::Error;
use crate::version::Version;

/// A demand for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Whatever is there: `system`.
    Any,
    /// This version and no other: `1.8.0`.
    Exactly(Version),
    /// Any version within bounds: `~> 1.8`.
    Within(Constraints),
    /// The newest release, or the newest whose number matches: `latest`, `latest:^1\.8`.
    Newest(Option<Pattern>),
    /// The newest release that the code accepts: `latest-allowed`.
    NewestAllowed,
    /// The oldest release that the code accepts: `min-required`.
    OldestAllowed,
}

impl Want {
    /// Reads one demand as version files and configuration write it.
    pub fn parse(text: &str, place: &Place) -> Result<Want, Error> {
        let text = text.trim();
        match text {
            "system" => return Ok(Want::Any),
            "latest" => return Ok(Want::Newest(None)),
            "latest-allowed" => return Ok(Want::NewestAllowed),
            "min-required" => return Ok(Want::OldestAllowed),
            _ => {}
        }
        if let Some(pattern) = text.strip_prefix("latest:") {
            return Pattern::parse(pattern, place).map(|pattern| Want::Newest(Some(pattern)));
        }
        if let Ok(version) = text.parse() {
            return Ok(Want::Exactly(version));
        }
        Constraints::parse(text, Reading::Pinned)
            .map(Want::Within)
            .map_err(|problem| Error::InvalidConstraint { place: place.clone(), problem })
    }

    /// Reads one demand as `.tool-versions` writes it, where `latest:` is followed by a prefix.
    pub(crate) fn parse_tool_versions(text: &str, place: &Place) -> Result<Want, Error> {
        if text.starts_with("ref:") || text.starts_with("path:") {
            let reason = format!("`{text}` names a source tree or a directory, not a released version");
            return Err(Error::InvalidPin { place: place.clone(), reason });
        }
        match text.strip_prefix("latest:") {
            Some(prefix) => {
                let pattern = format!("^{}", regex_lite::escape(prefix));
                Pattern::parse(&pattern, place).map(|pattern| Want::Newest(Some(pattern)))
            }
            None => Want::parse(text, place),
        }
    }

    /// Whether honouring this means knowing every release, not just those at hand.
    pub(crate) fn needs_catalogue(&self) -> bool {
        matches!(self, Want::Newest(_) | Want::NewestAllowed | Want::OldestAllowed)
    }

    /// Whether this alone would be content with `version`; the code is asked apart.
    pub(crate) fn accepts(&self, version: &Version) -> bool {
        match self {
            Want::Exactly(exact) => version == exact,
            Want::Within(constraints) => constraints.allow(version),
            Want::Newest(Some(pattern)) => pattern.matches(version),
            Want::Any | Want::Newest(None) | Want::NewestAllowed | Want::OldestAllowed => true,
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Any => f.write_str("system"),
            Want::Exactly(version) => version.fmt(f),
            Want::Within(constraints) => constraints.fmt(f),
            Want::Newest(None) => f.write_str("latest"),
            Want::Newest(Some(pattern)) => write!(f, "latest:{}", pattern.0),
            Want::NewestAllowed => f.write_str("latest-allowed"),
            Want::OldestAllowed => f.write_str("min-required"),
        }
    }
}

/// A regular expression over version numbers, equal to another when it is written alike.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    fn parse(text: &str, place: &Place) -> Result<Pattern, Error> {
        let invalid = |reason: String| Error::InvalidPin { place: place.clone(), reason };
        if text.is_empty() {
            return Err(invalid("`latest:` must be followed by a regular expression".to_owned()));
        }
        Regex::new(text).map(Pattern).map_err(|error| invalid(format!("`{text}` is not a regular expression: {error}")))
    }

    fn matches(&self, version: &Version) -> bool {
        self.0.is_match(&version.to_string())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(text: &str) -> Want {
        Want::parse(text, &Place::Configuration).unwrap()
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(want("1.8.0"), Want::Exactly(Version::new(1, 8, 0)));
        assert_eq!(want(" v1.8.0\n"), Want::Exactly(Version::new(1, 8, 0)));
        assert!(matches!(want("1.9.0-rc1"), Want::Exactly(version) if version.is_prerelease()));
        assert!(matches!(want("~> 1.8, != 1.8.3"), Want::Within(_)));
        assert!(want("1.8").accepts(&Version::new(1, 8, 0)), "a short version is HashiCorp's `= 1.8.0`");
        assert!(!want("1.8").accepts(&Version::new(1, 8, 1)));
        assert_eq!(want("latest"), Want::Newest(None));
        assert_eq!(want("latest-allowed"), Want::NewestAllowed);
        assert_eq!(want("min-required"), Want::OldestAllowed);
        assert!(want("latest:^1\\.8").accepts(&Version::new(1, 8, 3)));
        assert!(!want("latest:^1\\.8").accepts(&Version::new(11, 8, 3)));
        for text in ["system", "1.8.0", "~> 1.8", "latest", "latest:^1\\.8", "latest-allowed", "min-required"] {
            assert_eq!(want(text).to_string(), text);
        }
    }

    #[test]
    fn tool_versions_has_its_own_words() {
        let read = |text| Want::parse_tool_versions(text, &Place::Configuration);
        assert_eq!(read("system").unwrap(), Want::Any);
        let prefix = read("latest:1.8").unwrap();
        assert!(prefix.accepts(&Version::new(1, 8, 3)));
        assert!(!prefix.accepts(&Version::new(0, 1, 8)), "a prefix, not a pattern");
        assert_eq!(read("ref:main").unwrap_err().code(), "invalid_pin");
        assert_eq!(read("path:/opt/tofu").unwrap_err().code(), "invalid_pin");
    }

    #[test]
    fn refuses_what_names_no_version() {
        let code = |text| Want::parse(text, &Place::Configuration).unwrap_err().code();
        assert_eq!(code("newest"), "invalid_constraint");
        assert_eq!(code("^1.8"), "invalid_constraint");
        assert_eq!(code("latest:"), "invalid_pin");
        assert_eq!(code("latest:("), "invalid_pin");
    }
}
