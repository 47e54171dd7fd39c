//! One call of the `git` program.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// What a server may make `git` print. A repository with more refs than that is none that is deployed from.
const MOST_OUTPUT: u64 = 64 * 1024 * 1024;
const MOST_TALK: u64 = 1024 * 1024;

/// What came of a call.
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// `git`, and whatever it starts, which is its process group. Dropping it ends all of them.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already; nobody else can have its number, since nobody has waited for it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `git` to its end. A dropped call leaves no process behind.
pub(super) async fn run<A: AsRef<OsStr>>(
    settings: &[String],
    args: impl IntoIterator<Item = A>,
    cwd: &Path,
    environment: &BTreeMap<String, String>,
) -> io::Result<Ended> {
    let mut command = Command::new("git");
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    let mut child = command
        .args(args)
        .current_dir(cwd)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut group = Group(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(read(stdout, MOST_OUTPUT), read(stderr, MOST_TALK))?;
    // Both are at their end, or were cut off, which ends `git` with its next word.
    let status = child.wait().await?;
    group.0 = None;
    Ok(Ended { success: status.success(), stdout, stderr })
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
