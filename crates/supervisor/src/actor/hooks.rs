//! The hooks of instances: running a phase of them, and letting the keeper forget them when it is over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use piton_keeper::{Child, Token};
use piton_model::{Hook, HookOutcome, HookPhase, RunMode};
use piton_process::Keeping;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::effect::forget;
use super::{Actor, Message};
use crate::hook::{Cut, HookOwner, HookReport, attend, is_mark, is_try_of, run_phase_until};
use crate::incarnation::HOOKS;
use crate::instance::Event;

/// How long a hook may take of which nobody knows any more how long it may.
const USUAL: Duration = Duration::from_secs(30);

/// One phase around one child of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Phase {
    pub(super) instance: String,
    pub(super) number: u64,
    pub(super) phase: HookPhase,
}

impl Phase {
    /// The phase that a try of a hook belongs to; none if it is no hook of ours.
    pub(super) fn parse(token: &Token) -> Option<Phase> {
        let mut parts = token.as_str().strip_prefix(HOOKS)?.split('/');
        let instance = parts.next()?.to_owned();
        let number = parts.next()?.parse().ok()?;
        let word = parts.next()?;
        let phase = HookPhase::ALL.into_iter().find(|phase| phase.as_str() == word)?;
        Some(Phase { instance, number, phase })
    }

    /// How the tokens of the hooks around this child begin.
    pub(super) fn owner_prefix(&self) -> String {
        format!("{HOOKS}{}/{}", self.instance, self.number)
    }

    /// How the tokens of this phase's hooks begin.
    fn prefix(&self) -> String {
        format!("{}/{}/", self.owner_prefix(), self.phase)
    }
}

impl Actor {
    pub(super) fn run_hooks(&mut self, name: &str, phase: HookPhase, number: u64) {
        let Some(entry) = self.entries.get(name) else { return };
        let hooks = entry.process.hooks.of(phase).to_vec();
        let launch = entry.launch(name, &self.settings);
        let of = Phase { instance: name.to_owned(), number, phase };
        let (reports, told) = mpsc::unbounded_channel();
        let owner = launch.environment(None).map(|env| HookOwner {
            name: name.to_owned(),
            token_prefix: of.owner_prefix(),
            env,
            work_dir: launch.work_dir(),
            log: launch.outputs().0,
            reports,
        });
        let (keeping, outbox, instance) = (self.keeping.clone(), self.outbox.clone(), name.to_owned());
        *self.hooking.entry(of.clone()).or_default() += 1;
        let cut = Cut::default();
        if phase == HookPhase::PreStart {
            self.cuts.insert(of.clone(), cut.clone());
        }
        self.tasks.spawn(async move {
            // Without an actor there is nobody to tell.
            let tell = |result: Result<(), String>| {
                let event = Event::Hooked { phase, number, result };
                let _ = outbox.send(Message::Event { instance, event });
            };
            match owner {
                Ok(owner) => {
                    let run = async move {
                        let mut beside = JoinSet::new();
                        match run_phase_until(&keeping, &owner, phase, &hooks, &mut beside, &cut).await {
                            Some(result) => tell(result.map_err(|failure| failure.to_string())),
                            None => tell(Err("it was stopped".to_owned())),
                        }
                        while beside.join_next().await.is_some() {}
                        // The owner goes, and with it the last who reports.
                    };
                    tokio::join!(run, tell_failures(told));
                }
                Err(reason) => tell(Err(reason)),
            }
            let _ = outbox.send(Message::HooksOver(of));
        });
    }

    /// Ends the hooks before a start that is not wanted any more.
    pub(super) fn end_hooks(&self, name: &str, number: u64, grace: Duration) {
        let of = Phase { instance: name.to_owned(), number, phase: HookPhase::PreStart };
        // Without it they are over, which is on its way to the instance.
        if let Some(cut) = self.cuts.get(&of) {
            cut.make(grace);
        }
    }

    /// The keeper may forget the hooks of a phase, those beside it included, if nobody else needs them.
    pub(super) fn hooks_over(&mut self, of: &Phase) {
        if let Some(users) = self.hooking.get_mut(of) {
            *users = users.saturating_sub(1);
            if *users > 0 {
                return;
            }
        }
        self.hooking.remove(of);
        self.cuts.remove(of);
        let (keeping, prefix) = (self.keeping.clone(), of.prefix());
        self.tasks.spawn(async move { release(&keeping, &prefix).await });
    }

    pub(super) fn hook_ended(&mut self, child: &Child) {
        if self.found.is_some() {
            // What becomes of it is not known before something is declared.
            let known = self.hooks_found.iter_mut().find(|known| known.token == child.token);
            if let Some(known) = known {
                *known = child.clone();
            }
            return;
        }
        let is_active = || Phase::parse(&child.token).is_some_and(|of| self.hooking.contains_key(&of));
        // A mark goes with its phase, after all that it is about.
        if child.token.as_str().starts_with(HOOKS) && !is_mark(&child.token) && !is_active() {
            let (keeping, token) = (self.keeping.clone(), child.token.clone());
            self.tasks.spawn(async move { forget(&keeping, &token).await });
        }
    }

