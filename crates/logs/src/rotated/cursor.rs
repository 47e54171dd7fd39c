//! Places in a log.

use std::fmt;
use std::str::FromStr;

use super::volume::VolumeId;

/// A place in a [`RotatedLog`](super::RotatedLog). Its text form may be kept and given back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cursor {
    pub(super) id: VolumeId,
    pub(super) offset: u64,
}

/// The text is no place in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in a log")]
pub struct BadCursor(String);

impl Cursor {
    /// The beginning of what is left of a log.
    pub const BEGINNING: Cursor = Cursor { id: VolumeId { born: 0, inode: 0 }, offset: 0 };

    pub(super) fn new(id: VolumeId, offset: u64) -> Cursor {
        Cursor { id, offset }
    }

    pub(super) fn is_beginning(self) -> bool {
        self.id == VolumeId::default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.id.born, self.id.inode, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Cursor, BadCursor> {
        let parse = || {
            let mut parts = text.split('.');
            let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
            let (born, inode, offset) = (number()?, number()?, number()?);
            let born = born.cast_signed();
            parts.next().is_none().then_some(Cursor { id: VolumeId { born, inode }, offset })
        };
        parse().ok_or_else(|| BadCursor(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back(born: i64, inode: u64, offset: u64) {
            let cursor = Cursor { id: VolumeId { born, inode }, offset };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
