//! The files that a log consists of.
//!
//! A volume is told from all others by its inode and the time of its birth, which it keeps when it is put aside under
//! another name. One that is compressed is another file, so it carries both in its header.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::read::MultiGzDecoder;

use super::cut::is_marked;

/// Begins the field of a compressed volume's header that says what it was.
const FIELD: [u8; 4] = *b"Pi\x18\x00";

/// Which volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct VolumeId {
    /// In nanoseconds since 1970; 0 where the file system does not know.
    pub(super) born: i64,
    pub(super) inode: u64,
}

/// One file of a log.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) path: PathBuf,
    pub(super) id: VolumeId,
    /// In bytes of the log.
    pub(super) length: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub(super) changed: i64,
    pub(super) compressed: bool,
    /// It is the one that is written to.
    pub(super) current: bool,
}

/// What there is of a log.
#[derive(Debug, Clone)]
pub(super) struct Volumes {
    /// The oldest first.
    pub(super) all: Vec<Volume>,
    /// Something that stood before them was removed.
    pub(super) cut: bool,
}

/// The name of a file put aside, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) name: OsString,
    pub(super) stamp: String,
    pub(super) compressed: bool,
}

impl VolumeId {
    pub(super) fn of(meta: &Metadata) -> VolumeId {
        VolumeId { born: meta.created().map_or(0, unix_nanos), inode: meta.ino() }
    }
}

/// How often a log is looked at that changes meanwhile.
const LOOKS: u32 = 50;

/// All volumes of a log.
pub(super) fn volumes(log: &Path) -> io::Result<Volumes> {
    let mut all = Vec::new();
    for _ in 0..LOOKS {
        let steady;
        (all, steady) = look(log)?;
        if steady {
            break;
        }
    }
    // Asked after that: what is not in the list was marked before it went.
    let cut = is_marked(log)?;
    Ok(Volumes { all, cut })
}

/// What is there, and whether it stayed while it was looked at.
fn look(log: &Path) -> io::Result<(Vec<Volume>, bool)> {
    let mut found: Vec<Volume> = Vec::new();
    let mut steady = true;
    let listed = asides(log)?;
    for aside in &listed {
        match examine(log.with_file_name(&aside.name), aside.compressed, false)? {
            // What vanished may have been compressed, and stand under its other name now.
            None => steady = false,
            // One that is just being compressed is there twice, the compressed one after the other.
            Some(volume) if found.last().is_some_and(|last| last.id == volume.id) => {}
            Some(volume) => found.push(volume),
        }
    }
    if let Some(volume) = examine(log.to_owned(), false, true)? {
        if found.iter().any(|other| other.id == volume.id) {
            // Put aside after it was seen as one that was.
            steady = false;
        } else {
            found.push(volume);
        }
    }
    // A file that got another name while the directory was read may have been seen under neither.
    steady &= asides(log)? == listed;
    Ok((found, steady))
}

/// The names of the files put aside, the oldest first.
pub(super) fn asides(log: &Path) -> io::Result<Vec<Aside>> {
    let entries = match fs::read_dir(directory(log)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut asides = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some((stamp, compressed)) = parse_name(log, &name) {
            asides.push(Aside { name, stamp, compressed });
        }
    }
    asides.sort_by(|a, b| (&a.stamp, a.compressed).cmp(&(&b.stamp, b.compressed)));
    Ok(asides)
}

