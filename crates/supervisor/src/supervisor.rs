//! The handle.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use piton_model::{Dependency, DependencyCondition, Group, Name, Process};
use piton_process::Keeping;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use crate::actor::{Actor, Awaited, Failed, Heard, Message, Want, is_wished, listen, pass_on, wished};
use crate::board::Board;
use crate::command::clear_asked;
use crate::launch::make_dir;
use crate::look;
use crate::measure::Sampler;
use crate::patience::{self, within};
use crate::real_time::{now, pause};
use crate::upkeep::keep_logs;
use crate::{
    Change, Error, GroupStatus, InstanceState, InstanceStatus, Memory, Observed, Selector, Usage, Wish, order,
};

/// Everything that is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Processes by name.
    pub processes: BTreeMap<Name, Arc<Process>>,
    /// Groups by name.
    pub groups: BTreeMap<Name, Arc<Group>>,
}

/// What a supervisor works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of the keeper.
    pub keeper_dir: PathBuf,
    /// How the keeper is started when none answers.
    pub keeper_argv: Vec<OsString>,
    /// The working directory of processes that name none.
    pub work_dir: PathBuf,
    /// Where output goes for which no directory is named.
    pub log_dir: PathBuf,
    /// Where the files with process ids are.
    pub pid_dir: PathBuf,
    /// The environment of the daemon: all of it for processes that inherit it, a part for the others.
    pub environment: BTreeMap<String, String>,
    /// How often what processes use is measured; none for never.
    pub measure_every: Option<Duration>,
    /// How many measurements of each instance are kept.
    pub measurements: usize,
    /// How often it is looked what was put aside of logs, to compress or remove it as is declared; none for never.
    pub keep_logs_every: Option<Duration>,
}

/// So many processes are measured as often as is asked for; twice as many half as often, and so on.
const MEASURED_AT_EASE: u32 = 100;

/// A handle on the supervisor; cheap to clone. It ends with the last one, and what it supervises goes on.
#[derive(Debug, Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    board: Arc<Board>,
    actor: mpsc::UnboundedSender<Message>,
    memory: Arc<dyn Memory>,
    /// Held by whoever changes what is wanted, so that the memory and the supervisor hear of changes in one order.
    wishes: Mutex<BTreeMap<String, Wish>>,
    end: DropGuard,
}

impl Supervisor {
    /// Reads what is wanted and what the keeper holds, and takes it back. Nothing that is not declared is touched
    /// before the first [`Supervisor::apply`].
    pub async fn open(settings: Settings, memory: Arc<dyn Memory>) -> Result<Supervisor, Error> {
        let settings = Arc::new(settings);
        for dir in [&settings.log_dir, &settings.pid_dir] {
            if let Err(problem) = make_dir(dir) {
                warn!(problem, "starts will fail, or have no pid file, until this is mended");
            }
        }
        let wishes = memory.load().await.map_err(Error::Memory)?;
        let keeping = Keeping::new(settings.keeper_dir.clone(), settings.keeper_argv.clone());
        let Heard { keeper, ends, held } = listen(&keeping).await?;
        let (left, cleared) = (held.clone(), keeping.clone());
        tokio::spawn(async move {
            if let Err(problem) = clear_asked(&cleared, &left).await {
                warn!(%problem, "commands that a supervisor before has left could not be ended");
            }
        });
        let board = Arc::new(Board::new(Arc::clone(&settings)));
        let (outbox, inbox) = mpsc::unbounded_channel();
        let end = CancellationToken::new();
        let actor =
            Actor::new(Arc::clone(&settings), keeping.clone(), Arc::clone(&board), (outbox.clone(), inbox), held);
        tokio::spawn(actor.run(end.clone()));
        let hears = pass_on(keeping, keeper, ends, outbox.clone());
        tokio::spawn(end.clone().run_until_cancelled_owned(hears));
        if let Some(every) = settings.measure_every.filter(|_| settings.measurements > 0) {
            tokio::spawn(end.clone().run_until_cancelled_owned(measure(Arc::clone(&board), every)));
        }
        if let Some(every) = settings.keep_logs_every {
            tokio::spawn(end.clone().run_until_cancelled_owned(keep_logs(Arc::clone(&board), every)));
        }
        let (wishes, end) = (Mutex::new(wishes), end.drop_guard());
        Ok(Supervisor { inner: Arc::new(Inner { board, actor: outbox, memory, wishes, end }) })
    }

