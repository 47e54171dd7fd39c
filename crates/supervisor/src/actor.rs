//! The one task that owns all instances: it waits, asks the state machines, and has done what they say.

mod apply;
mod command;
mod effect;
mod entry;
mod hooks;
mod lane;
mod settle;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use piton_keeper::Child;
use piton_model::{Name, Process};
use piton_process::Keeping;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::board::Board;
use crate::clock::Now;
use crate::hook::Cut;
use crate::incarnation::{HOOKS, Incarnation};
use crate::instance::{End, Event};
use crate::probe::ProbeVerdict;
use crate::real_time::pause;
use crate::{Declared, InstanceState, InstanceStatus, Settings, Wish};
pub(crate) use apply::{is_wished, wished};
use entry::Entry;
use hooks::Phase;
use lane::Lane;
pub(crate) use settle::{Awaited, Failed, Want};
use settle::{HeldBack, Waiter};
pub(crate) use watch::{Heard, listen, pass_on};

/// So many messages are taken at once.
const BATCH: usize = 256;

/// So many starts are under way at once. The keeper is never without work, and no request waits there for long.
const STARTS: usize = 8;

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// This is declared, and this is wished.
    Apply { declared: Declared, wishes: BTreeMap<String, Wish>, done: oneshot::Sender<()> },
    /// This is wanted of these instances. Answered with those that failed, when all are through.
    Want { instances: Vec<String>, want: Want, done: oneshot::Sender<Vec<Failed>> },
    /// Answered when all of these are through.
    Await { instances: Vec<String>, until: Awaited, done: oneshot::Sender<Vec<Failed>> },
    /// Something happened to an instance.
    Event { instance: String, event: Event },
    /// A child of the keeper ended.
    Ended(Child),
    /// There is a new connection to the keeper, which holds these; and the keeper before, if that was another one.
    Listed { held: Vec<Child>, gone: Option<u32> },
    /// A phase of hooks is over, with all that ran beside it.
    HooksOver(Phase),
    /// What a supervisor before has cut short of a phase is gone.
    HooksCut(Phase),
}

/// A child that a supervisor before has left with the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    of: Incarnation,
    child: Child,
}

pub(crate) struct Actor {
    settings: Arc<Settings>,
    keeping: Keeping,
    board: Arc<Board>,
    inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    verdicts: (mpsc::Sender<ProbeVerdict>, mpsc::Receiver<ProbeVerdict>),
    /// With the number of instances that is wanted.
    processes: BTreeMap<Name, Arc<Process>>,
    dependents: BTreeMap<Name, BTreeSet<Name>>,
    /// The place of each process in the order of starting.
    ranks: BTreeMap<Name, usize>,
    /// In boxes: the nodes of a map have room for more than they hold.
    entries: BTreeMap<String, Box<Entry>>,
    /// Those that go once they are stopped, by their process.
    retiring: BTreeMap<Name, BTreeSet<String>>,
    /// At which instance of a process it was last seen that others have to wait for it: where to look first.
    unmet_at: BTreeMap<Name, u32>,
    /// Starts, in order and a few at a time: the keeper has one after the other, and what waits takes memory.
    starts: Lane,
    /// Signals, in order.
    signals: Lane,
    timers: BTreeSet<(Duration, String)>,
    /// Instances that changed, and whose change others may have waited for.
    changed: VecDeque<String>,
    waiters: Vec<Waiter>,
    held_back: BTreeMap<String, HeldBack>,
    /// Phases of hooks, and how many need what the keeper knows of each.
    hooking: HashMap<Phase, usize>,
    /// By which those before a start are ended that is not wanted any more.
    cuts: HashMap<Phase, Cut>,
    /// Those that a supervisor before has cut short, and that are not over yet: their instances wait for that.
    ending: HashSet<Phase>,
    /// What a supervisor before has left, until the first declaration says what to make of it.
    found: Option<BTreeMap<String, Vec<Found>>>,
    hooks_found: Vec<Child>,
    tasks: JoinSet<()>,
}

impl Actor {
    pub(crate) fn new(
        settings: Arc<Settings>,
        keeping: Keeping,
        board: Arc<Board>,
        channel: (mpsc::UnboundedSender<Message>, mpsc::UnboundedReceiver<Message>),
        held: Vec<Child>,
    ) -> Actor {
        let (outbox, inbox) = channel;
        let (found, hooks_found) = sort_out(held);
        Actor {
            settings,
            keeping,
            board,
            inbox,
            outbox,
            verdicts: mpsc::channel(BATCH),
            processes: BTreeMap::new(),
            dependents: BTreeMap::new(),
            ranks: BTreeMap::new(),
            entries: BTreeMap::new(),
            retiring: BTreeMap::new(),
            unmet_at: BTreeMap::new(),
            starts: Lane::open(STARTS),
            signals: Lane::open(Semaphore::MAX_PERMITS),
            timers: BTreeSet::new(),
            changed: VecDeque::new(),
            waiters: Vec::new(),
            held_back: BTreeMap::new(),
            hooking: HashMap::new(),
            cuts: HashMap::new(),
            ending: HashSet::new(),
            found: Some(found),
            hooks_found,
            tasks: JoinSet::new(),
        }
    }

