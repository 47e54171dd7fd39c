//! Reads a directory without ever following a link out of it, or within it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Problem, Trouble};
use crate::limits::{Limits, too_much};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A file or link of a blueprint.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its path in the blueprint.
    pub(crate) path: String,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    File { bytes: Vec<u8>, executable: bool },
    Link(String),
}

/// A directory that is read.
pub(crate) struct Source<'a> {
    root: OwnedFd,
    limits: &'a Limits,
}

/// What a walk comes by.
struct Visit<'a> {
    directory: BorrowedFd<'a>,
    name: &'a str,
    path: &'a str,
    stat: Stat,
    kind: FileType,
}

impl Found {
    pub(crate) fn size(&self) -> u64 {
        match &self.content {
            Content::File { bytes, .. } => bytes.len() as u64,
            Content::Link(target) => target.len() as u64,
        }
    }
}

impl<'l> Source<'l> {
    /// Opens a directory. The path to it may have links in it; nothing beneath it may.
    pub(crate) fn open(path: &Path, limits: &'l Limits) -> Result<Source<'l>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Error::io("open the blueprint", &path.display().to_string(), &error.into()))?;
        Ok(Source { root, limits })
    }

    /// The directory at a path beneath this one.
    pub(crate) fn enter(&self, path: &str) -> Result<Source<'l>, Error> {
        let failed = |error: Errno| Error::io("open the directory", path, &error.into());
        let mut root = rustix::fs::openat(&self.root, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
        for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if name == ".." {
                let problem =
                    Problem::new(Trouble::UnsafeEntry, "the directory of the tree leads out of the blueprint");
                return Err(problem.file(path).into());
            }
            root = rustix::fs::openat(&root, name, DIRECTORY, Mode::empty()).map_err(failed)?;
        }
        Ok(Source { root, limits: self.limits })
    }

    /// The text of a file at the root, if there is one.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let stat = match rustix::fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Error::io("read", name, &error.into())),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Problem::new(Trouble::UnsafeEntry, "must be a file").file(name).into());
        }
        let bytes = read(self.root.as_fd(), name, name, self.limits.template_size)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Problem::new(Trouble::Declaration, "is not UTF-8").file(name).into()),
        }
    }

    /// The names at the root that are directories.
    pub(crate) fn directories(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        self.walk(self.root.as_fd(), "", 0, &mut |visit| {
            if visit.kind == FileType::Directory {
                names.push(visit.name.to_owned());
            }
            Ok(false)
        })?;
        Ok(names)
    }

    /// All files and links that are wanted, in the order of their paths.
    pub(crate) fn read(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let mut left = self.limits.workspace_size;
        self.walk(self.root.as_fd(), "", 0, &mut |visit| {
            if is_version_control(visit.name) || !wanted(visit.path) {
                return Ok(false);
            }
            let content = match visit.kind {
                FileType::Directory => return Ok(true),
                FileType::Symlink => Content::Link(link(&visit)?),
                FileType::RegularFile => {
                    let bytes = read(visit.directory, visit.name, visit.path, left)?;
                    left = left.saturating_sub(bytes.len() as u64);
                    Content::File { bytes, executable: visit.stat.st_mode & 0o111 != 0 }
                }
                _ => {
                    let message = "is neither a file, nor a directory, nor a link";
                    return Err(Problem::new(Trouble::UnsafeEntry, message).file(visit.path).into());
                }
            };
            if found.len() >= self.limits.files {
                let message = format!("the blueprint has more than {} files", self.limits.files);
                return Err(Problem::new(Trouble::TooLarge, message).into());
            }
            found.push(Found { path: visit.path.to_owned(), content });
            Ok(false)
        })?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Changes whenever a file of the directory was changed, within what the clock of the file system can tell apart.
    pub(crate) fn fingerprint(&self) -> Result<[u8; 32], Error> {
        let mut seen: Vec<String> = Vec::new();
        self.walk(self.root.as_fd(), "", 0, &mut |visit| {
            if is_version_control(visit.name) {
                return Ok(false);
            }
            let stat = visit.stat;
            seen.push(format!(
                "{}\0{} {} {} {}.{} {}.{}\0",
                visit.path,
                stat.st_mode,
                stat.st_ino,
                stat.st_size,
                stat.st_mtime,
                stat.st_mtime_nsec,
                stat.st_ctime,
                stat.st_ctime_nsec
            ));
            Ok(visit.kind == FileType::Directory)
        })?;
        seen.sort();
        let mut digest = Sha256::new();
        for line in &seen {
            digest.update(line);
        }
        Ok(digest.finalize().into())
    }

    /// Calls `visit` for each entry, and goes into directories for which it says so.
    fn walk(
        &self,
        directory: BorrowedFd<'_>,
        prefix: &str,
        depth: usize,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let told = if prefix.is_empty() { "." } else { prefix };
        let failed = |error: Errno| Error::io("read the directory", told, &error.into());
        if depth > self.limits.depth {
            let message = format!("directories lie more than {} deep in one another", self.limits.depth);
            return Err(Problem::new(Trouble::TooLarge, message).file(prefix).into());
        }
        for entry in Dir::read_from(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let bytes = entry.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            let Ok(name) = std::str::from_utf8(bytes) else {
                let path = join(prefix, &String::from_utf8_lossy(bytes));
                return Err(Problem::new(Trouble::UnsafeEntry, "has a name that is not UTF-8").file(path).into());
            };
            let path = join(prefix, name);
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| Error::io("look at", &path, &error.into()))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let enter = visit(Visit { directory, name, path: &path, stat, kind })?;
            if enter && kind == FileType::Directory {
                let inner = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
                    .map_err(|error| Error::io("open", &path, &error.into()))?;
                self.walk(inner.as_fd(), &path, depth + 1, visit)?;
            }
        }
        Ok(())
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// What version control keeps for itself is no part of a blueprint.
fn is_version_control(name: &str) -> bool {
    name == ".git"
}

fn link(visit: &Visit<'_>) -> Result<String, Error> {
    let target = rustix::fs::readlinkat(visit.directory, visit.name, Vec::new())
        .map_err(|error| Error::io("read the link", visit.path, &error.into()))?;
    target.into_string().map_err(|_| {
        Problem::new(Trouble::UnsafeEntry, "is a link to a path that is not UTF-8").file(visit.path).into()
    })
}

fn read(directory: BorrowedFd<'_>, name: &str, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    // Something else may have taken the file's place since it was looked at: a link is refused, a FIFO does not block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, name, flags, Mode::empty())
        .map_err(|error| Error::io("read", path, &error.into()))?;
    let file = File::from(fd);
    let failed = |error: io::Error| Error::io("read", path, &error);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Problem::new(Trouble::UnsafeEntry, "is no regular file any more").file(path).into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or_default() + 1);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_much(limit).file(path).into());
    }
    Ok(bytes)
}
