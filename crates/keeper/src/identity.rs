//! Which process a pid means.
//!
//! A pid alone is reused. A start *time* moves when the clock is set. The boot's id and the start in clock ticks since
//! that boot do neither, so the three together name one process for ever.

use std::fs;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Signal;
use crate::proc_table::Stat;

/// One boot of one machine, as in `/proc/sys/kernel/random/boot_id`. Thousands of children share one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootId(Arc<str>);

impl BootId {
    /// The running boot. `None` where `/proc` is not mounted or no descriptor is free to read it.
    pub fn current() -> Option<Self> {
        static CURRENT: OnceLock<BootId> = OnceLock::new();
        // Only success is remembered: what failed for want of a descriptor may succeed a moment later.
        if let Some(known) = CURRENT.get() {
            return Some(known.clone());
        }
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(CURRENT.get_or_init(|| Self(text.trim().into())).clone())
    }

    /// The kernel's text for it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let current = Self::current().filter(|current| *current.0 == *text);
        Ok(current.unwrap_or_else(|| Self(text.into())))
    }
}

/// One process, told apart from every other that ever has the same pid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// Start in clock ticks after boot (`/proc/PID/stat`, field 22); does not move when the clock is set.
    pub start_ticks: u64,
    /// The boot that pid and ticks belong to.
    pub boot_id: BootId,
}

impl ProcessIdentity {
    /// The identity of the process that has this pid now, be it a zombie. `None` if there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        Some(Self { pid, start_ticks: stat.start_ticks, boot_id: BootId::current()? })
    }

    /// Whether this very process exists, be it a zombie.
    pub fn exists(&self) -> bool {
        self.stat().is_some()
    }

    pub(crate) fn is_of_this_boot(&self) -> bool {
        BootId::current().as_ref() == Some(&self.boot_id)
    }

    fn stat(&self) -> Option<Stat> {
        if !self.is_of_this_boot() {
            return None;
        }
        Stat::read(self.pid).filter(|stat| stat.start_ticks == self.start_ticks)
    }

    pub(crate) fn rustix_pid(&self) -> Option<Pid> {
        to_rustix(self.pid)
    }
}

/// Whether this very process is still executing; a zombie is not, and neither is another process with the same pid.
pub fn is_alive(identity: &ProcessIdentity) -> bool {
    identity.stat().is_some_and(|stat| stat.is_live())
}

pub(crate) fn to_rustix(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

/// Opens a descriptor that means this process and no later one, or `None` if the process is gone.
pub(crate) fn open_pidfd(pid: u32, start_ticks: u64) -> Result<Option<rustix::fd::OwnedFd>, Errno> {
    let Some(raw) = to_rustix(pid) else { return Ok(None) };
    let fd = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Asked after opening: if the start matches now, the descriptor cannot mean a successor.
    Ok(Stat::read(pid).filter(|stat| stat.start_ticks == start_ticks).map(|_| fd))
}

/// Sends a signal to exactly this process; `false` if it is gone.
pub(crate) fn signal_exactly(pid: u32, start_ticks: u64, signal: Signal) -> Result<bool, Errno> {
    // Pid 1 and the keeper are never in a child's tree; a forged record must not make them so.
    if pid <= 1 || pid == std::process::id() {
        return Err(Errno::PERM);
    }
    let Some(fd) = open_pidfd(pid, start_ticks)? else { return Ok(false) };
    match pidfd_send_signal(&fd, signal.as_rustix()) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_no_impostor() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(is_alive(&me) && me.exists());
        let reused = ProcessIdentity { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert!(!is_alive(&reused) && !reused.exists());
        let before_reboot = ProcessIdentity { boot_id: BootId("0".into()), ..me.clone() };
        assert!(!is_alive(&before_reboot));
        for pid in [0, u32::MAX] {
            assert!(!is_alive(&ProcessIdentity { pid, ..me.clone() }));
            assert_eq!(ProcessIdentity::of(pid), None);
        }
    }

    #[test]
    fn refuses_to_signal_init_and_itself() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert_eq!(signal_exactly(me.pid, me.start_ticks, Signal::Cont), Err(Errno::PERM));
        assert_eq!(signal_exactly(1, 1, Signal::Cont), Err(Errno::PERM));
        assert_eq!(signal_exactly(0, 1, Signal::Cont), Err(Errno::PERM));
    }
}
