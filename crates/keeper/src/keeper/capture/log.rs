//! One log: the file, and how bytes get from a pipe into it.
//!
//! Bytes leave a pipe only when they are in the file: what the file does not take stays where it is, and where it
//! would survive the keeper's upgrade. Large amounts go by `splice`; near the limit, where the end of a line has to be
//! found, they are looked at with `tee` first.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::rotation::{self, Cut, SLACK};
use super::scratch::Scratch;
use super::stamp;
use crate::LogFile;
use crate::keeper::{note, now_unix_us};

/// How long a child waits for a disk that takes nothing before its output is thrown away.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How soon the disk is tried again, while a child waits and after.
const RETRY: Duration = Duration::from_millis(200);
/// How long a log that cannot be rotated grows before that is tried again.
const RETRY_ROTATION: Duration = Duration::from_secs(5);
/// How often it is looked whether the file is still at its path.
const LOOK: Duration = Duration::from_secs(1);
/// At most this much is asked of one `splice`.
const BULK: u64 = 1 << 20;

/// A log that one or more pipes end in.
#[derive(Debug)]
pub(super) struct Log {
    max_size: u64,
    max_backups: u32,
    timestamps: bool,
    file: Option<File>,
    /// How many pipes end here.
    pub(super) pipes: usize,
    /// The time in the name of the file that was last put aside.
    last_backup_ms: i64,
    rotate_after: Option<Instant>,
    /// When it was last looked whether the file is still at its path.
    pub(super) looked_at: Option<Instant>,
    /// The file system cannot splice.
    copies: bool,
    trouble: Option<Trouble>,
    /// Bytes thrown away that the log does not speak of yet.
    lost: u64,
    /// Why the last of them were.
    lost_why: Option<Errno>,
}

/// The file takes nothing.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    retry_at: Instant,
}

/// How a turn with a pipe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Perhaps there is more.
    More,
    /// Nothing is there now.
    Empty,
    /// Nobody can write to the pipe any more.
    Closed,
    /// The file takes nothing; the child has to wait.
    Blocked,
}

impl Log {
    pub(super) fn new(settings: &LogFile) -> Self {
        Self {
            max_size: settings.max_size,
            max_backups: settings.max_backups,
            timestamps: settings.timestamps,
            file: None,
            pipes: 0,
            last_backup_ms: i64::MIN,
            rotate_after: None,
            looked_at: None,
            copies: false,
            trouble: None,
            lost: 0,
            lost_why: None,
        }
    }

    /// The newest settings count for all who write.
    pub(super) fn set(&mut self, settings: &LogFile) {
        self.max_size = settings.max_size;
        self.max_backups = settings.max_backups;
        self.timestamps = settings.timestamps;
    }

