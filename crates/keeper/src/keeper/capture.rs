//! Output on its way from pipes into logs.
//!
//! Each pipe is served a bounded amount in its turn and each round of the keeper serves a bounded amount in all, so a
//! child that floods its log delays neither the other logs nor the socket. Nothing is held in memory: what a file does
//! not take stays in its pipe.

mod log;
mod rotation;
mod scratch;
mod stamp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::{Errno, FdFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use log::{End, Log};
use scratch::Scratch;

use super::handover::{HandedLoss, HandedPipe};
use super::note;
use super::readiness::Readiness;
use crate::LogFile;

/// How much one pipe may move in its turn.
const TURN: usize = 256 * 1024;
/// How much all pipes together may move in a round.
const ROUND: usize = 1 << 20;
/// More than any pipe holds without privileges.
const WHOLE_PIPE: usize = 1 << 20;
/// A pipe that was found this full is made larger, so that the child and the keeper change places less often.
const MUCH: usize = 60 * 1024;
const LARGE_PIPE: usize = 256 * 1024;
/// So many are: without privileges all pipes of a user together may hold only 64 MiB.
const LARGE_PIPES: usize = 64;
/// So many files stay open between two turns; opening another is cheap, descriptors are not.
const OPEN_FILES: usize = 256;
/// How soon the kernel is asked again to watch a pipe.
const WATCH_AGAIN: Duration = Duration::from_millis(200);

/// All pipes and logs.
#[derive(Debug)]
pub(super) struct Captures {
    readiness: Readiness,
    scratch: Scratch,
    pipes: BTreeMap<u64, Pipe>,
    /// The pipes of each child.
    owned: BTreeSet<(u32, u64)>,
    logs: BTreeMap<Rc<Path>, Log>,
    next: u64,
    /// Pipes that have something and wait for their turn.
    queue: VecDeque<u64>,
    /// Pipes whose log takes nothing.
    blocked: BTreeSet<u64>,
    /// Pipes that the kernel would not watch, and when it is asked again.
    unwatched: BTreeSet<u64>,
    watch_after: Option<Instant>,
    /// Logs that have to be looked after although nothing arrives.
    troubled: BTreeSet<Rc<Path>>,
    open_files: usize,
    large_pipes: usize,
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    log: Rc<Path>,
    /// Whose it is: the child's pid, 0 as long as it has none.
    owner: u32,
    line_begins: bool,
    queued: bool,
    /// It is not watched: its log takes nothing, or the kernel would not.
    blocked: bool,
    large: bool,
}

/// A pipe's end for a child that is about to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: u64,
    pub(super) writer: OwnedFd,
}

