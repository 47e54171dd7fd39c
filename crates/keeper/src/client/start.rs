//! Starting a keeper that outlives its starter.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Client, Error};
use crate::{EX_TEMPFAIL, LOG_NAME};

/// How long a keeper may take until it answers.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long another one may take, after the one started here gave way to it.
const GRACE: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(5);
/// How long after one gave way another is started, if nobody answers: a keeper that was killed while it started a child
/// holds the directory until that child is what it was to become.
const AGAIN: Duration = Duration::from_millis(250);

pub(super) async fn start_and_connect(dir: &Path, argv: &[OsString]) -> Result<Client, Error> {
    let failed = |status, last_words| Error::Start { dir: dir.to_owned(), status, last_words };
    let said_before = std::fs::metadata(dir.join(LOG_NAME)).map_or(0, |meta| meta.len());
    let again = || start(dir, argv).map_err(|error| failed(None, Some(error.to_string())));
    let mut ended = again()?;
    let mut status = None;
    let mut gave_way = None;
    let mut deadline = Instant::now() + PATIENCE;
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        retry.tick().await;
        match Client::connect(dir).await {
            Err(Error::Absent { .. } | Error::Disconnected) => {}
            result => return result,
        }
        if let Ok(ending) = ended.try_recv() {
            status = Some(ending);
            if ending.code() == Some(i32::from(EX_TEMPFAIL)) {
                gave_way = Some(Instant::now());
            }
            deadline = deadline.min(Instant::now() + GRACE);
        }
        if gave_way.is_some_and(|at| at.elapsed() >= AGAIN) {
            gave_way = None;
            ended = again()?;
        }
        if Instant::now() > deadline {
            return Err(failed(status, last_words(dir, said_before)));
        }
    }
}

/// Starts the command and gives its end, should it come.
fn start(dir: &Path, argv: &[OsString]) -> io::Result<oneshot::Receiver<ExitStatus>> {
    let [program, arguments @ ..] = argv else { return Err(io::Error::other("no command to start a keeper with")) };
    // Until the keeper has its own diary open, complaints go to the same file.
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(LOG_NAME))?;
    #[expect(clippy::disallowed_methods, reason = "the keeper cannot be its own child")]
    let mut command = Command::new(program);
    // The keeper needs nothing from the environment, and should not carry the daemon's secrets for months.
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut keeper = command.spawn()?;
    let (sender, ended) = oneshot::channel();
    // A thread, because a task would hold up the runtime's end for as long as the keeper lives, and somebody has to
    // reap it.
    std::thread::Builder::new().name("keeper-wait".to_owned()).stack_size(64 * 1024).spawn(move || {
        if let Ok(status) = keeper.wait() {
            let _ = sender.send(status);
        }
    })?;
    Ok(ended)
}

/// The last line of the diary, if it was written after its first `from` bytes.
fn last_words(dir: &Path, from: u64) -> Option<String> {
    let mut log = File::open(dir.join(LOG_NAME)).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(2048).max(from))).ok()?;
    let mut tail = Vec::new();
    log.read_to_end(&mut tail).ok()?;
    String::from_utf8_lossy(&tail).lines().last().map(str::to_owned)
}