    /// Hooks that a supervisor before has left before a start are taken back by that start, if there is to be one. Not
    /// those that it has cut short: they were asked to end, so that how they ended does not tell that they are done.
    pub(super) fn plan_hooks(&mut self, start: &[String]) {
        let marks = self.hooks_found.iter().filter(|child| is_mark(&child.token));
        self.ending.extend(marks.filter_map(|mark| Phase::parse(&mark.token)));
        let mut planned: BTreeMap<String, u64> = BTreeMap::new();
        for of in self.hooks_found.iter().filter_map(|child| Phase::parse(&child.token)) {
            let is_wanted = of.phase == HookPhase::PreStart && !self.ending.contains(&of);
            if is_wanted && start.contains(&of.instance) {
                let number = planned.entry(of.instance).or_default();
                *number = of.number.max(*number);
            }
        }
        for (instance, number) in planned {
            if let Some(entry) = self.entries.get_mut(&instance) {
                entry.instance.planned = Some(number);
                *self.hooking.entry(Phase { instance, number, phase: HookPhase::PreStart }).or_default() += 1;
            }
        }
    }

    /// If this was planned for an instance before, and is not any more, its hooks have been taken back or never will be.
    pub(super) fn plan_changed(&mut self, name: &str, before: Option<u64>) {
        if let Some(number) = before
            && self.entries.get(name).is_none_or(|entry| entry.instance.planned != before)
        {
            self.hooks_over(&Phase { instance: name.to_owned(), number, phase: HookPhase::PreStart });
        }
    }

    /// Those that a supervisor before has cut short are gone, and their instance need not wait any more.
    pub(super) fn hooks_cut(&mut self, of: &Phase) {
        if self.ending.remove(of) {
            self.changed.push_back(of.instance.clone());
        }
    }

    /// Sees to it that what a supervisor before has left ends in its time, also if nobody takes it back.
    pub(super) fn attend_left_hooks(&mut self) {
        let mut phases: HashMap<Phase, Vec<Child>> = HashMap::new();
        for child in std::mem::take(&mut self.hooks_found) {
            match Phase::parse(&child.token) {
                Some(of) => phases.entry(of).or_default().push(child),
                None if child.exit().is_some() => self.hook_ended(&child),
                None => {}
            }
        }
        for (of, mut children) in phases {
            children.retain(|child| !is_mark(&child.token));
            *self.hooking.entry(of.clone()).or_default() += 1;
            let cut = Cut::default();
            let is_cut = self.ending.contains(&of);
            if is_cut {
                // Whoever has cut it short may not have come as far as to ask it, or to kill it.
                let entry = self.entries.get(&of.instance);
                cut.make(entry.map_or(USUAL, |entry| entry.process.stop.first_wait()));
            }
            let (mut in_turn, mut beside) = (JoinSet::new(), JoinSet::new());
            for child in children {
                let hook = self.hook_of(&of, &child.token);
                let timeout = hook.map_or(USUAL, |hook| hook.timeout);
                if hook.is_some_and(|hook| hook.run_mode == RunMode::Async) {
                    beside.spawn(attend_left(self.keeping.clone(), child, timeout, Cut::default()));
                } else {
                    in_turn.spawn(attend_left(self.keeping.clone(), child, timeout, cut.clone()));
                }
            }
            let outbox = self.outbox.clone();
            self.tasks.spawn(async move {
                while in_turn.join_next().await.is_some() {}
                // Without an actor there is nobody to tell.
                if is_cut {
                    let _ = outbox.send(Message::HooksCut(of.clone()));
                }
                while beside.join_next().await.is_some() {}
                let _ = outbox.send(Message::HooksOver(of));
            });
        }
    }

    /// The hook that this is a try of, going by what is declared now.
    fn hook_of(&self, of: &Phase, token: &Token) -> Option<&Hook> {
        let hooks = self.entries.get(&of.instance)?.process.hooks.of(of.phase);
        let prefix = of.owner_prefix();
        hooks.iter().find(|hook| is_try_of(token, &prefix, of.phase, &hook.name))
    }
}

/// Attends a hook of a supervisor before.
async fn attend_left(keeping: Keeping, child: Child, timeout: Duration, cut: Cut) {
    if let Err(problem) = attend(&keeping, &child, timeout, &cut).await {
        let token = child.token.as_str();
        warn!(token, %problem, "nobody knows how a hook ended that was left behind");
    }
}

/// Lets the keeper forget all hooks of a phase, and only then that they were cut short. What still runs is forgotten when
/// it ends.
async fn release(keeping: &Keeping, prefix: &str) {
    let Ok(mut held) = keeping.held().await else { return };
    held.retain(|child| child.token.as_str().starts_with(prefix));
    held.sort_by_key(|child| is_mark(&child.token));
    for child in held {
        let _ = if is_mark(&child.token) {
            // It does nothing, but may not have come to that yet.
            keeping.abandon_child(&child.token).await
        } else {
            keeping.forget(&child.token).await
        };
    }
}

/// Also of those whose failure changes nothing.
async fn tell_failures(mut told: mpsc::UnboundedReceiver<HookReport>) {
    while let Some(HookReport { owner, phase, hook, attempt, outcome, .. }) = told.recv().await {
        match outcome {
            HookOutcome::Stopped => info!(instance = owner, %phase, %hook, attempt, %outcome, "a hook was stopped"),
            _ if outcome.success() => {}
            _ => warn!(instance = owner, %phase, %hook, attempt, %outcome, "a hook failed"),
        }
    }
}
