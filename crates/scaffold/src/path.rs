//! Where a file may land: a path that stays in its tree, whoever made it up.

use std::fmt;

use thiserror::Error;

/// Bytes of one name, on every file system that matters.
const LONGEST_NAME: usize = 255;

/// Bytes of a path; Linux takes 4096 with what stands before it.
const LONGEST_PATH: usize = 2048;

/// A path that stays in its tree and that git takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

/// Why a path is none of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPath {
    /// No path at all.
    #[error("the path is empty")]
    Empty,
    /// From the root of the file system.
    #[error("the path is absolute")]
    Absolute,
    /// A name between two slashes is missing.
    #[error("the path has an empty name in it")]
    EmptyName,
    /// `.` or `..`.
    #[error("the path has `.` or `..` in it")]
    Dots,
    /// NUL, a line feed and their like.
    #[error("the path has a control character in it")]
    Control,
    /// A separator on other systems.
    #[error("the path has a backslash in it")]
    Backslash,
    /// `.git`, or what a file system takes for it.
    #[error("the path leads into `.git`")]
    Git,
    /// A name that is too long.
    #[error("a name in the path has more than {LONGEST_NAME} bytes")]
    LongName,
    /// A path that is too long.
    #[error("the path has more than {LONGEST_PATH} bytes")]
    LongPath,
}

impl TargetPath {
    /// Takes a path whose every name is harmless.
    pub fn parse(path: &str) -> Result<TargetPath, BadPath> {
        if path.is_empty() {
            return Err(BadPath::Empty);
        }
        if path.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if path.len() > LONGEST_PATH {
            return Err(BadPath::LongPath);
        }
        path.split('/').try_for_each(check_name)?;
        Ok(TargetPath(path.to_owned()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names on the way.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories it lies in, the nearest first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let mut path = self.as_str();
        std::iter::from_fn(move || {
            path = path.rsplit_once('/')?.0;
            Some(path)
        })
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn check_name(name: &str) -> Result<(), BadPath> {
    match name {
        "" => Err(BadPath::EmptyName),
        "." | ".." => Err(BadPath::Dots),
        name if name.len() > LONGEST_NAME => Err(BadPath::LongName),
        name if name.chars().any(char::is_control) => Err(BadPath::Control),
        name if name.contains('\\') => Err(BadPath::Backslash),
        name if is_git(name) => Err(BadPath::Git),
        _ => Ok(()),
    }
}

/// Whether some file system would find `.git` under the name: case does not count, HFS+ ignores some characters, NTFS
/// ignores dots and spaces at the end and what follows a colon, and has a short name for it. Git refuses the same.
pub(crate) fn is_git(name: &str) -> bool {
    let seen: String = name.chars().filter(|&char| !is_ignored(char)).collect();
    let stem = seen.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    stem.eq_ignore_ascii_case(".git") || stem.eq_ignore_ascii_case("git~1")
}

fn is_ignored(char: char) -> bool {
    matches!(char, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_paths_are_taken() {
        for path in ["a", "a/b.txt", ".github/workflows/ci.yml", ".gitignore", "...", "a b/ü/…", "git", ".git-x/a"] {
            assert_eq!(TargetPath::parse(path).map(|path| path.0), Ok(path.to_owned()));
        }
    }

    #[test]
    fn harmful_paths_are_refused() {
        let long = "x".repeat(256);
        let deep = "x/".repeat(1200) + "x";
        let table = [
            ("", BadPath::Empty),
            ("/etc/passwd", BadPath::Absolute),
            ("a//b", BadPath::EmptyName),
            ("a/", BadPath::EmptyName),
            ("..", BadPath::Dots),
            ("a/../b", BadPath::Dots),
            ("./a", BadPath::Dots),
            ("a\0b", BadPath::Control),
            ("a\nb", BadPath::Control),
            ("a\\..\\b", BadPath::Backslash),
            (".git/hooks/pre-commit", BadPath::Git),
            ("a/.GiT/config", BadPath::Git),
            (".git", BadPath::Git),
            ("GIT~1/config", BadPath::Git),
            (".git. ./config", BadPath::Git),
            (".git::$INDEX_ALLOCATION/config", BadPath::Git),
            (".g\u{200c}it/config", BadPath::Git),
            (long.as_str(), BadPath::LongName),
            (deep.as_str(), BadPath::LongPath),
        ];
        for (path, problem) in table {
            assert_eq!(TargetPath::parse(path), Err(problem), "{path:?}");
        }
    }

    #[test]
    fn parents_are_told_from_the_nearest() {
        let path = TargetPath::parse("a/b/c").unwrap();
        assert_eq!(path.parents().collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(path.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
