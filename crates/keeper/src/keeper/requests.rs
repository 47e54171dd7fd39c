//! What each request does.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::fs::Access;
use rustix::io::Errno;
use serde::Deserialize;

use super::connection::Phase;
use super::group::Groups;
use super::handover::Handover;
use super::hold::Keeper;
use super::spawn::{Started, spawn};
use super::sweep::Sweep;
use super::table::{Held, Starting};
use super::{note, now_unix_us, tree};
use crate::proc_table::Stat;
use crate::protocol::{
    Hello, PROTOCOL_VERSION, Refusal, RefusalKind, Reply, Request, Target, ToClient, ToKeeper, Welcome, negotiate,
};
use crate::{BootId, Child, ProcessIdentity, Signal, Spec, State, Token};

/// How much JSON of children makes a page; leaves ample room in a frame for the one that crosses it.
const PAGE: usize = 512 * 1024;

type Answer = Result<Reply, Refusal>;

impl Keeper {
    /// Answers one message.
    pub(super) fn handle(&mut self, id: u64, body: &[u8]) {
        match self.connections.get(&id).map(|connection| connection.phase) {
            Some(Phase::Greeting) => self.greet(id, body),
            Some(Phase::Open { .. }) => self.serve(id, body),
            Some(Phase::Closing | Phase::Broken) | None => {}
        }
    }

    fn greet(&mut self, id: u64, body: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Ok(hello) = serde_json::from_slice::<Hello>(body) else {
            connection.phase = Phase::Broken;
            return;
        };
        if let Some(protocol_version) = negotiate(PROTOCOL_VERSION, hello.protocol_version) {
            connection.phase = Phase::Open { subscribed: false };
            let keeper_version = env!("CARGO_PKG_VERSION").to_owned();
            connection.send(&ToClient::Welcome(Welcome {
                protocol_version,
                keeper_version,
                keeper_pid: std::process::id(),
            }));
        } else {
            connection.phase = Phase::Closing;
            let message = format!(
                "this keeper speaks protocol version {PROTOCOL_VERSION} and understands its neighbours, not version {}",
                hello.protocol_version
            );
            connection.send(&ToClient::Refused(Refusal::new(RefusalKind::Version, message)));
        }
    }

