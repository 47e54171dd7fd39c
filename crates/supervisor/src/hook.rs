//! Running the hooks of a phase.
//!
//! What comes next is decided by [`piton_model::next_hooks`]; this does it, through the keeper. Every try has a token
//! that says whose it is, so a supervisor that comes back in the middle of a phase calls [`run_phase`] again: tries that
//! ended are not made again, those that run are waited for.

mod cut;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use piton_keeper::{Child, ExitStatus, Limits, Output, Remembered, Spec, State, Token};
use piton_model::{AfterTry, HOOK_RETRY_DELAY, Hook, HookOutcome, HookPhase, Name, NextHook, next_hooks};
use piton_process::identity::age_of;
use piton_process::{Error, Exit, Keeping, StopSequence};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::command::DEFAULT_PATH;
use crate::real_time::{now, pause, timestamp};
pub(crate) use cut::{Cut, is_mark};

/// Says in the log which hook the output below it is of, then becomes the hook. So the line is there as often as the
/// hook was started, whoever is killed when.
const HEADED: &str = r#"printf '%s\n' "$1"; exec /bin/sh -c "$2""#;

/// Whose hooks are run.
#[derive(Debug, Clone)]
pub struct HookOwner {
    /// Its name, as hooks are told it.
    pub name: String,
    /// What the tokens of this one start or stop begin with. Another start has another.
    pub token_prefix: String,
    /// The environment of the owner.
    pub env: BTreeMap<String, String>,
    /// The working directory of the owner.
    pub work_dir: PathBuf,
    /// Where the output of hooks goes. If it is a log that the keeper writes for others too, it has to be given as
    /// that: an [`Output::File`] would be written over.
    pub log: Output,
    /// Who is told how each try ended.
    pub reports: mpsc::UnboundedSender<HookReport>,
}

/// How one try of a hook ended. After a restart of the supervisor the same may be told again; the owner, phase, hook,
/// try and start are then the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    /// [`HookOwner::name`]
    pub owner: String,
    /// The phase.
    pub phase: HookPhase,
    /// The hook.
    pub hook: Name,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it was started; none if it was not.
    pub started_at: Option<Timestamp>,
    /// When its end was noticed.
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: HookOutcome,
}

/// A hook failed, and its phase with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {phase} hook `{hook}` failed: {outcome}")]
pub struct HookFailure {
    /// The phase.
    pub phase: HookPhase,
    /// The hook.
    pub hook: Name,
    /// How its last try ended.
    pub outcome: HookOutcome,
}

/// Runs the hooks of a phase: blocking ones one after the other, asynchronous ones in tasks of `beside`, which go on when
/// the phase is over and retry and time out by themselves. Dropping the future and the tasks lets what runs go on;
/// [`Keeping::abandon`] with the prefix ends it.
///
/// The keeper remembers every try until [`Keeping::release`] is called with the prefix, which has to wait for the tasks.
pub async fn run_phase(
    keeping: &Keeping,
    owner: &HookOwner,
    phase: HookPhase,
    hooks: &[Hook],
    beside: &mut JoinSet<()>,
) -> Result<(), HookFailure> {
    run_phase_until(keeping, owner, phase, hooks, beside, &Cut::default()).await.unwrap_or(Ok(()))
}

/// The same, which may be cut short; none if it was.
pub(crate) async fn run_phase_until(
    keeping: &Keeping,
    owner: &HookOwner,
    phase: HookPhase,
    hooks: &[Hook],
    beside: &mut JoinSet<()>,
    cut: &Cut,
) -> Option<Result<(), HookFailure>> {
    let mut outcomes = Vec::new();
    loop {
        if cut.is_made() {
            return None;
        }
        let next = next_hooks(hooks, &outcomes);
        for hook in next.beside.into_iter().filter_map(|index| hooks.get(index)) {
            let (keeping, owner, hook) = (keeping.clone(), owner.clone(), hook.clone());
            beside.spawn(async move { run_beside(&keeping, &owner, phase, &hook).await });
        }
        match next.then {
            NextHook::Done => return Some(Ok(())),
            NextHook::Failed { hook } => {
                let (Some(hook), Some(outcome)) = (hooks.get(hook), outcomes.pop()) else { return Some(Ok(())) };
                return Some(Err(HookFailure { phase, hook: hook.name.clone(), outcome }));
            }
            NextHook::Run { hook, attempt, delay } => {
                let Some(hook) = hooks.get(hook) else { return Some(Ok(())) };
                let next = Try { attempt, delay };
                outcomes.push(run_try(keeping, owner, phase, hook, next, cut).await);
            }
        }
    }
}

