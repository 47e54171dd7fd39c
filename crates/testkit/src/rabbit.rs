//! A real RabbitMQ: a broker of its own for whoever asks, and one that all tests of a process share.
//!
//! A broker has its own name, ports, data and port mapper (`epmd`), so that any number run side by side and beside one of
//! the system's. A shell watches over it: it starts and kills the server when told to, and when its standard input ends,
//! which it does when the test process ends in whatever way, it ends the server and removes the directory.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Names the directory of the server's programs.
pub const BIN_VARIABLE: &str = "PITON_TEST_RABBITMQ_BIN";

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server is installed.
    #[error(
        "no RabbitMQ: install rabbitmq-server, as scripts/setup-tests does, or name its programs in {BIN_VARIABLE}"
    )]
    NotInstalled,
    /// The server could not be prepared, started or told something.
    #[error("{what}: {detail}")]
    Failed {
        /// What was tried.
        what: String,
        /// What came of it.
        detail: String,
    },
}

/// A running broker; it ends with this.
pub struct Rabbit {
    programs: PathBuf,
    directory: PathBuf,
    settings: Vec<(&'static str, String)>,
    port: u16,
    shell: Mutex<Shell>,
}

struct Shell {
    watcher: Child,
    told: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    starts: usize,
}

static SHARED: OnceLock<Rabbit> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

const NODE: &str = "piton@localhost";
const ATTEMPTS: u32 = 2400;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);
/// A port that was free when it was looked for may be somebody's when it is used.
const TRIES: u32 = 3;

/// `$0` is the server, `$1` the directory. A broker killed by signal 9 has closed nothing, as after a power cut.
const WATCHER: &str = r#"
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >/dev/null 2>&1 &
epmd=$!
server=
end() { if [ -n "$server" ]; then kill -KILL "$server"; wait "$server"; server=; fi 2>/dev/null; }
while read -r word; do
  case $word in
    start) "$0" >>"$1/out" 2>&1 </dev/null & server=$!; echo "$server" ;;
    kill) end; echo killed ;;
  esac
done
end
kill -KILL $epmd
rm -rf "$1"
"#;

impl Rabbit {
    /// A broker for this one caller.
    pub fn start() -> Result<Rabbit, Error> {
        let mut last = None;
        for _ in 0..TRIES {
            let rabbit = Rabbit::prepare()?;
            match rabbit.start_again() {
                Ok(()) => return Ok(rabbit),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(Error::NotInstalled))
    }

    /// The broker of this test process. Its queues need names of their own.
    pub fn shared() -> Result<&'static Rabbit, Error> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rabbit) = SHARED.get() {
            return Ok(rabbit);
        }
        let rabbit = Rabbit::start()?;
        Ok(SHARED.get_or_init(|| rabbit))
    }

    /// Where it listens, with its user.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// The address without its user.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Ends the broker at once, as a power cut does.
    pub fn kill(&self) -> Result<(), Error> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        shell.tell("kill").map(|_| ())
    }

    /// Starts the broker where it does not run, on the data that it had, and waits until it serves.
    #[expect(clippy::disallowed_methods, reason = "a server that is starting is real and takes real time")]
    pub fn start_again(&self) -> Result<(), Error> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shell.tell("start")?;
        shell.starts += 1;
        for _ in 0..ATTEMPTS {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            if log.matches("Server startup complete").count() >= shell.starts {
                return Ok(());
            }
            let state = fs::read_to_string(format!("/proc/{server}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        Err(failed("rabbitmq-server", self.log()))
    }

    /// Runs `rabbitmqctl` on this broker and returns what it prints.
    pub fn ctl<const N: usize>(&self, arguments: [&str; N]) -> Result<String, Error> {
        let done = self
            .command("rabbitmqctl")
            .args(["--quiet", "--node", NODE])
            .args(arguments)
            .output()
            .map_err(|error| failed("rabbitmqctl", error))?;
        if !done.status.success() {
            let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            return Err(failed(format!("rabbitmqctl {arguments:?}"), said));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// What the server says of itself.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    fn prepare() -> Result<Rabbit, Error> {
        let programs = programs().ok_or(Error::NotInstalled)?;
        let directory = tempfile::Builder::new()
            .prefix("piton-rabbit-")
            .tempdir()
            .map_err(|error| failed("temporary directory", error))?
            .keep();
        let [port, distribution, mapper] = free_ports().map_err(|error| failed("free ports", error))?;
        // No plugins: they take time. Memory is what the machine has; tests of alarms say so themselves.
        for (name, text) in [("plugins", "[].\n"), ("rabbitmq.conf", CONFIGURATION), ("environment", "")] {
            fs::write(directory.join(name), text).map_err(|error| failed(name, error))?;
        }
        let settings = settings(&directory, port, distribution, mapper);
        let mut watcher = command("sh", &directory, &settings)
            .args(["-c", WATCHER])
            .arg(programs.join("rabbitmq-server"))
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the tests; the server ends after them.
            .process_group(0)
            .spawn()
            .map_err(|error| failed("sh", error))?;
        let told = watcher.stdin.take();
        let answers = watcher.stdout.take().ok_or_else(|| failed("sh", "no standard output"))?;
        let shell = Mutex::new(Shell { watcher, told, answers: BufReader::new(answers), starts: 0 });
        Ok(Rabbit { programs, directory, settings, port, shell })
    }

    fn command(&self, program: &str) -> Command {
        command(self.programs.join(program), &self.directory, &self.settings)
    }
}

const CONFIGURATION: &str = "\
loopback_users = none
log.console = false
disk_free_limit.absolute = 10MB
";

impl Shell {
    fn tell(&mut self, word: &str) -> Result<String, Error> {
        let mut answer = String::new();
        let told = self.told.as_mut().ok_or_else(|| failed(word, "the broker has ended"))?;
        writeln!(told, "{word}")
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|error| failed(word, error))?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.told.take());
        // Whether the shell could be waited for changes nothing: it ends by itself.
        let _ = shell.watcher.wait();
    }
}

