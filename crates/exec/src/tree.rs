//! A tree of files that may be copied: scanned, laid over another one, checked, digested.

mod links;
mod place;
mod scan;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::Digest;
use sha2::{Digest as _, Sha256};

pub(crate) use place::{MANIFEST, place, was_laid_out, was_placed};
use scan::Root;
pub(crate) use scan::Skip;

/// Why a tree cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry that may lead elsewhere, or is not a file.
    #[error("`{}` {problem}", path.display())]
    Unsafe {
        /// The entry, relative to the tree's root.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Something in the destination that Piton did not put there.
    #[error("`{}` is in the way: it was not put there by Piton", path.display())]
    InTheWay {
        /// The path in the destination.
        path: PathBuf,
    },
    /// The system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which path.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    }
}

/// Files, directories and links below one root, by relative path.
///
/// Every directory on the way to an entry is an entry itself.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory,
    File { root: Arc<Root>, executable: bool },
    Link { target: PathBuf },
}

impl Tree {
    /// Reads the names below `root`. Files are opened later, and always beneath `root`.
    pub(crate) fn scan(root: &Path, skip: Skip) -> Result<Tree, Error> {
        Ok(Tree { entries: scan::scan(root, skip)? })
    }

    /// Lays `upper` over this tree: where both have an entry, `upper` wins.
    pub(crate) fn overlay(&mut self, upper: Tree) {
        for (path, entry) in upper.entries {
            let both_directories =
                matches!((&entry, self.entries.get(&path)), (Entry::Directory, Some(Entry::Directory)));
            if !both_directories {
                // What lay below a directory that is now a file or a link goes with it.
                self.entries.retain(|below, _| !below.starts_with(&path));
            }
            self.entries.insert(path, entry);
        }
    }

    /// Refuses links that leave the tree or lead nowhere.
    pub(crate) fn check_links(&self) -> Result<(), Error> {
        links::check(&self.entries)
    }

    /// Whether the root holds code for OpenTofu or Terraform.
    pub(crate) fn has_code(&self) -> bool {
        self.entries.iter().any(|(path, entry)| {
            matches!(entry, Entry::File { .. } | Entry::Link { .. })
                && path.parent() == Some(Path::new(""))
                && path.to_str().is_some_and(is_code)
        })
    }

    /// The files and links, sorted.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter(|(_, entry)| !matches!(entry, Entry::Directory)).map(|(path, _)| path.as_path())
    }

    /// SHA-256 over paths, kinds, the executable bit and contents, in the order of the paths.
    pub(crate) fn digest(&self) -> Result<Digest, Error> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        // Every part is preceded by its length, so that no two trees feed the same bytes.
        let part = |hash: &mut Sha256, bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (path, entry) in &self.entries {
            let name = path.as_os_str().as_encoded_bytes();
            match entry {
                Entry::Directory => {}
                Entry::Link { target } => {
                    hash.update(b"l");
                    part(&mut hash, name);
                    part(&mut hash, target.as_os_str().as_encoded_bytes());
                }
                Entry::File { root, executable } => {
                    hash.update(if *executable { b"x" } else { b"f" });
                    part(&mut hash, name);
                    let mut file = root.open(path)?;
                    let mut content = Sha256::new();
                    loop {
                        let n = file.read(&mut buffer).map_err(Error::io("read", path))?;
                        if n == 0 {
                            break;
                        }
                        content.update(buffer.get(..n).unwrap_or_default());
                    }
                    hash.update(content.finalize());
                }
            }
        }
        Digest::parse(&hex::encode(hash.finalize()))
            .ok_or_else(|| Error::Unsafe { path: PathBuf::new(), problem: "has no digest".to_owned() })
    }
}

/// Whether a file of this name is code of a root module.
pub(crate) fn is_code(name: &str) -> bool {
    [".tf", ".tf.json", ".tofu", ".tofu.json"].iter().any(|suffix| name.ends_with(suffix) && !name.starts_with('.'))
}

#[cfg(test)]
mod tests;
