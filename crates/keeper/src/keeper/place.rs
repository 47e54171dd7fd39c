//! The keeper's place in the world: its directory, lock, log and socket.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::Error;
use crate::{LOG_NAME, SOCKET_NAME};

const LOCK_NAME: &str = "keeper.lock";
/// A diary longer than this starts afresh with the next keeper.
const LOG_LIMIT: u64 = 1 << 20;

/// A directory held by this keeper alone, until the process ends.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    lock: File,
}

impl Place {
    /// Takes the directory, and makes it the current one.
    pub(super) fn claim(dir: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Directory { dir: dir.to_owned(), source };
        let dir = dir.canonicalize().map_err(failed)?;
        let mut lock = open_lock(&dir).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The number is only for the message; a holder that has not written it yet is a holder all the same.
                let _ = lock.read_to_string(&mut holder);
                return Err(Error::Held { dir, holder: holder.trim().parse().ok() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
        // A full disk must not keep the keeper from its children: the holder's number is a courtesy.
        let _ = writeln!(lock, "{}", std::process::id());
        // The socket's path may be longer than a socket address can hold; its name from here is not.
        std::env::set_current_dir(&dir).map_err(failed)?;
        fs::DirBuilder::new().mode(0o700).recursive(true).create(dir.join("keeper")).map_err(failed)?;
        Ok(Self { dir, lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory as it stands in the environment of every child.
    pub(super) fn name(&self) -> &OsStr {
        self.dir.as_os_str()
    }

    /// A second handle on the lock. A program that is executed with it as standard input inherits the lock, not a
    /// chance at it.
    pub(super) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Lets go of the starter's terminal, pipes and files: errors go to the diary from here on.
    pub(super) fn redirect_output(&self) -> Result<(), Error> {
        let failed = |source| Error::Directory { dir: self.dir.clone(), source };
        let path = self.dir.join(LOG_NAME);
        let fresh = fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_LIMIT);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let log = options.open(&path).map_err(failed)?;
        if fresh {
            log.set_len(0).map_err(failed)?;
        }
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
        rustix::stdio::dup2_stdin(&null)
            .and_then(|()| rustix::stdio::dup2_stdout(&null))
            .and_then(|()| rustix::stdio::dup2_stderr(&log))
            .map_err(|error| failed(error.into()))
    }

    /// Opens the socket. Whatever lies in its place is stale: who holds the lock is the only one who may answer there.
    pub(super) fn listen(&self) -> Result<UnixListener, Error> {
        let failed = |source| Error::Socket { path: self.dir.join(SOCKET_NAME), source };
        self.remove_socket();
        let listener = UnixListener::bind(SOCKET_NAME).map_err(failed)?;
        fs::set_permissions(SOCKET_NAME, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(listener)
    }

    pub(super) fn remove_socket(&self) {
        // If it cannot be removed, bind will say so.
        let _ = fs::remove_file(self.dir.join(SOCKET_NAME));
    }
}

/// The lock file; the very descriptor an upgraded keeper handed over as standard input, if it did.
fn open_lock(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let opened = options.open(dir.join(LOCK_NAME))?;
    let (wanted, given) = (opened.metadata()?, rustix::fs::fstat(io::stdin())?);
    if (wanted.dev(), wanted.ino()) == (given.st_dev, given.st_ino) {
        return Ok(File::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?));
    }
    Ok(opened)
}
