//! Puts a tree into a directory in which others work too, and takes away what an earlier tree had put there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Error, Tree};
use crate::plain::read_plain;

/// Remembers what was put into a directory.
pub(crate) const MANIFEST: &str = ".piton-layout.json";

/// A name of a hundred bytes for each of more files than anybody lays out.
const LARGEST: u64 = 64 << 20;

/// Whether something was placed in `destination` before.
pub(crate) fn was_laid_out(destination: &Path) -> bool {
    destination.join(MANIFEST).is_file()
}

/// New content is made ready under this name, and then renamed to its place.
const FRESH: &str = ".piton-new";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    entries: BTreeSet<PathBuf>,
}

/// Makes `destination` hold the files of `tree`.
///
/// What is there and was not put there by this function stays: state files, provider caches, the tool's own lock file,
/// whatever the code wrote. A crash at any point is made good by the next call, because the manifest always names at
/// least what was put there.
pub(crate) fn place(tree: &Tree, destination: &Path) -> Result<(), Error> {
    fs::create_dir_all(destination).map_err(Error::io("create", destination))?;
    // A crash may have left it behind.
    let fresh = destination.join(FRESH);
    let _ = fs::remove_file(&fresh);
    let manifest = destination.join(MANIFEST);
    let old = read_manifest(&manifest)?;
    let new: BTreeSet<PathBuf> = tree.entries.keys().cloned().collect();
    if old.entries != new {
        write_manifest(&manifest, &Manifest { entries: old.entries.union(&new).cloned().collect() })?;
    }
    // Deepest first, so that directories are empty when their turn comes.
    for gone in old.entries.iter().rev().filter(|entry| !new.contains(*entry)) {
        take_away(destination, gone)?;
    }
    for (path, entry) in &tree.entries {
        let target = destination.join(path);
        let ours = old.entries.contains(path);
        match entry {
            Entry::Directory => put_directory(&target, ours)?,
            Entry::Link { target: text } => put_link(&fresh, text, &target, ours)?,
            Entry::File { root, executable } => put_file(&fresh, &mut root.open(path)?, *executable, &target, ours)?,
        }
    }
    if old.entries != new {
        write_manifest(&manifest, &Manifest { entries: new })?;
    }
    Ok(())
}

fn read_manifest(path: &Path) -> Result<Manifest, Error> {
    match read_plain(path, LARGEST) {
        // A manifest that cannot be read is one that nobody vouches for: nothing is taken away on its word.
        Ok(bytes) => {
            let mut manifest: Manifest = serde_json::from_slice(&bytes).unwrap_or_default();
            manifest.entries.retain(|entry| is_plain(entry));
            Ok(manifest)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|component| matches!(component, std::path::Component::Normal(_)))
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::io("write", path)(error.into()))?;
    crate::durable::write(path, &text, 0o600).map_err(Error::io("write", path))
}

/// Removes a file, a link or an empty directory. Nothing below a link is touched.
fn take_away(destination: &Path, gone: &Path) -> Result<(), Error> {
    // An ancestor that became a link leads out of the destination.
    if gone.ancestors().skip(1).any(|ancestor| destination.join(ancestor).is_symlink() && ancestor != Path::new("")) {
        return Ok(());
    }
    let path = &destination.join(gone);
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(Error::io("look at", path)(error)),
    };
    let removed = if kind.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

fn put_directory(target: &Path, ours: bool) -> Result<(), Error> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) if !ours => Err(Error::InTheWay { path: target.to_owned() }),
        Ok(_) => {
            fs::remove_file(target).map_err(Error::io("remove", target))?;
            fs::create_dir(target).map_err(Error::io("create", target))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(target).map_err(Error::io("create", target))
        }
        Err(error) => Err(Error::io("look at", target)(error)),
    }
}

fn put_link(fresh: &Path, text: &Path, target: &Path, ours: bool) -> Result<(), Error> {
    if fs::read_link(target).is_ok_and(|there| there == text) {
        return Ok(());
    }
    make_room(target, ours)?;
    std::os::unix::fs::symlink(text, fresh).map_err(Error::io("create", fresh))?;
    fs::rename(fresh, target).map_err(Error::io("create", target))
}

fn put_file(fresh: &Path, source: &mut File, executable: bool, target: &Path, ours: bool) -> Result<(), Error> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut content = Vec::new();
    source.read_to_end(&mut content).map_err(Error::io("read the source of", target))?;
    if is_same(target, &content, mode) {
        return Ok(());
    }
    make_room(target, ours)?;
    let written = (|| {
        let mut file = File::create_new(fresh)?;
        file.write_all(&content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        fs::rename(fresh, target)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(fresh);
        Error::io("write", target)(error)
    })
}

/// A directory cannot be renamed over. Ours was emptied before if the new tree has a file in its place.
fn make_room(target: &Path, ours: bool) -> Result<(), Error> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => {
            if ours && fs::remove_dir(target).is_ok() {
                return Ok(());
            }
            Err(Error::InTheWay { path: target.to_owned() })
        }
        _ => Ok(()),
    }
}

fn is_same(target: &Path, content: &[u8], mode: u32) -> bool {
    let Ok(metadata) = fs::symlink_metadata(target) else { return false };
    metadata.is_file()
        && metadata.len() == content.len() as u64
        && metadata.permissions().mode() & 0o777 == mode
        && fs::read(target).is_ok_and(|there| there == content)
}

/// Whether [`place`] put `path` into `destination`.
pub(crate) fn was_placed(destination: &Path, path: &Path) -> bool {
    read_manifest(&destination.join(MANIFEST)).is_ok_and(|manifest| manifest.entries.contains(path))
}
