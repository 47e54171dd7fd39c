//! Commands that are run around a job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;
use piton_logs::RunLog;
use piton_model::{
    AfterTry, Failure, FailureClass, HOOK_RETRY_DELAY, Hook, HookOutcome, HookPhase, Hooks, Name, RunMode,
};
use piton_process::{Environment, Error, Exit, ExitStatus, Invocation, Limits, Policy, StopSequence};
use tokio_util::sync::CancellationToken;

use crate::command::first_line;
use crate::pass::{Pass, log_failure, runner_failure};
use crate::real_time::pause;
use crate::verdict::Doing;
use crate::{environment, failing};

/// Runs the hooks of one job. Like all of a step they may be run again after a restart of the daemon, and are not
/// started twice.
pub(crate) struct HookRunner<'a> {
    pub(crate) pass: &'a Pass<'a>,
    pub(crate) log: &'a RunLog,
    pub(crate) hooks: &'a Hooks,
    /// The environment of the job.
    pub(crate) environment: BTreeMap<String, String>,
    /// As whom the job runs. Its limits are for its tasks.
    pub(crate) limits: Limits,
    /// Where the job works.
    pub(crate) cwd: PathBuf,
}

impl HookRunner<'_> {
    /// Runs the hooks of a phase that wait for each other, in their order. The first one that fails ends it.
    pub(crate) async fn blocking(&self, phase: HookPhase, stop: &CancellationToken) -> Result<(), Failure> {
        for hook in self.hooks.of(phase).iter().filter(|hook| hook.run_mode == RunMode::Blocking) {
            self.run(phase, hook, stop).await?;
        }
        Ok(())
    }

    /// Runs the hooks of a phase for which nobody waits. Their failures are told and change nothing.
    pub(crate) async fn beside(&self, phase: HookPhase, stop: &CancellationToken) {
        let beside = self.hooks.of(phase).iter().filter(|hook| hook.run_mode == RunMode::Async);
        join_all(beside.map(|hook| async move {
            if let Err(failure) = self.run(phase, hook, stop).await {
                self.tell(phase, hook, &failure).await;
            }
        }))
        .await;
    }

    /// Runs a whole phase whose failure can change nothing any more.
    pub(crate) async fn all(&self, phase: HookPhase) {
        let stop = CancellationToken::new();
        let blocking = async {
            for hook in self.hooks.of(phase).iter().filter(|hook| hook.run_mode == RunMode::Blocking) {
                if let Err(failure) = self.run(phase, hook, &stop).await {
                    self.tell(phase, hook, &failure).await;
                }
            }
        };
        tokio::join!(blocking, self.beside(phase, &stop));
    }

    async fn run(&self, phase: HookPhase, hook: &Hook, stop: &CancellationToken) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let (outcome, failure) = match self.once(phase, hook, attempt, stop).await {
                Try::Passed => return Ok(()),
                Try::Stopped(failure) => return Err(failure),
                Try::Failed(outcome, failure) => (outcome, failure),
            };
            match hook.after_try(attempt, &outcome) {
                AfterTry::Again => attempt += 1,
                AfterTry::Passed => {
                    self.tell(phase, hook, &failure).await;
                    return Ok(());
                }
                AfterTry::Failed => return Err(failure),
            }
            tokio::select! {
                () = pause(HOOK_RETRY_DELAY) => {}
                () = stop.cancelled() => return Err(failing::stopped_before(&describe(phase, &hook.name))),
            }
        }
    }

    async fn once(&self, phase: HookPhase, hook: &Hook, number: u32, stop: &CancellationToken) -> Try {
        let env = match self.environment_of(phase, hook) {
            Ok(env) => env,
            Err(failure) => return Try::Failed(HookOutcome::NotStarted(failure.message.clone()), failure),
        };
        let input = self.pass.input;
        let invocation = Invocation {
            token: format!("{}/{}/{phase}/{}-{number}", input.run.id, input.attempt, hook.name),
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), hook.command.clone()],
            env,
            cwd: hook.work_dir.clone().unwrap_or_else(|| self.cwd.clone()),
            header: format!("{phase} {}: $ {}", hook.name, first_line(&hook.command)),
            stop: StopSequence::job(),
            limits: self.limits.clone(),
        };
        let stop = stop.child_token();
        let work = self.pass.world.runner.run(&invocation, input.run.id, self.log, &stop);
        let mut late = false;
        tokio::pin!(work);
        let ended = tokio::select! {
            ended = &mut work => ended,
            () = pause(hook.timeout) => {
                late = !stop.is_cancelled();
                stop.cancel();
                work.await
            }
        };
        let ended = ended.map(|attended| {
            if let Some(error) = attended.unwritten {
                tracing::warn!(run = %input.run.id, %error, "the log of a run is not complete");
            }
            attended.exit
        });
        judge(phase, hook, ended, late)
    }

    fn environment_of(&self, phase: HookPhase, hook: &Hook) -> Result<BTreeMap<String, String>, Failure> {
        let mut env = self.environment.clone();
        env.extend(environment::declare(&Environment::default(), &hook.env, Policy::Job)?.into_variables());
        let told = hook.variables(&self.pass.input.run.subject.name(), phase);
        env.extend(told.map(|(name, value)| (name.to_owned(), value)));
        Ok(env)
    }

    /// Says in the log that a hook failed in vain.
    async fn tell(&self, phase: HookPhase, hook: &Hook, failure: &Failure) {
        let input = self.pass.input;
        let key = format!("{}/{}/{phase}/{}/failed", input.run.id, input.attempt, hook.name);
        if let Err(error) = self.log.note(&key, &format!("piton: {}", failure.message)).await {
            tracing::warn!(run = %input.run.id, failure = %log_failure(&error).message, "a failed hook is not in the log");
        }
    }
}

