//! Where a log is cut, what the part that is put aside is called, and which parts are too many. Pure.
//!
//! The names are lumberjack's, because provisr's users know them and their tools look for them:
//! `web.stdout-2026-11-29T15-04-05.000.log` beside `web.stdout.log`, in UTC, perhaps followed by `.gz`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How far a line may stick out over the limit of its file before it is split.
pub(super) const SLACK: u64 = 64 * 1024;

/// What to do with the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// So many of them belong to the present file.
    pub(super) write: usize,
    /// Then a new one begins.
    pub(super) rotate: bool,
}

/// Decides where the present file of `size` bytes ends, if it does within `window`; `line_begins` says whether the
/// window starts with a new line. Prefers in this order: the last line that fits, the end of the line that does not, a
/// cut anywhere.
pub(super) fn cut(size: u64, limit: u64, line_begins: bool, window: &[u8]) -> Cut {
    let length = window.len() as u64;
    let all = Cut { write: window.len(), rotate: false };
    if limit == 0 || size.saturating_add(length) <= limit {
        return all;
    }
    let room = usize::try_from(limit.saturating_sub(size)).unwrap_or(usize::MAX).min(window.len());
    if let Some(last) = memchr::memrchr(b'\n', &window[..room]) {
        return Cut { write: last + 1, rotate: true };
    }
    if line_begins && size > 0 {
        return Cut { write: 0, rotate: true };
    }
    let most = usize::try_from(limit.saturating_add(SLACK).saturating_sub(size)).unwrap_or(usize::MAX);
    match memchr::memchr(b'\n', &window[room..]) {
        Some(next) if room + next < most => Cut { write: room + next + 1, rotate: true },
        _ if window.len() <= most => all,
        _ => Cut { write: most, rotate: true },
    }
}

/// Where the file is put aside at this time.
pub(super) fn backup(path: &Path, at_unix_ms: i64) -> PathBuf {
    let stamp = jiff::Timestamp::from_millisecond(at_unix_ms).unwrap_or_default();
    let stamp = format!("{stamp:.3}").replace(':', "-");
    let (before, after) = around(path);
    let mut name = before;
    name.extend_from_slice(stamp.trim_end_matches('Z').as_bytes());
    name.extend_from_slice(&after);
    path.with_file_name(OsString::from_vec(name))
}

/// The mark that files of a log were removed. Whoever reads the log later finds no other trace of them, and knows it by
/// this name.
pub(super) fn mark_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".cut");
    path.with_file_name(name)
}

/// The names among these that are put aside and more than `keep`, the oldest first.
pub(super) fn surplus(path: &Path, names: impl Iterator<Item = OsString>, keep: usize) -> Vec<OsString> {
    let (before, after) = around(path);
    // One that is just being compressed is there twice and counts once.
    let mut by_time = BTreeMap::<Vec<u8>, Vec<OsString>>::new();
    for name in names {
        if let Some(stamp) = stamp_in(&name, &before, &after) {
            by_time.entry(stamp.to_vec()).or_default().push(name);
        }
    }
    let too_many = by_time.len().saturating_sub(keep);
    by_time.into_values().take(too_many).flatten().collect()
}

/// What stands before and after the time in the name of a file put aside.
fn around(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut before = path.file_stem().unwrap_or_default().as_bytes().to_vec();
    before.push(b'-');
    let mut after = Vec::new();
    if let Some(extension) = path.extension() {
        after.push(b'.');
        after.extend_from_slice(extension.as_bytes());
    }
    (before, after)
}