    /// Sees which processes run without taking them back: nothing can be started or stopped through it, and no keeper is
    /// started for it. An instance is shown as its own process. What is `declared` says where files with process ids lie that
    /// tell of what runs without a keeper.
    pub async fn look(settings: Settings, memory: Arc<dyn Memory>, declared: &Declared) -> Result<Supervisor, Error> {
        let settings = Arc::new(settings);
        let board = Arc::new(Board::new(Arc::clone(&settings)));
        // Without them it is seen less.
        let wishes = memory.load().await.unwrap_or_default();
        for status in look::look(&settings, &wished(declared, &wishes)).await? {
            board.show(Arc::new(status));
        }
        let (actor, _) = mpsc::unbounded_channel();
        let (wishes, end) = (Mutex::default(), CancellationToken::new().drop_guard());
        Ok(Supervisor { inner: Arc::new(Inner { board, actor, memory, wishes, end }) })
    }

    /// Leaves what runs to the next supervisor, and the keeper alone, which may then be ended. Nothing is supervised any
    /// more.
    pub fn leave(&self) {
        self.inner.end.token().cancel();
    }

    /// Makes this what is declared: starts what is new, stops what is gone, restarts what changed, and leaves the rest
    /// alone. Comes back as soon as that is under way.
    ///
    /// A process that goes from one instance to several, or back, is restarted, because its instances have other names
    /// then. So is one of which anything changes that a running child cannot be given. What was wished of a process that
    /// is gone is forgotten, and how many instances were wished where another number is declared than then.
    pub async fn apply(&self, declared: Declared) -> Result<(), Error> {
        let mut wishes = self.inner.wishes.lock().await;
        // Who is declared again one day begins anew.
        let before = self.inner.board.view();
        let is_gone = |name: &&Name| !declared.processes.contains_key(*name) && wishes.contains_key(name.as_str());
        let gone = before.declared.processes.keys().filter(is_gone);
        let mut changed: BTreeMap<String, Wish> = gone.map(|name| (name.to_string(), Wish::default())).collect();
        changed.extend(wishes.iter().filter_map(|(name, wish)| {
            let left = wish.under(declared.processes.get(name.as_str())?.instances);
            (left != *wish).then(|| (name.clone(), left))
        }));
        if !changed.is_empty() {
            self.inner.memory.save_all(&changed).await.map_err(Error::Memory)?;
            wishes.extend(changed);
            wishes.retain(|_, wish| *wish != Wish::default());
        }
        self.declare(declared, &wishes).await
    }

    /// Starts instances, after what they depend on, and waits until they run or have failed to. Those that run already
    /// are left alone. Gives the instances that are meant.
    pub async fn start(&self, which: &Selector) -> Result<Vec<InstanceStatus>, Error> {
        let instances = self.inner.board.select(which)?;
        let Needed { others, patience } = self.needed_by(&instances);
        let others = self.not_done(others);
        self.wish(&[instances.as_slice(), &others].concat(), true).await?;
        // What it depends on may fail in its own way; what counts is what was asked for.
        drop(self.ask(|done| Message::Want { instances: others, want: Want::Up, done }));
        let up = self.ask(|done| Message::Want { instances: instances.clone(), want: Want::Up, done });
        started(within(patience, up, "start", &instances).await?)?;
        self.inner.board.status(which)
    }

    /// Stops instances and waits until they are gone, all that they started included. `wait` replaces the time that
    /// each has to react to the first signal.
    pub async fn stop(&self, which: &Selector, wait: Option<Duration>) -> Result<Vec<InstanceStatus>, Error> {
        let instances = self.inner.board.select(which)?;
        self.wish(&instances, false).await?;
        self.bring_down(&instances, wait).await?;
        self.inner.board.status(which)
    }

    /// Stops and starts instances, one after the other, and waits until they run or have failed to. What they depend on is
    /// started first: where that fails, they are left alone.
    pub async fn restart(&self, which: &Selector, wait: Option<Duration>) -> Result<Vec<InstanceStatus>, Error> {
        self.restart_each(which, wait, Awaited::Up).await
    }

