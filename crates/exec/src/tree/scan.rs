//! Reads the names of a tree, and opens its files without ever leaving it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use walkdir::WalkDir;

use super::{Entry, Error, MANIFEST};

/// What is not part of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// What version control and the tools keep for themselves: `.git`, `.terraform`, state files.
    Tools,
    /// That, and the workspace's declaration.
    ToolsAndDeclaration,
}

impl Skip {
    fn skips(self, path: &Path, name: &str) -> bool {
        let at_root = path.parent() == Some(Path::new(""));
        match name {
            ".git" | ".terraform" | ".terraform.tfstate.lock.info" => true,
            "config.json" => at_root && self == Skip::ToolsAndDeclaration,
            MANIFEST | crate::iac::METADATA => at_root,
            // Editors leave locks there: links that lead nowhere.
            name => name.ends_with(".tfstate") || name.contains(".tfstate.") || name.starts_with(".#"),
        }
    }
}

/// An open directory, beneath which files are opened.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

impl Root {
    fn open_dir(path: &Path) -> Result<Root, Error> {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::io("open", path)(error.into()))?;
        Ok(Root { path: path.to_owned(), fd })
    }

    /// Opens a regular file, following no link on the way: the tree may change while it is copied.
    pub(super) fn open(&self, path: &Path) -> Result<File, Error> {
        // A FIFO that took the file's place must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), beneath) {
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                rustix::fs::openat(&self.fd, path, flags, Mode::empty())
            }
            other => other,
        };
        let fd = fd.map_err(|error| match error {
            rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => {
                Error::Unsafe { path: path.to_owned(), problem: "became a link while it was copied".to_owned() }
            }
            error => Error::io("open", &self.path.join(path))(error.into()),
        })?;
        let file = File::from(fd);
        let kind = file.metadata().map_err(Error::io("look at", &self.path.join(path)))?.file_type();
        if !kind.is_file() {
            let problem = "is no regular file any more".to_owned();
            return Err(Error::Unsafe { path: path.to_owned(), problem });
        }
        Ok(file)
    }
}

pub(super) fn scan(root: &Path, skip: Skip) -> Result<BTreeMap<PathBuf, Entry>, Error> {
    let opened = Arc::new(Root::open_dir(root)?);
    let mut entries = BTreeMap::new();
    let mut walk = WalkDir::new(root).min_depth(1).follow_links(false).into_iter();
    while let Some(found) = walk.next() {
        let found = found.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            Error::Io { doing: "read", path, source: error.into_io_error().unwrap_or_else(|| io::Error::other("loop")) }
        })?;
        let path = found.path().strip_prefix(root).unwrap_or(found.path()).to_owned();
        let refuse = |problem: &str| Err(Error::Unsafe { path: path.clone(), problem: problem.to_owned() });
        let Some(name) = found.file_name().to_str() else { return refuse("has a name that is not UTF-8") };
        let kind = found.file_type();
        if skip.skips(&path, name) {
            if kind.is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        let entry = if kind.is_dir() {
            Entry::Directory
        } else if kind.is_symlink() {
            Entry::Link { target: std::fs::read_link(found.path()).map_err(Error::io("read", found.path()))? }
        } else if kind.is_file() {
            let metadata = found.metadata().map_err(|error| {
                Error::io("look at", found.path())(error.into_io_error().unwrap_or_else(|| io::Error::other("loop")))
            })?;
            Entry::File { root: Arc::clone(&opened), executable: metadata.permissions().mode() & 0o111 != 0 }
        } else {
            return refuse("is neither a file, nor a directory, nor a link");
        };
        entries.insert(path, entry);
    }
    Ok(entries)
}