/// How one try of a hook ended.
enum Try {
    Passed,
    /// Somebody ended it, for reasons that are not its own.
    Stopped(Failure),
    Failed(HookOutcome, Failure),
}

fn judge(phase: HookPhase, hook: &Hook, ended: Result<Exit, Error>, late: bool) -> Try {
    let failed = |what: String| failing::permanent("hook_failed", format!("the {phase} hook `{}` {what}", hook.name));
    let unseen = |what: &str| Try::Failed(HookOutcome::Interrupted(what.to_owned()), failed(what.to_owned()));
    match ended {
        // However it takes that it is stopped.
        Ok(exit) if late && exit.stopped => {
            let what = format!("took longer than {} s and was stopped", hook.timeout.as_secs_f64());
            Try::Failed(HookOutcome::TimedOut, failed(what))
        }
        Ok(exit) if exit.success() => Try::Passed,
        Ok(exit) if exit.stopped => Try::Stopped(failing::stopped_before(&describe(phase, &hook.name))),
        Ok(exit) => match exit.status {
            ExitStatus::Code(code) => {
                Try::Failed(HookOutcome::Code(code), failed(format!("failed with exit code {code}")).exit_code(code))
            }
            ExitStatus::Signal(signal) => {
                let failure = failed(format!("was killed by signal {signal}")).exit_code(128 + signal);
                Try::Failed(HookOutcome::Signal(signal), failure)
            }
            ExitStatus::Unknown => unseen("ended unseen"),
        },
        Err(Error::NotStarted) => Try::Stopped(failing::stopped_before(&describe(phase, &hook.name))),
        Err(Error::Lost { .. } | Error::StartUncertain(_)) => unseen("ended unseen: its keeper had died"),
        Err(error @ Error::Spawn { .. }) => {
            let outcome = HookOutcome::NotStarted(error.to_string());
            Try::Failed(outcome, failed(format!("could not be started: {error}")))
        }
        Err(error) => match runner_failure(Doing::Init, error) {
            failure if failure.class == FailureClass::Interrupted => Try::Stopped(failure),
            failure => Try::Failed(HookOutcome::Interrupted(failure.message.clone()), failure),
        },
    }
}

fn describe(phase: HookPhase, name: &Name) -> String {
    format!("the {phase} hook `{name}` was done")
}
