//! Places in a log.

use super::volume::VolumeId;

/// A place in a [`RotatedLog`](super::RotatedLog).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cursor {
    pub(super) id: VolumeId,
    pub(super) offset: u64,
}

impl Cursor {
    /// The beginning of a log. If that was removed, whoever reads from here begins with what is left, and is told.
    pub const BEGINNING: Cursor = Cursor { id: VolumeId { born: 0, inode: 0 }, offset: 0 };

    pub(super) fn new(id: VolumeId, offset: u64) -> Cursor {
        Cursor { id, offset }
    }

    pub(super) fn is_beginning(self) -> bool {
        self.id == VolumeId::default()
    }
}
