//! Logs that are rotated while they are read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use piton_logs::{Cursor, MergedLog, MergedPage, OutputStream, RotatedLog, Upkeep};
use proptest::prelude::*;
use tempfile::TempDir;

/// What the keeper does to a log.
struct Written {
    dir: TempDir,
    name: &'static str,
    aside: u32,
    all: Vec<u8>,
}

impl Written {
    fn new() -> Written {
        Written { dir: tempfile::tempdir().unwrap(), name: "web.stdout", aside: 0, all: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(format!("{}.log", self.name))
    }

    fn log(&self) -> RotatedLog {
        RotatedLog::new(self.path())
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path()).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        self.all.extend_from_slice(bytes.as_ref());
    }

    fn backup(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("{}-2026-11-29T15-04-05.{number:03}.log", self.name))
    }

    fn rotate(&mut self) {
        if self.path().exists() {
            fs::rename(self.path(), self.backup(self.aside)).unwrap();
            self.aside += 1;
        }
    }

    async fn compress(&self) -> u32 {
        let upkeep = Upkeep { max_backups: 0, max_age: Duration::ZERO, compress: true };
        self.log().keep_up(upkeep, now()).await.unwrap().compressed
    }
}

fn now() -> Timestamp {
    "2026-11-30T00:00:00Z".parse().unwrap()
}

