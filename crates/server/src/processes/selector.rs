//! Which instances a request means.

use std::time::Duration;

use axum::http::StatusCode;
use piton_supervisor::Selector;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Answer, Refusal};

/// At most one of the selectors, and how long to wait.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The instance of exactly this name, or all instances of the process of this name.
    pub(super) name: Option<String>,
    /// The process of this name and everything that is called `NAME-…`.
    pub(super) base: Option<String>,
    /// Every instance whose name fits; `*` stands for anything.
    pub(super) wildcard: Option<String>,
}

/// How long instances may take to react to the first signal.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Patience {
    /// Such as `2s`; what is declared unless given.
    pub(super) wait: Option<String>,
}

impl Which {
    /// What is meant; nothing where nothing is given.
    pub(super) fn selector(&self) -> Answer<Option<Selector>> {
        let given = [&self.name, &self.base, &self.wildcard].into_iter().flatten().count();
        if given > 1 {
            return Err(refused("give one of `name`, `base` and `wildcard`, not several"));
        }
        Ok(match (&self.name, &self.base, &self.wildcard) {
            (Some(name), ..) => Some(Selector::Name(plain(name)?)),
            (_, Some(base), _) => Some(Selector::Base(plain(base)?)),
            (.., Some(pattern)) => Some(wildcard(pattern)?),
            (None, None, None) => None,
        })
    }

    /// What is meant, which must be something.
    pub(super) fn required(&self) -> Answer<Selector> {
        self.selector()?.ok_or_else(|| refused("say which: `name`, `base` or `wildcard`"))
    }

    /// For the record.
    pub(super) fn shown(&self) -> String {
        let given = [&self.name, &self.base, &self.wildcard].into_iter().flatten().next();
        given.cloned().unwrap_or_default()
    }
}

impl Patience {
    /// The time, if one is given.
    pub(super) fn time(&self) -> Answer<Option<Duration>> {
        let Some(text) = &self.wait else { return Ok(None) };
        let read = piton_spec::parse_duration(text);
        read.map(Some).map_err(|error| refused(format!("`wait`: {error}")))
    }
}

/// A pattern; `*` alone is everything.
pub(super) fn wildcard(pattern: &str) -> Answer<Selector> {
    if pattern.chars().all(|c| c == '*') && !pattern.is_empty() {
        return Ok(Selector::All);
    }
    plain(&pattern.replace('*', "")).map(|_| Selector::Wildcard(pattern.to_owned()))
}

/// A name that could be one of an instance.
pub(super) fn plain(name: &str) -> Answer<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.contains("..") || name.len() > 200 || !name.chars().all(allowed) {
        let shown: String = name.escape_debug().take(100).collect();
        return Err(refused(format!("`{shown}` is no name: letters, digits, `.`, `_` and `-`, but no `..`")));
    }
    Ok(name.to_owned())
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_selector", detail, None)
}

/// Whether an instance is meant.
pub(super) fn fits(which: &Selector, instance: &str, process: &str) -> bool {
    match which {
        Selector::Name(name) => instance == name || process == name,
        Selector::Base(base) => {
            process == base || instance == base || instance.strip_prefix(base).is_some_and(|rest| rest.starts_with('-'))
        }
        Selector::Wildcard(pattern) => matches(pattern, instance),
        Selector::All => true,
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(name: Option<&str>, base: Option<&str>, wildcard: Option<&str>) -> Which {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Which { name: own(name), base: own(base), wildcard: own(wildcard) }
    }

    #[test]
    fn one_selector_or_none() {
        assert_eq!(which(None, None, None).selector().unwrap(), None);
        assert_eq!(which(Some("a"), None, None).selector().unwrap(), Some(Selector::Name("a".to_owned())));
        assert_eq!(which(None, Some("a-1"), None).selector().unwrap(), Some(Selector::Base("a-1".to_owned())));
        assert_eq!(which(None, None, Some("a*")).selector().unwrap(), Some(Selector::Wildcard("a*".to_owned())));
        assert_eq!(which(None, None, Some("*")).selector().unwrap(), Some(Selector::All));
        for two in [
            which(Some("a"), Some("a"), None),
            which(None, Some("a"), Some("a")),
            which(Some("a"), Some("a"), Some("a")),
        ] {
            assert_eq!(two.selector().unwrap_err().into_problem().status, 400);
        }
        assert_eq!(which(None, None, None).required().unwrap_err().into_problem().code, "invalid_selector");
    }

    #[test]
    fn what_could_be_no_name_is_refused() {
        for bad in ["", "..", "a..b", "../etc/passwd", "a/b", "a b", "a\0", "\u{e9}", "*", "a*"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        for bad in ["../*", "a/*", "", "a..*"] {
            assert!(wildcard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        let table = [
            ("demo-*", "demo-1", true),
            ("demo-*", "demo", false),
            ("*-1", "demo-1", true),
            ("*mo*", "demo-1", true),
            ("d*o-*", "demo-1", true),
            ("demo", "demo", true),
            ("demo", "demo-1", false),
            ("a*a", "a", false),
            ("*x*", "demo", false),
        ];
        for (pattern, text, fits) in table {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn waiting() {
        let wait = |text: &str| Patience { wait: Some(text.to_owned()) }.time();
        assert_eq!(wait("2s").unwrap(), Some(Duration::from_secs(2)));
        assert_eq!(wait("soon").unwrap_err().into_problem().status, 400);
        assert_eq!(Patience::default().time().unwrap(), None);
    }
}
