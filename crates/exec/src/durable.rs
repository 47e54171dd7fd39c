//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes `content` so that it is on the disk when this returns: for what must be known after a power cut.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let file = fresh(path, content, mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory_of(path))
}

/// Writes `content` in one step, and leaves it to the system when it gets to the disk: for what is written anew anyway
/// after a power cut, which spares the wait for the disk.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    fresh(path, content, mode)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn fresh(path: &Path, content: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".piton-tmp-").tempfile_in(directory_of(path))?;
    file.write_all(content)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
