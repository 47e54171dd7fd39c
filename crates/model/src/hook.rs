//! Commands that are run around the starts and stops of a process or a job.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Name, Secret};

/// What is run around a start and a stop, each list in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before the start. A failure keeps it from happening.
    pub pre_start: Vec<Hook>,
    /// After the start.
    pub post_start: Vec<Hook>,
    /// Before the stop.
    pub pre_stop: Vec<Hook>,
    /// After the end.
    pub post_stop: Vec<Hook>,
}

/// One command of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Unique among the hooks of its owner.
    pub name: Name,
    /// A line for `/bin/sh -c`.
    pub command: String,
    /// What a failure means.
    pub failure_mode: FailureMode,
    /// Whether the phase waits for it.
    pub run_mode: RunMode,
    /// After this it is killed and has failed.
    pub timeout: Duration,
    /// Environment, beside that of its owner.
    pub env: BTreeMap<String, Secret<String>>,
    /// The working directory; none for that of its owner.
    pub work_dir: Option<PathBuf>,
}

/// When hooks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPhase {
    /// [`Hooks::pre_start`]
    PreStart,
    /// [`Hooks::post_start`]
    PostStart,
    /// [`Hooks::pre_stop`]
    PreStop,
    /// [`Hooks::post_stop`]
    PostStop,
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureMode {
    /// The phase fails, and with it what it belongs to.
    #[default]
    Fail,
    /// Nothing.
    Ignore,
    /// It is tried once more, and then the phase fails.
    Retry,
}

/// Whether a phase waits for a hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// The next hook begins after it.
    #[default]
    Blocking,
    /// The next hook begins beside it; its failure is told and changes nothing.
    Async,
}

impl HookPhase {
    /// All phases, in their order.
    pub const ALL: [HookPhase; 4] =
        [HookPhase::PreStart, HookPhase::PostStart, HookPhase::PreStop, HookPhase::PostStop];

    /// The phase's word.
    pub fn as_str(self) -> &'static str {
        match self {
            HookPhase::PreStart => "pre_start",
            HookPhase::PostStart => "post_start",
            HookPhase::PreStop => "pre_stop",
            HookPhase::PostStop => "post_stop",
        }
    }
}

impl fmt::Display for HookPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Hook {
    /// What it is told of itself beside its environment, in variables: whose it is, its name, and when it is run.
    pub fn variables(&self, owner: &str, phase: HookPhase) -> [(&'static str, String); 5] {
        let (name, phase) = (self.name.as_str(), phase.as_str());
        [
            ("PITON_HOOK_NAME", name),
            ("PITON_HOOK_PHASE", phase),
            ("PROVISR_PROCESS_NAME", owner),
            ("PROVISR_HOOK_NAME", name),
            ("PROVISR_HOOK_PHASE", phase),
        ]
        .map(|(variable, value)| (variable, value.to_owned()))
    }
}

impl Hooks {
    /// The hooks of a phase.
    pub fn of(&self, phase: HookPhase) -> &[Hook] {
        match phase {
            HookPhase::PreStart => &self.pre_start,
            HookPhase::PostStart => &self.post_start,
            HookPhase::PreStop => &self.pre_stop,
            HookPhase::PostStop => &self.post_stop,
        }
    }

    /// The hooks of a scheduled job around those of its template: outer ones come first before a start or a stop, and
    /// last after it.
    #[must_use]
    pub fn around(&self, inner: &Hooks) -> Hooks {
        let join = |first: &[Hook], second: &[Hook]| [first, second].concat();
        Hooks {
            pre_start: join(&self.pre_start, &inner.pre_start),
            post_start: join(&inner.post_start, &self.post_start),
            pre_stop: join(&self.pre_stop, &inner.pre_stop),
            post_stop: join(&inner.post_stop, &self.post_stop),
        }
    }

    /// Whether one of them has an environment of its own.
    pub fn hold_secrets(&self) -> bool {
        HookPhase::ALL.iter().any(|phase| self.of(*phase).iter().any(|hook| !hook.env.is_empty()))
    }

    /// Takes away the environments of all.
    pub fn clear_secrets(&mut self) {
        for hooks in [&mut self.pre_start, &mut self.post_start, &mut self.pre_stop, &mut self.post_stop] {
            for hook in hooks {
                hook.env.clear();
            }
        }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        HookPhase::ALL.iter().all(|phase| self.of(*phase).is_empty())
    }
}