    pub(super) fn settings(&self, path: &Path) -> LogFile {
        LogFile {
            path: path.to_owned(),
            max_size: self.max_size,
            max_backups: self.max_backups,
            timestamps: self.timestamps,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Gives the descriptor back; it is opened again when it is needed.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(open_log(path)?)),
        }
    }

    /// Ends the line that the last writer has left without an end, so that the next one's output is none of it. Not
    /// when that one ended: until somebody goes on, the file is what was written.
    pub(super) fn begin_line(&mut self, path: &Path) {
        let begun = self.open(path).and_then(|file| {
            let size = rustix::fs::fstat(file)?.st_size.cast_unsigned();
            if ends_with_line(file, size) { Ok(()) } else { write_or_undo(file, b"\n", size).map_err(io::Error::from) }
        });
        if let Err(error) = begun {
            note(format_args!("cannot begin a line in {}: {error}", path.display()));
        }
    }

    /// What was lost and not told yet, and by which error.
    pub(super) fn lost(&self) -> (u64, i32) {
        (self.lost, self.lost_why.map_or(0, Errno::raw_os_error))
    }

    pub(super) fn set_lost(&mut self, bytes: u64, why: i32) {
        self.lost = bytes;
        self.lost_why = (why != 0).then(|| Errno::from_raw_os_error(why));
        let now = Instant::now();
        self.trouble = (bytes > 0).then_some(Trouble { since: now, retry_at: now });
    }

    /// When it has to be looked after although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry_at)
    }

    /// Tries to tell of what was lost, which is due; `waited_for` if a pipe waits for this log and will try for itself.
    pub(super) fn attend(&mut self, path: &Path, waited_for: bool) {
        match self.ready(path) {
            Err(error) => {
                self.refused(path, error);
            }
            Ok(_) if !waited_for => self.trouble = None,
            Ok(_) => {}
        }
    }

    /// Moves up to about `budget` bytes from the pipe into the file; gives how many it took from the pipe.
    pub(super) fn take(
        &mut self,
        path: &Path,
        pipe: BorrowedFd<'_>,
        line_begins: &mut bool,
        budget: usize,
        scratch: &mut Scratch,
    ) -> (usize, End) {
        let now = Instant::now();
        if let Some(trouble) = &self.trouble
            && now < trouble.retry_at
        {
            let gave_up = now.duration_since(trouble.since) >= PATIENCE;
            return if gave_up { self.throw_away(pipe, budget, scratch) } else { (0, End::Blocked) };
        }
        let mut taken = 0;
        while taken < budget {
            match self.take_some(path, pipe, line_begins, scratch) {
                Ok((count, End::More)) => {
                    taken += count;
                    self.trouble = None;
                }
                Ok((count, end)) => return (taken + count, end),
                Err(error) => {
                    let gave_up = self.refused(path, error);
                    if gave_up {
                        let (count, end) = self.throw_away(pipe, budget, scratch);
                        return (taken + count, end);
                    }
                    return (taken, End::Blocked);
                }
            }
        }
        (taken, End::More)
    }

    /// One step.
    fn take_some(
        &mut self,
        path: &Path,
        pipe: BorrowedFd<'_>,
        line_begins: &mut bool,
        scratch: &mut Scratch,
    ) -> Result<(usize, End), Errno> {
        if self.file.is_none()
            && self.lost == 0
            && self.trouble.is_none()
            && let Some(end) = nothing_in(pipe)
        {
            // Most children say nothing between their start and their end: a thousand that end need no thousand files.
            return Ok((0, end));
        }
        let told = self.lost > 0;
        let size = self.ready(path)?;
        *line_begins |= told;
        let Some(file) = &self.file else { return Err(Errno::BADF) };
        let limit = self.limit();
        let bulk = if limit == 0 { BULK } else { limit.saturating_sub(size).saturating_sub(SLACK).min(BULK) };
        if !self.timestamps && !self.copies && bulk > 0 {
            let mut at = size;
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match splice(pipe, None, file, Some(&mut at), bulk as usize, flags) {
                Ok(0) => return Ok((0, End::Closed)),
                Ok(count) => return Ok((count, End::More)),
                Err(Errno::AGAIN) => return Ok((0, End::Empty)),
                Err(Errno::INTR) => return Ok((0, End::More)),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => self.copies = true,
                Err(error) => return Err(error),
            }
        }
        match scratch.look(pipe) {
            Ok(0) => return Ok((0, End::Closed)),
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok((0, End::Empty)),
            Err(Errno::INTR) => return Ok((0, End::More)),
            Err(error) => return Err(error),
        }
        let (consumed, rotate) = if self.timestamps {
            let now = time_in_front();
            let (window, out) = scratch.window_and_out();
            let stamped = stamp::stamp(window, *line_begins, &now, (size, limit), out);
            write_or_undo(file, out, size)?;
            *line_begins = stamped.line_begins;
            (stamped.consumed, stamped.rotate)
        } else {
            let (window, _) = scratch.window_and_out();
            // Asked only here, near the limit: `splice` does not show what it moves.
            let begins = ends_with_line(file, size);
            let Cut { write, rotate } = rotation::cut(size, limit, begins, window);
            write_or_undo(file, &window[..write], size)?;
            *line_begins = window[..write].last().map_or(begins, |byte| *byte == b'\n');
            (write, rotate)
        };
        // In the file, hence it may leave the pipe.
        scratch.discard(pipe, consumed)?;
        if rotate {
            self.rotate(path);
        }
        Ok((consumed, End::More))
    }

    /// The limit that counts now; 0 for none.
    fn limit(&self) -> u64 {
        let wait = self.rotate_after.is_some_and(|after| Instant::now() < after);
        if wait { 0 } else { self.max_size }
    }

    /// Opens the file if need be, says what was lost if anything was, and gives the file's size.
    fn ready(&mut self, path: &Path) -> Result<u64, Errno> {
        // Asked every time: whoever shortens the file should not find a hole in it.
        let mut stat = rustix::fs::fstat(self.open(path).map_err(errno)?)?;
        if stat.st_nlink == 0 {
            // Somebody removed it: what is written now would vanish with the descriptor.
            self.file = None;
            stat = rustix::fs::fstat(self.open(path).map_err(errno)?)?;
        } else if self.was_moved(path, &stat)
            && let Ok(file) = open_log(path)
        {
            stat = rustix::fs::fstat(&file)?;
            self.file = Some(file);
        }
        let size = stat.st_size.cast_unsigned();
        if self.lost == 0 {
            return Ok(size);
        }
        let Some(file) = &self.file else { return Err(Errno::BADF) };
        let why = self.lost_why.map_or_else(|| "the log could not be written".to_owned(), in_words);
        let newline = if ends_with_line(file, size) { "" } else { "\n" };
        let stamp = if self.timestamps { time_in_front() } else { String::new() };
        let line = format!("{newline}{stamp}piton: {} bytes of output were lost: {why}\n", self.lost);
        write_or_undo(file, line.as_bytes(), size)?;
        note(format_args!("{} takes output again; {} bytes were lost: {why}", path.display(), self.lost));
        (self.lost, self.lost_why, self.trouble) = (0, None, None);
        Ok(size + line.len() as u64)
    }

    /// Whether the file was moved away, as `logrotate` does: nobody looks for what is written there now.
    fn was_moved(&mut self, path: &Path, file: &Stat) -> bool {
        let now = Instant::now();
        if self.looked_at.is_some_and(|at| now.duration_since(at) < LOOK) {
            return false;
        }
        self.looked_at = Some(now);
        match rustix::fs::lstat(path) {
            Ok(there) => {
                // What else may lie there is no place for a log: then it stays where it is.
                let is_file = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
                is_file && (there.st_dev, there.st_ino) != (file.st_dev, file.st_ino)
            }
            Err(error) => error == Errno::NOENT,
        }
    }

    /// The file took nothing; `true` if the child has waited long enough.
    fn refused(&mut self, path: &Path, why: Errno) -> bool {
        let now = Instant::now();
        if self.trouble.is_none() {
            note(format_args!("cannot write {}: {why}", path.display()));
        }
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, retry_at: now + RETRY });
        self.lost_why = Some(why);
        now.duration_since(since) >= PATIENCE
    }

    fn throw_away(&mut self, pipe: BorrowedFd<'_>, budget: usize, scratch: &Scratch) -> (usize, End) {
        match scratch.discard_some(pipe, budget) {
            Ok(0) => (0, End::Closed),
            Ok(count) => {
                self.lost += count as u64;
                (count, End::More)
            }
            Err(Errno::INTR) => (0, End::More),
            Err(_) => (0, End::Empty),
        }
    }

    fn rotate(&mut self, path: &Path) {
        // Two in the same millisecond, or a clock that was set back, must neither collide nor change the order.
        let now_ms = now_unix_us() / 1000;
        let mut at = now_ms.max(self.last_backup_ms.saturating_add(1));
        let moved = loop {
            match put_aside(path, &rotation::backup(path, at)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => at += 1,
                result => break result,
            }
        };
        match moved {
            Ok(()) => {
                self.last_backup_ms = at;
                self.file = None;
                if self.max_backups > 0 {
                    remove_surplus(path, self.max_backups as usize);
                }
            }
            Err(error) => {
                note(format_args!("cannot put {} aside: {error}", path.display()));
                self.rotate_after = Some(Instant::now() + RETRY_ROTATION);
            }
        }
    }
}

