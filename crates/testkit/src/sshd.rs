//! OpenSSH's server in front of bare repositories, as an ordinary user.
//!
//! A thread accepts connections on a free port and hands each to an `sshd -i` of its own, so that no port is guessed and
//! nothing stays behind. Only [`Sshd::key`] gets in, and only to read (or, where that is wanted, to push to) the
//! repositories below one directory:
//! `ssh://USER@127.0.0.1:PORT/NAME.git`. The program comes from the package `openssh-server`, which `scripts/setup-tests`
//! installs.

use std::fs::{self, File, OpenOptions};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{env, io};

use tempfile::TempDir;

use crate::repository::said;

/// A running server; it ends with this.
pub struct Sshd {
    address: SocketAddr,
    user: String,
    directory: TempDir,
    open: Arc<Open>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Open {
    ending: AtomicBool,
    connections: Mutex<Vec<(Child, TcpStream)>>,
}

impl Sshd {
    /// Serves the bare repositories below `root`.
    pub fn start(root: &Path) -> io::Result<Sshd> {
        Sshd::serving(root, &["git-upload-pack"])
    }

    /// The same, and lets the key push.
    pub fn start_writable(root: &Path) -> io::Result<Sshd> {
        Sshd::serving(root, &["git-upload-pack", "git-receive-pack"])
    }