fn failed(what: impl Into<String>, detail: impl ToString) -> Error {
    Error::Failed { what: what.into(), detail: detail.to_string() }
}

/// All of them open at once, so that they differ.
fn free_ports() -> std::io::Result<[u16; 3]> {
    let open = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(open) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

fn settings(directory: &Path, port: u16, distribution: u16, mapper: u16) -> Vec<(&'static str, String)> {
    let at = |name: &str| directory.join(name).display().to_string();
    let mut erlang = String::from("-noinput +S 2:2");
    for kind in ["", "dcpu", "dio"] {
        // Schedulers that wait by spinning take the processor from the tests.
        let _ = write!(erlang, " +sbwt{kind} none");
    }
    vec![
        ("HOME", directory.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("ERL_EPMD_PORT", mapper.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODENAME", NODE.to_owned()),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODE_PORT", port.to_string()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_MNESIA_BASE", at("data")),
        ("RABBITMQ_LOGS", at("log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq")),
        ("RABBITMQ_CONF_ENV_FILE", at("environment")),
        ("RABBITMQ_PID_FILE", at("pid")),
        // With "input", the script becomes the server, so that the process that was started is the one to kill.
        ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang),
    ]
}

/// Where Debian keeps the programs themselves: those on the path refuse to run for anybody but root and one other.
fn programs() -> Option<PathBuf> {
    let named = std::env::var_os(BIN_VARIABLE).map(PathBuf::from);
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let usual = PathBuf::from("/usr/lib/rabbitmq/bin");
    let mut places = named.into_iter().chain([usual]).chain(on_path.unwrap_or_default());
    places.find(|dir| dir.join("rabbitmq-server").is_file() && dir.join("rabbitmqctl").is_file())
}

#[expect(clippy::disallowed_methods, reason = "tests start a real server")]
fn command(program: impl AsRef<OsStr>, directory: &Path, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null()).envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() -> std::io::Result<()> {
        let [a, b, c] = free_ports()?;
        assert!(a != b && b != c && a != c, "{a} {b} {c}");
        Ok(())
    }

    #[test]
    fn a_broker_survives_being_killed_and_leaves_nothing() -> Result<(), Error> {
        let rabbit = Rabbit::start()?;
        assert!(rabbit.ctl(["list_vhosts"])?.contains('/'));
        rabbit.ctl(["add_vhost", "kept"])?;
        rabbit.kill()?;
        rabbit.ctl(["list_vhosts"]).expect_err("killed");
        rabbit.start_again()?;
        assert!(rabbit.ctl(["list_vhosts"])?.contains("kept"));
        let directory = rabbit.directory.clone();
        drop(rabbit);
        assert!(!directory.exists());
        Ok(())
    }
}
