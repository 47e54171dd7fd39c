//! The files that a rendering made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Problem, Trouble};
use crate::links;
use crate::path::TargetPath;

/// What kind of file it is, in git's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// `100644`
    File,
    /// `100755`
    Executable,
    /// `120000`: the bytes are the target.
    Link,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub path: TargetPath,
    /// What kind of file it is.
    pub mode: Mode,
    /// What is in it.
    pub bytes: Arc<[u8]>,
}

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Paths that are one on file systems where case does not count.
    SameButForCase {
        /// The one.
        path: TargetPath,
        /// The other.
        other: TargetPath,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::SameButForCase { path, other } => {
                write!(out, "{path} and {other} are one file where case does not count, as on macOS and Windows")
            }
        }
    }
}

/// Files in the order of their paths. No path is there twice, none is beneath a file, and every link leads to something
/// in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
    warnings: Vec<Warning>,
}

/// An entry with the file of the blueprint that it was made from.
pub(crate) struct Made {
    pub(crate) source: String,
    pub(crate) entry: Entry,
}

impl Tree {
    /// Puts together what was made, unless it does not fit together.
    pub(crate) fn of(made: Vec<Made>) -> Result<Tree, Error> {
        let mut problems = Vec::new();
        let mut by_path: BTreeMap<TargetPath, Made> = BTreeMap::new();
        for made in made {
            if let Some(other) = by_path.get(&made.entry.path) {
                let message = format!("`{}` is made from `{}` too", made.entry.path, other.source);
                problems.push(Problem::new(Trouble::BadPath, message).file(made.source));
                continue;
            }
            by_path.insert(made.entry.path.clone(), made);
        }
        for made in by_path.values() {
            for parent in made.entry.path.parents() {
                let Ok(parent) = TargetPath::parse(parent) else { continue };
                if let Some(other) = by_path.get(&parent) {
                    let message = format!("`{}` lies beneath `{parent}`, which is a file", made.entry.path);
                    let problem = Problem::new(Trouble::BadPath, message).file(made.source.clone());
                    problems.push(problem.hint(format!("it is made from `{}`", other.source)));
                }
            }
        }
        problems.extend(links::check(&by_path));
        Error::of(problems)?;
        let entries: Vec<Entry> = by_path.into_values().map(|made| made.entry).collect();
        let warnings = same_but_for_case(&entries);
        Ok(Tree { entries, warnings })
    }

    /// The files, in the order of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is probably not meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The file of that path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes.len() as u64).sum()
    }

    /// A digest of paths, modes and contents, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for entry in &self.entries {
            let mode = match entry.mode {
                Mode::File => "100644",
                Mode::Executable => "100755",
                Mode::Link => "120000",
            };
            digest.update(format!("{mode} {}\0{}\0", entry.path, entry.bytes.len()));
            digest.update(&entry.bytes);
        }
        hex::encode(digest.finalize())
    }
}

/// Names of directories count as well as those of files.
fn same_but_for_case(entries: &[Entry]) -> Vec<Warning> {
    let mut seen: BTreeMap<String, TargetPath> = BTreeMap::new();
    let mut warnings = Vec::new();
    for entry in entries {
        let directories = entry.path.parents().filter_map(|path| TargetPath::parse(path).ok());
        for path in std::iter::once(entry.path.clone()).chain(directories) {
            match seen.get(&path.as_str().to_lowercase()) {
                Some(other) if *other == path => {}
                Some(other) => {
                    let warning = Warning::SameButForCase { path, other: other.clone() };
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
                None => drop(seen.insert(path.as_str().to_lowercase(), path)),
            }
        }
    }
    warnings
}
