//! A path inside a repository that is safe on every system on which it may be checked out.

use std::fmt;

/// No file system keeps longer names.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4096;

/// Characters that HFS+ does not see, in UTF-8 (from git's `utf8.c`).
const UNSEEN: [[u8; 3]; 16] = [
    [0xe2, 0x80, 0x8c],
    [0xe2, 0x80, 0x8d],
    [0xe2, 0x80, 0x8e],
    [0xe2, 0x80, 0x8f],
    [0xe2, 0x80, 0xaa],
    [0xe2, 0x80, 0xab],
    [0xe2, 0x80, 0xac],
    [0xe2, 0x80, 0xad],
    [0xe2, 0x80, 0xae],
    [0xe2, 0x81, 0xaa],
    [0xe2, 0x81, 0xab],
    [0xe2, 0x81, 0xac],
    [0xe2, 0x81, 0xad],
    [0xe2, 0x81, 0xae],
    [0xe2, 0x81, 0xaf],
    [0xef, 0xbb, 0xbf],
];

/// Names with slashes between them: relative, without `.` and `..`, never git's own directory in any spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct TreePath(Vec<u8>);

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Nothing, or nothing between two slashes, or a slash at an end.
    #[error("it is absolute, or a name in it is empty")]
    EmptyName,
    /// `.` or `..`.
    #[error("`.` and `..` lead elsewhere")]
    Dots,
    /// `.git`, or what some file system takes for it.
    #[error("it is git's own directory, or some file system takes it for that")]
    GitsOwn,
    /// A backslash or a control character.
    #[error("it has a backslash or a control character, which not every system can keep")]
    Character,
    /// Longer than file systems can keep.
    #[error("it is too long")]
    TooLong,
}

impl TreePath {
    /// Reads a path.
    pub fn parse(path: &[u8]) -> Result<TreePath, InvalidPath> {
        if path.len() > LONGEST_PATH {
            return Err(InvalidPath::TooLong);
        }
        path.split(|byte| *byte == b'/').try_for_each(check_name)?;
        Ok(TreePath(path.to_owned()))
    }

    /// The path as git keeps it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names, from the root on.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The directories in which it is, from the root on, but for the root itself.
    pub(super) fn parents(&self) -> impl Iterator<Item = TreePath> {
        self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| TreePath(self.0[..at].to_owned()))
    }
}

/// By names, so that what is in one directory stays together: `a/b` comes before `a-b`.
impl Ord for TreePath {
    fn cmp(&self, other: &TreePath) -> std::cmp::Ordering {
        self.0.as_slice().split(|byte| *byte == b'/').cmp(other.0.as_slice().split(|byte| *byte == b'/'))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &TreePath) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_ascii())
    }
}

fn check_name(name: &[u8]) -> Result<(), InvalidPath> {
    match name {
        b"" => Err(InvalidPath::EmptyName),
        b"." | b".." => Err(InvalidPath::Dots),
        _ if name.len() > LONGEST_NAME => Err(InvalidPath::TooLong),
        _ if name.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control()) => Err(InvalidPath::Character),
        _ if is_gits_own(name) => Err(InvalidPath::GitsOwn),
        _ => Ok(()),
    }
}

/// Whether some file system takes the name for `.git`: NTFS knows short names and streams and drops dots and spaces at
/// the end, HFS+ drops characters that nobody sees, and both know no case.
pub(super) fn is_gits_own(name: &[u8]) -> bool {
    let mut seen = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(byte) = rest.first() {
        if let Some(unseen) = UNSEEN.iter().find(|unseen| rest.starts_with(*unseen)) {
            rest = &rest[unseen.len()..];
        } else {
            seen.push(byte.to_ascii_lowercase());
            rest = &rest[1..];
        }
    }
    let plain = seen.split(|byte| *byte == b':').next().unwrap_or_default();
    let end = plain.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |at| at + 1);
    matches!(&plain[..end], b".git" | b"git~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_never_gits_own() {
        for good in
            ["a", "a/b/c.txt", ".gitignore", ".github/workflows/x.yml", "git", "a b", "ä/ö", "..a", "a..", ".git2"]
        {
            assert!(TreePath::parse(good.as_bytes()).is_ok(), "{good}");
        }
        assert!(TreePath::parse(b"\xff\xfe").is_ok(), "names need not be UTF-8");
        for (bad, why) in [
            ("", InvalidPath::EmptyName),
            ("/etc/passwd", InvalidPath::EmptyName),
            ("a//b", InvalidPath::EmptyName),
            ("a/", InvalidPath::EmptyName),
            (".", InvalidPath::Dots),
            ("a/../b", InvalidPath::Dots),
            ("..", InvalidPath::Dots),
            (".git/config", InvalidPath::GitsOwn),
            ("a/.GIT/hooks/x", InvalidPath::GitsOwn),
            ("git~1/x", InvalidPath::GitsOwn),
            (".git. ./x", InvalidPath::GitsOwn),
            (".git::$INDEX_ALLOCATION/x", InvalidPath::GitsOwn),
            (".g\u{200c}it/x", InvalidPath::GitsOwn),
            ("\u{feff}.git", InvalidPath::GitsOwn),
            ("a\\b", InvalidPath::Character),
            ("a\nb", InvalidPath::Character),
            ("a\0b", InvalidPath::Character),
        ] {
            assert_eq!(TreePath::parse(bad.as_bytes()), Err(why), "{bad:?}");
        }
        assert_eq!(TreePath::parse(&[b'a'; 256]), Err(InvalidPath::TooLong));
        assert_eq!(TreePath::parse("a/".repeat(3000).as_bytes()), Err(InvalidPath::TooLong));
    }

    #[test]
    fn what_is_in_one_directory_stays_together() {
        let mut paths = ["a.b", "a/x", "a-b", "a/b/c", "a"].map(|path| TreePath::parse(path.as_bytes()).unwrap());
        paths.sort();
        assert_eq!(paths.map(|path| path.to_string()), ["a", "a/b/c", "a/x", "a-b", "a.b"]);
    }
}