async fn run_beside(keeping: &Keeping, owner: &HookOwner, phase: HookPhase, hook: &Hook) {
    let mut next = Try { attempt: 1, delay: Duration::ZERO };
    loop {
        let outcome = run_try(keeping, owner, phase, hook, next, &Cut::default()).await;
        match hook.after_try(next.attempt, &outcome) {
            AfterTry::Passed | AfterTry::Failed => return,
            AfterTry::Again => next = Try { attempt: next.attempt + 1, delay: HOOK_RETRY_DELAY },
        }
    }
}

/// Which try of a hook it is, and after how much rest it is made.
#[derive(Debug, Clone, Copy)]
struct Try {
    attempt: u32,
    delay: Duration,
}

async fn run_try(
    keeping: &Keeping,
    owner: &HookOwner,
    phase: HookPhase,
    hook: &Hook,
    Try { attempt, delay }: Try,
    cut: &Cut,
) -> HookOutcome {
    let (started_at, ended_at, outcome) = match token(&owner.token_prefix, phase, &hook.name, attempt) {
        Err(error) => (None, now(), HookOutcome::NotStarted(error.to_string())),
        Ok(token) => {
            // A try that was made before needs no rest any more.
            if !delay.is_zero() && !matches!(keeping.find(&token).await, Ok(Some(_))) {
                tokio::select! {
                    biased;
                    () = cut.made().cancelled() => return HookOutcome::Stopped,
                    () = pause(delay) => {}
                }
            }
            execute(keeping, &token, &spec(owner, phase, hook), hook.timeout, cut).await
        }
    };
    let report = HookReport {
        owner: owner.name.clone(),
        phase,
        hook: hook.name.clone(),
        attempt,
        started_at,
        ended_at,
        outcome: outcome.clone(),
    };
    // Whoever wanted to know may be gone.
    let _ = owner.reports.send(report);
    outcome
}

async fn execute(
    keeping: &Keeping,
    token: &Token,
    spec: &Spec,
    timeout: Duration,
    cut: &Cut,
) -> (Option<Timestamp>, Timestamp, HookOutcome) {
    let child = match keeping.start(token, spec).await {
        Ok(child) => child,
        Err(Error::StartUncertain(reason)) => return (None, now(), HookOutcome::Interrupted(reason)),
        Err(error) => return (None, now(), HookOutcome::NotStarted(error.to_string())),
    };
    let started_at = timestamp(child.spawned_at_unix_us);
    let end = attend(keeping, &child, timeout, cut).await;
    let ended_at = ended_at(keeping, token).await.unwrap_or_else(now);
    let took = started_at.and_then(|start| Duration::try_from(ended_at.duration_since(start)).ok());
    let outcome = match end {
        Ok(exit) if exit.stopped && cut.is_made() => HookOutcome::Stopped,
        Ok(exit) if exit.killed => HookOutcome::TimedOut,
        Ok(exit) => match exit.status {
            // It was us, before we were restarted.
            ExitStatus::Signal(9) if took.is_some_and(|took| took >= timeout) => HookOutcome::TimedOut,
            ExitStatus::Code(code) => HookOutcome::Code(code),
            ExitStatus::Signal(number) => HookOutcome::Signal(number),
            ExitStatus::Unknown => HookOutcome::Interrupted("nobody saw how it ended".to_owned()),
        },
        Err(error) => HookOutcome::Interrupted(error.to_string()),
    };
    (started_at, ended_at, outcome)
}

