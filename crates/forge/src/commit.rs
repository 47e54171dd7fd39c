//! The first commit: a function of files, people, time and run, so that doing it again makes the same.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;

use crate::object::{Kind, ObjectId, Packing};
use crate::tree::{Tree, TreeError};
use crate::wanted::RunMark;

/// The trailer by which a commit names its run.
pub const TRAILER: &str = "Run-Id";

const LONGEST_MESSAGE: usize = 64 * 1024;

/// Who made a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    email: String,
}

/// What makes a commit beside its files.
#[derive(Debug, Clone)]
pub struct Words {
    /// Who wrote the files.
    pub author: Identity,
    /// Who made the commit.
    pub committer: Identity,
    /// When the run was created. A time that differs from one try to the next would make another commit of each.
    pub date: Timestamp,
    /// What the commit says, without the trailer.
    pub message: String,
    /// The run.
    pub run: RunMark,
}

/// Why there is no commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The files are no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name or an address that a commit cannot hold.
    #[error("{what} `{given}` cannot be in a commit: {problem}")]
    Identity {
        /// `name` or `email`.
        what: &'static str,
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The message cannot be kept.
    #[error("the commit message {problem}")]
    Message {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Packing failed.
    #[error("cannot pack the commit: {0}")]
    Pack(#[source] io::Error),
}

impl Identity {
    /// `name <email>`. Git would drop what would break its format; here it is refused.
    pub fn new(name: &str, email: &str) -> Result<Identity, CommitError> {
        for (what, given) in [("name", name), ("email", email)] {
            let problem = if given.trim().is_empty() {
                "it is empty"
            } else if given.len() > 256 {
                "it is too long"
            } else if given.trim() != given {
                "it begins or ends with a space"
            } else if given.contains(['<', '>']) || given.contains(char::is_control) {
                "it contains `<`, `>` or a control character"
            } else {
                continue;
            };
            let given = given.escape_debug().take(80).collect();
            return Err(CommitError::Identity { what, given, problem });
        }
        Ok(Identity { name: name.to_owned(), email: email.to_owned() })
    }
}

/// A commit without parents, and everything that it is made of.
#[derive(Debug, Clone)]
pub struct Commit {
    id: ObjectId,
    tree: ObjectId,
    pack: Bytes,
    files: usize,
}

impl Commit {
    /// Makes the commit. The same input makes the same commit, whoever calls this and whenever. It computes and
    /// compresses: a few milliseconds for a usual template, seconds for hundreds of megabytes.
    pub fn build(tree: &Tree, words: &Words) -> Result<Commit, CommitError> {
        tree.check()?;
        let message = message(&words.message, &words.run)?;
        let mut packing = Packing::new();
        let root = tree.pack(&mut packing).map_err(CommitError::Pack)?;
        let line = |who: &Identity| format!("{} <{}> {} +0000", who.name, who.email, words.date.as_second().max(0));
        let content =
            format!("tree {root}\nauthor {}\ncommitter {}\n\n{message}", line(&words.author), line(&words.committer));
        let id = packing.add(Kind::Commit, content.as_bytes()).map_err(CommitError::Pack)?;
        Ok(Commit { id, tree: root, pack: packing.finish().into(), files: tree.len() })
    }

    /// The name of the commit.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The name of its tree.
    pub fn tree(&self) -> ObjectId {
        self.tree
    }

    /// How many files and links it has.
    pub fn files(&self) -> usize {
        self.files
    }

    /// A pack of everything: what a push sends.
    pub fn pack(&self) -> &Bytes {
        &self.pack
    }
}

/// The message with its trailer, which joins those that are there.
fn message(text: &str, run: &RunMark) -> Result<String, CommitError> {
    let text = text.trim_end().trim_start_matches(['\n', '\r']).replace("\r\n", "\n");
    let problem = if text.is_empty() {
        "is empty"
    } else if text.len() > LONGEST_MESSAGE {
        "is too long"
    } else if text.contains('\0') {
        "contains a NUL character"
    } else {
        let last = text.rsplit_once("\n\n").map(|(_, last)| last);
        let joins = last.is_some_and(|last| last.lines().all(is_trailer));
        return Ok(format!("{text}{}{TRAILER}: {run}\n", if joins { "\n" } else { "\n\n" }));
    };
    Err(CommitError::Message { problem })
}

/// Whether a commit is that of a run, going by what it says.
pub(crate) fn is_of(message: &str, run: &RunMark) -> bool {
    let last = message.trim_end().rsplit_once("\n\n").map_or("", |(_, last)| last);
    let ours = format!("{TRAILER}: {run}");
    last.lines().any(|line| line == ours)
}

fn is_trailer(line: &str) -> bool {
    line.split_once(": ")
        .is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Limits;

    fn words(message: &str) -> Words {
        let identity = Identity::new("A U Thor", "author@example.org").unwrap();
        Words {
            author: identity.clone(),
            committer: identity,
            date: "2026-01-02T03:04:05Z".parse().unwrap(),
            message: message.to_owned(),
            run: "abc-123".parse().unwrap(),
        }
    }

    #[test]
    fn the_trailer_joins_others() {
        let run: RunMark = "abc".parse().unwrap();
        for (given, kept) in [
            ("Begin", "Begin\n\nRun-Id: abc\n"),
            ("Begin\n\n", "Begin\n\nRun-Id: abc\n"),
            ("fix: this", "fix: this\n\nRun-Id: abc\n"),
            ("Begin\n\nWhy: it is time.\nNot so.", "Begin\n\nWhy: it is time.\nNot so.\n\nRun-Id: abc\n"),
            ("Begin\r\n\r\nSigned-off-by: A <a@b>", "Begin\n\nSigned-off-by: A <a@b>\nRun-Id: abc\n"),
        ] {
            assert_eq!(message(given, &run).unwrap(), kept);
            assert!(is_of(kept, &run));
        }
        for other in ["Begin\n\nRun-Id: abcd\n", "Begin\n\nRun-Id: abc\n\nOther: x\n", "Run-Id: abc\n", ""] {
            assert!(!is_of(other, &run), "{other:?}");
        }
        for bad in ["", " \n", "a\0b"] {
            assert!(matches!(message(bad, &run), Err(CommitError::Message { .. })), "{bad:?}");
        }
    }

    #[test]
    fn order_of_insertion_does_not_matter_and_everything_else_does() {
        let build = |files: &[(&str, &str, bool)], words: &Words| {
            let mut tree = Tree::new(Limits::default());
            for (path, content, executable) in files {
                tree.file(path, (*content).to_owned(), *executable).unwrap();
            }
            Commit::build(&tree, words).unwrap().id()
        };
        let begin = words("Begin");
        let first = build(&[("a", "1", false), ("b/c", "2", false)], &begin);
        assert_eq!(first, build(&[("b/c", "2", false), ("a", "1", false)], &begin));
        assert_ne!(first, build(&[("a", "1", true), ("b/c", "2", false)], &begin));
        assert_ne!(first, build(&[("a", "1", false), ("b/c", "2", false)], &words("Go")));
        let later = Words { date: "2026-01-02T03:04:06Z".parse().unwrap(), ..begin.clone() };
        assert_ne!(first, build(&[("a", "1", false), ("b/c", "2", false)], &later));
        let other = Words { run: "abc-124".parse().unwrap(), ..begin };
        assert_ne!(first, build(&[("a", "1", false), ("b/c", "2", false)], &other));
    }

    #[test]
    fn people_have_names_that_a_commit_can_hold() {
        assert!(Identity::new("Ünï Code", "u@example.org").is_ok());
        for (name, email) in [("", "a@b"), ("a", ""), ("a\nb", "a@b"), ("a", "a@b> 0 +0000"), (" a", "a@b")] {
            assert!(Identity::new(name, email).is_err(), "{name:?} {email:?}");
        }
    }
}
