//! The loop: wait, reap, listen, look.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::capture::Captures;
use super::connection::{Connection, Phase};
use super::environment::{FileLimit, OomShield, Wakeups, is_subreaper};
use super::group::Groups;
use super::place::Place;
use super::readiness::Readiness;
use super::sweep::{Recent, Sweep};
use super::table::{Held, Starting, Table};
use super::tree::{self, Picture};
use super::{Error, note, now_unix_us};
use crate::footprint::{Burst, give_back};
use crate::identity::open_pidfd;
use crate::proc_table::own_children;
use crate::protocol::{Event, ToClient};
use crate::{Child, ExitStatus, ProcessIdentity, Remembered, State, Token, is_alive};

/// One daemon needs one connection; the rest is for people and mistakes.
const MAX_CONNECTIONS: usize = 128;
/// How long to leave newcomers waiting when there are no descriptors for them.
const BREATHER: Duration = Duration::from_millis(100);
/// How often to try again to write a journal that could not be written.
const REPAIR: Duration = Duration::from_secs(1);
/// How long requests are answered before the keeper looks after everything else again.
const TALK: Duration = Duration::from_millis(2);

/// A keeper at work.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) place: Place,
    pub(super) shields: Shields,
    wakeups: Wakeups,
    readiness: Readiness,
    pub(super) table: Table,
    pub(super) captures: Captures,
    pub(super) groups: Groups,
    listener: UnixListener,
    is_listening: bool,
    pub(super) connections: BTreeMap<u64, Connection>,
    next_name: u64,
    pub(super) sweeps: Vec<Sweep>,
    pub(super) sweep_after: Option<Instant>,
    pub(super) recent: Option<Recent>,
    /// Processes of an earlier keeper, watched because they do not report to this one.
    orphans: BTreeMap<u64, (Token, OwnedFd)>,
    /// The session children are started in.
    pub(super) session: u32,
    /// When this process was started, if the orphans of its descendants fall to it.
    reaping_since: Option<u64>,
    /// It has no child, living or dead.
    pub(super) childless: bool,
    accept_after: Option<Instant>,
    /// Of starts and ends.
    pub(super) burst: Burst,
    pub(super) stopping: bool,
}

/// What the keeper changed about itself and spares its children.
#[derive(Debug)]
pub(super) struct Shields {
    pub(super) files: FileLimit,
    pub(super) oom: OomShield,
}

// The names of what is watched. Orphans and connections are numbered from the first that is free.
const SIGNALS: u64 = 0;
const NEWCOMER: u64 = 1;
const OUTPUT: u64 = 2;
const FIRST_NAME: u64 = 3;