impl Captures {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            readiness: Readiness::new()?,
            scratch: Scratch::new()?,
            pipes: BTreeMap::new(),
            owned: BTreeSet::new(),
            logs: BTreeMap::new(),
            next: 0,
            queue: VecDeque::new(),
            blocked: BTreeSet::new(),
            unwatched: BTreeSet::new(),
            watch_after: None,
            troubled: BTreeSet::new(),
            open_files: 0,
            large_pipes: 0,
        })
    }

    /// Readable when a pipe is.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    /// How many pipes somebody may still write to.
    pub(super) fn open_pipes(&self) -> usize {
        self.pipes.len()
    }

    /// Opens the log and a pipe that ends in it.
    pub(super) fn prepare(&mut self, settings: &LogFile) -> io::Result<Prepared> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let id = self.attach(reader, settings, 0, true)?;
        let Some(pipe) = self.pipes.get(&id) else { return Err(Errno::BADF.into()) };
        let path = Rc::clone(&pipe.log);
        let opened = match self.logs.get_mut(&path) {
            Some(log) if log.is_open() => Ok(()),
            Some(log) => log.open(&path).map(|_| self.open_files += 1),
            None => Ok(()),
        };
        match opened {
            Ok(()) => {
                self.begin_line(id, &path);
                self.spare_descriptors(&path);
                Ok(Prepared { id, writer })
            }
            Err(error) => {
                self.detach(id);
                Err(error)
            }
        }
    }

    /// Sees to it that what comes through a new pipe begins a line. Who writes beside others breaks none of theirs:
    /// only those that ended have left one without its end.
    fn begin_line(&mut self, newcomer: u64, path: &Rc<Path>) {
        if self.logs.get(path).is_some_and(|log| log.pipes > 1) {
            // What is left of those that ended comes first, and they go with it.
            let of_others = |(id, pipe): (&u64, &Pipe)| (*id != newcomer && pipe.log == *path).then_some(*id);
            let others: Vec<u64> = self.pipes.iter().filter_map(of_others).collect();
            for id in others {
                self.serve(id, WHOLE_PIPE);
            }
        }
        if let Some(log) = self.logs.get_mut(path).filter(|log| log.pipes == 1) {
            // It may have been closed again meanwhile, to spare a descriptor.
            let was_open = log.is_open();
            log.begin_line(path);
            self.open_files = self.open_files + usize::from(log.is_open()) - usize::from(was_open);
        }
    }

    fn attach(&mut self, reader: OwnedFd, settings: &LogFile, owner: u32, line_begins: bool) -> io::Result<u64> {
        // The flag is of this end alone: the child's is as blocking as it expects.
        rustix::io::ioctl_fionbio(&reader, true)?;
        let id = self.next;
        self.readiness.add(&reader, id)?;
        self.next += 1;
        let path: Rc<Path> = match self.logs.get_key_value(settings.path.as_path()) {
            Some((path, _)) => Rc::clone(path),
            None => Rc::from(settings.path.as_path()),
        };
        let log = self.logs.entry(Rc::clone(&path)).or_insert_with(|| Log::new(settings));
        log.set(settings);
        log.pipes += 1;
        self.owned.insert((owner, id));
        self.pipes
            .insert(id, Pipe { reader, log: path, owner, line_begins, queued: false, blocked: false, large: false });
        Ok(id)
    }

    /// The child is there.
    pub(super) fn adopt(&mut self, id: u64, owner: u32) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            self.owned.remove(&(pipe.owner, id));
            self.owned.insert((owner, id));
            pipe.owner = owner;
        }
    }

    /// Closes a pipe, of which the log may end.
    pub(super) fn detach(&mut self, id: u64) {
        let Some(pipe) = self.pipes.remove(&id) else { return };
        self.owned.remove(&(pipe.owner, id));
        if !pipe.blocked {
            self.readiness.remove(&pipe.reader);
        }
        self.large_pipes -= usize::from(pipe.large);
        self.let_go(&pipe.log, |log| log.pipes -= 1);
    }

    /// Changes a log and drops it if nobody needs it any more.
    fn let_go(&mut self, path: &Rc<Path>, change: impl FnOnce(&mut Log)) {
        let Some(log) = self.logs.get_mut(path) else { return };
        change(log);
        if log.pipes == 0 && log.lost().0 == 0 {
            self.open_files -= usize::from(log.is_open());
            self.logs.remove(path);
            self.troubled.remove(path);
        }
    }

    fn spare_descriptors(&mut self, path: &Rc<Path>) {
        if self.open_files > OPEN_FILES
            && let Some(log) = self.logs.get_mut(path)
            && log.is_open()
        {
            log.close();
            self.open_files -= 1;
        }
    }

    /// How long until something has to be done without being asked.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.troubled.iter().filter_map(|path| self.logs.get(path)?.due()).chain(self.watch_after).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Moves a round's worth of output; `arrived` if there is more than is already queued.
    pub(super) fn work(&mut self, arrived: bool) {
        self.attend();
        if arrived {
            for id in self.readiness.ready() {
                self.enqueue(id);
            }
        }
        let mut left = ROUND;
        while left > 0
            && let Some(id) = self.queue.pop_front()
        {
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.queued = false;
            }
            left = left.saturating_sub(self.serve(id, TURN).max(1));
        }
    }

    /// Empties the pipes of children that have ended, as far as the logs take it: what a child wrote is there when its
    /// end is announced.
    pub(super) fn finish(&mut self, ended: &BTreeSet<u32>) {
        let of = |owner: &u32| self.owned.range((*owner, 0)..=(*owner, u64::MAX)).map(|(_, id)| *id);
        let theirs: Vec<u64> = ended.iter().flat_map(of).collect();
        for id in theirs {
            self.serve(id, WHOLE_PIPE);
        }
    }

    /// Moves what is in the pipes now.
    pub(super) fn finish_all(&mut self) {
        let all: Vec<u64> = self.pipes.keys().copied().collect();
        for id in all {
            self.serve(id, WHOLE_PIPE);
        }
        for (path, log) in &self.logs {
            let (lost, _) = log.lost();
            if lost > 0 {
                note(format_args!("{lost} bytes of output for {} were lost", path.display()));
            }
        }
    }

    fn enqueue(&mut self, id: u64) {
        if let Some(pipe) = self.pipes.get_mut(&id)
            && !pipe.queued
        {
            pipe.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Gives blocked pipes another try, and tells of what was lost.
    fn attend(&mut self) {
        if self.watch_after.is_some_and(|after| after <= Instant::now()) {
            self.watch_after = None;
            for id in std::mem::take(&mut self.unwatched) {
                self.enqueue(id);
            }
        }
        if self.troubled.is_empty() {
            return;
        }
        let now = Instant::now();
        let due = |path: &&Rc<Path>| self.logs.get(*path).and_then(Log::due).is_some_and(|due| due <= now);
        let due: BTreeSet<_> = self.troubled.iter().filter(due).cloned().collect();
        let mut waited_for = BTreeSet::new();
        for id in std::mem::take(&mut self.blocked) {
            match self.pipes.get(&id).map(|pipe| Rc::clone(&pipe.log)) {
                Some(path) if due.contains(&path) => {
                    waited_for.insert(path);
                    self.enqueue(id);
                }
                Some(_) => drop(self.blocked.insert(id)),
                None => {}
            }
        }
        for path in due {
            if let Some(log) = self.logs.get_mut(&path) {
                let was_open = log.is_open();
                log.attend(&path, waited_for.contains(&path));
                self.open_files = self.open_files + usize::from(log.is_open()) - usize::from(was_open);
            }
            self.look_after(&path);
            self.let_go(&path, |_| ());
        }
    }

    fn look_after(&mut self, path: &Rc<Path>) {
        if self.logs.get(path).is_some_and(|log| log.due().is_some()) {
            self.troubled.insert(Rc::clone(path));
        } else {
            self.troubled.remove(path);
        }
    }

    /// One pipe's turn; gives how much it moved.
    fn serve(&mut self, id: u64, budget: usize) -> usize {
        let Some(pipe) = self.pipes.get_mut(&id) else { return 0 };
        let path = Rc::clone(&pipe.log);
        let Some(log) = self.logs.get_mut(&path) else { return 0 };
        let was_open = log.is_open();
        let (moved, end) = log.take(&path, pipe.reader.as_fd(), &mut pipe.line_begins, budget, &mut self.scratch);
        self.open_files = self.open_files + usize::from(log.is_open()) - usize::from(was_open);
        if moved >= MUCH && !pipe.large && self.large_pipes < LARGE_PIPES {
            // Refused where there are too many already: it is only for speed.
            pipe.large = rustix::pipe::fcntl_setpipe_size(&pipe.reader, LARGE_PIPE).is_ok();
            self.large_pipes += usize::from(pipe.large);
        }
        match end {
            End::More | End::Empty if pipe.blocked => {
                self.blocked.remove(&id);
                self.unwatched.remove(&id);
                pipe.blocked = self.readiness.add(&pipe.reader, id).is_err();
                if pipe.blocked {
                    // Not enough memory in the kernel, most likely.
                    self.unwatched.insert(id);
                    self.watch_after = Some(Instant::now() + WATCH_AGAIN);
                }
            }
            End::More | End::Empty => {}
            End::Closed => self.detach(id),
            End::Blocked => {
                if !pipe.blocked {
                    pipe.blocked = true;
                    // It would be reported as readable all the time.
                    self.readiness.remove(&pipe.reader);
                }
                self.blocked.insert(id);
            }
        }
        self.look_after(&path);
        self.spare_descriptors(&path);
        moved
    }

    /// What another program in this process needs to go on with; the pipes stay open when it begins.
    pub(super) fn hand_over(&self) -> io::Result<(Vec<HandedPipe>, Vec<HandedLoss>)> {
        let mut pipes = Vec::with_capacity(self.pipes.len());
        for pipe in self.pipes.values() {
            let Some(log) = self.logs.get(&pipe.log) else { continue };
            rustix::io::fcntl_setfd(&pipe.reader, FdFlags::empty())?;
            pipes.push(HandedPipe {
                fd: pipe.reader.as_raw_fd(),
                inode: rustix::fs::fstat(&pipe.reader)?.st_ino,
                owner: pipe.owner,
                line_begins: pipe.line_begins,
                log: log.settings(&pipe.log),
            });
        }
        let loss = |(path, log): (&Rc<Path>, &Log)| {
            let (bytes, why) = log.lost();
            (bytes > 0).then(|| HandedLoss { log: log.settings(path), bytes, why })
        };
        Ok((pipes, self.logs.iter().filter_map(loss).collect()))
    }

    /// The other program did not begin.
    pub(super) fn keep(&self) {
        for pipe in self.pipes.values() {
            // The next child would hold the pipe open; nothing can be done about it here.
            let _ = rustix::io::fcntl_setfd(&pipe.reader, FdFlags::CLOEXEC);
        }
    }

    /// Goes on with what another program handed over.
    pub(super) fn take_over(&mut self, pipes: Vec<(OwnedFd, HandedPipe)>, losses: Vec<HandedLoss>) {
        for (reader, handed) in pipes {
            if let Err(error) = self.attach(reader, &handed.log, handed.owner, handed.line_begins) {
                note(format_args!("lost a pipe into {}: {error}", handed.log.path.display()));
            }
        }
        for HandedLoss { log, bytes, why } in losses {
            let path: Rc<Path> = Rc::from(log.path.as_path());
            self.logs.entry(Rc::clone(&path)).or_insert_with(|| Log::new(&log)).set_lost(bytes, why);
            self.troubled.insert(path);
        }
    }
}