/// How a turn with this pipe ends, if there is nothing in it.
fn nothing_in(pipe: BorrowedFd<'_>) -> Option<End> {
    let mut asked = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    // What cannot be asked is looked for.
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
    let events = asked[0].revents();
    if events.contains(PollFlags::IN) {
        return None;
    }
    Some(if events.intersects(PollFlags::HUP | PollFlags::ERR) { End::Closed } else { End::Empty })
}

/// Opens a log for writing at a place of one's choice, creating it if it is missing. Not in append mode, which `splice`
/// does not know.
fn open_log(path: &Path) -> io::Result<File> {
    // Neither a FIFO nor a device may be put in the file's place: opening the one would hang the keeper, writing to the
    // other is no log.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is not a regular file")) }
}

/// Writes all of it at the end of a file of `size` bytes, or nothing: what was written in part would be written again.
fn write_or_undo(file: &File, bytes: &[u8], size: u64) -> Result<(), Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::pwrite(file, &bytes[written..], size + written as u64) {
            Ok(count) if count > 0 => written += count,
            Err(Errno::INTR) => {}
            failed => {
                // Should this fail too, a piece of the output is there twice, which is better than not at all.
                let _ = rustix::fs::ftruncate(file, size);
                return Err(failed.err().unwrap_or(Errno::NOSPC));
            }
        }
    }
    Ok(())
}

fn ends_with_line(file: &File, size: u64) -> bool {
    let mut last = [0];
    size == 0 || (rustix::io::pread(file, &mut last, size - 1) == Ok(1) && last[0] == b'\n')
}

fn put_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let mut compressed = aside.as_os_str().to_owned();
    compressed.push(".gz");
    if fs::symlink_metadata(&compressed).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, path, here, aside, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(aside).is_err() => fs::rename(path, aside),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        result => Ok(result?),
    }
}

fn remove_surplus(path: &Path, keep: usize) {
    let Some(dir) = path.parent() else { return };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return note(format_args!("cannot list {}: {error}", dir.display())),
    };
    let surplus = rotation::surplus(path, entries.flatten().map(|entry| entry.file_name()), keep);
    if !surplus.is_empty() {
        leave_mark(&rotation::mark_of(path));
    }
    for name in surplus {
        if let Err(error) = fs::remove_file(dir.join(&name))
            && error.kind() != io::ErrorKind::NotFound
        {
            note(format_args!("cannot remove {}: {error}", dir.join(&name).display()));
        }
    }
}

/// Leaves a mark, before that goes of which it tells.
fn leave_mark(mark: &Path) {
    // A new one only: in a directory of somebody else a link may lie there.
    if let Err(error) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        note(format_args!("cannot make {}: {error}", mark.display()));
    }
}

/// The time in front of a line.
fn time_in_front() -> String {
    let now = jiff::Timestamp::from_microsecond(now_unix_us()).unwrap_or_default();
    format!("{now:.3} ")
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn in_words(why: Errno) -> String {
    match why {
        Errno::NOSPC => "no space left on device".to_owned(),
        Errno::DQUOT => "the disk quota is used up".to_owned(),
        other => other.to_string(),
    }
}
