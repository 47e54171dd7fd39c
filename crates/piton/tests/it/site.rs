//! A directory of declarations in a temporary place, and the real program on it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of declarations.
pub struct Site {
    directory: TempDir,
    environment: BTreeMap<String, String>,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Site {
    pub fn new() -> Site {
        let directory = tempfile::Builder::new().prefix("piton-").tempdir().unwrap();
        // Daemons of several tests run at once, so each takes a port that is free.
        let variables = [("PATH", path_with_tool().as_str()), ("TZ", "UTC"), ("PITON_SERVER__LISTEN", "127.0.0.1:0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = BTreeMap::from(variables);
        Site { directory, environment }
    }

    /// A copy of one of the examples.
    pub fn example(name: &str) -> Site {
        let site = Site::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        copy(&source, site.path());
        site
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join(".piton")
    }

    pub fn env(mut self, name: &str, value: &str) -> Site {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file below the directory.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> &Site {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As careful editors do: nobody sees half a file.
        let partial = path.with_extension("partial~");
        fs::write(&partial, text).unwrap();
        fs::rename(partial, path).unwrap();
        self
    }

    /// A workspace with this configuration and code.
    pub fn workspace(&self, name: &str, config: &str, code: &str) -> &Site {
        if !code.is_empty() {
            self.write(format!("workspaces/{name}/main.tf"), code);
        }
        self.write(format!("workspaces/{name}/config.json"), config)
    }

    /// The program in this directory, ready to be started.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().envs(&self.environment).env("HOME", self.path());
        command.env("USER", "tester").stdin(Stdio::null());
        command
    }

    /// Runs `piton` to its end.
    pub fn piton<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Said {
        said(self.command(PITON).args(args).output().unwrap())
    }

    /// Runs `piton … -o json`, which must succeed.
    pub fn json<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Value {
        let said = said(self.command(PITON).args(args).args(["-o", "json"]).output().unwrap());
        assert_eq!(said.code, 0, "{said}");
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Runs `piton` under another name.
    pub fn named<'a>(&self, name: &str, args: impl IntoIterator<Item = &'a str>) -> Said {
        said(self.command(self.link(name)).args(args).output().unwrap())
    }

    /// The program under another name.
    pub fn link(&self, name: &str) -> PathBuf {
        let link = self.path().join("bin").join(name);
        if !link.exists() {
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(PITON, &link).unwrap();
        }
        link
    }

    /// Starts the daemon and waits until it answers.
    pub fn serve(&self) -> Daemon<'_> {
        self.serve_with(&[])
    }

    /// The same, and the address of the daemon.
    pub fn serve_at(&self) -> (Daemon<'_>, String) {
        let daemon = self.serve();
        let address = daemon.address();
        (daemon, address)
    }

    pub fn serve_with(&self, args: &[&str]) -> Daemon<'_> {
        self.start(&[&["serve"], args].concat())
    }

    /// Starts a worker that shows its health on some port, and waits until it answers.
    pub fn work(&self) -> Daemon<'_> {
        self.start(&["worker", "--health-listen", "127.0.0.1:0"])
    }

    fn start(&self, args: &[&str]) -> Daemon<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("daemon.log")).unwrap();
        let mut command = self.command(PITON);
        command.args(args).stdout(Stdio::null()).stderr(log);
        let daemon = Daemon { site: self, child: Some(command.spawn().unwrap()) };
        let socket = self.data().join("api.sock");
        until("the daemon answers", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        daemon
    }

    /// What the daemon said of itself so far.
    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default()
    }

    /// The runs of a subject, oldest first.
    pub fn runs(&self, subject: &str) -> Vec<Value> {
        let mut runs = self.json(["run", "list", "--subject", subject, "--limit", "1000"]).as_array().unwrap().clone();
        runs.reverse();
        runs
    }

    pub fn status(&self, workspace: &str) -> String {
        self.json(["workspace", "status", workspace])["status"].as_str().unwrap().to_owned()
    }

    /// The whole log of a run.
    pub fn log(&self, run: &str) -> String {
        let said = self.piton(["run", "logs", run]);
        assert_eq!(said.code, 0, "{said}");
        said.out
    }

    /// The auditor must find nothing.
    pub fn audit(&self) {
        let said = self.piton(["doctor"]);
        assert_eq!(said.code, 0, "{said}");
    }

    /// The process id of the keeper, if there is one.
    pub fn keeper(&self) -> Option<u32> {
        let directory = self.data();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
            let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&b"keeper".as_slice()) && words.contains(&directory.as_os_str().as_encoded_bytes())
        })
    }
}

impl Drop for Site {
    /// No process of a test outlives it, whatever went wrong.
    fn drop(&mut self) {
        let marker = format!("PITON_KEEPER={}", self.data().display());
        if let Some(keeper) = self.keeper() {
            kill(keeper, "KILL");
        }
        for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { continue };
            if environ.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes()) {
                kill(pid, "KILL");
            }
        }
    }
}

/// A running daemon; it is killed when this goes out of scope.
pub struct Daemon<'a> {
    site: &'a Site,
    child: Option<Child>,
}

impl Daemon<'_> {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The address of the HTTP API: `127.0.0.1:34567`.
    pub fn address(&self) -> String {
        self.site.json(["status"])["listen"].as_str().unwrap().to_owned()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // A child that it was about to start holds its sockets until it has become another program.
        let socket = self.site.data().join("api.sock");
        until("nobody holds its sockets", || std::os::unix::net::UnixStream::connect(&socket).is_err());
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> i32 {
        kill(self.pid(), "TERM");
        self.wait()
    }

    /// `piton shutdown`, and the daemon's exit code.
    pub fn shutdown(mut self) -> i32 {
        let said = self.site.piton(["shutdown"]);
        assert_eq!(said.code, 0, "{said}");
        self.wait()
    }

    fn wait(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        until("the daemon ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Daemon<'_> {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what the daemon said")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.try_wait();
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                eprintln!("--- the daemon (ended: {ended:?}) said:\n{}", self.site.daemon_log());
            }
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout:\n{}\n--- stderr:\n{}", self.code, self.out, self.err)
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Sends a signal by name.
pub fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).stderr(Stdio::null()).status();
}

/// Looks again and again until `holds`, and gives up loudly.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A PATH on which a tool for infrastructure code is found.
fn path_with_tool() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = match std::env::var("PITON_TEST_TOFU").ok().and_then(|tofu| Some(Path::new(&tofu).parent()?.to_owned()))
    {
        Some(directory) => format!("{}:{path}", directory.display()),
        None => path,
    };
    let found =
        path.split(':').any(|place| ["tofu", "terraform"].iter().any(|tool| Path::new(place).join(tool).is_file()));
    assert!(found, "no tofu or terraform on PATH, and PITON_TEST_TOFU is not set: run scripts/setup-tests");
    path
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != ".piton" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
