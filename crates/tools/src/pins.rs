//! Version files: `.opentofu-version`, `.terraform-version` and `.tool-versions`.
//!
//! They are looked for in a directory and then in its parents, up to a given root. The nearest one wins; in the same
//! directory the tool's own file wins over `.tool-versions`.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::claim::{Claim, Place};
use crate::error::Error;
use crate::tool::Tool;
use crate::want::Want;

/// No version file is larger; a bigger one is something else under the same name.
const MAX_BYTES: u64 = 64 * 1024;

/// A version file's demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The tool it speaks about.
    pub tool: Tool,
    /// What it asks for.
    pub want: Want,
    /// Where it is written.
    pub place: Place,
}

impl Pin {
    pub(crate) fn claim(&self) -> Claim {
        Claim { text: self.want.to_string(), place: self.place.clone() }
    }
}

/// The pin of `tool` that holds in `dir`, looking no higher than `root`.
///
/// A `dir` outside `root` is looked at alone.
pub fn find(tool: Tool, dir: &Path, root: &Path) -> Result<Option<Pin>, Error> {
    let highest = if dir.starts_with(root) { root } else { dir };
    for dir in dir.ancestors() {
        let own = dir.join(tool.version_file());
        if let Some(text) = read(&own)? {
            return version_file(tool, own, &text).map(Some);
        }
        let shared = dir.join(".tool-versions");
        if let Some(text) = read(&shared)?
            && let Some(pin) = tool_versions(tool, &shared, &text)?
        {
            return Ok(Some(pin));
        }
        if dir == highest {
            break;
        }
    }
    Ok(None)
}

/// The file's text, if there is such a file.
fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |error| Error::io("read", path)(error);
    // Anything but a plain file, a pipe above all, would keep the reader waiting.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::InvalidPin {
        place: Place::File { path: path.to_owned(), line: None },
        reason: "the file is not text".to_owned(),
    })?;
    Ok(Some(text))
}

/// Lines that say something, numbered from one, comments cut off.
fn meaningful_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split_once('#').map_or(line, |(before, _)| before).trim()))
        .filter(|(_, line)| !line.is_empty())
}

fn version_file(tool: Tool, path: PathBuf, text: &str) -> Result<Pin, Error> {
    let Some((line, word)) = meaningful_lines(text).next() else {
        let reason = "the file names no version".to_owned();
        return Err(Error::InvalidPin { place: Place::File { path, line: None }, reason });
    };
    let place = Place::File { path, line: Some(line) };
    Ok(Pin { tool, want: Want::parse(word, &place)?, place })
}

/// The line for `tool`, if any. Of several versions on it the first counts, as it does for asdf and mise.
fn tool_versions(tool: Tool, path: &Path, text: &str) -> Result<Option<Pin>, Error> {
    for (line, words) in meaningful_lines(text) {
        let mut words = words.split_whitespace();
        if words.next() != Some(tool.plugin_name()) {
            continue;
        }
        let place = Place::File { path: path.to_owned(), line: Some(line) };
        let Some(version) = words.next() else {
            let reason = format!("`{}` is followed by no version", tool.plugin_name());
            return Err(Error::InvalidPin { place, reason });
        };
        return Ok(Some(Pin { tool, want: Want::parse_tool_versions(version, &place)?, place }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Tree {
            let tree = Tree(tempfile::tempdir().unwrap());
            for (path, text) in files {
                let path = tree.path(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            tree
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn find(&self, tool: Tool, dir: &str) -> Result<Option<Pin>, Error> {
            fs::create_dir_all(self.path(dir)).unwrap();
            find(tool, &self.path(dir), self.0.path())
        }
    }

    fn exactly(pin: Option<Pin>) -> (Version, Place) {
        match pin.unwrap() {
            Pin { want: Want::Exactly(version), place, .. } => (version, place),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_nearest_file_wins() {
        let tree = Tree::new(&[
            (".opentofu-version", "1.6.0\n"),
            ("a/.tool-versions", "# ours\nterraform 1.5.7\nopentofu 1.7.0 1.6.2\n"),
            ("a/b/.opentofu-version", "\n# newest that works\n v1.8.0 # really\n"),
            ("a/b/.tool-versions", "opentofu 1.1.1\n"),
        ]);
        assert_eq!(
            exactly(tree.find(Tool::OpenTofu, "a/b/c").unwrap()),
            (Version::new(1, 8, 0), Place::File { path: tree.path("a/b/.opentofu-version"), line: Some(3) })
        );
        assert_eq!(
            exactly(tree.find(Tool::OpenTofu, "a").unwrap()),
            (Version::new(1, 7, 0), Place::File { path: tree.path("a/.tool-versions"), line: Some(3) })
        );
        assert_eq!(exactly(tree.find(Tool::OpenTofu, "z").unwrap()).0, Version::new(1, 6, 0));
        // `a/b/.tool-versions` says nothing of terraform, so the search goes on upwards.
        assert_eq!(exactly(tree.find(Tool::Terraform, "a/b").unwrap()).0, Version::new(1, 5, 7));
        assert_eq!(tree.find(Tool::Terraform, ".").unwrap(), None);
    }

    #[test]
    fn the_root_is_the_limit() {
        let tree = Tree::new(&[(".terraform-version", "1.5.0"), ("repo/x/main.tf", "")]);
        assert_eq!(find(Tool::Terraform, &tree.path("repo/x"), &tree.path("repo")).unwrap(), None);
        assert_eq!(find(Tool::Terraform, &tree.path("repo"), &tree.path("repo")).unwrap(), None);
        assert_eq!(find(Tool::Terraform, &tree.path("repo/x"), Path::new("/elsewhere")).unwrap(), None);
    }

    #[test]
    fn a_file_without_a_version_is_an_error_that_names_it() {
        for (text, code) in [("", "invalid_pin"), ("# later\n", "invalid_pin"), ("new", "invalid_constraint")] {
            let tree = Tree::new(&[(".opentofu-version", text)]);
            let error = tree.find(Tool::OpenTofu, ".").unwrap_err();
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(".opentofu-version"), "{error}");
        }
        let tree = Tree::new(&[(".tool-versions", "\nopentofu\n")]);
        assert!(tree.find(Tool::OpenTofu, ".").unwrap_err().to_string().contains(".tool-versions:2"));
        assert_eq!(tree.find(Tool::Terraform, ".").unwrap(), None, "another tool's line is no concern");
    }
}
