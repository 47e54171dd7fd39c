//! The files of a first commit.

mod links;
mod path;
mod read;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

pub use path::{InvalidPath, TreePath};

use crate::object::{Kind, ObjectId, Packing};

/// What a tree may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many files and links.
    pub entries: usize,
    /// How many bytes one file has.
    pub file_bytes: u64,
    /// How many bytes all of them have.
    pub bytes: u64,
}

impl Default for Limits {
    /// What every forge takes in its usual settings: GitHub refuses files of more than 100 MiB.
    fn default() -> Limits {
        Limits { entries: 10_000, file_bytes: 100 << 20, bytes: 500 << 20 }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File {
        /// Its content.
        content: Bytes,
        /// Whether it may be run.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: Vec<u8>,
    },
}

/// Why files are no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A name that no repository may hold.
    #[error("`{}` cannot be in a repository: {problem}", shown(path))]
    Path {
        /// The name, from the root of the tree.
        path: Vec<u8>,
        /// What is wrong with it.
        problem: InvalidPath,
    },
    /// Two files have one path, or one is where another has its directory.
    #[error("`{path}` is there twice, or is both a file and a directory")]
    Twice {
        /// The path.
        path: TreePath,
    },
    /// A link leads out of the tree, or into git's own directory, or nowhere but to itself.
    #[error("the link `{path}` leads to `{}`, which is not inside the tree", shown(target))]
    Link {
        /// The link.
        path: TreePath,
        /// Where it leads.
        target: Vec<u8>,
    },
    /// Neither a file nor a directory nor a link.
    #[error("`{path}` is neither a file nor a directory nor a link")]
    Special {
        /// What it is that cannot be kept.
        path: TreePath,
    },
    /// There is no file.
    #[error("there is no file to commit")]
    Empty,
    /// There is too much.
    #[error("{what}: at most {limit} can be committed")]
    TooMuch {
        /// Of what.
        what: String,
        /// How much there may be.
        limit: u64,
    },
    /// The directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Files and links by their paths. Directories are there only for what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
    bytes: u64,
    limits: Limits,
}

impl Tree {
    /// No files yet.
    pub fn new(limits: Limits) -> Tree {
        Tree { entries: BTreeMap::new(), bytes: 0, limits }
    }

    /// Adds a file. `path` has slashes, and none at its ends.
    pub fn file(&mut self, path: &str, content: impl Into<Bytes>, executable: bool) -> Result<(), TreeError> {
        self.insert(path.as_bytes(), Entry::File { content: content.into(), executable })
    }

    /// Adds a symbolic link. Whether it stays inside is seen when all are there, by [`Tree::check`].
    pub fn link(&mut self, path: &str, target: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        self.insert(path.as_bytes(), Entry::Link { target: target.into() })
    }

    /// Adds what is at a path.
    pub fn insert(&mut self, path: &[u8], entry: Entry) -> Result<(), TreeError> {
        let path = TreePath::parse(path).map_err(|problem| TreeError::Path { path: path.to_owned(), problem })?;
        let length = match &entry {
            Entry::File { content, .. } => content.len(),
            Entry::Link { target } => target.len(),
        } as u64;
        let too_much = |what: String, limit| Err(TreeError::TooMuch { what, limit });
        if length > self.limits.file_bytes {
            return too_much(format!("`{path}` has {length} bytes"), self.limits.file_bytes);
        }
        if self.entries.len() >= self.limits.entries {
            return too_much("there are more files".to_owned(), self.limits.entries as u64);
        }
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.limits.bytes {
            return too_much("the files have more bytes".to_owned(), self.limits.bytes);
        }
        if self.entries.contains_key(&path) {
            return Err(TreeError::Twice { path });
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// What is at which path, in the order of the paths.
    pub fn entries(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// How many files and links there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What can only be said of all of them: no file is where another has its directory, and every link stays inside.
    pub fn check(&self) -> Result<(), TreeError> {
        if self.entries.is_empty() {
            return Err(TreeError::Empty);
        }
        for path in self.entries.keys() {
            if let Some(taken) = path.parents().find(|parent| self.entries.contains_key(parent)) {
                return Err(TreeError::Twice { path: taken });
            }
        }
        for (path, entry) in &self.entries {
            if let Entry::Link { target } = entry
                && !links::stays_inside(&self.entries, path, target)
            {
                return Err(TreeError::Link { path: path.clone(), target: target.clone() });
            }
        }
        Ok(())
    }

    /// Puts blobs and trees into the pack; the name of the root.
    pub(crate) fn pack(&self, packing: &mut Packing) -> io::Result<ObjectId> {
        let entries: Vec<(Vec<&[u8]>, &Entry)> =
            self.entries.iter().map(|(path, entry)| (path.components().collect(), entry)).collect();
        pack_directory(&entries, 0, packing)
    }
}

/// Everything in `entries` begins with the same `depth` names, and is in order.
fn pack_directory(entries: &[(Vec<&[u8]>, &Entry)], depth: usize, packing: &mut Packing) -> io::Result<ObjectId> {
    // Sorted as git does: a directory as if its name ended with a slash.
    let mut rows: BTreeMap<Vec<u8>, (&'static str, &[u8], ObjectId)> = BTreeMap::new();
    // Names are compared without what separates them, so the paths of one directory are neighbours.
    for group in entries.chunk_by(|(one, _), (other, _)| one[depth] == other[depth]) {
        let (path, entry) = &group[0];
        let name = path[depth];
        if path.len() > depth + 1 {
            let id = pack_directory(group, depth + 1, packing)?;
            rows.insert([name, b"/"].concat(), ("40000", name, id));
            continue;
        }
        let row = match entry {
            Entry::File { content, executable: true } => ("100755", name, packing.add(Kind::Blob, content)?),
            Entry::File { content, executable: false } => ("100644", name, packing.add(Kind::Blob, content)?),
            Entry::Link { target } => ("120000", name, packing.add(Kind::Blob, target)?),
        };
        rows.insert(name.to_owned(), row);
    }
    let mut content = Vec::new();
    for (mode, name, id) in rows.into_values() {
        content.extend_from_slice(mode.as_bytes());
        content.push(b' ');
        content.extend_from_slice(name);
        content.push(0);
        content.extend_from_slice(id.bytes());
    }
    packing.add(Kind::Tree, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> Result<Tree, TreeError> {
        let mut tree = Tree::new(Limits::default());
        for file in files {
            tree.file(file, file.to_string(), false)?;
        }
        tree.check().map(|()| tree)
    }

    #[test]
    fn one_path_has_one_file() {
        assert!(tree(&["a", "b/c", "b/d"]).is_ok());
        for twice in [&["a", "a"][..], &["a", "a/b"], &["a/b/c", "a"], &["a/b", "a/b/c/d", "a-b"]] {
            assert!(matches!(tree(twice), Err(TreeError::Twice { .. })), "{twice:?}");
        }
        assert!(matches!(tree(&[]), Err(TreeError::Empty)));
    }

    #[test]
    fn more_than_the_limits_is_too_much() {
        let limits = Limits { entries: 2, file_bytes: 3, bytes: 5 };
        let mut tree = Tree::new(limits);
        assert!(matches!(tree.file("long", "1234", false), Err(TreeError::TooMuch { limit: 3, .. })));
        tree.file("a", "123", false).unwrap();
        assert!(matches!(tree.clone().file("b", "123", false), Err(TreeError::TooMuch { limit: 5, .. })));
        tree.file("b", "1", false).unwrap();
        assert!(matches!(tree.file("c", "", false), Err(TreeError::TooMuch { limit: 2, .. })));
    }
}