impl Keeper {
    pub(super) fn new(
        place: Place,
        shields: Shields,
        wakeups: Wakeups,
        readiness: Readiness,
        table: Table,
        captures: Captures,
        listener: UnixListener,
    ) -> Self {
        let session = rustix::process::getsid(None).map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned());
        Self {
            place,
            shields,
            wakeups,
            readiness,
            table,
            captures,
            groups: Groups::default(),
            listener,
            is_listening: true,
            connections: BTreeMap::new(),
            next_name: FIRST_NAME,
            sweeps: Vec::new(),
            sweep_after: None,
            recent: None,
            orphans: BTreeMap::new(),
            session,
            reaping_since: is_subreaper()
                .then(|| ProcessIdentity::of(std::process::id()))
                .flatten()
                .map(|me| me.start_ticks),
            childless: false,
            accept_after: None,
            burst: Burst::default(),
            stopping: false,
        }
    }

    /// Runs until a client says stop, or SIGTERM finds nothing running.
    pub(super) fn hold(mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "wait for events", source };
        self.watch().map_err(failed)?;
        self.take_over();
        give_back();
        // Those that ended before the handlers stood.
        self.reap();
        while !self.stopping {
            let ready = self.wait().map_err(failed)?;
            // Exits first: whoever asks in this turn should get the newest answer.
            self.reap_if_told();
            let mut output = false;
            for name in ready {
                match name {
                    // Seen to before and after.
                    SIGNALS => {}
                    NEWCOMER => self.accept(),
                    OUTPUT => output = true,
                    name if self.orphans.contains_key(&name) => self.lose_orphan(name),
                    name => self.listen_to(name),
                }
            }
            self.converse();
            self.flush();
            self.captures.work(output);
            self.reap_if_told();
            self.sweep();
            self.flush();
            self.table.repair();
            self.recent = self.recent.take().filter(|recent| !recent.is_over());
            self.connections.retain(|_, connection| !connection.is_done());
            if self.burst.is_over(Instant::now()) {
                give_back();
            }
            if self.wakeups.take_terminate() && !self.has_work() {
                note(format_args!("terminated while idle"));
                self.stopping = true;
            }
        }
        self.captures.finish_all();
        self.place.remove_socket();
        Ok(())
    }

    fn watch(&self) -> io::Result<()> {
        self.readiness.add(self.wakeups.fd(), SIGNALS)?;
        self.readiness.add(&self.listener, NEWCOMER)?;
        self.readiness.add(self.captures.fd(), OUTPUT)
    }

    /// Whether anything ends or is lost with this process. Of what a keeper before it has started, it alone sees the end.
    pub(super) fn has_work(&self) -> bool {
        let runs = self.table.running() > 0 || !self.orphans.is_empty();
        runs || !self.sweeps.is_empty() || self.captures.open_pipes() > 0
    }

    /// Finds out what has become of the children in the journal.
    fn take_over(&mut self) {
        let name = self.place.name();
        self.table.settle(present_state, |starting| find_started(starting, name));
        let orphans: Vec<_> =
            self.table.orphaned().map(|child| (child.token.clone(), child.identity.clone())).collect();
        for (token, identity) in orphans {
            match open_pidfd(identity.pid, identity.start_ticks) {
                Ok(Some(fd)) => {
                    let name = self.new_name();
                    if let Err(error) = self.readiness.add(&fd, name) {
                        note(format_args!("cannot watch {token} (pid {}): {error}", identity.pid));
                    }
                    self.orphans.insert(name, (token, fd));
                }
                Ok(None) => self.lose(token),
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

    fn new_name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name - 1
    }

    fn wait(&mut self) -> io::Result<Vec<u64>> {
        self.accept_after = self.accept_after.filter(|after| *after > Instant::now());
        let listens = self.accept_after.is_none() && self.connections.len() < MAX_CONNECTIONS;
        if listens != self.is_listening {
            self.readiness.set(&self.listener, NEWCOMER, listens, false)?;
            self.is_listening = listens;
        }
        for (name, connection) in &mut self.connections {
            if let Some(writes) = connection.changed_wish() {
                self.readiness.set(connection.fd(), *name, true, writes)?;
            }
        }
        self.readiness.wait(self.timeout())
    }

    fn timeout(&self) -> Option<Duration> {
        let talk = self.connections.values().any(Connection::has_requests).then_some(Duration::ZERO);
        let now = Instant::now();
        let until = |instant: Instant| instant.saturating_duration_since(now);
        let sweep = (!self.sweeps.is_empty()).then(|| self.sweep_after.map_or(Duration::ZERO, until));
        let accept = self.accept_after.map(until);
        let forget = self.recent.as_ref().map(|recent| until(recent.until));
        let repair = self.table.is_damaged().then_some(REPAIR);
        let rest = self.burst.due().map(until);
        [talk, sweep, accept, repair, forget, rest, self.captures.timeout()].into_iter().flatten().min()
    }

    /// Asking costs as much as there are children, so it is done only after a signal.
    fn reap_if_told(&mut self) {
        if self.wakeups.drain() {
            self.reap();
        }
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
            // Whoever hears of the end should find the output complete.
            self.captures.finish(&dead.iter().map(|(pid, _)| *pid).collect::<BTreeSet<_>>());
            let ended = self.table.ended(&dead, now_unix_us());
            self.burst.note(ended.len() as u64, Instant::now());
            self.announce(ended);
        }
    }

    fn lose_orphan(&mut self, name: u64) {
        if let Some((token, _)) = self.orphans.remove(&name) {
            self.lose(token);
        }
    }

    pub(super) fn lose(&mut self, token: Token) {
        self.orphans.retain(|_, (orphan, _)| *orphan != token);
        let ended = self.table.vanished(token, now_unix_us());
        self.announce(ended);
    }

    fn announce(&mut self, ended: Vec<Child>) {
        for child in ended {
            let event = ToClient::Event(Event::Exited(child));
            let subscribers =
                self.connections.values_mut().filter(|client| client.phase == Phase::Open { subscribed: true });
            subscribers.for_each(|connection| connection.send(&event));
        }
        // Who has to start another one should not wait for anything.
        self.flush();
    }

    /// Sends what there is to send.
    pub(super) fn flush(&mut self) {
        for connection in self.connections.values_mut() {
            connection.flush();
        }
    }

    /// Whether it is certain without a look at the process table that nothing descends from those children any more that
    /// have ended. Whatever does is this keeper's descendant: the child that ended left it to the keeper before it could
    /// be reaped. So somebody between the two is the keeper's own child, and none that was started and runs.
    pub(super) fn has_no_orphans(&self) -> bool {
        self.childless || own_children().is_some_and(|mut pids| pids.all(|pid| self.table.runs(pid)))
    }

    /// Whether all that descends from the child descends from this keeper. An earlier keeper's children left theirs to
    /// init.
    pub(super) fn inherits_from(&self, child: &Child) -> bool {
        let own = |since: u64| child.identity.is_of_this_boot() && child.identity.start_ticks > since;
        self.reaping_since.is_some_and(own)
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((stream, _)) => {
                let name = self.new_name();
                if let Some(connection) = Connection::accept(stream)
                    && self.readiness.add(connection.fd(), name).is_ok()
                {
                    self.connections.insert(name, connection);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: the newcomer stays in the queue, and polling for it would spin.
            Err(_) => self.accept_after = Some(Instant::now() + BREATHER),
        }
    }

    fn listen_to(&mut self, name: u64) {
        if let Some(connection) = self.connections.get_mut(&name) {
            connection.flush();
            connection.receive();
        }
    }

    /// Answers what was asked, in turn, for a while.
    fn converse(&mut self) {
        let until = Instant::now() + TALK;
        loop {
            let asking = |(name, connection): (&u64, &Connection)| connection.has_requests().then_some(*name);
            let names: Vec<u64> = self.connections.iter().filter_map(asking).collect();
            if names.is_empty() {
                break;
            }
            for name in names {
                if let Some(body) = self.connections.get_mut(&name).and_then(Connection::next_request) {
                    self.handle(name, &body);
                }
            }
            if Instant::now() >= until {
                return;
            }
        }
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
    let picture = Picture::take(0, keeper);
    let carries = |process: &tree::Process| process.mark.token() == Some(&starting.token);
    let oldest =
        picture.processes().iter().filter(|process| carries(process)).min_by_key(|process| process.stat.start_ticks)?;
    let child = Child {
        token: starting.token.clone(),
        identity: ProcessIdentity::of(oldest.stat.pid)?,
        state: State::Orphaned,
        spawned_at_unix_us: starting.at_unix_us,
        stdout: starting.stdout.clone(),
        stderr: starting.stderr.clone(),
        warnings: Vec::new(),
    };
    // Not written down yet when the keeper died: it is remembered as well as any.
    Some(Held { child, session: oldest.stat.session, group: None, remembered: Remembered::default() })
}
