//! Which of a repository's refs is meant. Pure.

use std::fmt;
use std::str::FromStr;

use super::{Address, Error};
use crate::nearest::nearest;

/// A branch, a tag or a commit, checked to be nothing but that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref(String);

impl Ref {
    /// The ref as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ref is a file on the side of the server, as a rule.
const LONGEST: usize = 255;

impl FromStr for Ref {
    type Err = Error;

    /// The rules of `git check-ref-format`, and no leading `-`.
    fn from_str(text: &str) -> Result<Ref, Error> {
        let problem = if text.is_empty() {
            "it is empty"
        } else if text.len() > LONGEST {
            "it is longer than the name of a file may be"
        } else if text.starts_with('-') {
            "it starts with `-`, which `git` would take for an option"
        } else if text.chars().any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')) {
            "it contains a character that no ref may contain"
        } else if text.contains("..") || text.contains("@{") || text.contains("//") {
            "it contains `..`, `@{` or `//`"
        } else if text.starts_with('/')
            || text.ends_with('/')
            || text.ends_with('.')
            || text.split('.').next_back() == Some("lock")
        {
            "it begins or ends as no ref may"
        } else {
            return Ok(Ref(text.to_owned()));
        };
        Err(Error::Ref { wanted: text.escape_debug().to_string(), problem })
    }
}

/// What a repository offers, by full name, as `ls-remote` lists it.
#[derive(Debug, Default)]
pub(super) struct Advertised {
    refs: Vec<Offered>,
}

#[derive(Debug)]
struct Offered {
    name: String,
    /// What it points at in the end: not the tag, but what is tagged.
    id: String,
}

/// What is fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Advertised { name: String },
    Commit(String),
}

/// The wanted ref is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    wanted: Option<String>,
    nearest: Vec<String>,
}

impl Missing {
    pub(super) fn of(self, address: &Address) -> Error {
        match self.wanted {
            Some(wanted) => Error::RefNotFound { address: address.to_string(), wanted, nearest: self.nearest },
            None => Error::Empty { address: address.to_string() },
        }
    }
}

impl Advertised {
    pub(super) fn parse(listed: &str) -> Advertised {
        let mut refs: Vec<Offered> = Vec::new();
        for (id, name) in listed.lines().filter_map(|line| line.split_once('\t')) {
            match (name.strip_suffix("^{}"), refs.last_mut()) {
                (Some(tag), Some(last)) if last.name == tag => id.clone_into(&mut last.id),
                (Some(_), _) => {}
                (None, _) => refs.push(Offered { name: name.to_owned(), id: id.to_owned() }),
            }
        }
        Advertised { refs }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.refs.iter().map(|offered| offered.name.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|offered| offered == name)
    }

    /// The commit that is meant, where it takes no fetch to know it.
    pub(super) fn commit_of(&self, choice: &Choice) -> Option<String> {
        match choice {
            Choice::Advertised { name } => {
                self.refs.iter().find(|offered| offered.name == *name).map(|offered| offered.id.clone())
            }
            Choice::Commit(commit) => Some(commit).filter(|commit| matches!(commit.len(), 40 | 64)).cloned(),
        }
    }
}

/// Tags go before branches of the same name, as in git itself; what neither names may be a commit.
pub(super) fn choose(advertised: &Advertised, wanted: Option<&Ref>) -> Result<Choice, Missing> {
    let Some(wanted) = wanted else {
        return if advertised.has("HEAD") {
            Ok(Choice::Advertised { name: "HEAD".to_owned() })
        } else {
            Err(Missing { wanted: None, nearest: Vec::new() })
        };
    };
    let wanted = wanted.as_str();
    for name in [wanted.to_owned(), format!("refs/tags/{wanted}"), format!("refs/heads/{wanted}")] {
        if (name == "HEAD" || name.starts_with("refs/")) && advertised.has(&name) {
            return Ok(Choice::Advertised { name });
        }
    }
    if (7..=64).contains(&wanted.len()) && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Choice::Commit(wanted.to_ascii_lowercase()));
    }
    Err(not_found(advertised, wanted))
}

/// With the names that come closest.
pub(super) fn not_found<'a>(advertised: &'a Advertised, wanted: &str) -> Missing {
    let short = |name: &'a str| name.strip_prefix("refs/heads/").or(name.strip_prefix("refs/tags/"));
    let nearest = nearest(wanted, advertised.names().filter_map(short));
    Missing { wanted: Some(wanted.to_owned()), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Advertised {
        Advertised::parse(
            "1111\tHEAD\n1111\trefs/heads/main\n2222\trefs/heads/v1\n3333\trefs/tags/v1\n4444\trefs/tags/v1^{}\n\
             4444\trefs/tags/v1.2.0\n5555\trefs/heads/feature/x\n",
        )
    }

    fn wanted(text: &str) -> Result<Choice, Missing> {
        choose(&offered(), Some(&text.parse().unwrap()))
    }

    #[test]
    fn refs_are_chosen_as_git_does() {
        let named = |name: &str| Ok(Choice::Advertised { name: name.to_owned() });
        assert_eq!(choose(&offered(), None), named("HEAD"));
        assert_eq!(wanted("main"), named("refs/heads/main"));
        assert_eq!(wanted("v1"), named("refs/tags/v1"));
        assert_eq!(wanted("refs/heads/v1"), named("refs/heads/v1"));
        assert_eq!(wanted("feature/x"), named("refs/heads/feature/x"));
        assert_eq!(wanted("ABCDEF0"), Ok(Choice::Commit("abcdef0".to_owned())));
        assert_eq!(wanted("v1.3.0").unwrap_err().nearest, ["v1.2.0"]);
        let commit = |text: &str| offered().commit_of(&wanted(text).unwrap());
        assert_eq!(commit("v1").as_deref(), Some("4444"), "what is tagged, and not the tag");
        assert_eq!((commit("main").as_deref(), commit("abcdef0")), (Some("1111"), None));
        let whole = "ab".repeat(20);
        assert_eq!(commit(&whole), Some(whole));
        assert_eq!(choose(&Advertised::default(), None), Err(Missing { wanted: None, nearest: Vec::new() }));
    }

    #[test]
    fn what_is_no_ref_is_refused() {
        for bad in ["", "-x", "--upload-pack=x", "a\nb", "a b", "a..b", "a:b", "a^{}", "@{u}", "/a", "a/", "a.lock"] {
            assert!(bad.parse::<Ref>().is_err(), "{bad:?} was accepted");
        }
    }
}
