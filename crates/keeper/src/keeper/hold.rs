//! The loop: wait, reap, listen, look.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::connection::{Connection, Phase};
use super::environment::{OomShield, Wakeups, forget_code_of_start, is_subreaper};
use super::place::Place;
use super::sweep::{self, Sweep};
use super::table::{Held, Starting, Table};
use super::{Error, note, now_unix_us, tree};
use crate::identity::open_pidfd;
use crate::protocol::{Event, Reply, ToClient};
use crate::{Child, ExitStatus, ProcessIdentity, State, Token, is_alive};

/// One daemon needs one connection; the rest is for people and mistakes.
const MAX_CONNECTIONS: usize = 128;
/// How long to leave newcomers waiting when there are no descriptors for them.
const BREATHER: Duration = Duration::from_millis(100);
/// How often to try again to write a journal that could not be written.
const REPAIR: Duration = Duration::from_secs(1);

/// A keeper at work.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) place: Place,
    wakeups: Wakeups,
    pub(super) oom: OomShield,
    pub(super) table: Table,
    listener: UnixListener,
    pub(super) connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    pub(super) sweeps: Vec<Sweep>,
    /// Processes of an earlier keeper, watched because they do not report to this one.
    orphans: BTreeMap<Token, OwnedFd>,
    /// The session children are started in.
    pub(super) session: u32,
    /// When this process was started, if the orphans of its descendants fall to it.
    reaping_since: Option<u64>,
    /// It has no child, living or dead.
    childless: bool,
    accept_after: Option<Instant>,
    pub(super) stopping: bool,
}

/// What a descriptor in the poll set stands for.
enum Source {
    Signals,
    Newcomer,
    Orphan(Token),
    Connection(u64),
}

