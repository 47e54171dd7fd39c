//! The launcher: what the keeper's program is for the moment between the fork and the child's own program, if the child
//! has limits.
//!
//! It applies them to itself and then becomes the child's program, in a process that is already in the keeper's journal
//! and group. What cannot be applied is told through the socket that is its standard input, which closes by itself when
//! the child's program begins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Rlimit, Uid};
use serde::{Deserialize, Serialize};

use crate::limits::{Identity, Limits, resource};
use crate::os_text;
use crate::protocol::{Refusal, RefusalKind};

/// The name by which the keeper calls its own program to launch a child.
pub(crate) const LAUNCHER_NAME: &str = "piton-keeper-launcher";

/// What to become, and within which limits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    #[serde(with = "os_text::value")]
    pub(crate) program: PathBuf,
    #[serde(with = "os_text::list")]
    pub(crate) argv: Vec<OsString>,
    #[serde(with = "os_text::pairs")]
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) limits: Limits,
    /// The control group to enter.
    #[serde(with = "os_text::optional")]
    pub(crate) group: Option<PathBuf>,
}

/// What the launcher tells the keeper, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// The child starts without this.
    Warning(String),
    /// The child does not start.
    Refused(Refusal),
}

/// Becomes the child a keeper ordered, if this process was started for that; gives the exit code if that fails.
///
/// To be called first thing in the `main` of every program that [`run`](crate::run) is called in, and does nothing
/// unless the keeper started it.
pub fn launch_if_asked() -> Option<ExitCode> {
    if std::env::args_os().next().is_none_or(|name| name != LAUNCHER_NAME) {
        return None;
    }
    // Who started it by hand sees the code; a keeper reads the reason.
    let _ = launch();
    Some(ExitCode::FAILURE)
}

fn launch() -> io::Result<()> {
    let mut keeper = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?);
    let mut order = Vec::new();
    keeper.read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order)?;
    let refusal = become_child(&order, &mut keeper);
    tell(&mut keeper, &Said::Refused(refusal))
}

fn tell(keeper: &mut UnixStream, said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    keeper.write_all(&line)
}

/// Comes back only with the reason why not.
fn become_child(order: &Order, keeper: &mut UnixStream) -> Refusal {
    if let Some(group) = &order.group
        && let Err(error) = fs::write(group.join("cgroup.procs"), "0")
    {
        // Should even this not be told, the keeper is gone, and with it who would read it.
        let _ = tell(keeper, &Said::Warning(format!("cannot enter the control group {}: {error}", group.display())));
    }
    let stdin = match apply(&order.limits) {
        Ok(stdin) => stdin,
        Err(refusal) => return refusal,
    };
    if is_shapeless(&order.program) {
        return crate::keeper::refuse_start(&Errno::NOEXEC.into(), &order.program);
    }
    #[expect(clippy::disallowed_methods, reason = "not a child: the process goes on as this program")]
    let mut command = Command::new(&order.program);
    let name = order.argv.first().map_or(order.program.as_os_str(), OsString::as_os_str);
    command.arg0(name).args(order.argv.iter().skip(1)).env_clear().envs(&order.env);
    command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    let error = command.exec();
    crate::keeper::refuse_start(&error, &order.program)
}

/// Whether the kernel will find no way to execute this. The C library would then hand it to a shell.
fn is_shapeless(program: &Path) -> bool {
    let mut magic = [0; 4];
    // What may be executed but not read is a binary.
    let Ok(mut file) = File::open(program) else { return false };
    let length = file.read(&mut magic).unwrap_or(magic.len());
    // Two entries are there to manage the others, which are formats that only this machine knows.
    let knows_others = fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| entries.count() > 2);
    !(magic[..length].starts_with(b"\x7fELF") || magic[..length].starts_with(b"#!") || knows_others)
}

fn apply(limits: &Limits) -> Result<Option<File>, Refusal> {
    let refuse = |what: String, error: Errno| {
        Refusal::new(RefusalKind::Limits, format!("cannot set {what}: {}", io::Error::from(error)))
    };
    let stdin = limits.stdin.as_deref().map(open_input).transpose()?;
    for (name, (soft, hard)) in &limits.rlimits {
        if let Some(resource) = resource(name) {
            let limit = Rlimit { current: *soft, maximum: *hard };
            rustix::process::setrlimit(resource, limit)
                .map_err(|error| refuse(format!("the limit {name} to {}", shown(*soft, *hard)), error))?;
        }
    }
    if let Some(score) = limits.oom_score_adj {
        fs::write("/proc/self/oom_score_adj", score.to_string())
            .map_err(|error| refuse(format!("oom_score_adj to {score}"), errno(&error)))?;
    }
    if let Some(nice) = limits.nice {
        rustix::process::setpriority_process(None, nice).map_err(|error| refuse(format!("nice to {nice}"), error))?;
    }
    if let Some(mask) = limits.umask {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    if let Some(identity) = &limits.identity {
        assume(identity).map_err(|(what, error)| refuse(what, error))?;
    }
    if limits.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(|error| refuse("no_new_privileges".to_owned(), error))?;
    }
    Ok(stdin)
}

/// Becomes this user. The process has one thread, so the calls that change a thread change all of it.
fn assume(identity: &Identity) -> Result<(), (String, Errno)> {
    let gid = Gid::from_raw(identity.gid);
    let uid = Uid::from_raw(identity.uid);
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    // Who already is that user needs no privileges.
    if rustix::process::getgroups().is_ok_and(|now| now != groups) {
        let shown = identity.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        rustix::thread::set_thread_groups(&groups)
            .map_err(|error| (format!("the supplementary groups to [{shown}]"), error))?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|error| (format!("the group to {gid}"), error))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|error| (format!("the user to {uid}"), error))
}

fn shown(soft: Option<u64>, hard: Option<u64>) -> String {
    let shown = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    format!("{} of {}", shown(soft), shown(hard))
}

/// Opens what a child reads as its standard input.
pub(crate) fn open_input(path: &Path) -> Result<File, Refusal> {
    let refuse =
        |error: io::Error| Refusal::new(RefusalKind::Limits, format!("standard input {}: {error}", path.display()));
    // As for output: opening a FIFO would wait for a writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(&refuse)?;
    if !file.metadata().map_err(&refuse)?.is_file() {
        return Err(refuse(io::Error::other("is not a regular file")));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).map_err(|error| refuse(error.into()))?;
    Ok(file)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
