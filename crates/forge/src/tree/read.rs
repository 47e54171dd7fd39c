//! A tree from a directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use walkdir::WalkDir;

use super::{Entry, Limits, Tree, TreeError, TreePath};

impl Tree {
    /// Reads everything below `root`. Links are kept as links and never followed, empty directories are not kept, and
    /// what is neither file nor directory nor link is an error. This waits for the disk.
    pub fn read(root: &Path, limits: Limits) -> Result<Tree, TreeError> {
        let mut tree = Tree::new(limits);
        for found in WalkDir::new(root).min_depth(1).follow_links(false) {
            let found = found.map_err(|error| {
                let path = error.path().unwrap_or(root).to_owned();
                TreeError::Read { path, source: error.into() }
            })?;
            let kind = found.file_type();
            let relative = found.path().strip_prefix(root).unwrap_or(found.path()).as_os_str().as_bytes();
            let failed = |source| TreeError::Read { path: found.path().to_owned(), source };
            if kind.is_dir() {
                continue;
            }
            let entry = if kind.is_symlink() {
                let target = std::fs::read_link(found.path()).map_err(failed)?;
                Entry::Link { target: target.into_os_string().into_vec() }
            } else if kind.is_file() {
                read_file(found.path(), limits.file_bytes).map_err(failed)?
            } else {
                let path = TreePath::parse(relative)
                    .map_err(|problem| TreeError::Path { path: relative.to_owned(), problem })?;
                return Err(TreeError::Special { path });
            };
            tree.insert(relative, entry)?;
        }
        tree.check()?;
        Ok(tree)
    }
}

/// One byte more than may be there is enough to tell that there is too much.
fn read_file(path: &Path, most: u64) -> io::Result<Entry> {
    // Somebody might put a link or a pipe there between a look and the opening.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file any more"));
    }
    let executable = metadata.mode() & 0o100 != 0;
    let mut content = Vec::with_capacity(usize::try_from(metadata.len().min(most)).unwrap_or(0) + 1);
    file.take(most.saturating_add(1)).read_to_end(&mut content)?;
    Ok(Entry::File { content: content.into(), executable })
}
