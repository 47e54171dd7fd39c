//! Taking one program out of an archive, and nothing else.
//!
//! By the time an archive is read here its vendor's signature has been checked. The rules below hold all the same: a
//! release has no reason to break any of them, so an archive that does is refused whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use flate2::read::GzDecoder;

use crate::error::Error;
use crate::tool::Tool;

/// A release holds a handful of files.
const MAX_ENTRIES: usize = 1000;

/// Copies `tool`'s program out of the archive called `name` into `program`.
pub(crate) fn unpack(tool: Tool, name: &str, archive: File, program: &mut impl Write, limit: u64) -> Result<(), Error> {
    let mut extraction = Extraction { tool, name, limit, program, entries: 0, found: false };
    match tool {
        Tool::OpenTofu => extraction.tar_gz(archive)?,
        Tool::Terraform => extraction.zip(archive)?,
    }
    if !extraction.found {
        return Err(extraction.broken(&format!("it holds no program `{tool}`")));
    }
    Ok(())
}

struct Extraction<'a, W> {
    tool: Tool,
    name: &'a str,
    limit: u64,
    program: &'a mut W,
    entries: usize,
    found: bool,
}

impl<W: Write> Extraction<'_, W> {
    fn tar_gz(&mut self, archive: File) -> Result<(), Error> {
        // The limit covers entries that are only skipped, too: a bomb may sit in any of them.
        let limited = Limited { inner: GzDecoder::new(io::BufReader::new(archive)), left: self.limit };
        let mut tar = tar::Archive::new(limited);
        for entry in tar.entries().map_err(|error| self.read_error(error))? {
            let mut entry = entry.map_err(|error| self.read_error(error))?;
            let kind = entry.header().entry_type();
            let path = entry.path().map_err(|error| self.read_error(error))?.into_owned();
            if kind.is_pax_global_extensions() {
                continue;
            }
            if !(kind.is_file() || kind.is_dir()) {
                return Err(self.unsafe_entry(&path, "is neither a file nor a directory"));
            }
            if self.is_program(&path)? && kind.is_file() {
                self.copy(&path, &mut entry)?;
            }
        }
        Ok(())
    }

    fn zip(&mut self, archive: File) -> Result<(), Error> {
        let mut zip =
            zip::ZipArchive::new(io::BufReader::new(archive)).map_err(|error| self.broken(&error.to_string()))?;
        if zip.has_duplicate_names() {
            return Err(Error::ArchiveUnsafe {
                file: self.name.to_owned(),
                reason: "two entries have the same name".to_owned(),
            });
        }
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(|error| self.broken(&error.to_string()))?;
            let path = entry.name().map_err(|error| self.broken(&error.to_string()))?.into_owned();
            let path = Path::new(&path);
            // The upper bits of the mode tell what a file is; many archivers leave them out.
            let kind = entry.unix_mode().map_or(0, |mode| mode & 0o170_000);
            if !matches!(kind, 0 | 0o100_000 | 0o040_000) {
                return Err(self.unsafe_entry(path, "is neither a file nor a directory"));
            }
            if self.is_program(path)? && entry.is_file() {
                self.copy(path, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Checks an entry's path, and tells whether it is the one that is wanted.
    fn is_program(&mut self, path: &Path) -> Result<bool, Error> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            let limit = MAX_ENTRIES as u64;
            return Err(Error::TooLarge { what: format!("the number of entries of {}", self.name), limit });
        }
        let foreign = |byte: u8| byte == b'\\' || byte == 0;
        if path.as_os_str().as_encoded_bytes().iter().copied().any(foreign) {
            return Err(self.unsafe_entry(path, "has a path of another system"));
        }
        let mut normal = path.components().filter(|component| !matches!(component, Component::CurDir));
        let first = normal.clone().next();
        if normal.any(|component| !matches!(component, Component::Normal(_))) {
            return Err(self.unsafe_entry(path, "leads out of the archive"));
        }
        let is_program = first.is_some_and(|first| first.as_os_str() == self.tool.program())
            && path.components().filter(|component| matches!(component, Component::Normal(_))).count() == 1;
        if is_program && self.found {
            return Err(self.unsafe_entry(path, "occurs twice"));
        }
        Ok(is_program)
    }

    fn copy(&mut self, path: &Path, entry: &mut impl Read) -> Result<(), Error> {
        self.found = true;
        let mut limited = Limited { inner: entry, left: self.limit };
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = match limited.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.read_error(error)),
            };
            // Kept apart from reading, so that a full disk is not mistaken for a broken archive.
            self.program.write_all(&buffer[..count]).map_err(Error::io("write the program from", path))?;
        }
    }

    fn unsafe_entry(&self, path: &Path, reason: &str) -> Error {
        Error::ArchiveUnsafe { file: self.name.to_owned(), reason: format!("`{}` {reason}", path.display()) }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::ArchiveBroken { file: self.name.to_owned(), reason: reason.to_owned() }
    }

    fn read_error(&self, error: io::Error) -> Error {
        // tar wraps errors of the reader below it in its own.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if error.is::<LimitReached>() || inner.is_some_and(|inner| inner.is::<LimitReached>()) {
                return Error::TooLarge { what: format!("{} unpacked", self.name), limit: self.limit };
            }
            cause = error.source();
        }
        self.broken(&error.to_string())
    }
}

/// A reader that fails, rather than ends, when it has given enough.
struct Limited<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct LimitReached;

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => Err(io::Error::other(LimitReached)),
        }
    }
}

#[cfg(test)]
mod tests;
