//! What is asked for: a repository, where, and for which run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A description of the repository that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, which is also the last part of its address.
    pub name: RepositoryName,
    /// Whose it is.
    pub owner: Owner,
    /// Who may see it.
    pub visibility: Visibility,
    /// What it is about, for people. The mark of the run is appended.
    pub description: String,
    /// The run that wants it: the mark by which it is found again.
    pub run: RunMark,
    /// The branch that gets the first commit.
    pub branch: BranchName,
    /// Words to find it by, where the forge knows such.
    pub topics: Vec<String>,
    /// Whether an empty repository that nobody marked may be used. A repository with commits of others never is.
    pub adopt_empty: bool,
}

/// Who may see a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Members.
    #[default]
    Private,
    /// Everybody who is signed in.
    Internal,
    /// Everybody.
    Public,
}

impl Visibility {
    /// As forges write it.
    pub fn word(self) -> &'static str {
        match self {
            Visibility::Private => "private",
            Visibility::Internal => "internal",
            Visibility::Public => "public",
        }
    }
}

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {what}: {problem}")]
pub struct InvalidName {
    /// What it should be, with its article.
    pub what: &'static str,
    /// What was given, cut short.
    pub given: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Whose a repository is: a group, an organisation or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Whoever the token belongs to.
    Me,
    /// A group of GitLab by its number.
    Id(u64),
    /// By path; groups of GitLab lie in each other: `company/team`.
    Path(String),
}

impl FromStr for Owner {
    type Err = InvalidName;

