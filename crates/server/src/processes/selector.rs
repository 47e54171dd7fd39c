//! Which instances a request means.

use std::time::Duration;

use axum::http::StatusCode;
use piton_supervisor::{InvalidSelector, Selector};
use serde::Deserialize;

use crate::problem::{Answer, Refusal};

/// At most one of the selectors, and how long to wait.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
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
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
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
            (Some(name), ..) => Some(Selector::name(name)?),
            (_, Some(base), _) => Some(Selector::base(base)?),
            (.., Some(pattern)) => Some(Selector::wildcard(pattern)?),
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

/// A name that could be one of an instance.
pub(super) fn plain(name: &str) -> Answer<String> {
    Selector::name(name)?;
    Ok(name.to_owned())
}

pub(super) fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_selector", detail, None)
}

impl From<InvalidSelector> for Refusal {
    fn from(invalid: InvalidSelector) -> Refusal {
        refused(invalid.to_string())
    }
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
            let problem = plain(bad).unwrap_err().into_problem();
            assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_selector"), "{bad}");
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