    /// Supervises until the end. What was started goes on without it.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            let timer = self.timers.first().map(|(due, _)| due.saturating_sub(Now::read().moment));
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                _ = self.inbox.recv_many(&mut messages, BATCH) => {}
                Some(verdict) = self.verdicts.1.recv() => self.probed(verdict),
                () = pause(timer.unwrap_or_default()), if timer.is_some() => {}
            }
            for message in messages.drain(..) {
                self.hear(message);
            }
            self.ring();
            self.settle();
            while self.tasks.try_join_next().is_some() {}
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Apply { declared, wishes, done } => {
                self.apply(declared, &wishes);
                // Whoever asked may be gone.
                let _ = done.send(());
            }
            Message::Want { instances, want, done } => self.want(instances, want, done),
            Message::Await { instances, until, done } => self.wait_for(instances, until, done),
            Message::Event { instance, event } => self.step(&instance, event),
            Message::Ended(child) => self.ended(&child),
            Message::Listed { held, gone } => self.compare(held, gone),
            Message::HooksOver(of) => self.hooks_over(&of),
            Message::HooksCut(of) => self.hooks_cut(&of),
        }
        self.settle();
    }

    /// Takes an instance to its next state, and has done what that takes.
    fn step(&mut self, name: &str, event: Event) {
        let now = Now::read();
        let Some(entry) = self.entries.get_mut(name) else { return };
        let (before, shown) = (entry.instance.up().map(|up| up.of), entry.instance.shown());
        let probed = entry.instance.to_probe();
        let planned = entry.instance.planned;
        let is_start = event == Event::Start;
        let mut effects = entry.step(event, now);
        // Who waits for nothing is not shown as waiting.
        if is_start
            && self.waits_for_nothing(name)
            && let Some(entry) = self.entries.get_mut(name)
        {
            effects.extend(entry.step(Event::Met, now));
        }
        for effect in effects {
            self.perform(name, effect);
        }
        self.plan_changed(name, planned);
        self.follow_child(name, before);
        self.follow_probes(name, probed);
        self.publish(name, shown, now);
        self.changed.push_back(name.to_owned());
    }

    /// Tells the state machines whose time has come.
    fn ring(&mut self) {
        let now = Now::read().moment;
        while let Some((due, name)) = self.timers.first().cloned() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.due = None;
            }
            self.step(&name, Event::Due);
        }
    }

    fn probed(&mut self, verdict: ProbeVerdict) {
        let ProbeVerdict { instance, incarnation: number, kind, up, message } = verdict;
        let message = message.unwrap_or_default();
        self.step(&instance, Event::Probed { number, kind, up, message });
    }

    /// Shows where an instance is now.
    fn publish(&mut self, name: &str, before: InstanceState, now: Now) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let due = entry.instance.due();
        if due != entry.due {
            if let Some(old) = entry.due.take() {
                self.timers.remove(&(old, name.to_owned()));
            }
            self.timers.extend(due.map(|due| (due, name.to_owned())));
            entry.due = due;
        }
        let status = Arc::new(entry.status(name, now));
        if before == status.state {
            self.board.show(status);
        } else {
            lament(&status);
            self.board.tell(now.at, before, status);
        }
    }

    fn ended(&mut self, child: &Child) {
        let Some((instance, of)) = Incarnation::parse(&child.token) else {
            return self.hook_ended(child);
        };
        if let Some(found) = &mut self.found {
            let children = found.get_mut(instance).into_iter().flatten();
            for known in children.filter(|known| known.of == of) {
                known.child = child.clone();
            }
        }
        if let Some(end) = end_of(child) {
            self.step(instance, Event::Ended { number: of.number, end });
        }
    }
}

/// Says in the log that an instance failed which nobody starts again but by hand.
fn lament(status: &InstanceStatus) {
    let (instance, reason) = (&status.name, status.reason.as_deref());
    match (status.state, reason) {
        (InstanceState::Fatal, _) => warn!(instance, reason, "a process is given up"),
        (InstanceState::Exited, Some(_)) => warn!(instance, reason, "a process failed, and is not to be started again"),
        _ => {}
    }
}

/// The children of instances, the oldest of each first, and hooks.
fn sort_out(held: Vec<Child>) -> (BTreeMap<String, Vec<Found>>, Vec<Child>) {
    let mut found: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    let mut hooks = Vec::new();
    for child in held {
        if let Some((instance, of)) = Incarnation::parse(&child.token) {
            found.entry(instance.to_owned()).or_default().push(Found { of, child });
        } else if child.token.as_str().starts_with(HOOKS) {
            hooks.push(child);
        }
    }
    for children in found.values_mut() {
        children.sort_by_key(|found| found.of.number);
    }
    (found, hooks)
}

/// How and when a child ended, if it did.
fn end_of(child: &Child) -> Option<End> {
    let piton_keeper::State::Exited { status, at_unix_us } = child.state else { return None };
    let at = crate::real_time::timestamp(at_unix_us).unwrap_or_else(crate::real_time::now);
    Some(End { status, at })
}
