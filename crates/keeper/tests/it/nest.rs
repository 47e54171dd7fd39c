//! A directory with a keeper in it, and nothing left of either afterwards.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_keeper::client::Client;
use piton_keeper::{Limits, Output, Remembered, Spec, Token};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, interval, timeout};

/// Generous: reached only when something is broken, or the machine is very busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Nest {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Nest {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("piton-keeper-").tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        Self { _dir: dir, root }
    }

    pub fn dir(&self) -> &Path {
        &self.root
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// A pid that a child wrote into a file, once it has.
    pub async fn pid_in(&self, name: &str) -> u32 {
        until(name, || fs::read_to_string(self.file(name)).is_ok_and(|text| text.ends_with('\n'))).await;
        self.read(name).trim().parse().unwrap()
    }

    pub fn keeper_argv(&self) -> Vec<OsString> {
        vec![env!("CARGO_BIN_EXE_piton-keeper").into(), "--dir".into(), self.root.clone().into()]
    }

    /// The keeper's command behind a line of shell that changes what it inherits.
    pub fn keeper_argv_after(&self, preparation: &str) -> Vec<OsString> {
        let mut argv = vec!["/bin/sh".into(), "-c".into(), format!("{preparation}; exec \"$@\"").into(), "sh".into()];
        argv.extend(self.keeper_argv());
        argv
    }

    fn is_mine(&self, pid: u32) -> bool {
        let root = self.root.as_os_str().as_bytes();
        let names = |file: &str| {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.windows(root.len()).any(|window| window == root)
        };
        pid != std::process::id()
            && lives(pid)
            && (names("cmdline")
                || names("environ")
                || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.root)))
    }

    pub async fn client(&self) -> Client {
        self.client_of(&self.keeper_argv()).await
    }

    pub async fn client_of(&self, argv: &[OsString]) -> Client {
        within(Client::connect_or_start(self.dir(), argv)).await.unwrap()
    }

    /// `sh -c SCRIPT` in the directory, both outputs to `out`.
    pub fn script(&self, script: &str) -> Spec {
        let out = Output::File(self.file("out"));
        Spec {
            argv: vec!["sh".into(), "-c".into(), script.into()],
            env: [("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())].into(),
            cwd: self.root.clone(),
            stdout: out.clone(),
            stderr: out,
            limits: Limits::default(),
            remembered: Remembered::default(),
        }
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        // A keeper names the directory in its arguments, a child in its environment or, while it is still becoming its
        // program, as the current directory. Killing a parent may come too late for what it just forked, hence again
        // until nobody is found.
        while processes().filter(|pid| self.is_mine(*pid)).map(|pid| kill(pid, Signal::KILL)).count() > 0 {}
    }
}

pub fn kill(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

pub fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// One line of `/proc/PID/status`.
pub fn status_line(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

/// Whether the process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    status_line(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing should take this long")
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut tick = interval(Duration::from_millis(2));
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tick.tick().await;
    }
}

pub fn token(text: &str) -> Token {
    text.parse().unwrap()
}
