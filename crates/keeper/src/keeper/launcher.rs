//! The keeper's end of the launcher.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::launch::{LAUNCHER_NAME, Order, Said};
use crate::protocol::{Refusal, RefusalKind};

/// The keeper's own program, also when its file has been replaced.
pub(super) const PROGRAM: &str = "/proc/self/exe";
/// How long the launcher may take. It waits for nothing but the machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket with a launcher at the other end, as soon as it is started.
#[derive(Debug)]
pub(super) struct Launcher {
    socket: UnixStream,
}

impl Launcher {
    /// Gives also what has to be the launcher's standard input.
    pub(super) fn new() -> Result<(Self, OwnedFd), Refusal> {
        let failed = |error: std::io::Error| {
            Refusal::new(RefusalKind::Resources, format!("cannot talk to a launcher now: {error}"))
        };
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok((Self { socket }, theirs.into()))
    }

    /// The command that starts it, short of descriptors and environment.
    pub(super) fn command() -> Command {
        use std::os::unix::process::CommandExt;
        #[expect(clippy::disallowed_methods, reason = "the keeper is the one place that starts processes")]
        let mut command = Command::new(PROGRAM);
        command.arg0(LAUNCHER_NAME);
        command
    }

    /// Says what is to be launched and waits until that has happened; gives the warnings.
    pub(super) fn launch(mut self, order: &Order) -> Result<Vec<String>, Refusal> {
        let silent = |error: std::io::Error| {
            Refusal::new(RefusalKind::System, format!("the launcher of {} failed: {error}", order.program.display()))
        };
        let order = serde_json::to_vec(order).map_err(|error| silent(error.into()))?;
        let mut sent = 0;
        while sent < order.len() {
            // NOSIGNAL: a launcher that died is no reason to follow it.
            match rustix::net::send(&self.socket, &order[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(silent(error.into())),
            }
        }
        self.socket.shutdown(std::net::Shutdown::Write).map_err(silent)?;
        let mut said = Vec::new();
        self.socket.read_to_end(&mut said).map_err(silent)?;
        let mut warnings = Vec::new();
        for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).map_err(|error| silent(error.into()))? {
                Said::Warning(warning) => warnings.push(warning),
                Said::Refused(refusal) => return Err(refusal),
            }
        }
        Ok(warnings)
    }
}