    /// A number, or a path with slashes; nothing is [`Owner::Me`].
    fn from_str(text: &str) -> Result<Owner, InvalidName> {
        let invalid = |problem| InvalidName { what: "an owner of repositories", given: short(text), problem };
        let path = text.trim_matches('/');
        if path.is_empty() {
            return Ok(Owner::Me);
        }
        if path.bytes().all(|byte| byte.is_ascii_digit()) {
            return path.parse().map(Owner::Id).map_err(|_| invalid("the number is too large"));
        }
        if path.len() > 500 {
            return Err(invalid("it is too long"));
        }
        if path.split('/').any(|part| part.is_empty() || part.starts_with(['.', '-']) || !part.bytes().all(is_plain)) {
            return Err(invalid("write letters, digits, `.`, `_` and `-`, with slashes between groups"));
        }
        Ok(Owner::Path(path.to_owned()))
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<$name, InvalidName> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(text) {
                    None => Ok($name(text.to_owned())),
                    Some(problem) => Err(InvalidName { what: $what, given: short(text), problem }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<$name, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The name of a repository, as every forge takes it.
    RepositoryName, "the name of a repository", |text| {
        let lower = text.to_ascii_lowercase();
        if text.is_empty() || text.len() > 100 {
            Some("it must have 1 to 100 characters")
        } else if !text.bytes().all(is_plain) {
            Some("write letters, digits, `.`, `_` and `-`")
        } else if text.starts_with(['.', '-']) || text.ends_with('.') {
            Some("it may not begin with `.` or `-`, nor end with `.`")
        } else if [".git", ".atom", ".wiki"].iter().any(|end| lower.ends_with(end)) {
            Some("forges keep names that end with `.git`, `.atom` or `.wiki` for themselves")
        } else {
            None
        }
    }
}

text! {
    /// What a run is known by. It must be unique for ever and hard to guess, as a UUID is: whoever knows it beforehand
    /// could put a repository of their own in the way.
    RunMark, "the id of a run", |text| {
        if text.is_empty() || text.len() > 128 {
            Some("it must have 1 to 128 characters")
        } else if !text.bytes().all(is_plain) {
            Some("write letters, digits, `.`, `_` and `-`")
        } else {
            None
        }
    }
}

impl RunMark {
    /// As it stands in descriptions and topics.
    pub fn mark(&self) -> String {
        format!("run:{}", self.0)
    }

    /// Whether the description or a topic of a repository carries the mark.
    pub(crate) fn is_in<'a>(&self, description: &str, mut topics: impl Iterator<Item = &'a str>) -> bool {
        let mark = self.mark();
        let words = description.split(|char: char| !(char == ':' || char.is_ascii() && is_plain(char as u8)));
        words.into_iter().any(|word| word == mark) || topics.any(|topic| topic == mark)
    }
}

text! {
    /// The short name of a branch.
    BranchName, "the name of a branch", |text| {
        // As `git check-ref-format --branch` has it.
        if text.is_empty() || text.len() > 200 {
            Some("it must have 1 to 200 characters")
        } else if text.starts_with('-') || text == "@" || text == "HEAD" {
            Some("git keeps this name for itself")
        } else if text.chars().any(|char| char.is_control() || " ~^:?*[\\".contains(char)) {
            Some("it contains a character that git does not allow")
        } else if text.contains("..") || text.contains("@{") || text.ends_with('.') {
            Some("it contains `..` or `@{`, or ends with `.`")
        } else if text.split('/').any(|part| {
            part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some()
        }) {
            Some("no part of it may be empty, begin with `.` or end with `.lock`")
        } else if text.starts_with("refs/") {
            Some("write the short name, without `refs/heads/`")
        } else {
            None
        }
    }
}

impl BranchName {
    /// `refs/heads/…`.
    pub(crate) fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl Wanted {
    /// The description with the mark. GitHub keeps 350 characters and refuses control characters.
    pub(crate) fn marked_description(&self) -> String {
        const LONGEST: usize = 350;
        let mark = self.run.mark();
        let room = LONGEST - mark.len() - " ()".len();
        let words: String = self.description.split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().filter(|char| !char.is_control()).take(room).collect();
        match words.trim() {
            "" => mark,
            words => format!("{words} ({mark})"),
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn short(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers_or_paths() {
        assert_eq!("".parse(), Ok(Owner::Me));
        assert_eq!("123".parse(), Ok(Owner::Id(123)));
        assert_eq!("company/team-1".parse(), Ok(Owner::Path("company/team-1".to_owned())));
        assert_eq!("/company/".parse(), Ok(Owner::Path("company".to_owned())));
        for bad in ["a//b", "../b", "a b", "a?b", "a%2fb", "-x", "99999999999999999999999"] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_those_that_forges_take() {
        for good in ["my-service", "a", "A.b_c-1", "x.github.io"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", ".a", "a/b", "a b", "x.git", "x.GIT", "x.atom", "ä", "a."] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
        for good in ["main", "feature/x", "a.b", "v1@2"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a..b", "a b", "a//b", "/a", "a/", "a.lock", "refs/heads/a", "HEAD", "a\nb", "a~1", ".a"]
        {
            assert!(bad.parse::<BranchName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mark_is_a_word_of_its_own() {
        let run: RunMark = "ab-1".parse().unwrap();
        let none = || std::iter::empty();
        for marked in ["run:ab-1", "Payments (run:ab-1)", "x, run:ab-1; y", "(run:ab-1"] {
            assert!(run.is_in(marked, none()), "{marked}");
        }
        for other in ["", "run:ab-12", "xrun:ab-1", "run:ab-1.2", "run: ab-1", "ab-1", "RUN:ab-1"] {
            assert!(!run.is_in(other, none()), "{other}");
        }
        assert!(run.is_in("", ["go", "run:ab-1"].into_iter()));
    }

    #[test]
    fn a_description_always_ends_with_the_mark() {
        let wanted = |description: &str| Wanted {
            name: "x".parse().unwrap(),
            owner: Owner::Me,
            visibility: Visibility::Private,
            description: description.to_owned(),
            run: "ab".parse().unwrap(),
            branch: "main".parse().unwrap(),
            topics: Vec::new(),
            adopt_empty: false,
        };
        assert_eq!(wanted("").marked_description(), "run:ab");
        assert_eq!(wanted(" a\nb\t").marked_description(), "a b (run:ab)");
        let long = wanted(&"ä".repeat(500)).marked_description();
        assert!(long.ends_with("ää (run:ab)"), "{long}");
        assert_eq!(long.chars().count(), 350);
    }
}
