//! Files in directories where deployed code works, too. It may have put anything under any name: a link to what it may not
//! read itself, a pipe that nobody ever writes into, more than fits into memory. So only regular files are read, by their
//! own name, and never more than makes sense.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// Opens a regular file that is no link. What is none is not found, and does not block.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NOFOLLOW)
}

/// What a regular file holds that is no link. None where it is more than `most`.
pub(crate) fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read(open_plain(path)?, most)
}

/// What a regular file holds, wherever links lead to it: for what says nothing about what it read.
pub(crate) fn read_linked(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read(open_with(path, OFlags::empty())?, most)
}

fn open_with(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | more;
    let file = File::from(open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

fn read(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= most);
    if fits { Ok(bytes) } else { Err(io::Error::other(format!("it is larger than {most} bytes"))) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_what_is_a_file_by_its_own_name_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("directory")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink(at("pipe"), at("to-pipe")).unwrap();
        let text = |found: io::Result<Vec<u8>>| found.ok().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(text(read_plain(&at("file"), 4)).as_deref(), Some("text"));
        assert_eq!(text(read_linked(&at("link"), 4)).as_deref(), Some("text"));
        assert_eq!(text(read_plain(&at("file"), 3)), None);
        for other in ["nothing", "directory", "link", "endless", "pipe", "to-pipe"] {
            assert_eq!(text(read_plain(&at(other), 100)), None, "{other}");
        }
        for other in ["nothing", "directory", "endless", "pipe", "to-pipe"] {
            assert_eq!(text(read_linked(&at(other), 100)), None, "{other}");
        }
        assert_eq!(read_plain(&at("nothing"), 100).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