    fn serve(&mut self, id: u64, body: &[u8]) {
        match serde_json::from_slice::<ToKeeper>(body) {
            Ok(message) => {
                if let Some(answer) = self.answer(id, message.id, message.request) {
                    self.reply(id, message.id, answer);
                }
            }
            // A request only a newer keeper knows deserves an answer; noise does not.
            Err(error) => match serde_json::from_slice::<Numbered>(body) {
                Ok(numbered) => {
                    let refusal =
                        Refusal::new(RefusalKind::BadRequest, format!("cannot understand the request: {error}"));
                    self.reply(id, numbered.id, Err(refusal));
                }
                Err(_) => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.phase = Phase::Broken;
                    }
                }
            },
        }
    }

    /// Sends an answer, if the one who asked is still there.
    pub(super) fn reply(&mut self, connection: u64, id: u64, answer: Answer) {
        let message = match answer {
            Ok(reply) => ToClient::Reply { id, reply },
            Err(refusal) => ToClient::Failed { id, refusal },
        };
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.send(&message);
        }
    }

    /// The answer, or `None` if it comes later.
    fn answer(&mut self, connection: u64, id: u64, request: Request) -> Option<Answer> {
        Some(match request {
            Request::Spawn { token, spec } => self.spawn(token, spec).map(Reply::Child),
            Request::Get { token } => self.find(&token).map(|held| Reply::Child(held.child.clone())),
            Request::List { after } => Ok(self.list(after.as_ref())),
            Request::Signal { token, signal, target } => self.signal(&token, signal, target).map(|()| Reply::Done),
            Request::Sweep { token } => match self.find(&token) {
                Ok(held) => {
                    self.sweeps.push(Sweep::new(connection, id, held.clone()));
                    return None;
                }
                Err(refusal) => Err(refusal),
            },
            Request::Acknowledge { token } => self.acknowledge(&token).map(|()| Reply::Done),
            Request::Subscribe => {
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.phase = Phase::Open { subscribed: true };
                }
                Ok(Reply::Done)
            }
            Request::Stop { if_idle } => self.stop(if_idle).map(|()| Reply::Done),
            Request::Upgrade { exe } => Err(self.upgrade(&exe)),
        })
    }

    fn find(&self, token: &Token) -> Result<&Held, Refusal> {
        let uncertain = || self.table.is_uncertain(token).then(|| start_uncertain(token));
        let unknown = || Refusal::new(RefusalKind::UnknownToken, format!("no child is held under {token}"));
        self.table.get(token).ok_or_else(|| uncertain().unwrap_or_else(unknown))
    }

    fn spawn(&mut self, token: Token, spec: Spec) -> Result<Child, Refusal> {
        if let Some(held) = self.table.get(&token) {
            return Ok(held.child.clone());
        }
        if self.table.is_uncertain(&token) {
            return Err(start_uncertain(&token));
        }
        // Before anything is written or made for it.
        spec.validate().map_err(|error| Refusal::new(RefusalKind::BadSpec, error.to_string()))?;
        let boot_id =
            BootId::current().ok_or_else(|| Refusal::new(RefusalKind::Resources, "cannot read the boot id"))?;
        let starting = Starting {
            token: token.clone(),
            stdout: spec.stdout.clone(),
            stderr: spec.stderr.clone(),
            at_unix_us: now_unix_us(),
        };
        // A descriptor kept in reserve, so that the child's identity can be read even if it takes the last one.
        let reserve = File::open("/dev/null")
            .map_err(|error| Refusal::new(RefusalKind::Resources, format!("cannot start {token} now: {error}")))?;
        self.table.begin(starting).map_err(|error| {
            Refusal::new(RefusalKind::Journal, format!("cannot write the keeper's journal: {error}"))
        })?;
        let (group, mut warnings) = Groups::make(&spec.limits);
        let started = spawn(&spec, &token, self.place.name(), &self.shields, group.as_deref(), &mut self.captures);
        let pid = match started {
            Ok(Started { pid, warnings: more }) => {
                warnings.extend(more);
                pid
            }
            Err(refusal) => {
                self.groups.remove(group);
                self.table.abandon(&token);
                return Err(refusal);
            }
        };
        drop(reserve);
        self.childless = false;
        self.burst.note(1, Instant::now());
        // Not reaped yet, so it is there, be it as a zombie. Zero, before any real start, would identify nothing.
        let start_ticks = Stat::read(pid).map_or(0, |stat| stat.start_ticks);
        let child = Child {
            token,
            identity: ProcessIdentity { pid, start_ticks, boot_id },
            state: State::Running,
            spawned_at_unix_us: now_unix_us(),
            stdout: spec.stdout,
            stderr: spec.stderr,
            warnings,
        };
        let remembered = spec.remembered;
        self.table.started(Held { child: child.clone(), session: self.session, group, remembered });
        Ok(child)
    }

    fn list(&self, after: Option<&Token>) -> Reply {
        let mut left = PAGE;
        let mut rest = self.table.after(after);
        let mut children = Vec::new();
        for child in rest.by_ref() {
            left = left.saturating_sub(serde_json::to_vec(child).map_or(PAGE, |json| json.len()));
            children.push(child.clone());
            if left == 0 {
                break;
            }
        }
        Reply::Children { children, more: rest.next().is_some() }
    }

    fn signal(&mut self, token: &Token, signal: Signal, target: Target) -> Result<(), Refusal> {
        let held = self.find(token)?.clone();
        let Child { identity, state, .. } = &held.child;
        let reached = match (target, state) {
            (Target::Process, State::Exited { .. }) => Ok(0),
            (Target::Process, _) => tree::signal_one(identity.pid, identity.start_ticks, signal).map(usize::from),
            // While its leader is not reaped the group's number is its own, and the kernel misses nobody who is just
            // forking.
            (Target::Group, State::Running) => signal_group(identity, signal),
            (Target::Group, _) => tree::signal_all(&self.recent_picture(&held).group(&held), signal),
            (Target::Tree, State::Running) => {
                let mut others = self.recent_picture(&held).members(&held);
                others.retain(|stat| stat.group != identity.pid);
                let group = signal_group(identity, signal);
                let others = tree::signal_all(&others, signal);
                group.and_then(|reached| Ok(reached + others?))
            }
            (Target::Tree, _) => tree::signal_all(&self.recent_picture(&held).members(&held), signal),
        };
        match reached {
            Ok(0) => Err(Refusal::new(RefusalKind::NotRunning, format!("nothing of {token} is running"))),
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::new(RefusalKind::System, format!("cannot send {signal} to {token}: {error}"))),
        }
    }

    fn acknowledge(&mut self, token: &Token) -> Result<(), Refusal> {
        if self.table.get(token).is_some_and(|held| held.child.exit().is_none()) {
            return Err(Refusal::new(RefusalKind::StillRunning, format!("{token} has not ended")));
        }
        if let Some(held) = self.table.forget(token) {
            self.groups.remove(held.group);
        }
        Ok(())
    }

    fn stop(&mut self, if_idle: bool) -> Result<(), Refusal> {
        if if_idle && self.has_work() {
            let running = self.table.running() + self.table.orphaned().count();
            let pipes = self.captures.open_pipes();
            let message = format!("{running} children are running, {pipes} logs are written to");
            return Err(Refusal::new(RefusalKind::Busy, message));
        }
        note(format_args!("told to stop with {} children running", self.table.running()));
        self.stopping = true;
        Ok(())
    }

    /// Becomes another program; comes back only with the reason why not.
    ///
    /// The pid stays and with it the children; the journal says who they are. The lock goes along as standard input, so
    /// that no other keeper can slip in between, and word of the pipes, which stay open, as standard output.
    fn upgrade(&mut self, exe: &Path) -> Refusal {
        let refuse = |error: io::Error| {
            let message = format!("cannot become {}: {error}", exe.display());
            note(format_args!("{message}"));
            Refusal::new(RefusalKind::System, message)
        };
        if !exe.is_absolute() {
            return refuse(io::Error::other("not an absolute path"));
        }
        if let Err(error) = check_binary(exe) {
            return refuse(error);
        }
        if self.table.is_damaged() {
            return refuse(io::Error::other("the journal cannot be written, the children would be forgotten"));
        }
        let handed = self.place.share_lock().and_then(|lock| {
            let (pipes, losses) = self.captures.hand_over()?;
            let handover = Handover { nofile: Some(self.shields.files.of_children()), pipes, losses };
            Ok((lock, handover.write()?))
        });
        let (lock, handover) = match handed {
            Ok(handed) => handed,
            Err(error) => {
                self.captures.keep();
                return refuse(error);
            }
        };
        // The connections end with this program.
        self.flush();
        note(format_args!("becoming {}", exe.display()));
        #[expect(clippy::disallowed_methods, reason = "not a child: the keeper itself goes on as this program")]
        let mut command = Command::new(exe);
        command.args(std::env::args_os().skip(1)).stdin(lock).stdout(handover);
        let error = self.shields.oom.lowered(|| command.exec());
        self.captures.keep();
        refuse(error)
    }
}

/// Just enough of a message to answer it.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// The C library hands what the kernel refuses as a format to a shell, so anything but a binary would turn the keeper
/// into one.
fn check_binary(exe: &Path) -> io::Result<()> {
    rustix::fs::access(exe, Access::EXEC_OK)?;
    let mut magic = [0; 4];
    File::open(exe)?.read_exact(&mut magic)?;
    if magic == *b"\x7fELF" { Ok(()) } else { Err(io::Error::other("not an ELF binary")) }
}

fn start_uncertain(token: &Token) -> Refusal {
    let message = format!("a keeper died while it started {token}: it may or may not have run");
    Refusal::new(RefusalKind::StartUncertain, message)
}

fn signal_group(identity: &ProcessIdentity, signal: Signal) -> Result<usize, Errno> {
    let Some(group) = identity.rustix_pid() else { return Ok(0) };
    let send = |signal: Signal| match rustix::process::kill_process_group(group, signal.as_rustix()) {
        Ok(()) => Ok(1),
        Err(Errno::SRCH) => Ok(0),
        Err(error) => Err(error),
    };
    let reached = send(signal)?;
    if reached > 0 && signal.needs_continue() {
        send(Signal::Cont)?;
    }
    Ok(reached)
}
