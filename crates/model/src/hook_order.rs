//! Which hook of a phase comes next, and what an outcome means. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{FailureMode, Hook, RunMode};

/// How long a hook rests before it is tried once more.
pub const HOOK_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How one try of a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOutcome {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It took too long and was killed, with all it had started.
    TimedOut,
    /// It could not be started, for this reason.
    NotStarted(String),
    /// It may have run, wholly or in part, and nobody saw how it ended.
    Interrupted(String),
    /// It was ended, or not begun, because its owner was stopped.
    Stopped,
}

/// What follows from the outcome of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTry {
    /// The hook is done.
    Passed,
    /// It is tried once more after [`HOOK_RETRY_DELAY`].
    Again,
    /// It has failed for good, which matters to its phase.
    Failed,
}

/// What a phase does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHooks {
    /// These begin now and are not waited for: indexes of asynchronous hooks.
    pub beside: Vec<usize>,
    /// And this follows.
    pub then: NextHook,
}

/// What a phase waits for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHook {
    /// A try of a hook.
    Run {
        /// Its index.
        hook: usize,
        /// 1 for the first.
        attempt: u32,
        /// After so much time.
        delay: Duration,
    },
    /// Nothing: all went well enough.
    Done,
    /// Nothing: this hook failed, and with it the phase.
    Failed {
        /// Its index.
        hook: usize,
    },
}

impl HookOutcome {
    /// Whether the hook did what it was for.
    pub fn success(&self) -> bool {
        *self == HookOutcome::Code(0)
    }
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookOutcome::Code(code) => write!(f, "exit code {code}"),
            HookOutcome::Signal(number) => write!(f, "killed by signal {number}"),
            HookOutcome::TimedOut => f.write_str("took too long and was killed"),
            HookOutcome::NotStarted(reason) => write!(f, "could not be started: {reason}"),
            HookOutcome::Interrupted(reason) => write!(f, "interrupted: {reason}"),
            HookOutcome::Stopped => f.write_str("its process was stopped"),
        }
    }
}

impl Hook {
    /// What follows from the outcome of this try, which begin at 1.
    pub fn after_try(&self, attempt: u32, outcome: &HookOutcome) -> AfterTry {
        match self.failure_mode {
            _ if outcome.success() => AfterTry::Passed,
            FailureMode::Ignore => AfterTry::Passed,
            FailureMode::Retry if attempt <= 1 => AfterTry::Again,
            FailureMode::Fail | FailureMode::Retry => AfterTry::Failed,
        }
    }
}

/// What a phase does next, given how its tries ended so far: those of blocking hooks, in their order.
///
/// Asynchronous hooks begin once, together with the blocking hook that follows them or with the end of the phase.
/// After a failure none begin any more.
pub fn next_hooks(hooks: &[Hook], outcomes: &[HookOutcome]) -> NextHooks {
    let mut outcomes = outcomes.iter();
    let mut beside = Vec::new();
    for (index, hook) in hooks.iter().enumerate() {
        if hook.run_mode == RunMode::Async {
            beside.push(index);
            continue;
        }
        let mut attempt = 1;
        loop {
            let Some(outcome) = outcomes.next() else {
                let delay = if attempt == 1 { Duration::ZERO } else { HOOK_RETRY_DELAY };
                return NextHooks { beside, then: NextHook::Run { hook: index, attempt, delay } };
            };
            // Whatever stands before this hook began when this hook did.
            beside.clear();
            match hook.after_try(attempt, outcome) {
                AfterTry::Passed => break,
                AfterTry::Again => attempt += 1,
                AfterTry::Failed => return NextHooks { beside, then: NextHook::Failed { hook: index } },
            }
        }
    }
    NextHooks { beside, then: NextHook::Done }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const WELL: HookOutcome = HookOutcome::Code(0);
    const ILL: HookOutcome = HookOutcome::Code(3);

    fn hook(failure_mode: FailureMode, run_mode: RunMode) -> Hook {
        Hook {
            name: "h".parse().unwrap(),
            command: "true".to_owned(),
            failure_mode,
            run_mode,
            timeout: Duration::from_secs(1),
            env: BTreeMap::new(),
            work_dir: None,
        }
    }

    fn blocking(failure_mode: FailureMode) -> Hook {
        hook(failure_mode, RunMode::Blocking)
    }

    fn run(hook: usize, attempt: u32) -> NextHook {
        let delay = if attempt == 1 { Duration::ZERO } else { HOOK_RETRY_DELAY };
        NextHook::Run { hook, attempt, delay }
    }

    #[test]
    fn each_failure_mode_means_what_it_says() {
        use FailureMode::{Fail, Ignore, Retry};
        let failed = NextHook::Failed { hook: 0 };
        for (mode, outcomes, then) in [
            (Fail, vec![], run(0, 1)),
            (Fail, vec![WELL], run(1, 1)),
            (Fail, vec![ILL], failed),
            (Ignore, vec![ILL], run(1, 1)),
            (Ignore, vec![HookOutcome::TimedOut], run(1, 1)),
            (Retry, vec![ILL], run(0, 2)),
            (Retry, vec![ILL, WELL], run(1, 1)),
            (Retry, vec![ILL, ILL], failed),
            (Retry, vec![HookOutcome::Interrupted("x".into())], run(0, 2)),
            (Retry, vec![HookOutcome::NotStarted("x".into()), HookOutcome::Signal(9)], failed),
            (Fail, vec![WELL, WELL], NextHook::Done),
            (Retry, vec![ILL, WELL, ILL], NextHook::Failed { hook: 1 }),
        ] {
            let next = next_hooks(&[blocking(mode), blocking(Fail)], &outcomes);
            assert_eq!(next, NextHooks { beside: vec![], then }, "{mode:?} after {outcomes:?}");
        }
    }

    #[test]
    fn asynchronous_hooks_begin_once_and_in_their_place() {
        let aside = || hook(FailureMode::Fail, RunMode::Async);
        let hooks = [aside(), blocking(FailureMode::Retry), aside(), aside()];
        let next = |outcomes: &[HookOutcome]| next_hooks(&hooks, outcomes);
        assert_eq!(next(&[]), NextHooks { beside: vec![0], then: run(1, 1) });
        assert_eq!(next(&[ILL]), NextHooks { beside: vec![], then: run(1, 2) });
        assert_eq!(next(&[ILL, ILL]), NextHooks { beside: vec![], then: NextHook::Failed { hook: 1 } });
        assert_eq!(next(&[ILL, WELL]), NextHooks { beside: vec![2, 3], then: NextHook::Done });
        assert_eq!(next_hooks(&[], &[]), NextHooks { beside: vec![], then: NextHook::Done });
    }
}