    /// The same, and each has to be ready before the next one is stopped: what several instances serve together is served
    /// all the time. The first that does not get ready in time ends it, and the others stay as they are.
    pub async fn roll(&self, which: &Selector, wait: Option<Duration>) -> Result<Vec<InstanceStatus>, Error> {
        self.restart_each(which, wait, Awaited::Ready).await
    }

    async fn restart_each(
        &self,
        which: &Selector,
        wait: Option<Duration>,
        until: Awaited,
    ) -> Result<Vec<InstanceStatus>, Error> {
        let instances = self.inner.board.select(which)?;
        let Needed { others, patience } = self.needed_by(&instances);
        let others = self.not_done(others);
        self.wish(&[instances.as_slice(), &others].concat(), true).await?;
        // Who is stopped before what it needs is there may not come back.
        let up = self.ask(|done| Message::Want { instances: others.clone(), want: Want::Up, done });
        started(within(patience, up, "start", &others).await?)?;
        let instances: BTreeSet<String> = instances.into_iter().collect();
        let view = self.inner.board.view();
        let order = order::starting_order(&view.processes).unwrap_or_default();
        for process in order.iter().filter_map(|name| view.processes.get(name)) {
            for name in instance_names(process).into_iter().filter(|name| instances.contains(name)) {
                let one = vec![name];
                let patience = patience::of_stop([process], wait) + self.needed_by(&one).patience;
                let want = Want::Anew { wait };
                let up = self.ask(|done| Message::Want { instances: one.clone(), want, done });
                started(within(patience, up, "restart", &one).await?)?;
                if until == Awaited::Ready {
                    let ready = self.ask(|done| Message::Await { instances: one.clone(), until, done });
                    started(within(patience::of_readiness(process), ready, "become ready", &one).await?)?;
                }
            }
        }
        self.inner.board.status(which)
    }

    /// Makes it so many instances of a process, which is remembered in place of the declared number until another one is
    /// declared.
    pub async fn scale(&self, process: &str, instances: u32) -> Result<Vec<InstanceStatus>, Error> {
        let mut wishes = self.inner.wishes.lock().await;
        let view = self.inner.board.view();
        let declared = view.declared.processes.get(process);
        let declared = declared.ok_or_else(|| Error::UnknownProcess(process.to_owned()))?;
        let mut wish = wishes.get(process).cloned().unwrap_or_default();
        wish.instances = Some(instances).filter(|wished| *wished != declared.instances);
        wish.declared = wish.instances.map(|_| declared.instances);
        let mut all = wishes.clone();
        all.insert(process.to_owned(), wish.clone());
        distinct(&wished(&view.declared, &all))?;
        self.inner.memory.save(process, &wish).await.map_err(Error::Memory)?;
        *wishes = all;
        let gone = view.processes.get(process).map(instance_names).unwrap_or_default();
        self.declare(view.declared.clone(), &wishes).await?;
        let view = self.inner.board.view();
        let Some(now) = view.processes.get(process) else { return Ok(Vec::new()) };
        let names: BTreeSet<String> = instance_names(now).into_iter().collect();
        let gone: Vec<String> = gone.into_iter().filter(|name| !names.contains(name)).collect();
        let wanted: Vec<String> = names.into_iter().filter(|name| is_wished(now, name, &wishes)).collect();
        drop(wishes);
        let patience = patience::of_stop([now], None) + self.needed_by(&wanted).patience;
        let down = self.ask(|done| Message::Await { instances: gone.clone(), until: Awaited::Gone, done });
        within(patience, down, "stop", &gone).await?;
        let up = self.ask(|done| Message::Await { instances: wanted.clone(), until: Awaited::Up, done });
        started(within(patience, up, "start", &wanted).await?)?;
        let mut found = self.inner.board.status(&Selector::Name(process.to_owned()))?;
        found.retain(|status| status.process == process);
        Ok(found)
    }

    /// Starts the members of a group, each after what it depends on.
    pub async fn start_group(&self, group: &str) -> Result<(), Error> {
        for member in self.members_in_order(group)? {
            self.start(&Selector::Name(member)).await?;
        }
        Ok(())
    }