/// All that a log holds from a place on, and whether it told of a gap.
async fn rest(log: &RotatedLog, mut from: Cursor, max: usize) -> (Vec<u8>, bool) {
    let (mut bytes, mut gap) = (Vec::new(), false);
    loop {
        let piece = log.read(from, max).await.unwrap();
        gap |= piece.gap;
        if piece.bytes.is_empty() {
            return (bytes, gap);
        }
        bytes.extend(piece.bytes);
        from = piece.next;
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[derive(Debug, Clone)]
enum Act {
    Write(Vec<u8>),
    Rotate,
    Compress,
    Read(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    proptest::collection::vec(
        prop_oneof![
            4 => bytes.prop_map(Act::Write),
            2 => Just(Act::Rotate),
            1 => Just(Act::Compress),
            3 => (1_usize..80).prop_map(Act::Read),
        ],
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is put aside and compressed between any two reads, a place goes on exactly where it was.
    #[test]
    fn a_place_survives_rotation_and_compression(acts in acts()) {
        run(async {
            let mut written = Written::new();
            let (mut read, mut at) = (Vec::new(), Cursor::BEGINNING);
            for act in &acts {
                match act {
                    Act::Write(bytes) => written.write(bytes),
                    Act::Rotate => written.rotate(),
                    Act::Compress => drop(written.compress().await),
                    Act::Read(max) => {
                        let piece = written.log().read(at, *max).await.unwrap();
                        assert!(!piece.gap);
                        at = piece.next;
                        read.extend(piece.bytes);
                    }
                }
            }
            let (last, gap) = rest(&written.log(), at, 7).await;
            read.extend(last);
            assert!(!gap);
            assert_eq!(read, written.all);
            // And from the beginning, in one go.
            assert_eq!(rest(&written.log(), Cursor::BEGINNING, 1 << 20).await, (written.all.clone(), false));
        });
    }
}

#[tokio::test]
async fn what_is_gone_is_told() {
    let mut written = Written::new();
    written.write("one\n");
    let (_, first) = (0, written.log().read(Cursor::BEGINNING, 2).await.unwrap().next);
    written.rotate();
    written.write("two\n");
    written.rotate();
    written.write("three\n");
    let upkeep = Upkeep { max_backups: 1, max_age: Duration::ZERO, compress: true };
    let done = written.log().keep_up(upkeep, now()).await.unwrap();
    assert_eq!((done.removed, done.compressed), (1, 1));
    assert_eq!(rest(&written.log(), first, 100).await, (b"two\nthree\n".to_vec(), true));
    assert_eq!(rest(&written.log(), Cursor::BEGINNING, 100).await, (b"two\nthree\n".to_vec(), true));
    let followed = Box::pin(written.log().follow(Cursor::BEGINNING)).next().await.unwrap().unwrap();
    assert!(followed.gap, "whoever follows from the beginning is told, too");
    // Who reads on from what is left misses nothing.
    let left = written.log().read(followed.from, 100).await.unwrap();
    assert_eq!((left.from, left.gap), (followed.from, false));
    assert!(!written.log().tail(100).await.unwrap().gap, "who asks for the last lines misses none");
    // Emptied by somebody else.
    let end = written.log().end().await.unwrap();
    File::create(written.path()).unwrap().write_all(b"new\n").unwrap();
    assert_eq!(rest(&written.log(), end, 100).await, (b"new\n".to_vec(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_misses_nothing_over_a_hundred_rotations() {
    let mut written = Written::new();
    let log = written.log();
    let following = tokio::spawn(async move {
        let mut pieces = Box::pin(log.follow(Cursor::BEGINNING));
        let mut all = Vec::new();
        while !all.ends_with(b"the end\n") {
            let piece = pieces.next().await.unwrap().unwrap();
            assert!(!piece.gap);
            all.extend(piece.bytes);
        }
        all
    });
    for round in 0..100 {
        written.write(format!("line {round} {}\n", "x".repeat(round * 20)));
        if round % 3 == 0 {
            tokio::task::yield_now().await;
            written.compress().await;
        }
        written.rotate();
    }
    written.write("the end\n");
    assert!(following.await.unwrap() == written.all);
}

#[tokio::test]
async fn the_last_lines() {
    let mut written = Written::new();
    let line = |minute: u32| format!("2026-11-29T15:{minute:02}:00.000Z line {minute}\n");
    for minute in 0..40 {
        written.write(line(minute));
        if minute % 10 == 9 {
            written.rotate();
        }
        if minute == 15 {
            assert_eq!(written.compress().await, 1);
        }
    }
    assert_eq!(written.compress().await, 3);
    written.write(line(40));
    written.write(line(41));
    let log = written.log();
    let from = |minute| (minute..42).map(line).collect::<String>();
    for lines in [0, 1, 2, 3, 12, 13, 42, 1000] {
        let tail = log.tail(lines).await.unwrap();
        assert_eq!(String::from_utf8(tail.bytes).unwrap(), from(42_u32.saturating_sub(lines as u32)), "{lines}");
        assert!(!tail.gap);
        let (bytes, _) = rest(&log, log.last_lines(lines).await.unwrap(), 50).await;
        assert_eq!(bytes.len(), from(42_u32.saturating_sub(lines as u32)).len());
        assert_eq!(tail.next, log.end().await.unwrap());
    }
}

#[tokio::test]
async fn upkeep_removes_what_is_old_and_what_was_cut_off() {
    let mut written = Written::new();
    for _ in 0..3 {
        written.write("x\n");
        written.rotate();
    }
    written.write("y\n");
    let old = written.dir.path().join("web.stdout-2026-11-01T00-00-00.000.log");
    let partial = written.dir.path().join(".web.stdout-2026-11-29T15-04-05.000.log.gz.part");
    let others = [".web.stdout-2026-11-29.log.gz.part", "web.stderr-2026-11-01T00-00-00.000.log"];
    fs::write(&old, "old").unwrap();
    fs::write(&partial, "half").unwrap();
    for other in others {
        fs::write(written.dir.path().join(other), "").unwrap();
    }
    // Killed between the two names.
    fs::copy(written.backup(0), written.backup(0).with_extension("log.gz")).unwrap();
    let upkeep = Upkeep { max_backups: 0, max_age: Duration::from_secs(7 * 86_400), compress: true };
    let done = written.log().keep_up(upkeep, now()).await.unwrap();
    assert_eq!((done.removed, done.compressed), (1, 2));
    let names: Vec<_> = fs::read_dir(written.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!old.exists() && !partial.exists(), "{names:?}");
    // And the mark that something was removed.
    assert_eq!(names.len(), 3 + 1 + others.len() + 1, "{names:?}");
    assert_eq!(written.log().keep_up(upkeep, now()).await.unwrap().compressed, 0);
}

fn texts(page: &MergedPage) -> Vec<String> {
    page.lines.iter().map(|line| format!("{:?} {}", line.stream, line.text)).collect()
}

struct Both {
    out: Written,
    err: Written,
}

impl Both {
    fn new() -> Both {
        let mut err = Written::new();
        err.name = "web.stderr";
        Both { out: Written::new(), err }
    }

    fn log(&self) -> MergedLog {
        MergedLog::new(self.out.path(), self.err.path(), self.out.dir.path().join("web.order"))
    }
}

#[tokio::test]
async fn two_outputs_are_one_log_with_lasting_places() {
    let mut both = Both::new();
    assert_eq!(both.log().page(None, 10).await.unwrap(), MergedPage::default());
    both.out.write("a\nb\n");
    let first = both.log().page(Some(0), 10).await.unwrap();
    assert_eq!(texts(&first), ["Stdout a", "Stdout b"]);
    both.err.write("E\n");
    assert_eq!(texts(&both.log().page(Some(first.next), 10).await.unwrap()), ["Stderr E"]);
    both.out.write("c\nunfinished");
    both.out.rotate();
    both.out.write("d\n");
    let all = both.log().page(Some(0), 10).await.unwrap();
    assert_eq!(texts(&all), ["Stdout a", "Stdout b", "Stderr E", "Stdout c", "Stdout unfinished", "Stdout d"]);
    both.out.compress().await;
    for line in &all.lines {
        let page = both.log().page(Some(line.offset), 1).await.unwrap();
        assert_eq!(page.lines, std::slice::from_ref(line));
    }
    let last = both.log().page(None, 2).await.unwrap();
    assert_eq!(last.lines, all.lines[4..]);
    assert_eq!(last.next, all.next);
    assert_eq!(both.log().page(Some(all.next), 10).await.unwrap().lines, []);
    // A page of one line at a time is the same log.
    let (mut at, mut lines) = (0, Vec::new());
    loop {
        let page = both.log().page(Some(at), 1).await.unwrap();
        assert!(!page.gap);
        at = page.next;
        if page.lines.is_empty() {
            break;
        }
        lines.extend(page.lines);
    }
    assert_eq!(lines, all.lines);
    // One of them alone says which it is.
    let alone = MergedLog::one(OutputStream::Stderr, both.err.path(), both.err.dir.path().join("err.order"));
    assert_eq!(texts(&alone.page(Some(0), 10).await.unwrap()), ["Stderr E"]);
    // A number of another time, and a file that is gone.
    assert!(both.log().page(Some(10_000), 1).await.unwrap().gap);
    fs::remove_file(both.out.backup(0).with_extension("log.gz")).unwrap();
    let page = both.log().page(Some(0), 10).await.unwrap();
    assert!(page.gap);
    assert_eq!(texts(&page), ["Stderr E", "Stdout d"]);
}

#[tokio::test]
async fn the_last_words_of_what_has_ended_are_a_line() {
    let mut both = Both::new();
    let page = async |both: &Both, since, ended| both.log().with_end(ended).page(Some(since), 10).await.unwrap();
    both.out.write("a\nlast words");
    let running = page(&both, 0, false).await;
    assert_eq!(texts(&running), ["Stdout a"], "it may go on");
    let ended = page(&both, running.next, true).await;
    assert_eq!(texts(&ended), ["Stdout last words"]);
    assert_eq!(page(&both, ended.next, true).await.lines, []);
    both.err.write("E\n");
    let other = page(&both, ended.next, false).await;
    assert_eq!(texts(&other), ["Stderr E"]);
    // The next one that writes ends the line first, which is then told already.
    both.out.write("\n");
    let nothing = page(&both, other.next, false).await;
    assert_eq!((nothing.lines, nothing.gap), (vec![], false));
    both.out.write("\nb\nmore");
    let all = page(&both, 0, false).await.lines;
    let wanted = ["Stdout a", "Stdout last words", "Stderr E", "Stdout ", "Stdout b"];
    assert_eq!(texts(&MergedPage { lines: all.clone(), ..MergedPage::default() }), wanted);
    assert_eq!(page(&both, other.next, false).await.lines, all[3..], "also from between the two on");
    for count in 0..=6 {
        let tail = both.log().page(None, count).await.unwrap();
        assert_eq!(tail.lines, all[all.len().saturating_sub(count)..], "the last {count}");
    }
    for line in &all {
        let page = both.log().page(Some(line.offset), 1).await.unwrap();
        assert_eq!(page.lines, std::slice::from_ref(line));
    }
    both.out.rotate();
    assert_eq!(both.out.compress().await, 1);
    let aside = page(&both, other.next, false).await;
    assert_eq!(texts(&aside), ["Stdout ", "Stdout b", "Stdout more"]);
    assert_eq!(both.log().page(None, 5).await.unwrap().lines[..2], all[1..3]);
}

#[tokio::test]
async fn what_nobody_saw_before_it_was_removed_is_told() {
    let mut both = Both::new();
    both.out.write("a\n");
    let first = both.log().page(Some(0), 10).await.unwrap();
    both.out.rotate();
    both.out.write("b\n");
    both.out.rotate();
    both.out.write("c\n");
    fs::remove_file(both.out.backup(0)).unwrap();
    fs::remove_file(both.out.backup(1)).unwrap();
    let page = both.log().page(Some(first.next), 10).await.unwrap();
    assert_eq!((texts(&page), page.gap), (vec!["Stdout c".to_owned()], true));
    let again = both.log().page(Some(page.lines[0].offset), 10).await.unwrap();
    assert_eq!((again.lines, again.gap), (page.lines, false));
}

#[tokio::test]
async fn a_beginning_that_was_removed_before_anybody_read_is_told() {
    let mut both = Both::new();
    for line in ["a\n", "b\n", "c\n"] {
        both.out.rotate();
        both.out.write(line);
    }
    both.err.write("E\n");
    let upkeep = Upkeep { max_backups: 1, max_age: Duration::ZERO, compress: false };
    assert_eq!(both.out.log().keep_up(upkeep, now()).await.unwrap().removed, 1);
    let page = both.log().page(Some(0), 10).await.unwrap();
    assert_eq!(page.lines.len(), 3, "{page:?}");
    assert!(page.gap && both.log().page(Some(0), 10).await.unwrap().gap, "whoever asks from the beginning is told");
    let again = both.log().page(Some(page.lines[0].offset), 10).await.unwrap();
    assert_eq!((again.lines, again.gap), (page.lines, false));
    assert!(!both.log().page(None, 10).await.unwrap().gap, "who asks for the last lines misses none");
    // Each output has a beginning of its own.
    let alone = |stream, path: PathBuf, book: &str| MergedLog::one(stream, path, both.out.dir.path().join(book));
    let out = alone(OutputStream::Stdout, both.out.path(), "out.order").page(Some(0), 10).await.unwrap();
    assert_eq!((texts(&out), out.gap), (vec!["Stdout b".to_owned(), "Stdout c".to_owned()], true));
    let err = alone(OutputStream::Stderr, both.err.path(), "err.order").page(Some(0), 10).await.unwrap();
    assert_eq!((texts(&err), err.gap), (vec!["Stderr E".to_owned()], false));
    // Nothing was removed of what was only put aside.
    both.err.rotate();
    both.err.write("F\n");
    assert_eq!(both.err.log().keep_up(upkeep, now()).await.unwrap().removed, 0);
    let err = alone(OutputStream::Stderr, both.err.path(), "another.order").page(Some(0), 10).await.unwrap();
    assert_eq!((texts(&err), err.gap), (vec!["Stderr E".to_owned(), "Stderr F".to_owned()], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_line_takes_no_memory_and_concurrent_readers_agree() {
    let mut both = Both::new();
    both.out.write(vec![b'x'; 10 << 20]);
    both.out.write("\nshort\n");
    for line in 0..50 {
        both.err.write(format!("e{line}\n"));
    }
    let log = both.log();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.page(Some(0), 1000).await.unwrap() })
        })
        .collect();
    let mut pages = Vec::new();
    for reader in readers {
        pages.push(reader.await.unwrap());
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
    let mut streams = BTreeMap::new();
    for line in &pages[0].lines {
        *streams.entry(line.stream).or_insert(0) += 1;
    }
    assert_eq!(streams, BTreeMap::from([(OutputStream::Stdout, 2), (OutputStream::Stderr, 50)]));
    let huge = pages[0].lines.iter().map(|line| line.text.len()).max().unwrap();
    assert!(huge < 20_000, "{huge}");
}
