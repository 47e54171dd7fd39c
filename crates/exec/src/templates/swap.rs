//! Puts a template's files in place in one step.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::Error;

/// A directory on the same file system as the templates, removed when dropped.
pub(super) fn workplace(directory: &Path) -> Result<TempDir, Error> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    tempfile::Builder::new()
        .prefix(".incoming-")
        .tempdir_in(directory)
        .map_err(Error::io("create a directory in", directory))
}

/// Moves `content` to `target`. What was there goes to `content`, and is removed with the workplace.
pub(super) fn put(content: PathBuf, target: &Path) -> Result<(), Error> {
    let exchanged = match fs::symlink_metadata(target) {
        Ok(_) => renameat_with(CWD, &content, CWD, target, RenameFlags::EXCHANGE).map_err(io::Error::from),
        Err(_) => fs::rename(&content, target),
    };
    match exchanged {
        Ok(()) => Ok(()),
        // Some file systems cannot exchange. Readers hold a lock, so they do not see the moment between.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            let old = content.with_extension("old");
            fs::rename(target, &old).map_err(Error::io("move", target))?;
            fs::rename(&content, target).map_err(Error::io("move", &content))
        }
        Err(error) => Err(Error::io("replace", target)(error)),
    }
}

/// Removes a template's files.
pub(super) fn take_away(target: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", target)(error)),
    }
}

/// The directory `path` below `root`, reached without a link.
pub(super) fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) if part != ".git" => at.push(part),
            // A leading slash is the repository's root, as people write it.
            Component::CurDir | Component::RootDir => continue,
            Component::Normal(_) | Component::ParentDir | Component::Prefix(_) => return None,
        }
        if !fs::symlink_metadata(&at).is_ok_and(|metadata| metadata.is_dir()) {
            return None;
        }
    }
    Some(at)
}

/// Directories of the repository that hold code, for the hint.
pub(super) fn directories(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(root)
        .max_depth(4)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".git")
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(crate::tree::is_code))
        .filter_map(|entry| Some(entry.path().parent()?.strip_prefix(root).ok()?.display().to_string()))
        .filter(|path| !path.is_empty())
        .collect();
    found.sort();
    found.dedup();
    found
}
