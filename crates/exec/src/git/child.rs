//! One call of the `git` program.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

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

/// Runs `git` to its end, or until `patience` is over: an error of the kind `TimedOut`. A dropped call leaves no process
/// behind.
pub(super) async fn run<A: AsRef<OsStr>>(
    settings: &[String],
    args: impl IntoIterator<Item = A>,
    cwd: &Path,
    environment: &BTreeMap<String, String>,
    patience: Duration,
) -> io::Result<Ended> {
    let ended = tokio::time::timeout(patience, run_to_its_end(settings, args, cwd, environment)).await;
    ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn run_to_its_end<A: AsRef<OsStr>>(
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        // It holds the FIFO open for as long as it lives.
        let hang = ["alias.hang=!exec 3>fifo; sleep 1000".to_owned()];
        let reader = tokio::task::spawn_blocking(move || fs::read(fifo));
        let ended = run(&hang, ["hang"], dir.path(), &environment, Duration::from_secs(5)).await;
        assert_eq!(ended.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert_eq!(reader.await.unwrap().unwrap(), b"");
    }
}
