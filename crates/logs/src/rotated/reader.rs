//! Reading a log from a place on, over all its volumes. Blocks.

use std::io;
use std::path::{Path, PathBuf};

use super::volume::{OpenVolume, Volume, VolumeId, Volumes, volumes};
use super::{Cursor, Piece};

/// How often a volume is looked for that vanishes while it is opened. Each time means that another was put aside, was
/// compressed or was removed in that moment.
const ATTEMPTS: u32 = 100;

/// Keeps the volume open in which it reads.
pub(super) struct Reader {
    pub(super) log: PathBuf,
    open: Option<OpenVolume>,
}

impl Reader {
    pub(super) fn new(log: &Path) -> Reader {
        Reader { log: log.to_owned(), open: None }
    }

    /// Up to `max` bytes from a place on; none only at the end of the log.
    pub(super) fn read(&mut self, mut from: Cursor, max: usize) -> io::Result<Piece> {
        let mut gap = false;
        for _ in 0..ATTEMPTS {
            if self.open.as_ref().is_none_or(|open| open.id != from.id) {
                let volumes = volumes(&self.log)?;
                let Some((volume, place, lost)) = place(&volumes, from) else {
                    // Nothing is there, or nothing yet.
                    return Ok(Piece { from, bytes: Vec::new(), next: from, gap });
                };
                gap |= lost;
                from = place;
                self.open = OpenVolume::open(volume)?;
            }
            let Some(open) = &mut self.open else { continue };
            if open.length()?.is_some_and(|length| length < from.offset) {
                // Somebody has emptied it.
                (gap, from.offset) = (true, 0);
            }
            // In this order: what was written before it was put aside is read before the next one is.
            let current = open.is_current(&self.log)?;
            let mut bytes = vec![0; max];
            let count = open.read(from.offset, &mut bytes)?;
            if count > 0 || current {
                bytes.truncate(count);
                let next = Cursor::new(from.id, from.offset + count as u64);
                return Ok(Piece { from, bytes, next, gap });
            }
            let all = volumes(&self.log)?.all;
            let Some((next, lost)) = next_after(&all, from.id) else {
                return Ok(Piece { from, bytes: Vec::new(), next: from, gap });
            };
            gap |= lost;
            from = Cursor::new(next.id, 0);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "its files change too quickly"))
    }
}

/// Where reading from a place on begins, and whether something in between is gone.
pub(super) fn place(volumes: &Volumes, from: Cursor) -> Option<(&Volume, Cursor, bool)> {
    let all = volumes.all.as_slice();
    if let Some(volume) = all.iter().find(|volume| volume.id == from.id) {
        return Some((volume, from, false));
    }
    if from.is_beginning() {
        return all.first().map(|volume| (volume, Cursor::new(volume.id, 0), volumes.cut));
    }
    next_after(all, from.id).map(|(volume, lost)| (volume, Cursor::new(volume.id, 0), lost))
}

/// The volume that follows this one. If this one is gone, others behind it may be as well.
fn next_after(all: &[Volume], id: VolumeId) -> Option<(&Volume, bool)> {
    if let Some(index) = all.iter().position(|volume| volume.id == id) {
        return all.get(index + 1).map(|next| (next, false));
    }
    let younger = all.iter().find(|volume| volume.id.born > id.born || volume.id.born == 0);
    // None is younger where the clock was set back.
    younger.or(all.last()).map(|next| (next, true))
}