    /// Stops the members of a group in the reverse order.
    pub async fn stop_group(&self, group: &str, wait: Option<Duration>) -> Result<(), Error> {
        for member in self.members_in_order(group)?.into_iter().rev() {
            self.stop(&Selector::Name(member), wait).await?;
        }
        Ok(())
    }

    /// Stops the members of a group, and starts them again.
    pub async fn restart_group(&self, group: &str, wait: Option<Duration>) -> Result<(), Error> {
        self.stop_group(group, wait).await?;
        self.start_group(group).await
    }

    /// The instances that are meant, by name; empty where a base or a pattern fits none.
    pub fn status(&self, which: &Selector) -> Result<Vec<InstanceStatus>, Error> {
        self.inner.board.status(which)
    }

    /// The same, without a copy of each: for whoever looks at many of them and keeps none.
    pub fn observe(&self, which: &Selector) -> Result<Vec<Observed>, Error> {
        self.inner.board.observe(which)
    }

    /// A process as it is declared.
    pub fn process(&self, name: &str) -> Option<Arc<Process>> {
        self.inner.board.view().declared.processes.get(name).cloned()
    }

    /// How many instances of a process there are to be: what was wished, or else what is declared.
    pub fn instances(&self, process: &str) -> Option<u32> {
        self.inner.board.view().processes.get(process).map(|process| process.instances)
    }

    /// The groups by name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        self.inner.board.groups()
    }

    /// One group.
    pub fn group(&self, name: &str) -> Result<GroupStatus, Error> {
        let group = self.inner.board.group(name)?;
        Ok(self.inner.board.group_status(&group))
    }

    /// The latest measurements of an instance, the oldest first.
    pub fn measurements(&self, instance: &str) -> Result<Vec<Usage>, Error> {
        self.inner.board.measurements(instance)
    }

    /// The files that an instance's output goes to: standard output, then standard error.
    pub fn log_files(&self, instance: &str) -> Result<(PathBuf, PathBuf), Error> {
        self.inner.board.log_files(instance)
    }

    /// Every change from now on. A slow reader is told how many it missed.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.board.changes()
    }

    /// The number of the last [`Change`], 0 before the first.
    pub fn happened(&self) -> u64 {
        self.inner.board.told()
    }

    /// Stops everything, in the reverse order of starting: for `piton shutdown`. Without it processes outlive the
    /// supervisor. What is wanted stays: the next supervisor starts it again.
    pub async fn stop_all(&self) -> Result<(), Error> {
        let instances = self.inner.board.select(&Selector::All)?;
        self.bring_down(&instances, None).await
    }

    async fn declare(&self, declared: Declared, wishes: &BTreeMap<String, Wish>) -> Result<(), Error> {
        let processes = wished(&declared, wishes);
        order::starting_order(&processes).map_err(|order::Circle(circle)| Error::Circle { circle })?;
        distinct(&processes)?;
        let wishes = wishes.clone();
        let done = self.ask(|done| Message::Apply { declared, wishes, done });
        // The actor is there for as long as the handle is.
        let _ = done.await;
        Ok(())
    }

    /// Asks the actor; it answers when it is through.
    fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        // The actor is there for as long as the handle is.
        let _ = self.inner.actor.send(message(done));
        answer
    }

    async fn bring_down(&self, instances: &[String], wait: Option<Duration>) -> Result<(), Error> {
        let view = self.inner.board.view();
        let patience = patience::of_stop(view.processes.values(), wait);
        let want = Want::Down { wait };
        let down = self.ask(|done| Message::Want { instances: instances.to_vec(), want, done });
        within(patience, down, "stop", instances).await?;
        Ok(())
    }

    /// What it takes to start these instances.
    fn needed_by(&self, instances: &[String]) -> Needed {
        let view = self.inner.board.view();
        let meant: BTreeSet<Name> =
            instances.iter().filter_map(|name| view.find(name)).map(|(process, _)| process.name.clone()).collect();
        let needed = order::reachable(meant.iter().cloned(), |name| {
            let process = view.processes.get(name);
            process.into_iter().flat_map(|process| process.depends_on.iter().map(|dependency| &dependency.name))
        });
        let processes = || needed.iter().filter_map(|name| view.processes.get(name));
        let others = processes().filter(|process| !meant.contains(&process.name)).flat_map(instance_names);
        Needed { others: others.collect(), patience: patience::of_start(processes()) }
    }

    fn not_done(&self, mut instances: Vec<String>) -> Vec<String> {
        instances.retain(|name| !self.is_done(name));
        instances
    }

    /// Whether an instance did already what others wait for: it is not started again for them.
    fn is_done(&self, instance: &str) -> bool {
        let view = self.inner.board.view();
        let Some((process, _)) = view.find(instance) else { return true };
        let has_ended = self.inner.board.one(instance).is_some_and(|status| status.state == InstanceState::Exited);
        let uses = view.processes.values().flat_map(|other| &other.depends_on).filter(|use_| use_.name == process.name);
        let is_up =
            |use_: &Dependency| matches!(use_.condition, DependencyCondition::Started | DependencyCondition::Healthy);
        has_ended && !uses.into_iter().any(is_up)
    }

    /// Remembers that instances are to run, or not to.
    async fn wish(&self, instances: &[String], run: bool) -> Result<(), Error> {
        let mut wishes = self.inner.wishes.lock().await;
        let view = self.inner.board.view();
        let mut changed = BTreeMap::new();
        for name in instances {
            let Some((process, _)) = view.find(name) else { continue };
            let key = process.name.as_str();
            let known = || wishes.get(key).cloned().unwrap_or_default();
            let wish = changed.entry(key.to_owned()).or_insert_with(known);
            if run == process.auto_start {
                wish.running.remove(name);
            } else {
                wish.running.insert(name.clone(), run);
            }
        }
        changed.retain(|process, wish| wishes.get(process).cloned().unwrap_or_default() != *wish);
        if !changed.is_empty() {
            self.inner.memory.save_all(&changed).await.map_err(Error::Memory)?;
            wishes.extend(changed);
        }
        Ok(())
    }

    /// The members of a group, each after what it depends on, in the group's order where nothing else decides.
    fn members_in_order(&self, group: &str) -> Result<Vec<String>, Error> {
        let group = self.inner.board.group(group)?;
        let view = self.inner.board.view();
        let place = |name: &Name| group.members.iter().position(|member| member == name);
        let ranked = view.processes.iter().filter_map(|(name, process)| {
            let priority = i32::try_from(place(name)?).unwrap_or(i32::MAX);
            Some((name.clone(), Arc::new(Process { priority, ..Process::clone(process) })))
        });
        let order = order::starting_order(&ranked.collect()).unwrap_or_default();
        Ok(order.into_iter().map(|name| name.to_string()).collect())
    }
}

