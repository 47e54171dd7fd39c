//! Where links lead, decided on the tree alone. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{Entry, Error};

/// The kernel gives up after as many.
const HOPS: usize = 40;

/// Refuses every link that leaves the tree, leads nowhere or runs in circles.
pub(super) fn check(entries: &BTreeMap<PathBuf, Entry>) -> Result<(), Error> {
    for (path, entry) in entries {
        if let Entry::Link { target } = entry {
            follow(entries, path, target)
                .map_err(|problem| Error::Unsafe { path: path.clone(), problem: problem.to_owned() })?;
        }
    }
    Ok(())
}

fn follow(entries: &BTreeMap<PathBuf, Entry>, path: &Path, target: &Path) -> Result<(), &'static str> {
    let mut at: PathBuf = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut ahead: Vec<OsString> = Vec::new();
    push(&mut ahead, target)?;
    let mut hops = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if !at.pop() {
                return Err("is a link that leaves the directory");
            }
            continue;
        }
        let next = at.join(&part);
        match entries.get(&next) {
            None => return Err("is a link that leads to nothing that is copied"),
            Some(Entry::Link { target }) => {
                hops += 1;
                if hops > HOPS {
                    return Err("is a link that runs in circles");
                }
                push(&mut ahead, target)?;
            }
            Some(Entry::File { .. }) if !ahead.is_empty() => return Err("is a link through a file"),
            Some(Entry::File { .. } | Entry::Directory) => at = next,
        }
    }
    Ok(())
}

/// Puts the parts of `target` on top, the first one last.
fn push(ahead: &mut Vec<OsString>, target: &Path) -> Result<(), &'static str> {
    let mut parts = Vec::new();
    for component in target.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::ParentDir => parts.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err("is a link with an absolute target"),
        }
    }
    ahead.extend(parts.into_iter().rev());
    Ok(())
}
