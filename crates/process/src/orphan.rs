//! Processes that no keeper knows of any more.

use std::time::Duration;

use piton_keeper::protocol::Target;
use piton_keeper::{ProcessIdentity, Signal, is_alive};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal as RawSignal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::wait::pause;

/// Waits until the process is gone.
pub async fn gone(identity: &ProcessIdentity) {
    // Polled because it happens once in a blue moon, and works for processes of whatever parent.
    let mut delay = Duration::from_millis(5);
    while is_alive(identity) {
        pause(delay).await;
        delay = (delay * 2).min(Duration::from_millis(200));
    }
}

/// Signals the process itself, without a keeper: its group if more than the process is meant.
pub fn signal(identity: &ProcessIdentity, signal: Signal, target: Target) -> Result<(), Errno> {
    let raw = RawSignal::from_named_raw(signal.number()).ok_or(Errno::INVAL)?;
    let pid = i32::try_from(identity.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let fd = pidfd_open(pid, PidfdFlags::empty())?;
    // Asked after opening: if it lives now, the descriptor means it. And while it lives, its group is its own.
    if !is_alive(identity) {
        return Err(Errno::SRCH);
    }
    match target {
        Target::Process => pidfd_send_signal(&fd, raw),
        Target::Group | Target::Tree => kill_process_group(pid, raw),
    }
}
