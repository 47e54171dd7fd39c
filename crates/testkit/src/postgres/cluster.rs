//! A PostgreSQL of its own, for whoever wants to stop and kill it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{ATTEMPTS, BETWEEN_ATTEMPTS, Error, failed, prepare};

/// A server that may be stopped, killed and started again; it ends with this.
pub struct Cluster {
    url: String,
    directory: PathBuf,
    shell: Mutex<Shell>,
}

struct Shell {
    watcher: Child,
    told: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// `$0` is the server, `$1` the directory. A server killed by signal 9 has written nothing down, as after a crash of the
/// machine; the processes of its connections notice that it is gone, and end.
const WATCHER: &str = r#"
server=
end() { if [ -n "$server" ]; then kill "-$1" "$server"; wait "$server"; server=; fi 2>/dev/null; }
while read -r word; do
  case $word in
    start)
      "$0" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=100 >>"$1/log" 2>&1 </dev/null &
      server=$!; echo "$server" ;;
    stop) end INT; echo stopped ;;
    kill) end KILL; echo killed ;;
  esac
done
end QUIT
rm -rf "$1"
"#;

const READY: &str = "database system is ready to accept connections";

impl Cluster {
    /// A server with one empty database.
    pub fn start() -> Result<Cluster, Error> {
        let ground = prepare()?;
        let directory = ground.dir.path().to_owned();
        let shell = ground.shell(WATCHER).stdout(Stdio::piped()).spawn();
        let mut watcher = shell.map_err(|error| failed("sh", error))?;
        let told = watcher.stdin.take();
        let answers = watcher.stdout.take().ok_or_else(|| failed("sh", "no standard output"))?;
        let shell = Mutex::new(Shell { watcher, told, answers: BufReader::new(answers) });
        let cluster = Cluster { url: ground.url(), directory, shell };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// The address of its database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server as whoever administers it does: every connection is cut.
    pub fn stop(&self) -> Result<(), Error> {
        self.tell("stop").map(drop)
    }

    /// Kills the server.
    pub fn kill(&self) -> Result<(), Error> {
        self.tell("kill").map(drop)
    }

    /// Starts the server where it does not run, on the data that it had, and waits until it serves.
    #[expect(clippy::disallowed_methods, reason = "a server that is starting is real and takes real time")]
    pub fn start_again(&self) -> Result<(), Error> {
        let begun = self.log().matches(READY).count();
        let mut server = self.tell("start")?;
        for _ in 0..ATTEMPTS {
            if self.log().matches(READY).count() > begun {
                return Ok(());
            }
            let state = std::fs::read_to_string(format!("/proc/{server}/stat")).unwrap_or_default();
            std::thread::sleep(BETWEEN_ATTEMPTS);
            if state.is_empty() || state.contains(") Z ") {
                // A process of the one that was killed is still there, and has its memory.
                server = self.tell("start")?;
            }
        }
        Err(failed("postgres", self.log()))
    }

    /// What the server says of itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn tell(&self, word: &'static str) -> Result<String, Error> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        let told = shell.told.as_mut().ok_or_else(|| failed(word, "the server has ended"))?;
        writeln!(told, "{word}").map_err(|error| failed(word, error))?;
        shell.answers.read_line(&mut answer).map_err(|error| failed(word, error))?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.told.take());
        // Whether the shell could be waited for changes nothing: it ends by itself.
        let _ = shell.watcher.wait();
    }
}
