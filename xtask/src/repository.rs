//! The files of the repository as a value, so that a rule is a pure function and its test a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// All files git knows or would add, by path relative to the root. Files that are not UTF-8 have no text.
#[derive(Debug, Default)]
pub struct Repository {
    files: BTreeMap<String, Option<String>>,
    directories: BTreeSet<String>,
}

impl Repository {
    /// Reads the checkout at `root`.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        // `safe.directory`: a build machine often owns the checkout as somebody else; reading names is harmless.
        let listing = output(
            root,
            "git",
            &["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        )?;
        let mut files = Vec::new();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // A file deleted but not yet committed as such is listed and absent; a link is judged where it points.
            if full.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
                files.push((path.to_owned(), String::from_utf8(bytes).ok()));
            }
        }
        Ok(Self::from_files(files))
    }

    fn from_files(files: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let directories = files
            .keys()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()))
            .collect::<BTreeSet<_>>();
        Self { files, directories }
    }

    /// A repository of literal texts.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::from_files(files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned()))))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Every text file with its path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every Rust file with its path.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| extension(path) == "rs")
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Is there such a file or directory?
    pub fn contains(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.directories.contains(path)
    }
}

/// What stands behind the last dot of a file's name.
pub fn extension(path: &str) -> &str {
    Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

/// Runs a program in `root` and returns what it printed.
#[expect(clippy::disallowed_methods, reason = "a chore of the developer has no keeper, and waits for its children")]
pub fn output(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_follow_from_files() {
        let repository = Repository::of(&[("a/b/c.md", "")]);
        assert!(repository.contains("a") && repository.contains("a/b") && repository.contains("a/b/c.md"));
        assert!(repository.contains(""), "the root itself");
        assert!(!repository.contains("a/b/c") && !repository.contains("b"));
    }
}
