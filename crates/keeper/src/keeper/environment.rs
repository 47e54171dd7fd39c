//! What the keeper changes about its own process, and how it spares its children the effects.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::note;

/// Leaves the starter's session and becomes the parent of its descendants' orphans.
pub(super) fn detach() {
    // Fails only for a group leader, that is, when started by hand from a shell with job control.
    let _ = rustix::process::setsid();
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        note(format_args!("cannot become a subreaper: {error}; orphans will go to init"));
    }
}

/// Whether the orphans of its descendants fall to this process.
pub(super) fn is_subreaper() -> bool {
    // A process that is one names itself, whatever its number.
    rustix::process::child_subreaper().is_ok_and(|pid| pid.is_some())
}

/// Keeps descriptors that the keeper itself inherited by somebody's mistake from its children.
#[expect(unsafe_code, reason = "there is no safe way to name a descriptor one did not open")]
pub(super) fn close_inherited_on_exec() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    for number in open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if number > 2 {
            // SAFETY: the borrow ends with the statement and no other thread exists to close or reuse the number in
            // between. For the directory's own descriptor, and for all std opened, the flag is already set.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            // It is no longer open: nothing to do.
            let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }
}

/// Turns signals into bytes in a socket that can be polled.
///
/// Unwanted signals are *caught*, not ignored: an ignored signal stays ignored in every program the keeper executes, a
/// caught one goes back to its default. That holds also for those the keeper itself was started to ignore, as a shell
/// does for background commands.
#[derive(Debug)]
pub(super) struct Wakeups {
    reader: UnixStream,
    terminate: Arc<AtomicBool>,
}

impl Wakeups {
    pub(super) fn install() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let terminate = Arc::new(AtomicBool::new(false));
        // Registered before the byte that announces it.
        signal_hook::flag::register(SIGTERM, Arc::clone(&terminate))?;
        for signal in [SIGCHLD, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self { reader, terminate })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Forgets what has been announced; what is announced later wakes again. `true` if there was anything.
    pub(super) fn drain(&mut self) -> bool {
        let mut bytes = [0; 256];
        let mut any = false;
        while matches!(self.reader.read(&mut bytes), Ok(count) if count > 0) {
            any = true;
        }
        any
    }

    /// Whether SIGTERM came since last asked.
    pub(super) fn take_terminate(&self) -> bool {
        self.terminate.swap(false, Ordering::Relaxed)
    }
}

/// More open files than a keeper will need.
const ENOUGH_FILES: u64 = 1 << 20;

/// The limit of open files: the keeper needs one per log, its children should have what they would have without it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileLimit {
    raised: Rlimit,
    childrens: Rlimit,
}

impl FileLimit {
    /// Raises the limit as far as it goes, for who may, beyond what it was started with: ten thousand children have
    /// twenty thousand pipes. `childrens` if a keeper before has raised it already.
    pub(super) fn raise(childrens: Option<(Option<u64>, Option<u64>)>) -> Self {
        let now = getrlimit(Resource::Nofile);
        let childrens = childrens.map_or(now, |(current, maximum)| Rlimit { current, maximum });
        let most = Rlimit { current: now.maximum, ..now };
        let is_more = |wanted: &u64| now.maximum.is_some_and(|maximum| maximum < *wanted);
        let kernels = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
        let more = kernels.map(|kernels: u64| kernels.min(ENOUGH_FILES)).filter(is_more);
        let more = more.map(|more| Rlimit { current: Some(more), maximum: Some(more) });
        let mut tried = more.into_iter().chain([most]);
        let raised = tried.find(|limit| setrlimit(Resource::Nofile, *limit).is_ok()).unwrap_or(now);
        Self { raised, childrens }
    }

    pub(super) fn of_children(&self) -> (Option<u64>, Option<u64>) {
        (self.childrens.current, self.childrens.maximum)
    }

    /// Does something under the children's limit, as starting a program that would inherit the keeper's. What is open
    /// stays open, but nothing may be opened.
    pub(super) fn lowered<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.raised == self.childrens {
            return work();
        }
        let lower = setrlimit(Resource::Nofile, self.childrens);
        let result = work();
        if lower.is_ok()
            && let Err(error) = setrlimit(Resource::Nofile, self.raised)
        {
            note(format_args!("cannot raise the limit of open files again: {error}"));
        }
        result
    }
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";
const SHIELDED: &str = "-900";

/// Makes the keeper a bad choice for the kernel's out-of-memory killer, where it may.
#[derive(Debug)]
pub(super) struct OomShield {
    /// The score children should have, if the keeper's differs.
    unshielded: Option<String>,
}

impl OomShield {
    pub(super) fn raise() -> Self {
        let before = fs::read_to_string(OOM_SCORE).ok();
        Self { unshielded: before.filter(|_| fs::write(OOM_SCORE, SHIELDED).is_ok()) }
    }

    /// Keeps others of the same user from looking into the keeper, which knows the environment of its children. Not where
    /// the shield has to be lowered by a file that would be closed to the keeper too.
    pub(super) fn hide_this_process(&self) {
        if self.unshielded.is_none() || rustix::process::geteuid().is_root() {
            // Without it, the keeper is as open as any other process.
            let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        }
    }

    /// Does something without the shield, as starting a program that would inherit it.
    pub(super) fn lowered<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(score) = &self.unshielded else { return work() };
        // A higher score is always allowed; back down it is where it was before.
        let _ = fs::write(OOM_SCORE, score.trim());
        let result = work();
        let _ = fs::write(OOM_SCORE, SHIELDED);
        result
    }
}