impl Keeper {
    pub(super) fn new(place: Place, wakeups: Wakeups, oom: OomShield, table: Table, listener: UnixListener) -> Self {
        let session = rustix::process::getsid(None).map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned());
        Self {
            place,
            wakeups,
            oom,
            table,
            listener,
            connections: BTreeMap::new(),
            next_connection: 0,
            sweeps: Vec::new(),
            orphans: BTreeMap::new(),
            session,
            reaping_since: is_subreaper()
                .then(|| ProcessIdentity::of(std::process::id()))
                .flatten()
                .map(|me| me.start_ticks),
            childless: false,
            accept_after: None,
            stopping: false,
        }
    }

    /// Runs until a client says stop, or SIGTERM finds nothing running.
    pub(super) fn hold(mut self) -> Result<(), Error> {
        self.take_over();
        forget_code_of_start();
        while !self.stopping {
            let ready = self.wait().map_err(|source| Error::System { what: "wait for events", source })?;
            // Exits first: whoever asks in this turn should get the newest answer.
            self.reap();
            for source in ready {
                match source {
                    Source::Signals => self.wakeups.drain(),
                    Source::Newcomer => self.accept(),
                    Source::Orphan(token) => self.lose_orphan(token),
                    Source::Connection(id) => self.converse(id),
                }
            }
            self.reap();
            self.sweep();
            self.table.repair();
            self.connections.retain(|_, connection| !connection.is_done());
            if self.wakeups.take_terminate() && !self.has_work() {
                note(format_args!("terminated while idle"));
                self.stopping = true;
            }
        }
        self.place.remove_socket();
        Ok(())
    }

    pub(super) fn has_work(&self) -> bool {
        self.table.running() > 0 || !self.sweeps.is_empty()
    }

    /// Finds out what has become of the children in the journal.
    fn take_over(&mut self) {
        let name = self.place.name();
        self.table.settle(present_state, |starting| find_started(starting, name));
        let orphans: Vec<_> =
            self.table.orphaned().map(|child| (child.token.clone(), child.identity.clone())).collect();
        for (token, identity) in orphans {
            match open_pidfd(identity.pid, identity.start_ticks) {
                Ok(Some(fd)) => drop(self.orphans.insert(token, fd)),
                Ok(None) => self.lose_orphan(token),
                Err(error) => note(format_args!("cannot watch {token} (pid {}): {error}", identity.pid)),
            }
        }
        note(format_args!(
            "keeper {} (pid {}) holds {} running and {} orphaned children",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            self.table.running(),
            self.orphans.len()
        ));
    }

    fn wait(&mut self) -> io::Result<Vec<Source>> {
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::from_borrowed_fd(self.wakeups.fd(), PollFlags::IN)];
        self.accept_after = self.accept_after.filter(|after| *after > Instant::now());
        if self.accept_after.is_none() && self.connections.len() < MAX_CONNECTIONS {
            sources.push(Source::Newcomer);
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        for (token, fd) in &self.orphans {
            sources.push(Source::Orphan(token.clone()));
            fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
        }
        for (id, connection) in &self.connections {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, connection.wants_to_write());
            sources.push(Source::Connection(*id));
            fds.push(PollFd::from_borrowed_fd(connection.fd(), flags));
        }
        let timeout = self.timeout().map(|timeout| Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn timeout(&self) -> Option<Duration> {
        let sweep = (!self.sweeps.is_empty()).then_some(sweep::PAUSE);
        let accept = self.accept_after.map(|after| after.saturating_duration_since(Instant::now()));
        let repair = self.table.is_damaged().then_some(REPAIR);
        [sweep, accept, repair].into_iter().flatten().min()
    }

    /// Collects every process that has ended: children, and orphans that fell to the subreaper.
    fn reap(&mut self) {
        let mut dead = Vec::new();
        let nobody = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => dead.extend(ending(pid, status)),
                Err(Errno::INTR) => {}
                Ok(None) => break false,
                Err(error) => break error == Errno::CHILD,
            }
        };
        self.childless = nobody;
        if !dead.is_empty() {
            let ended = self.table.ended(&dead, now_unix_us());
            self.announce(ended);
        }
    }

    fn lose_orphan(&mut self, token: Token) {
        self.orphans.remove(&token);
        let ended = self.table.vanished(vec![token], now_unix_us());
        self.announce(ended);
    }

    fn announce(&mut self, ended: Vec<Child>) {
        for child in ended {
            let event = ToClient::Event(Event::Exited(child));
            let subscribers =
                self.connections.values_mut().filter(|client| client.phase == Phase::Open { subscribed: true });
            subscribers.for_each(|connection| connection.send(&event));
        }
    }

    /// Whether it is certain without a look at the process table that nothing descends from the child any more: whatever
    /// does is this keeper's descendant, and it has none. An earlier keeper's children left theirs to init.
    fn nothing_is_left_of(&self, child: &Child) -> bool {
        let own = |since: u64| child.identity.is_of_this_boot() && child.identity.start_ticks > since;
        self.childless && self.reaping_since.is_some_and(own)
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((stream, _)) => {
                if let Some(connection) = Connection::accept(stream) {
                    self.connections.insert(self.next_connection, connection);
                    self.next_connection += 1;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: the newcomer stays in the queue, and polling for it would spin.
            Err(_) => self.accept_after = Some(Instant::now() + BREATHER),
        }
    }

    fn converse(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.flush();
        let received = connection.receive();
        for body in received.bodies {
            self.handle(id, &body);
        }
        if received.ended
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.phase = Phase::Broken;
        }
    }

    fn sweep(&mut self) {
        let mut sweeps = std::mem::take(&mut self.sweeps);
        sweeps.retain_mut(|sweep| {
            let looked = if self.nothing_is_left_of(&sweep.of.child) {
                Some(sweep.report())
            } else {
                sweep.look(self.place.name())
            };
            let Some(report) = looked else { return true };
            if report.survivors.is_empty() {
                match self.table.get(sweep.token()).map(|held| held.child.state) {
                    // Killed but not reaped yet: whoever acknowledges now would be told that it still runs.
                    Some(State::Running) => return true,
                    Some(State::Orphaned) => self.lose_orphan(sweep.token().clone()),
                    Some(State::Exited { .. }) | None => {}
                }
            }
            self.reply(sweep.connection, sweep.request, Ok(Reply::Swept(report)));
            false
        });
        self.sweeps = sweeps;
    }
}

fn ending(pid: rustix::process::Pid, status: WaitStatus) -> Option<(u32, ExitStatus)> {
    let pid = pid.as_raw_nonzero().get().cast_unsigned();
    let code = status.exit_status().map(ExitStatus::Code);
    let signal = || status.terminating_signal().map(ExitStatus::Signal);
    Some((pid, code.or_else(signal)?))
}

/// The state of a child the journal knows as not ended.
fn present_state(child: &Child) -> State {
    let exited = State::Exited { status: ExitStatus::Unknown, at_unix_us: now_unix_us() };
    let Some(pid) = child.identity.rustix_pid().filter(|_| child.identity.exists()) else { return exited };
    // Only a parent may wait for a process: an answer means that this keeper was upgraded in place and is still the
    // parent.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(_) => State::Running,
        Err(_) if is_alive(&child.identity) => State::Orphaned,
        Err(_) => exited,
    }
}

/// Looks for a process that was started under this token by a keeper that died before it could say so.
fn find_started(starting: &Starting, keeper: &OsStr) -> Option<Held> {
    let carries = |process: &tree::Process| process.mark.token() == Some(&starting.token);
    let oldest = tree::picture(0, keeper).into_iter().filter(carries).min_by_key(|process| process.stat.start_ticks)?;
    let child = Child {
        token: starting.token.clone(),
        identity: ProcessIdentity::of(oldest.stat.pid)?,
        state: State::Orphaned,
        spawned_at_unix_us: starting.at_unix_us,
        stdout: starting.stdout.clone(),
        stderr: starting.stderr.clone(),
    };
    Some(Held { child, session: oldest.stat.session })
}