fn stamp_in<'a>(name: &'a OsStr, before: &[u8], after: &[u8]) -> Option<&'a [u8]> {
    let rest = name.as_bytes().strip_prefix(before)?;
    let rest = rest.strip_suffix(b".gz").unwrap_or(rest);
    let stamp = rest.strip_suffix(after)?;
    let shape = b"0000-00-00T00-00-00.000";
    let fits = |(byte, model): (&u8, &u8)| if *model == b'0' { byte.is_ascii_digit() } else { byte == model };
    (stamp.len() == shape.len() && stamp.iter().zip(shape).all(fits)).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_at_a_line_end_where_one_is_near() {
        let cut = |size, line_begins, window: &str| {
            let Cut { write, rotate } = cut(size, 10, line_begins, window.as_bytes());
            (write, rotate)
        };
        assert_eq!(cut(0, true, "123456789\n"), (10, false), "exactly full is not too full");
        assert_eq!(cut(0, true, "1234\n6789012\n"), (5, true));
        assert_eq!(cut(8, true, "1234\n"), (0, true), "the line begins the next file");
        assert_eq!(cut(8, false, "1234\n67"), (5, true), "a line that was begun is ended first");
        assert_eq!(cut(0, true, "12345678901234\n"), (15, true), "a file holds a line that is longer than itself");
        assert_eq!(cut(8, false, "1234567"), (7, false), "the line may end soon");
        assert_eq!(cut(10, true, "1"), (0, true));
        assert_eq!(super::cut(u64::MAX, 0, true, b"1"), Cut { write: 1, rotate: false });
    }

    #[test]
    fn splits_only_a_huge_line() {
        let huge = vec![b'x'; 2 * SLACK as usize];
        assert_eq!(cut(0, 10, true, &huge), Cut { write: SLACK as usize + 10, rotate: true });
        assert_eq!(cut(SLACK + 10, 10, false, &huge), Cut { write: 0, rotate: true });
    }

    proptest! {
        /// Whatever arrives in whatever pieces, files stay near their limit, every file but those of huge lines ends
        /// with a line, and it always goes on.
        #[test]
        fn files_are_bounded_and_whole(
            limit in 1_u64..400,
            lines in prop::collection::vec(0_usize..120, 1..60),
            piece in 1_usize..200,
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|length| [vec![b'x'; *length], vec![b'\n']].concat()).collect();
            let (mut files, mut rest) = (vec![Vec::new()], text.as_slice());
            while !rest.is_empty() {
                let window = &rest[..piece.min(rest.len())];
                let file = files.last_mut().unwrap();
                let begins = file.last().is_none_or(|byte| *byte == b'\n');
                let Cut { write, rotate } = cut(file.len() as u64, limit, begins, window);
                prop_assert!(write > 0 || (rotate && !file.is_empty()));
                file.extend_from_slice(&window[..write]);
                rest = &rest[write..];
                if rotate {
                    files.push(Vec::new());
                }
            }
            prop_assert_eq!(files.concat(), text);
            for file in &files {
                prop_assert!(file.last().is_none_or(|byte| *byte == b'\n'));
                let last_line = file.split_inclusive(|byte| *byte == b'\n').next_back().map_or(0, <[u8]>::len);
                prop_assert!(file.len() as u64 <= limit || file.len() - last_line < limit as usize);
            }
        }
    }

    #[test]
    fn names_are_lumberjacks() {
        let at = "2026-11-29T15:04:05.007Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let named = |path: &str| backup(Path::new(path), at).into_os_string().into_string().unwrap();
        assert_eq!(named("/l/web.stdout.log"), "/l/web.stdout-2026-11-29T15-04-05.007.log");
        assert_eq!(named("/l/plain"), "/l/plain-2026-11-29T15-04-05.007");
    }

    #[test]
    fn the_oldest_go_and_strangers_stay() {
        let names = [
            "web-2026-01-03T00-00-00.000.log",
            "web-2026-01-01T00-00-00.000.log.gz",
            "web-2026-01-02T00-00-00.000.log",
            "web-2026-01-02T00-00-00.000.log.gz",
            "web.log",
            "web-2.log",
            "web-2-2026-01-01T00-00-00.000.log",
            "web-2026-01-01T00-00-00.000.txt",
            "web-2026-01-01T00-00-00.0000.log",
        ];
        let surplus = |keep| surplus(Path::new("/l/web.log"), names.iter().map(OsString::from), keep);
        assert_eq!(surplus(3), Vec::<OsString>::new());
        assert_eq!(surplus(2), ["web-2026-01-01T00-00-00.000.log.gz"]);
        assert_eq!(surplus(1), [names[1], names[2], names[3]]);
    }
}
