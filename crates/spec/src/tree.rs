//! The files of a workspace's directory that matter to a deployment, and their digest.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use piton_model::Digest;

use crate::cache::{FileTime, ReadTree, Stamp};

/// Files beyond this size are known by size and time instead of by content.
const MAX_HASHED_BYTES: u64 = 8 << 20;
/// Nobody's infrastructure code is larger; what is, is a download or a data set that lies in the wrong place.
const MAX_FILES: usize = 5_000;
const MAX_DEPTH: usize = 16;

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Paths below the directory, sorted.
    files: Vec<(PathBuf, Stamp, Kind)>,
    /// Whether there is code on the top level.
    pub(crate) has_code: bool,
    /// Whether there was more than is looked at.
    pub(crate) truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Link,
}

/// Lists a directory without following links to directories.
pub(crate) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut pending = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = pending.pop() {
        let entries = match fs::read_dir(dir.join(&below)) {
            Ok(entries) => entries,
            Err(error) if below.as_os_str().is_empty() => return Err(error),
            // It vanished, or is not readable: the tool will say so if it needs it.
            Err(_) => continue,
        };
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if listing.files.len() >= MAX_FILES {
                listing.truncated = true;
                break;
            }
            if kind.is_dir() {
                let hidden = entry.file_name().as_bytes().starts_with(b".");
                if !hidden && depth < MAX_DEPTH {
                    pending.push((path, depth + 1));
                } else if !hidden {
                    listing.truncated = true;
                }
                continue;
            }
            if is_ignored(&path) {
                continue;
            }
            // A link to a file counts as the file; one to a directory, or to nothing, as the text of the link.
            let target = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file);
            let (metadata, kind) = match (target, kind.is_symlink()) {
                (Some(metadata), _) => (metadata, Kind::File),
                (None, true) => match fs::symlink_metadata(entry.path()) {
                    Ok(metadata) => (metadata, Kind::Link),
                    Err(_) => continue,
                },
                // A socket, a pipe, or a file that vanished.
                (None, false) => continue,
            };
            listing.has_code |= depth == 0 && kind == Kind::File && is_code(&path);
            listing.files.push((path, Stamp::of(&metadata), kind));
        }
    }
    listing.files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(listing)
}

impl Listing {
    /// The digest of names and contents; `known` is used where no stamp differs. The second value says whether the
    /// result may be kept for the next time.
    pub(crate) fn digest(self, dir: &Path, known: Option<&ReadTree>, now: FileTime) -> (ReadTree, bool) {
        let same = |tree: &&ReadTree| {
            tree.stamps.len() == self.files.len()
                && tree.stamps.iter().zip(&self.files).all(|(a, b)| a.0 == b.0 && a.1 == b.1)
        };
        let digest = match known.filter(same) {
            Some(tree) => tree.digest.clone(),
            None => {
                let mut text = String::new();
                for (path, stamp, kind) in &self.files {
                    let content = content_digest(&dir.join(path), stamp, *kind);
                    text.push_str(&hex::encode(path.as_os_str().as_bytes()));
                    text.push(' ');
                    text.push_str(content.as_str());
                    text.push('\n');
                }
                Digest::of(text.as_bytes())
            }
        };
        let settled = self.files.iter().all(|(_, stamp, _)| stamp.is_settled(now));
        let stamps = self.files.into_iter().map(|(path, stamp, _)| (path, stamp)).collect();
        (ReadTree { stamps, digest }, settled)
    }
}

fn content_digest(path: &Path, stamp: &Stamp, kind: Kind) -> Digest {
    let content = match kind {
        Kind::Link => fs::read_link(path).map(|target| target.into_os_string().as_bytes().to_vec()),
        Kind::File if stamp.size() > MAX_HASHED_BYTES => Ok(stamp.outline().into_bytes()),
        Kind::File => fs::read(path),
    };
    Digest::of(&content.unwrap_or_default())
}

/// Code that OpenTofu or Terraform reads.
fn is_code(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    [".tf", ".tf.json", ".tofu", ".tofu.json"].iter().any(|suffix| name.ends_with(suffix.as_bytes()))
        && !name.starts_with(b".")
}

/// The declaration itself, states, and what editors leave behind.
fn is_ignored(path: &Path) -> bool {
    if path == Path::new("config.json") {
        return true;
    }
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let ends = |suffix: &str| name.ends_with(suffix.as_bytes());
    ["~", ".swp", ".swx", ".tfstate", ".tfstate.backup", ".tfstate.lock.info"].into_iter().any(ends)
        || name.starts_with(b"terraform.tfstate")
        || name.starts_with(b".#")
        || name.starts_with(b"#")
        || name == b"4913"
        || name == b"crash.log"
}
