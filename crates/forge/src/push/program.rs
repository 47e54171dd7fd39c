//! A push to what is no web server: the same words, through `ssh` or to git's own program for a repository on this disk.
//!
//! Nothing secret is on a command line or in an environment. A key is in a file that only `ssh` is told about, in a
//! directory of its own, which goes when the push is over; what unlocks it is printed by a script that `ssh` asks in
//! place of a person. Programs see nothing of the environment of this one but `PATH`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use piton_model::Secret;
use piton_model::guard::Guard;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{
    ASKING, Advertisement, DOING, Descent, Job, MOST_ADVERTISED, MOST_REPORTED, NoAdvertisement, Outcome, descent,
};
use crate::error::Error;
use crate::forge::PRIVATE;
use crate::pkt::{self, Length};
use crate::reach::{self, Unresolved};
use crate::remote::SshRemote;

/// What a program may say beside the protocol.
const MOST_TALK: u64 = 256 * 1024;

/// How a push over SSH shows who it is, and by what it knows the host.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// The private key, in OpenSSH or PEM format.
    pub private_key: Secret<String>,
    /// What unlocks it.
    pub passphrase: Option<Secret<String>>,
    /// The keys that hosts may have, as lines of a `known_hosts` file. A host that is not in it is not spoken to.
    pub known_hosts: String,
}

/// A repository behind SSH, and how it is reached.
pub(crate) struct OverSsh<'a> {
    pub(crate) remote: &'a SshRemote,
    pub(crate) key: &'a SshKey,
    pub(crate) guard: &'a Guard,
    /// The key lies in a directory below this one while it is needed, or below the one for temporary files.
    pub(crate) private: Option<&'a Path>,
}

impl OverSsh<'_> {
    /// Pushes through `ssh`.
    pub(crate) async fn push(&self, job: Job<'_>) -> Result<Outcome, Error> {
        let (_dir, command) = self.command("git-receive-pack").await?;
        let done = talk(command, "ssh", job).await?;
        done.map_err(|said| explain(&self.remote.host, &said, job.repository, job.fresh))
    }

    /// Whether the branch has gone on from the commit. A server that does not say has not said so.
    pub(crate) async fn descends(&self, asked: Descent<'_>) -> Result<bool, Error> {
        let (_dir, command) = self.command("git-upload-pack").await?;
        Ok(talk(command, "ssh", asked).await?.unwrap_or(false))
    }

    /// The directory goes with its files when the program has ended.
    async fn command(&self, service: &str) -> Result<(TempDir, Command), Error> {
        let OverSsh { remote, key, guard, private } = self;
        let found = reach::resolve(guard, &remote.host, remote.port).await.map_err(|error| match error {
            Unresolved::Blocked(blocked) => Error::Blocked { host: remote.host.clone(), reason: blocked.to_string() },
            unknown @ Unresolved::Unknown(_) => {
                Error::Unreachable { doing: DOING, host: remote.host.clone(), reason: unknown.to_string() }
            }
        })?;
        let dir = private_dir(*private)?;
        let config = write(dir.path(), "ssh_config", 0o600, &{
            let known = write(dir.path(), "known_hosts", 0o600, &key.known_hosts)?;
            let file = write(dir.path(), "key", 0o600, key.private_key.expose())?;
            ssh_config(remote, &file, &known, found.first().map(|address| address.ip()), key.passphrase.is_some())
        })?;
        let path = shlex::try_quote(&remote.path)
            .map_err(|error| Error::Address { address: remote.path.clone(), problem: error.to_string() })?;
        let mut command = program("ssh", dir.path());
        command.arg("-F").arg(config).arg("--").arg(&remote.host).arg(format!("{service} {path}"));
        if let Some(passphrase) = &key.passphrase {
            let file = write(dir.path(), "passphrase", 0o600, &format!("{}\n", passphrase.expose()))?;
            let script =
                write(dir.path(), "askpass", 0o700, &format!("#!/bin/sh\nexec cat {}\n", quoted_for_shell(&file)))?;
            command.env("SSH_ASKPASS", script).env("SSH_ASKPASS_REQUIRE", "force");
        }
        Ok((dir, command))
    }
}

/// A repository on this disk.
pub(crate) struct Directory<'a> {
    pub(crate) repository: &'a Path,
    pub(crate) private: Option<&'a Path>,
}

impl Directory<'_> {
    /// Pushes to git's own program.
    pub(crate) async fn push(&self, job: Job<'_>) -> Result<Outcome, Error> {
        let (_dir, command) = self.command("receive-pack")?;
        let done = talk(command, "git", job).await?;
        done.map_err(|said| explain("this machine", &said, job.repository, job.fresh))
    }

    /// Whether the branch has gone on from the commit.
    pub(crate) async fn descends(&self, asked: Descent<'_>) -> Result<bool, Error> {
        let (_dir, command) = self.command("upload-pack")?;
        Ok(talk(command, "git", asked).await?.unwrap_or(false))
    }

    fn command(&self, service: &str) -> Result<(TempDir, Command), Error> {
        let dir = private_dir(self.private)?;
        let mut command = program("git", dir.path());
        command.arg(service).arg(self.repository);
        Ok((dir, command))
    }
}

