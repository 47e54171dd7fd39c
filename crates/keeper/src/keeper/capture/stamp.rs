//! Times in front of lines. Pure.

use super::rotation::SLACK;

/// So many bytes are written at once, about.
const BATCH: usize = 128 * 1024;

/// What became of the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamped {
    /// So many of them are in the output.
    pub(super) consumed: usize,
    /// The next line belongs to a new file.
    pub(super) rotate: bool,
    /// What comes next begins a line.
    pub(super) line_begins: bool,
}

/// Copies lines with `stamp` in front of each to `out`, as many as a file of `size` bytes may take.
pub(super) fn stamp(
    window: &[u8],
    mut line_begins: bool,
    stamp: &str,
    (size, limit): (u64, u64),
    out: &mut Vec<u8>,
) -> Stamped {
    out.clear();
    let limit = if limit == 0 { u64::MAX } else { limit };
    let mut consumed = 0;
    while consumed < window.len() && out.len() < BATCH {
        let rest = &window[consumed..];
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let before = size + out.len() as u64;
        let added = (length + if line_begins { stamp.len() } else { 0 }) as u64;
        let most = if line_begins { limit } else { limit.saturating_add(SLACK) };
        if before > 0 && before.saturating_add(added) > most {
            return Stamped { consumed, rotate: true, line_begins };
        }
        if line_begins {
            out.extend_from_slice(stamp.as_bytes());
        }
        out.extend_from_slice(&rest[..length]);
        consumed += length;
        line_begins = out.ends_with(b"\n");
    }
    Stamped { consumed, rotate: false, line_begins }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_line_gets_one() {
        let mut out = Vec::new();
        let stamped = stamp(b"a\n\nbc", true, "T ", (0, 0), &mut out);
        assert_eq!((out.as_slice(), stamped.consumed, stamped.line_begins), (&b"T a\nT \nT bc"[..], 5, false));
        let stamped = stamp(b"d\ne\n", false, "T ", (0, 0), &mut out);
        assert_eq!((out.as_slice(), stamped.consumed, stamped.line_begins), (&b"d\nT e\n"[..], 4, true));
    }

    #[test]
    fn a_new_file_begins_with_a_line() {
        let mut out = Vec::new();
        let stamped = stamp(b"aa\nbb\n", true, "T ", (0, 9), &mut out);
        assert_eq!(
            (out.as_slice(), stamped),
            (&b"T aa\n"[..], Stamped { consumed: 3, rotate: true, line_begins: true })
        );
        let stamped = stamp(b"longer than that\n", true, "T ", (0, 9), &mut out);
        assert_eq!((stamped.consumed, stamped.rotate), (17, false));
        let stamped = stamp(b"x", true, "T ", (9, 9), &mut out);
        assert_eq!((stamped.consumed, stamped.rotate), (0, true));
    }

    proptest! {
        #[test]
        fn without_the_stamps_it_is_what_was_written(
            text in "[a-z\n]{0,200}",
            limit in 0_u64..60,
            piece in 1_usize..70,
        ) {
            let (mut out, mut files, mut begins) = (Vec::new(), vec![Vec::new()], true);
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let file = files.last_mut().unwrap();
                let window = &rest[..piece.min(rest.len())];
                let stamped = stamp(window, begins, "<T>", (file.len() as u64, limit), &mut out);
                prop_assert!(stamped.consumed > 0 || (stamped.rotate && !file.is_empty()));
                file.extend_from_slice(&out);
                rest = &rest[stamped.consumed..];
                begins = stamped.line_begins;
                if stamped.rotate {
                    files.push(Vec::new());
                }
            }
            let all = String::from_utf8(files.concat()).unwrap();
            prop_assert_eq!(all.matches("<T>").count(), text.lines().count());
            prop_assert!(all.lines().all(|line| line.starts_with("<T>")));
            prop_assert_eq!(all.replace("<T>", ""), text);
        }
    }
}
