//! Compressing and removing what was put aside. Blocks.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::cut::leave_mark;
use super::volume::{Aside, VolumeId, asides, description, directory, parse_name};
use crate::error::{During, Error};

/// What becomes of files that are put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// So many of them are kept; 0 for all.
    pub max_backups: u32,
    /// They are removed when they are so old; zero for never.
    pub max_age: Duration,
    /// They are compressed.
    pub compress: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpkeepDone {
    /// So many files were compressed.
    pub compressed: u32,
    /// So many were removed.
    pub removed: u32,
}

pub(super) fn keep_up(log: &Path, upkeep: &Upkeep, now: Timestamp) -> Result<UpkeepDone, Error> {
    let mut done = UpkeepDone::default();
    remove_partial(log)?;
    let mut kept = asides(log).during("list", log)?;
    // One that is there twice was compressed, and its remover was killed: under the second name it is complete.
    let mut twice = Vec::new();
    kept.dedup_by(|later, earlier| {
        let same = later.stamp == earlier.stamp;
        if same {
            twice.push(std::mem::replace(&mut earlier.name, later.name.clone()));
            earlier.compressed = true;
        }
        same
    });
    for name in twice {
        remove(&log.with_file_name(name))?;
    }
    let surplus = match upkeep.max_backups {
        0 => 0,
        max => kept.len().saturating_sub(max as usize),
    };
    let mut index = 0;
    let mut result = Ok(());
    kept.retain(|aside| {
        index += 1;
        let goes = index <= surplus || is_too_old(aside, upkeep.max_age, now);
        if goes && result.is_ok() {
            // A disk that takes no mark needs the room all the more.
            let _ = leave_mark(log);
            result = remove(&log.with_file_name(&aside.name));
            done.removed += u32::from(result.is_ok());
        }
        !goes
    });
    result?;
    if upkeep.compress {
        for aside in kept.iter().filter(|aside| !aside.compressed) {
            done.compressed += u32::from(compress(&log.with_file_name(&aside.name))?);
        }
    }
    Ok(done)
}

fn is_too_old(aside: &Aside, max_age: Duration, now: Timestamp) -> bool {
    if max_age.is_zero() {
        return false;
    }
    let (date, time) = aside.stamp.split_once('T').unwrap_or_default();
    let civil = format!("{date}T{}", time.replace('-', ":")).parse::<DateTime>();
    // A stamp that is no date, such as the 31st of June, is left to its count.
    let Ok(put_aside) = civil.and_then(|civil| civil.to_zoned(TimeZone::UTC)) else { return false };
    Duration::try_from(now.duration_since(put_aside.timestamp())).is_ok_and(|age| age > max_age)
}

/// Compresses a file in its place. `false` if it is gone, or was still written to.
fn compress(path: &Path) -> Result<bool, Error> {
    let mut plain = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).during("open", path),
    };
    let meta = plain.metadata().during("examine", path)?;
    let (partial, done) = (partial_name(path), beside(path, ""));
    let written = (|| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(meta.permissions().mode() & 0o777).open(&partial)?;
        let mut encoder = GzBuilder::new()
            .extra(description(VolumeId::of(&meta), meta.len()))
            .write(io::BufWriter::new(file), Compression::default());
        let count = io::copy(&mut plain.by_ref().take(meta.len()), &mut encoder)?;
        let file = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        if count != meta.len() || plain.metadata()?.len() != count {
            return Ok(false);
        }
        file.set_modified(meta.modified()?)?;
        file.sync_all()?;
        fs::rename(&partial, &done)?;
        // The name has to be as lasting as the content before the other goes.
        File::open(directory(path))?.sync_all()?;
        Ok(true)
    })();
    match written {
        Ok(true) => remove(path).map(|()| true),
        Ok(false) => remove(&partial).map(|()| false),
        Err(error) => {
            let _ = fs::remove_file(&partial);
            Err(error).during("compress", path)
        }
    }
}

/// Removes what was being compressed when somebody was killed.
fn remove_partial(log: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(directory(log)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).during("list", directory(log)),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let of = name.as_bytes().strip_prefix(b".").and_then(|name| name.strip_suffix(b".part"));
        if of.is_some_and(|of| parse_name(log, OsStr::from_bytes(of)).is_some_and(|(_, compressed)| compressed)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn partial_name(path: &Path) -> PathBuf {
    let done = beside(path, ".part");
    let mut hidden = OsString::from(".");
    hidden.push(done.file_name().unwrap_or_default());
    path.with_file_name(hidden)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.push(ending);
    name.into()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => Ok(()),
    }
}
