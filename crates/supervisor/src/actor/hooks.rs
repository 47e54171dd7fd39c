//! The hooks of instances: running a phase of them, and letting the keeper forget them when it is over.

use piton_keeper::{Child, Token};
use piton_model::HookPhase;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use super::effect::forget;
use super::{Actor, Message};
use crate::hook::{HookOwner, HookReport, run_phase};
use crate::instance::Event;

/// How the tokens of hooks begin.
pub(super) const HOOKS: &str = "hook/";

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
                        let result = run_phase(&keeping, &owner, phase, &hooks, &mut beside).await;
                        tell(result.map_err(|failure| failure.to_string()));
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

    /// The keeper may forget the hooks of a phase, those beside it included, if nobody else needs them.
    pub(super) fn hooks_over(&mut self, of: &Phase) {
        if let Some(users) = self.hooking.get_mut(of) {
            *users = users.saturating_sub(1);
            if *users > 0 {
                return;
            }
        }
        self.hooking.remove(of);
        let (keeping, prefix) = (self.keeping.clone(), of.prefix());
        self.tasks.spawn(async move {
            // What still runs is forgotten when it ends.
            let _ = keeping.release(&prefix).await;
        });
    }

    pub(super) fn hook_ended(&mut self, child: &Child) {
        let is_active = || Phase::parse(&child.token).is_some_and(|of| self.hooking.contains_key(&of));
        if child.token.as_str().starts_with(HOOKS) && !is_active() {
            let (keeping, token) = (self.keeping.clone(), child.token.clone());
            self.tasks.spawn(async move { forget(&keeping, &token).await });
        }
    }
}

/// Also of those whose failure changes nothing.
async fn tell_failures(mut told: mpsc::UnboundedReceiver<HookReport>) {
    while let Some(HookReport { owner, phase, hook, attempt, outcome, .. }) = told.recv().await {
        if !outcome.success() {
            warn!(instance = owner, %phase, %hook, attempt, %outcome, "a hook failed");
        }
    }
}