    fn serving(root: &Path, services: &[&str]) -> io::Result<Sshd> {
        let program = program()?;
        let directory = tempfile::Builder::new().prefix("piton-sshd-").tempdir()?;
        let at = directory.path();
        for key in ["host", "user", "stranger"] {
            said(command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"]).arg(at.join(key)))?;
        }
        fs::copy(at.join("user.pub"), at.join("authorized"))?;
        fs::write(at.join("serve"), script(root, at, services))?;
        fs::set_permissions(at.join("serve"), fs::Permissions::from_mode(0o700))?;
        fs::write(at.join("config"), config(at))?;
        prepare_root()?;
        said(command(&program).args(["-t", "-f"]).arg(at.join("config")))?;
        let user = said(command("id").arg("-un"))?.trim().to_owned();

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let log = OpenOptions::new().create(true).append(true).open(at.join("log"))?;
        let (open, config) = (Arc::new(Open::default()), at.join("config"));
        let shared = Arc::clone(&open);
        let thread = std::thread::Builder::new().name("sshd".to_owned()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.ending.load(Ordering::Acquire) {
                    return;
                }
                let Ok(connection) = serve(&program, &config, stream, &log) else { return };
                shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
        })?;
        Ok(Sshd { address, user, directory, open, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `ssh://USER@127.0.0.1:PORT/PATH`.
    pub fn url(&self, path: &str) -> String {
        format!("ssh://{}@{}/{path}", self.user, self.address)
    }

    /// The private key that gets in, as OpenSSH writes it.
    pub fn key(&self) -> io::Result<String> {
        fs::read_to_string(self.directory.path().join("user"))
    }

    /// The same key, locked.
    pub fn locked_key(&self, passphrase: &str) -> io::Result<String> {
        let files = tempfile::tempdir()?;
        let file = files.path().join("key");
        fs::copy(self.directory.path().join("user"), &file)?;
        said(command("ssh-keygen").args(["-q", "-p", "-P", "", "-N", passphrase, "-f"]).arg(&file))?;
        fs::read_to_string(file)
    }

    /// A private key that does not.
    pub fn stranger(&self) -> io::Result<String> {
        fs::read_to_string(self.directory.path().join("stranger"))
    }

    /// The line of a `known_hosts` file by which the server is known.
    pub fn known_host(&self) -> io::Result<String> {
        self.known_by("host.pub")
    }

    /// The line of a `known_hosts` file that expects another key at this address.
    pub fn known_otherwise(&self) -> io::Result<String> {
        self.known_by("stranger.pub")
    }

    /// The commands that were asked for so far, the oldest first.
    pub fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.directory.path().join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    /// What the server says of itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn known_by(&self, key: &str) -> io::Result<String> {
        let key = fs::read_to_string(self.directory.path().join(key))?;
        Ok(format!("[{}]:{} {}\n", self.address.ip(), self.address.port(), key.trim()))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.open.ending.store(true, Ordering::Release);
        // Wakes the thread, which then sees that this is the end.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // Its panic was printed.
            let _ = thread.join();
        }
        for (child, stream) in self.open.connections.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // Ends what the server started, too: its pipes close. What has ended already cannot be ended again.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn serve(program: &Path, config: &Path, stream: TcpStream, log: &File) -> io::Result<(Child, TcpStream)> {
    let ours = stream.try_clone()?;
    let (input, output) = (OwnedFd::from(stream.try_clone()?), OwnedFd::from(stream));
    let mut command = command(program);
    command.args(["-i", "-e", "-f"]).arg(config);
    Ok((command.stdin(input).stdout(output).stderr(log.try_clone()?).spawn()?, ours))
}

fn config(at: &Path) -> String {
    let at = at.display();
    format!(
        "HostKey {at}/host
AuthorizedKeysFile {at}/authorized
PidFile none
AuthenticationMethods publickey
PermitRootLogin prohibit-password
# The directory for temporary files is writable for all.
StrictModes no
UsePAM no
DisableForwarding yes
PermitTTY no
AcceptEnv GIT_PROTOCOL
LoginGraceTime 20
ForceCommand {at}/serve
"
    )
}

/// These services for repositories below `root`, and nothing else.
fn script(root: &Path, at: &Path, services: &[&str]) -> String {
    let (root, at, services) = (root.display(), at.display(), services.join("|"));
    format!(
        r#"#!/bin/sh
printf '%s\n' "$SSH_ORIGINAL_COMMAND" >>'{at}/asked'
service=${{SSH_ORIGINAL_COMMAND%% *}}
name=${{SSH_ORIGINAL_COMMAND#* }}
name=${{name#"'"}}
name=${{name#/}}
name=${{name%"'"}}
case $service in
  {services}) ;;
  *) echo "not served: $SSH_ORIGINAL_COMMAND" >&2; exit 128 ;;
esac
case $name in
  *[!A-Za-z0-9._/-]* | *..*) echo "not served: $SSH_ORIGINAL_COMMAND" >&2; exit 128 ;;
esac
exec "$service" '{root}'/"$name"
"#
    )
}

/// As root the server wants an empty directory at a fixed place, which Debian makes when it starts the service.
fn prepare_root() -> io::Result<()> {
    if said(command("id").arg("-u"))?.trim() != "0" {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd")
}

/// On the path, or where Debian keeps programs for root.
fn program() -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.find_map(|dir| Some(dir.join("sshd")).filter(|file| file.is_file())).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no sshd: install openssh-server, as scripts/setup-tests does")
    })
}

#[expect(clippy::disallowed_methods, reason = "tests start a real server")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::{git, repository};

    fn clone(sshd: &Sshd, key: &str, known: &str, path: &str) -> io::Result<String> {
        let files = tempfile::tempdir()?;
        let (key_file, known_file) = (files.path().join("key"), files.path().join("known"));
        fs::write(&key_file, key)?;
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
        fs::write(&known_file, known)?;
        let ssh = format!(
            "ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityFile={} -o UserKnownHostsFile={} \
             -o StrictHostKeyChecking=yes",
            key_file.display(),
            known_file.display()
        );
        let into = files.path().join("into");
        let setting = format!("core.sshCommand={ssh}");
        git(files.path(), ["-c", &setting, "clone", "-q", "--depth=1", &sshd.url(path), "into"])?;
        fs::read_to_string(into.join("one"))
    }

    #[test]
    fn only_one_key_reads_and_only_repositories() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        repository(root.path(), "a.git", &[&[("one", "1")]])?;
        let sshd = Sshd::start(root.path())?;
        let (key, known) = (sshd.key()?, sshd.known_host()?);
        assert_eq!(
            clone(&sshd, &key, &known, "a.git").map_err(|error| io::Error::other(format!("{error}{}", sshd.log())))?,
            "1"
        );
        assert_eq!(sshd.asked(), ["git-upload-pack '/a.git'"]);
        for (key, known, path) in [
            (sshd.stranger()?, known.clone(), "a.git"),
            (key.clone(), sshd.known_otherwise()?, "a.git"),
            (key.clone(), known.clone(), "../a.git"),
            (key, known, "none.git"),
        ] {
            clone(&sshd, &key, &known, path).expect_err(path);
        }
        Ok(())
    }
}
