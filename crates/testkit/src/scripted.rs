//! An executor without a world: its children are entries of a table, which outlives the engine as the keeper does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_engine::{Clock, Executing, Executor, Passed, Task};
use piton_model::{AttemptNo, Digest, Failure, FailureClass, Gate, Report, Run, RunId, Step, Subject};
use tokio::sync::watch;

/// One step of one attempt of a run.
pub type Key = (RunId, AttemptNo, Step);

/// What a step does when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It passes.
    Pass,
    /// It finds that nothing is left to do.
    Done,
    /// It asks a person; the plan's digest is that of this text.
    Gate(&'static str),
    /// It fails.
    Fail(FailureClass),
    /// It panics.
    Panic,
}

/// How a step behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// What it does in the end.
    pub does: Does,
    /// How long it takes; none for a step that only ends when it is stopped.
    pub lasts: Option<Duration>,
    /// Whether it gives up when it is told to stop; else it comes to its end all the same, at once.
    pub heeds: bool,
}

impl Behaviour {
    /// It passes after a while.
    pub fn passes(lasts: Duration) -> Behaviour {
        Behaviour { does: Does::Pass, lasts: Some(lasts), heeds: true }
    }

    /// It fails at once.
    pub fn fails(class: FailureClass) -> Behaviour {
        Behaviour { does: Does::Fail(class), lasts: Some(Duration::ZERO), heeds: true }
    }

    /// The same after a while.
    pub fn after(self, lasts: Duration) -> Behaviour {
        Behaviour { lasts: Some(lasts), ..self }
    }
}

/// How long the gates of a script stand open.
pub const GATE: Duration = Duration::from_secs(24 * 3600);

/// What happened to a step, as the world saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// When.
    pub at: Timestamp,
    /// Which step.
    pub key: Key,
    /// Of whom.
    pub subject: Subject,
    /// Whether the engine said that it had been restarted.
    pub resumed: bool,
    /// What.
    pub what: What,
}

/// What happened to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A child was started.
    Begun,
    /// A child that was there was taken over.
    TakenOver,
    /// It came to its end.
    Ended(Result<(), FailureClass>),
}

type Script = Box<dyn Fn(&Task) -> Behaviour + Send>;

/// The executor.
pub struct Scripted {
    clock: Clock,
    script: Mutex<Script>,
    world: Mutex<World>,
    begun: watch::Sender<usize>,
}

#[derive(Default)]
struct World {
    children: BTreeMap<Key, Child>,
    /// Children that died with the host; nobody saw how.
    lost: BTreeSet<Key>,
    effects: Vec<Effect>,
    cleaned: BTreeSet<RunId>,
}

