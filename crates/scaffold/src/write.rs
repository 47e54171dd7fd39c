//! Writes a tree into a directory that nobody else has.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode as Bits, OFlags};

use crate::error::Error;
use crate::tree::{Entry, Mode, Tree};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    /// Writes the files into `directory`, which is made with mode 0700; one that is there must be empty, and no link.
    /// No link is followed, and nothing is overwritten. After an error, what was written stays.
    pub fn write_to(&self, directory: &Path) -> Result<(), Error> {
        let told = directory.display().to_string();
        let root = fresh(directory).map_err(|error| Error::io("make the directory", &told, &error))?;
        // Links last, so that there is none while files are written.
        let (links, files): (Vec<&Entry>, Vec<&Entry>) =
            self.entries().iter().partition(|entry| entry.mode == Mode::Link);
        let mut way = Way { root: &root, open: Vec::new() };
        for entry in files.into_iter().chain(links) {
            write(&mut way, entry)
                .map_err(|error| Error::io("write the file", &format!("{told}/{}", entry.path), &error))?;
        }
        Ok(())
    }
}

fn fresh(directory: &Path) -> io::Result<OwnedFd> {
    let made = match rustix::fs::mkdir(directory, Bits::RWXU) {
        Ok(()) => true,
        Err(rustix::io::Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let fd = rustix::fs::open(directory, DIRECTORY, Bits::empty())?;
    if !made {
        for entry in rustix::fs::Dir::read_from(&fd)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the directory is not empty"));
            }
        }
    }
    Ok(fd)
}

/// The directories that are open on the way to the latest file. Entries come in order, so each is opened about once.
struct Way<'a> {
    root: &'a OwnedFd,
    open: Vec<(String, OwnedFd)>,
}

impl Way<'_> {
    fn last(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Goes to a directory, making it where it is not there.
    fn go<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> io::Result<()> {
        let mut depth = 0;
        for name in names {
            if self.open.get(depth).is_none_or(|(open, _)| open != name) {
                self.open.truncate(depth);
                match rustix::fs::mkdirat(self.last(), name, Bits::from_raw_mode(0o777)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let fd = rustix::fs::openat(self.last(), name, DIRECTORY, Bits::empty())?;
                self.open.push((name.to_owned(), fd));
            }
            depth += 1;
        }
        self.open.truncate(depth);
        Ok(())
    }
}

fn write(way: &mut Way<'_>, entry: &Entry) -> io::Result<()> {
    let mut names = entry.path.names();
    let Some(name) = names.next_back() else { return Ok(()) };
    way.go(names)?;
    let bits = match entry.mode {
        Mode::Link => {
            rustix::fs::symlinkat(&*entry.bytes, way.last(), name)?;
            return Ok(());
        }
        Mode::File => 0o666,
        Mode::Executable => 0o777,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(way.last(), name, flags, Bits::from_raw_mode(bits))?;
    File::from(fd).write_all(&entry.bytes)
}