/// What it takes to start instances.
struct Needed {
    /// The instances of what they depend on.
    others: Vec<String>,
    /// How long all of them may take.
    patience: Duration,
}

fn instance_names(process: &Arc<Process>) -> Vec<String> {
    (1..=process.instances).map(|number| process.instance_name(number)).collect()
}

/// No two instances may have one name: `web` twice has a `web-1`, and so has `web-1`.
fn distinct(processes: &BTreeMap<Name, Arc<Process>>) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for process in processes.values() {
        if instance_names(process).into_iter().any(|name| !names.insert(name)) {
            return Err(Error::Exists(process.name.clone()));
        }
    }
    Ok(())
}

fn started(failed: Vec<Failed>) -> Result<(), Error> {
    match failed.into_iter().next() {
        Some(Failed { instance, reason }) => Err(Error::Start { instance, reason }),
        None => Ok(()),
    }
}

/// Measures everything that runs, again and again.
async fn measure(board: Arc<Board>, every: Duration) {
    let Ok(mut sampler) = Sampler::new() else {
        return warn!("nothing can be measured without /proc");
    };
    let mut count = 0;
    loop {
        // Looking takes longer the more there are, and shall not be what an idle machine is busy with.
        pause(every * (1 + count / MEASURED_AT_EASE)).await;
        let running = board.running();
        count = u32::try_from(running.len()).unwrap_or(u32::MAX);
        if running.is_empty() {
            continue;
        }
        let measured = tokio::task::spawn_blocking(move || {
            let usages = sampler.sample(now(), &running);
            let usages: Vec<(String, Usage)> = usages.into_iter().map(|(name, usage)| (name.clone(), usage)).collect();
            (sampler, usages)
        });
        let Ok((back, usages)) = measured.await else { return };
        sampler = back;
        board.measured(&usages);
    }
}