#[derive(Clone, Copy)]
struct Child {
    behaviour: Behaviour,
    ends: Option<Timestamp>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Scripted {
    /// An executor whose steps behave as `script` says, which should depend on nothing but the task.
    pub fn new(clock: Clock, script: impl Fn(&Task) -> Behaviour + Send + 'static) -> Arc<Scripted> {
        Arc::new(Scripted {
            clock,
            script: Mutex::new(Box::new(script)),
            world: Mutex::default(),
            begun: watch::Sender::new(0),
        })
    }

    /// Lets the steps that begin from now on behave otherwise.
    pub fn play(&self, script: impl Fn(&Task) -> Behaviour + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// What happened.
    pub fn effects(&self) -> Vec<Effect> {
        self.world().effects.clone()
    }

    /// The runs whose end was told.
    pub fn cleaned(&self) -> BTreeSet<RunId> {
        self.world().cleaned.clone()
    }

    /// When a child ends by itself: none where there is no such child, and for one that never does.
    pub fn ends(&self, key: &Key) -> Option<Timestamp> {
        self.world().children.get(key)?.ends
    }

    /// The host died, and every child with it.
    pub fn lose_children(&self) {
        let mut world = self.world();
        let lost = std::mem::take(&mut world.children);
        world.lost.extend(lost.into_keys());
    }

    /// Waits until more calls have begun than `seen`.
    pub async fn more_begun(&self, seen: usize) {
        // The sender lives in `self`.
        let _ = self.begun.subscribe().wait_for(|begun| *begun > seen).await;
    }

    /// How many calls have begun.
    pub fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    /// Steps with an outside effect that were begun again although no failure was seen that allows it.
    pub fn repeated_effects(&self) -> Vec<Effect> {
        // Runs whose effect was begun, and no failure seen since that puts them back to be planned anew.
        let mut begun: BTreeSet<RunId> = BTreeSet::new();
        let mut failures = BTreeSet::new();
        let mut repeated = vec![];
        for effect in &self.world().effects {
            let (run, _, step) = effect.key;
            match effect.what {
                What::Begun if step.may_have_effect() && !begun.insert(run) => repeated.push(effect.clone()),
                // A child that is taken over at its end ends once more.
                What::Ended(Err(FailureClass::Transient)) if failures.insert(effect.key) => {
                    begun.remove(&run);
                }
                What::Begun | What::TakenOver | What::Ended(_) => {}
            }
        }
        repeated
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, task: &Task) -> Result<Child, Failure> {
        let key = (task.run.id, task.attempt, task.step);
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let mut world = self.world();
        let at = self.clock.now();
        let (child, what) = match world.children.get(&key).copied() {
            Some(child) if task.resumed => (child, What::TakenOver),
            _ if task.resumed && task.step.may_have_effect() && world.lost.contains(&key) => {
                return Err(Failure::new(FailureClass::Uncertain, "lost", "nobody saw how it ended"));
            }
            _ => {
                let behaviour = script(task);
                let span = |lasts| SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX);
                let ends = behaviour.lasts.map(|lasts| at.checked_add(span(lasts)).unwrap_or(Timestamp::MAX));
                (Child { behaviour, ends }, What::Begun)
            }
        };
        world.children.insert(key, child);
        let subject = task.run.subject.clone();
        world.effects.push(Effect { at, key, subject, resumed: task.resumed, what });
        Ok(child)
    }

    fn end(&self, task: &Task, result: Result<(), FailureClass>) {
        let key = (task.run.id, task.attempt, task.step);
        let subject = task.run.subject.clone();
        let what = What::Ended(result);
        let effect = Effect { at: self.clock.now(), key, subject, resumed: task.resumed, what };
        self.world().effects.push(effect);
    }

    async fn play_out(&self, task: &Task, child: Child) -> Result<Passed, Failure> {
        let Child { behaviour, ends } = child;
        let stopped = tokio::select! {
            biased;
            () = self.clock.sleep_until_some(ends) => false,
            () = task.stop.cancelled() => behaviour.heeds,
        };
        let result = match behaviour.does {
            _ if stopped => Err(FailureClass::Interrupted),
            Does::Fail(class) => Err(class),
            Does::Panic => Err(FailureClass::Uncertain),
            Does::Pass | Does::Done | Does::Gate(_) => Ok(()),
        };
        self.end(task, result);
        if let (Err(class), false) = (result, behaviour.does == Does::Panic) {
            return Err(Failure::new(class, "scripted", format!("`{}` failed as the script says", task.step)));
        }
        let report = Report::default();
        match behaviour.does {
            Does::Done => Ok(Passed::Done(report)),
            Does::Gate(plan) => {
                let gate = Gate { digest: Digest::of(plan.as_bytes()), question: format!("{plan}?") };
                Ok(Passed::Gate { gate, expires_in: GATE, report })
            }
            Does::Pass | Does::Fail(_) => Ok(Passed::Next(report)),
            #[expect(clippy::panic, reason = "the script says so")]
            Does::Panic => panic!("as the script says"),
        }
    }
}

impl Executor for Scripted {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async move {
            let child = self.begin(task);
            self.begun.send_modify(|begun| *begun += 1);
            // Whoever waits for the beginning is told before the end comes, even where that is at once.
            tokio::task::yield_now().await;
            self.play_out(task, child?).await
        })
    }

    fn ended<'a>(&'a self, run: &'a Run) -> Executing<'a, ()> {
        Box::pin(async move {
            let mut world = self.world();
            world.children.retain(|(id, _, _), _| *id != run.id);
            world.cleaned.insert(run.id);
        })
    }

    fn forget(&self, _runs: Vec<RunId>) -> Executing<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn reconcile<'a>(&'a self, _held: &'a [RunId]) -> Executing<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