/// Waits until a try is gone with all it started, which is killed when it takes longer than this since its start, and
/// stopped when its phase is cut short.
pub(crate) async fn attend(keeping: &Keeping, child: &Child, timeout: Duration, cut: &Cut) -> Result<Exit, Error> {
    let age = age_of(&child.identity).unwrap_or_default();
    let left = timeout.saturating_sub(age);
    {
        let stop = CancellationToken::new();
        let sequence = StopSequence::kill();
        let attending = keeping.attend(child, &sequence, &stop);
        tokio::pin!(attending);
        tokio::select! {
            biased;
            end = &mut attending => return end,
            () = cut.made().cancelled(), if child.exit().is_none() => {}
            () = pause(left), if child.exit().is_none() => {
                stop.cancel();
                return attending.await;
            }
        }
    }
    cut::mark(keeping, &child.token).await;
    {
        let sequence = StopSequence::job().with_grace(left);
        let attending = keeping.attend(child, &sequence, cut.made());
        tokio::pin!(attending);
        tokio::select! {
            biased;
            end = &mut attending => return end,
            () = cut.over() => {}
        }
    }
    let exit = keeping.attend(child, &StopSequence::kill(), cut.made()).await?;
    // It was asked before.
    Ok(Exit { stopped: true, ..exit })
}

async fn ended_at(keeping: &Keeping, token: &Token) -> Option<Timestamp> {
    match keeping.find(token).await {
        Ok(Some(Child { state: State::Exited { at_unix_us, .. }, .. })) => timestamp(at_unix_us),
        _ => None,
    }
}

fn spec(owner: &HookOwner, phase: HookPhase, hook: &Hook) -> Spec {
    let mut env = owner.env.clone();
    env.extend(hook.env.iter().map(|(name, value)| (name.clone(), value.expose().clone())));
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    env.extend(hook.variables(&owner.name, phase).map(|(name, value)| (name.to_owned(), value)));
    let argv: Vec<String> = match &owner.log {
        Output::Null => ["/bin/sh", "-c", &hook.command].map(str::to_owned).into(),
        _ => {
            let header = format!("$ hook {} ({phase})", hook.name);
            ["/bin/sh", "-c", HEADED, "sh", &header, &hook.command].map(str::to_owned).into()
        }
    };
    Spec {
        argv: argv.into_iter().map(Into::into).collect(),
        env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        cwd: hook.work_dir.clone().unwrap_or_else(|| owner.work_dir.clone()),
        stdout: owner.log.clone(),
        stderr: owner.log.clone(),
        limits: Limits::default(),
        remembered: Remembered::OverPowerLoss,
    }
}

/// Whether the token is that of a try of this hook.
pub(crate) fn is_try_of(try_: &Token, prefix: &str, phase: HookPhase, hook: &Name) -> bool {
    let first = token(prefix, phase, hook, 1);
    let without_number = |token: &Token| token.as_str().rsplit_once('/').map(|(before, _)| before.to_owned());
    first.is_ok_and(|first| without_number(&first) == without_number(try_))
}

/// `PREFIX/PHASE/HOOK/TRY`, with what stands for the hook's name where that is too long.
fn token(prefix: &str, phase: HookPhase, hook: &Name, attempt: u32) -> Result<Token, piton_keeper::TokenError> {
    let full = format!("{prefix}/{phase}/{hook}/{attempt}");
    if full.len() <= Token::MAX_LEN {
        return full.parse();
    }
    let mut short = format!("{prefix}/{phase}/");
    // FNV-1a: the same in every version, and no two hooks of one phase will share 64 bits by chance.
    let digest = hook
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let _ = write!(short, "{digest:016x}/{attempt}");
    short.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is_and_is_never_too_long() {
        let of = |prefix: &str, hook: &str, attempt| {
            token(prefix, HookPhase::PreStart, &hook.parse().unwrap(), attempt).unwrap().to_string()
        };
        assert_eq!(of("process/web-1/7", "migrate", 2), "process/web-1/7/pre_start/migrate/2");
        let (prefix, long) = (format!("process/{}/7", "w".repeat(103)), "h".repeat(99));
        let tokens = [of(&prefix, &format!("{long}a"), 1), of(&prefix, &format!("{long}b"), 1)];
        assert_ne!(tokens[0], tokens[1]);
        assert!(tokens.iter().all(|token| token.starts_with(&format!("{prefix}/pre_start/"))));
        for (text, hook) in tokens.iter().zip(["a", "b"]) {
            let is_of = |hook: &str| {
                is_try_of(
                    &text.parse().unwrap(),
                    &prefix,
                    HookPhase::PreStart,
                    &format!("{long}{hook}").parse().unwrap(),
                )
            };
            assert_eq!((is_of("a"), is_of("b")), (hook == "a", hook == "b"));
        }
    }
}