/// Makes an empty repository, unless something is there. It appears at once and whole.
pub(crate) async fn init_bare(repository: &Path, branch: &str) -> Result<bool, Error> {
    let failed = |doing, source| Error::File { doing, path: repository.to_owned(), source };
    if repository.exists() {
        return Ok(false);
    }
    let parent = repository.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|source| failed("create the directory of", source))?;
    let dir = tempfile::Builder::new().prefix(".new-").tempdir_in(parent);
    let dir = dir.map_err(|source| failed("create", source))?;
    let made = dir.path().join("repository");
    let mut command = program("git", dir.path());
    command.args(["init", "--quiet", "--bare", "--template=", "--initial-branch", branch, "--"]).arg(&made);
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).output().await;
    let ended = ended.map_err(|source| Error::Program { program: "git", source })?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return Err(failed("create", io::Error::other(said)));
    }
    match fs::rename(&made, repository) {
        Ok(()) => Ok(true),
        // Somebody else was faster; whose it is will be seen.
        Err(_) if repository.exists() => Ok(false),
        Err(source) => Err(failed("create", source)),
    }
}

fn program(name: &str, home: &Path) -> Command {
    let mut command = Command::new(name);
    command.env_clear().current_dir(home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("HOME", home).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// A program, and whatever it starts, which is its process group. Dropping it ends all of them.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already; nobody else can have its number, since nobody has waited for it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What is said to a program.
trait Errand {
    /// What comes of it.
    type Told;

    /// Says it. The outer error is a pipe that broke.
    fn speak(self, child: &mut Child) -> impl Future<Output = io::Result<Result<Self::Told, Error>>> + Send;
}

impl Errand for Job<'_> {
    type Told = Outcome;

    async fn speak(self, child: &mut Child) -> io::Result<Result<Outcome, Error>> {
        push(child, self).await
    }
}

impl Errand for Descent<'_> {
    type Told = bool;

    async fn speak(self, child: &mut Child) -> io::Result<Result<bool, Error>> {
        ask(child, self).await
    }
}

/// Says to a program what is to be said. The inner error is what the program said when it went away.
async fn talk<E: Errand>(
    mut command: Command,
    name: &'static str,
    errand: E,
) -> Result<Result<E::Told, String>, Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| Error::Program { program: name, source })?;
    let mut group = Group(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())));
    let stderr = child.stderr.take();
    let (spoken, said) = tokio::join!(errand.speak(&mut child), all(stderr, MOST_TALK));
    // The pipes are closed on this side, which ends it with its next word.
    let ended = child.wait().await;
    group.0 = None;
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    match spoken {
        Ok(judged) => judged.map(Ok),
        Err(_) if ended.is_ok_and(|status| !status.success()) => Ok(Err(said)),
        Err(error) => Err(Error::Unreachable { doing: DOING, host: name.to_owned(), reason: error.to_string() }),
    }
}

async fn push(child: &mut Child, job: Job<'_>) -> io::Result<Result<Outcome, Error>> {
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let text = section(&mut stdout).await?;
    let advertised = match Advertisement::parse(&text) {
        Ok(advertised) => advertised,
        Err(NoAdvertisement::Cut) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(problem) => return Ok(Err(Error::Unexpected { doing: DOING, problem: problem.to_string() })),
    };
    match advertised.decide(job) {
        Ok(None) => {}
        Ok(Some(outcome)) => {
            // Nothing is wanted. The server may be gone by now.
            let _ = stdin.write_all(b"0000").await;
            return Ok(Ok(outcome));
        }
        Err(error) => return Ok(Err(error)),
    }
    let command = advertised.command(job);
    let sending = async move {
        stdin.write_all(&command).await?;
        stdin.write_all(job.commit.pack()).await?;
        stdin.shutdown().await
    };
    // The server may speak before it has read all.
    let (sent, reported) = tokio::join!(sending, all(Some(stdout), MOST_REPORTED as u64));
    let reported = reported?;
    if reported.is_empty() {
        sent?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(advertised.judge(&reported, job))
}

async fn ask(child: &mut Child, asked: Descent<'_>) -> io::Result<Result<bool, Error>> {
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    // Which branches there are is known by now.
    section(&mut stdout).await?;
    stdin.write_all(&descent::question(asked.head, asked.commit)).await?;
    let mut said = Vec::new();
    loop {
        match descent::answer(&said, asked.commit) {
            Ok(Some(descends)) => return Ok(Ok(descends)),
            Ok(None) if said.len() < MOST_REPORTED => {}
            Ok(None) => return Ok(Ok(false)),
            Err(error) => return Ok(Err(Error::Unexpected { doing: ASKING, problem: error.to_string() })),
        }
        if stdout.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads frames up to the end of a section, or whatever there is.
async fn section(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let mut head = [0; 4];
        from.read_exact(&mut head).await?;
        text.extend_from_slice(&head);
        match pkt::length(head) {
            Ok(Length::Content(length)) => {
                let start = text.len();
                if start + length > MOST_ADVERTISED {
                    return Err(io::Error::other("the server has too many branches"));
                }
                text.resize(start + length, 0);
                from.read_exact(&mut text[start..]).await?;
            }
            Ok(Length::Mark) => {}
            // What is no frame is seen by whoever reads the text.
            Ok(Length::Flush) | Err(_) => return Ok(text),
        }
    }
}

async fn all(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn private_dir(below: Option<&Path>) -> Result<TempDir, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PRIVATE);
    let made = match below {
        Some(below) => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(below);
            made.and_then(|()| builder.tempdir_in(below))
        }
        None => builder.tempdir(),
    };
    let path = || below.map_or_else(std::env::temp_dir, Path::to_owned);
    made.map_err(|source| Error::File { doing: "create a private directory in", path: path(), source })
}

