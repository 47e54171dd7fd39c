//! `NAME.toml` beside the blueprints: says in which git repository the blueprint of that name lies.

use serde::Deserialize;
use toml::Spanned;

use crate::error::{Error, Problem, Trouble};

/// Where a blueprint lies in a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Where the repository is.
    pub url: String,
    /// A branch, a tag or a commit; none for the default branch.
    pub reference: Option<String>,
    /// The directory in it; empty for its root.
    pub path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    url: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    path: Option<Spanned<String>>,
}

impl Pointer {
    /// Reads a file of that name.
    pub fn parse(file: &str, text: &str) -> Result<Pointer, Error> {
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let problem = Problem::new(Trouble::Declaration, error.message().to_owned()).file(file);
            match error.span() {
                Some(span) => problem.at(text, span.start),
                None => problem,
            }
        })?;
        let mut path = String::new();
        if let Some(given) = raw.path {
            let at = given.span().start;
            path = inside(given.as_ref()).map_err(|problem| {
                let problem = Problem::new(Trouble::Declaration, problem).file(file).field("path");
                problem.at(text, at).hint("name a directory of the repository, relative to its root")
            })?;
        }
        Ok(Pointer { url: raw.url, reference: raw.reference, path })
    }
}

/// The path of a directory in a repository, without what means nothing.
fn inside(path: &str) -> Result<String, &'static str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err("it leads out of the repository"),
            name if name.eq_ignore_ascii_case(".git") => return Err("it leads into git's own directory"),
            name if name.chars().any(|char| char.is_control() || char == '\\') => {
                return Err("it has a character that no path may have");
            }
            name => names.push(name),
        }
    }
    Ok(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_says_where_and_which() {
        let read = |text| Pointer::parse("go.toml", text).unwrap();
        let bare = read("url = 'https://git.example.org/blueprints'\n");
        assert_eq!((bare.reference, bare.path.as_str()), (None, ""));
        let all = read("url = '../here'\nref = 'v1.2'\npath = './go/service/'\n");
        assert_eq!(
            (all.url.as_str(), all.reference.as_deref(), all.path.as_str()),
            ("../here", Some("v1.2"), "go/service")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, said) in [
            ("ref = 'main'\n", "missing field `url`"),
            ("url = 'x'\nbranch = 'main'\n", "go.toml:2:1: unknown field `branch`"),
            ("url = 'x'\npath = '../other'\n", "go.toml:2:8: path: it leads out of the repository"),
            ("url = 'x'\npath = 'a/.GIT/hooks'\n", "git's own directory"),
            ("url = 'x'\npath = 'a\\b'\n", "no path may have"),
            ("url = 1\n", "go.toml:1:7: "),
        ] {
            let error = Pointer::parse("go.toml", text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
