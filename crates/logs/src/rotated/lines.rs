//! Lines out of bytes.

use std::fmt::Write as _;

/// What is shown of one line, in bytes.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Cuts bytes into lines, whatever pieces they come in, and keeps no more of a line than [`LINE_LIMIT`].
///
/// Text that is no UTF-8 is shown with the replacement character; of a line that is too long the beginning is shown, and
/// how much is missing.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
    /// All of the line, shown or not.
    length: u64,
}

impl Lines {
    /// Takes more bytes, and gives for each line that ends in them its length with its end, and its text without.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(u64, String)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.add(&bytes[..end]);
            let (length, text) = self.take();
            line(length + 1, text);
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    /// The line that was begun and not ended, if there is one.
    pub fn rest(&mut self) -> Option<(u64, String)> {
        (self.length > 0).then(|| self.take())
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.begun.len()).min(bytes.len());
        self.begun.extend_from_slice(&bytes[..room]);
        self.length += bytes.len() as u64;
    }

    fn take(&mut self) -> (u64, String) {
        let mut shown = self.begun.as_slice();
        let missing = self.length - shown.len() as u64;
        if missing == 0 {
            shown = shown.strip_suffix(b"\r").unwrap_or(shown);
        } else {
            // Not within a character.
            let valid = std::str::from_utf8(shown).err().filter(|error| error.error_len().is_none());
            shown = valid.and_then(|error| shown.get(..error.valid_up_to())).unwrap_or(shown);
        }
        let mut text = String::from_utf8_lossy(shown).into_owned();
        if missing > 0 {
            let _ = write!(text, " … ({} bytes more)", self.length - shown.len() as u64);
        }
        let length = self.length;
        self.begun.clear();
        self.length = 0;
        (length, text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let huge = vec![b'x'; 10 << 20];
        for piece in huge.chunks(100_000) {
            lines.push(piece, |_, _| unreachable!());
            assert!(lines.begun.capacity() <= 2 * LINE_LIMIT);
        }
        lines.push(b"\nshort\r\nend", |length, text| found.push((length, text)));
        let [(length, text), short] = found.as_slice() else { panic!("{}", found.len()) };
        assert_eq!(*length, (10 << 20) + 1);
        assert_eq!(text.len(), LINE_LIMIT + format!(" … ({} bytes more)", (10 << 20) - LINE_LIMIT).len());
        assert_eq!(*short, (7, "short".to_owned()));
        assert_eq!(lines.rest(), Some((3, "end".to_owned())));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut found = Vec::new();
        Lines::default().push(b"a\xff\0b\n", |_, text| found.push(text));
        assert_eq!(found, ["a\u{fffd}\0b"]);
        let even = "é".repeat(LINE_LIMIT);
        let mut lines = Lines::default();
        lines.push(b"a", |_, _| {});
        lines.push(even.as_bytes(), |_, _| {});
        let (_, text) = lines.rest().unwrap();
        assert!(text.contains("é … (") && !text.contains('\u{fffd}'), "cut between characters");
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            piece in 1_usize..50,
        ) {
            let mut whole = Vec::new();
            Lines::default().push(&text, |length, line| whole.push((length, line)));
            let (mut lines, mut pieces) = (Lines::default(), Vec::new());
            for piece in text.chunks(piece) {
                lines.push(piece, |length, line| pieces.push((length, line)));
            }
            prop_assert_eq!(&whole, &pieces);
            let rest = lines.rest().map_or(0, |(length, _)| length);
            let total: u64 = whole.iter().map(|(length, _)| length).sum();
            prop_assert_eq!(total + rest, text.len() as u64);
        }
    }
}