fn write(dir: &Path, name: &str, mode: u32, content: &str) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
    match opened.and_then(|mut file| file.write_all(content.as_bytes())) {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::File { doing: "write", path, source }),
    }
}

/// The whole configuration of `ssh`: nothing is read from anywhere else, nobody is asked, nothing is forwarded, and the
/// host must show a key that is known.
fn ssh_config(remote: &SshRemote, key: &Path, known: &Path, address: Option<IpAddr>, locked: bool) -> String {
    let quoted = |path: &Path| format!("\"{}\"", path.display().to_string().replace('%', "%%"));
    // As a `known_hosts` file names it.
    let SshRemote { user, host, port, .. } = remote;
    let known_as = if *port == 22 { host.clone() } else { format!("[{host}]:{port}") };
    let address = address.map_or_else(String::new, |address| format!("HostName {address}\n"));
    // In batch mode `ssh` would not ask for what unlocks the key.
    let batch = if locked { "no" } else { "yes" };
    format!(
        "Host *
{address}Port {port}
User {user}
HostKeyAlias {known_as}
UserKnownHostsFile {}
GlobalKnownHostsFile /dev/null
IdentityFile {}
BatchMode {batch}
StrictHostKeyChecking yes
CheckHostIP no
UpdateHostKeys no
VerifyHostKeyDNS no
IdentitiesOnly yes
IdentityAgent none
PreferredAuthentications publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
NumberOfPasswordPrompts 1
ForwardAgent no
ForwardX11 no
ClearAllForwardings yes
PermitLocalCommand no
ControlMaster no
ControlPath none
ConnectTimeout 30
ServerAliveInterval 15
ServerAliveCountMax 4
",
        quoted(known),
        quoted(key),
    )
}

fn quoted_for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map(std::borrow::Cow::into_owned).unwrap_or(text)
}

/// Reads what `ssh` or git printed, in the C locale.
fn explain(host: &str, printed: &str, repository: &str, fresh: bool) -> Error {
    let lower = printed.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let lines = || printed.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = lines().find(|line| line.starts_with("fatal: ") || line.starts_with("ssh: "));
    let text: String = told.or_else(|| lines().next()).unwrap_or("it said nothing").chars().take(300).collect();
    if says(&["host key verification failed", "no matching host key type"]) {
        let text = if says(&["identification has changed"]) {
            "it shows another key than it should"
        } else {
            "no key of it is known"
        };
        Error::HostKey { host: host.to_owned(), text: text.to_owned() }
    } else if says(&["permission denied (", "load key "]) {
        Error::Unauthorized { doing: DOING, text }
    } else if says(&["not found", "does not appear to be a git repository", "no such file", "does not exist"]) {
        Error::NotFound { doing: DOING, what: repository.to_owned(), fresh }
    } else if says(&["not allowed", "access denied", "dubious ownership", "permission denied"]) {
        Error::Forbidden { doing: DOING, text }
    } else {
        Error::Unreachable { doing: DOING, host: host.to_owned(), reason: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_connection_reads_nothing_else_and_trusts_nobody_new() {
        let remote = SshRemote { user: "git".into(), host: "git.example.org".into(), port: 2222, path: "/a".into() };
        let address = "10.0.0.1".parse().ok();
        let config = ssh_config(&remote, Path::new("/x y/key"), Path::new("/x y/known%"), address, true);
        for line in [
            "HostName 10.0.0.1",
            "Port 2222",
            "HostKeyAlias [git.example.org]:2222",
            "IdentityFile \"/x y/key\"",
            "UserKnownHostsFile \"/x y/known%%\"",
            "BatchMode no",
            "StrictHostKeyChecking yes",
            "IdentityAgent none",
        ] {
            assert!(config.lines().any(|found| found == line), "{line} is not in {config}");
        }
    }
}