pub(super) fn directory(log: &Path) -> &Path {
    log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `web.stdout-2026-11-29T15-04-05.000.log` and the same with `.gz`, beside `web.stdout.log`.
pub(super) fn parse_name(log: &Path, name: &OsStr) -> Option<(String, bool)> {
    let rest = name.as_bytes().strip_prefix(log.file_stem()?.as_bytes())?.strip_prefix(b"-")?;
    let plain = rest.strip_suffix(b".gz");
    let compressed = plain.is_some();
    let mut stamp = plain.unwrap_or(rest);
    if let Some(extension) = log.extension() {
        stamp = stamp.strip_suffix(extension.as_bytes())?.strip_suffix(b".")?;
    }
    let shape = b"0000-00-00T00-00-00.000";
    let fits = |(byte, model): (&u8, &u8)| if *model == b'0' { byte.is_ascii_digit() } else { byte == model };
    let is_stamp = stamp.len() == shape.len() && stamp.iter().zip(shape).all(fits);
    is_stamp.then(|| (String::from_utf8_lossy(stamp).into_owned(), compressed))
}

/// A file as a volume; none if it is gone, or no regular file.
fn examine(path: PathBuf, compressed: bool, current: bool) -> io::Result<Option<Volume>> {
    // Neither a FIFO nor a device may stand in its place: opening the one would wait for ever.
    match fs::metadata(&path) {
        Ok(meta) if !meta.is_file() => return Ok(None),
        Ok(meta) if !compressed => {
            let (id, changed) = (VolumeId::of(&meta), changed(&meta));
            return Ok(Some(Volume { path, id, length: meta.len(), changed, compressed, current }));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    let (id, length) = match described(&file) {
        Some(known) => known,
        None => (VolumeId { born: changed(&meta), inode: meta.ino() }, length_at_end(&file)?),
    };
    Ok(Some(Volume { path, id, length, changed: changed(&meta), compressed, current }))
}

fn changed(meta: &Metadata) -> i64 {
    meta.modified().map_or(0, unix_nanos)
}

fn unix_nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The field for the header of a compressed volume.
pub(super) fn description(id: VolumeId, length: u64) -> Vec<u8> {
    let mut field = FIELD.to_vec();
    field.extend_from_slice(&id.born.to_le_bytes());
    field.extend_from_slice(&id.inode.to_le_bytes());
    field.extend_from_slice(&length.to_le_bytes());
    field
}

fn described(file: &File) -> Option<(VolumeId, u64)> {
    let decoder = MultiGzDecoder::new(file);
    let field = decoder.header()?.extra()?.strip_prefix(&FIELD)?;
    let number = |at: usize| <[u8; 8]>::try_from(field.get(at..at + 8)?).ok();
    let id = VolumeId { born: i64::from_le_bytes(number(0)?), inode: u64::from_le_bytes(number(8)?) };
    Some((id, u64::from_le_bytes(number(16)?)))
}

/// What another program's gzip file says of its length, which is right up to 4 GiB.
fn length_at_end(mut file: &File) -> io::Result<u64> {
    let mut length = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut length)?;
    Ok(u32::from_le_bytes(length).into())
}

/// An open volume.
pub(super) struct OpenVolume {
    pub(super) id: VolumeId,
    bytes: Bytes,
}

enum Bytes {
    Plain(File),
    Compressed { path: PathBuf, decoder: Box<MultiGzDecoder<io::BufReader<File>>>, at: u64 },
}

impl OpenVolume {
    /// Opens a volume; none if it is gone, or another has taken its name.
    pub(super) fn open(volume: &Volume) -> io::Result<Option<OpenVolume>> {
        let file = match File::open(&volume.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = volume.id;
        if volume.compressed {
            let bytes = Bytes::Compressed { path: volume.path.clone(), decoder: decoder(file), at: 0 };
            return Ok(Some(OpenVolume { id, bytes }));
        }
        if VolumeId::of(&file.metadata()?) != id {
            return Ok(None);
        }
        Ok(Some(OpenVolume { id, bytes: Bytes::Plain(file) }))
    }

    /// Reads from a place on until `buffer` is full or the volume ends.
    pub(super) fn read(&mut self, from: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match self.read_some(from + count as u64, &mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn read_some(&mut self, from: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Plain(file) => file.read_at(buffer, from),
            Bytes::Compressed { path, decoder: open, at } => {
                if from < *at {
                    (*open, *at) = (decoder(File::open(path)?), 0);
                }
                *at += io::copy(&mut open.by_ref().take(from - *at), &mut io::sink())?;
                if *at < from {
                    return Ok(0);
                }
                let count = open.read(buffer)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }

    /// How long it is at present, where that may change.
    pub(super) fn length(&self) -> io::Result<Option<u64>> {
        match &self.bytes {
            Bytes::Plain(file) => Ok(Some(file.metadata()?.len())),
            Bytes::Compressed { .. } => Ok(None),
        }
    }

    /// Whether it still grows: nobody has put it aside.
    pub(super) fn is_current(&self, log: &Path) -> io::Result<bool> {
        match fs::metadata(log) {
            Ok(meta) => Ok(VolumeId::of(&meta) == self.id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn decoder(file: File) -> Box<MultiGzDecoder<io::BufReader<File>>> {
    Box::new(MultiGzDecoder::new(io::BufReader::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_aside_counts() {
        let log = Path::new("/logs/web-1.stdout.log");
        let parsed = |name: &str| parse_name(log, OsStr::new(name));
        let stamp = "2026-11-29T15-04-05.000".to_owned();
        assert_eq!(parsed("web-1.stdout-2026-11-29T15-04-05.000.log"), Some((stamp.clone(), false)));
        assert_eq!(parsed("web-1.stdout-2026-11-29T15-04-05.000.log.gz"), Some((stamp, true)));
        for other in [
            "web-1.stdout.log",
            "web-1.stdout-2026-11-29T15-04-05.log",
            "web-1.stderr-2026-11-29T15-04-05.000.log",
            "web-11.stdout-2026-11-29T15-04-05.000.log",
            ".web-1.stdout-2026-11-29T15-04-05.000.log.gz.part",
            "web-1.stdout-2026-11-29T15-04-05.000.log.gz.bak",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }
}
