//! The daemon itself: how soon it answers, what it and its keeper hold and use while nothing happens.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process_use::{cpu_seconds, memory};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Before the memory is looked at, and how long the processor time is counted then.
const SETTLED: Duration = Duration::from_secs(10);
const WORKSPACES: &str = "1000";
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(binaries: &Path, sources: &Path, rounds: usize, table: &mut Table) -> anyhow::Result<()> {
    say("daemon: start, memory, idle processor time");
    let program = program(binaries)?;
    let small = Place::new()?;
    let daemon = Daemon::start(&program, &small)?;
    idle(&daemon, "idle", table)?;
    daemon.end()?;

    let many = Place::new()?;
    let generate = sources.join("examples/many-workspaces/generate");
    let generated = Command::new(generate).arg(WORKSPACES).arg(many.dir.path()).stdout(Stdio::null()).status()?;
    ensure!(generated.success(), "the workspaces could not be generated");
    let first = Daemon::start(&program, &many)?;
    let cold = first.answered_after;
    first.end()?;
    let mut starts = vec![];
    for _ in 1..rounds {
        let daemon = Daemon::start(&program, &many)?;
        starts.push(daemon.answered_after.as_secs_f64() * 1e3);
        daemon.end()?;
    }
    let starts = Spread::of(starts);
    let milliseconds = |value| Figure { value, unit: "ms" };
    let what = "start until the socket answers, 1,000 workspaces";
    table.add(&format!("{what}, first ever"), milliseconds(cold.as_secs_f64() * 1e3), "", Goal::AtMost(500.0), "");
    let note = format!(" (max {})", shown(starts.max()));
    table.add(what, milliseconds(starts.median()), &note, Goal::AtMost(500.0), "");
    let daemon = Daemon::start(&program, &many)?;
    idle(&daemon, "1,000 workspaces", table)?;
    daemon.end()
}

fn idle(daemon: &Daemon, when: &str, table: &mut Table) -> anyhow::Result<()> {
    std::thread::sleep(SETTLED);
    let id = daemon.child.id().to_string();
    let keeper = keeper_of(daemon)?;
    let cpu = cpu_seconds(&id)?;
    std::thread::sleep(SETTLED);
    let share = 100.0 * (cpu_seconds(&id)? - cpu) / SETTLED.as_secs_f64();
    let held = memory(&id)?;
    let megabytes = |value| Figure { value, unit: "MB" };
    let note = format!(" (PSS {})", shown(held.pss));
    // The goals are those of an idle daemon; what 1,000 workspaces cost is told beside them.
    let goal = |most| if when == "idle" { Goal::AtMost(most) } else { Goal::None };
    table.add(&format!("daemon, {when}: RSS"), megabytes(held.rss), &note, goal(30.0), "");
    match keeper {
        Some(keeper) => {
            let held = memory(&keeper.to_string())?;
            let note = format!(" (PSS {})", shown(held.pss));
            table.add(&format!("keeper, {when}: RSS"), megabytes(held.rss), &note, goal(5.0), "");
        }
        None => table.not_measured(&format!("keeper, {when}"), "the daemon has started none"),
    }
    table.add(&format!("daemon, {when}: share of a core"), Figure { value: share, unit: "%" }, "", Goal::None, "");
    Ok(())
}

/// The release binary.
pub fn program(binaries: &Path) -> anyhow::Result<PathBuf> {
    let program = binaries.join("piton");
    ensure!(program.is_file(), "there is no {}", program.display());
    Ok(program)
}

/// A directory of declarations whose schedules begin nothing at once.
#[derive(Debug)]
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> anyhow::Result<Place> {
        let dir = tempfile::Builder::new().prefix("piton-bench-").tempdir()?;
        std::fs::write(dir.path().join("piton.toml"), "[scheduler]\ncatch_up = \"skip\"\n")?;
        Ok(Place { dir })
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join(".piton")
    }

    /// Where the daemon here listens.
    pub fn address(&self, program: &Path) -> anyhow::Result<String> {
        let output = self.command(program, ["status", "-o", "json"]).output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(status["listen"].as_str().context("the daemon says no address")?.to_owned())
    }

    /// `piton` here, with nothing of the caller's own configuration.
    pub fn command(&self, program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(program);
        let inherited = ["PATH", "HOME", "TMPDIR", "LANG", "TZ"];
        command.env_clear().envs(inherited.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // The superuser's default would be a directory of the system.
        command
            .env("PITON_DATA__DIR", self.data())
            .env("PITON_SERVER__LISTEN", "127.0.0.1:0")
            .arg("--dir")
            .arg(self.dir.path())
            .args(arguments);
        command.stdin(Stdio::null()).current_dir(self.dir.path());
        command
    }
}

/// A running `piton serve`, which ends with this.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    data: PathBuf,
    pub answered_after: Duration,
}

impl Daemon {
    /// Starts it and waits until it answers.
    pub fn start(program: &Path, place: &Place) -> anyhow::Result<Daemon> {
        Daemon::start_with_path(program, place, &std::env::var("PATH")?)
    }

    /// The same, for tools that are found on `path`.
    pub fn start_with_path(program: &Path, place: &Place, path: &str) -> anyhow::Result<Daemon> {
        let log = std::fs::File::create(place.dir.path().join("serve.log"))?;
        let mut command = place.command(program, ["serve"]);
        command.env("PATH", path).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let child = command.spawn()?;
        let mut daemon = Daemon { child, data: place.data(), answered_after: Duration::ZERO };
        while !answers(&daemon.data.join("api.sock")) {
            if let Some(status) = daemon.child.try_wait()? {
                let said = std::fs::read_to_string(place.dir.path().join("serve.log"))?;
                bail!("the daemon ended at once ({status}): {}", said.lines().next_back().unwrap_or_default());
            }
            ensure!(begun.elapsed() < PATIENCE, "the daemon does not answer");
            std::thread::sleep(Duration::from_micros(500));
        }
        daemon.answered_after = begun.elapsed();
        Ok(daemon)
    }

    /// Its process.
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The process of its keeper, if it has one already.
    pub fn keeper(&self) -> anyhow::Result<Option<u32>> {
        keeper_of(self)
    }

    /// Ends it, and the keeper that it leaves behind.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.stop()
    }

    /// Ends it as a crash would; the keeper and what it holds go on.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let keeper = keeper_of(self)?;
        kill_process(pid(self.child.id())?, Signal::TERM)?;
        self.child.wait()?;
        if let Some(keeper) = keeper {
            // It holds no children: nothing was begun.
            let _ = kill_process(pid(keeper)?, Signal::KILL);
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.stop().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn pid(id: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("no process has the id 0")
}

/// Whether there is a healthy answer on the socket.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: piton\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The keeper of the daemon's data directory, by its arguments.
fn keeper_of(daemon: &Daemon) -> anyhow::Result<Option<u32>> {
    let data = daemon.data.as_os_str().as_encoded_bytes();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while it is looked at.
        let Ok(line) = std::fs::read(format!("/proc/{id}/cmdline")) else { continue };
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if arguments.get(1) == Some(&b"keeper".as_slice()) && arguments.contains(&data) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
