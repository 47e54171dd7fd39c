//! Commands that are run around a job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;
use piton_logs::RunLog;
use piton_model::{Failure, FailureClass, FailureMode, Hook, HookPhase, Hooks, Name, RunMode};
use piton_process::{Environment, Error, Exit, ExitStatus, Invocation, Limits, Policy, StopSequence};
use tokio_util::sync::CancellationToken;

use crate::command::first_line;
use crate::pass::{Pass, log_failure, runner_failure};
use crate::real_time::pause;
use crate::verdict::Doing;
use crate::{environment, failing};

/// How often a hook is tried whose failure mode says so.
const TRIES: u32 = 2;

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
        let tries = if hook.failure_mode == FailureMode::Retry { TRIES } else { 1 };
        let mut number = 1;
        loop {
            let failure = match self.once(phase, hook, number, stop).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.class == FailureClass::Interrupted {
                return Err(failure);
            }
            if number < tries {
                number += 1;
                continue;
            }
            if hook.failure_mode == FailureMode::Ignore {
                self.tell(phase, hook, &failure).await;
                return Ok(());
            }
            return Err(failure);
        }
    }

    async fn once(&self, phase: HookPhase, hook: &Hook, number: u32, stop: &CancellationToken) -> Result<(), Failure> {
        let input = self.pass.input;
        let invocation = Invocation {
            token: format!("{}/{}/{phase}/{}-{number}", input.run.id, input.attempt, hook.name),
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), hook.command.clone()],
            env: self.environment_of(phase, hook)?,
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
        judge(phase, hook, ended, late)
    }

    fn environment_of(&self, phase: HookPhase, hook: &Hook) -> Result<BTreeMap<String, String>, Failure> {
        let mut env = self.environment.clone();
        env.extend(environment::declare(&Environment::default(), &hook.env, Policy::Job)?.into_variables());
        for (name, value) in [
            ("PITON_HOOK_NAME", hook.name.as_str()),
            ("PITON_HOOK_PHASE", phase.as_str()),
            ("PROVISR_PROCESS_NAME", self.pass.input.run.subject.name().as_ref()),
            ("PROVISR_HOOK_NAME", hook.name.as_str()),
            ("PROVISR_HOOK_PHASE", phase.as_str()),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        Ok(env)
    }

    /// Says in the log that a hook failed in vain.
    async fn tell(&self, phase: HookPhase, hook: &Hook, failure: &Failure) {
        let key = self.pass.token(&format!("{phase}/{}/failed", hook.name));
        if let Err(error) = self.log.note(&key, &format!("piton: {}", failure.message)).await {
            tracing::warn!(run = %self.pass.input.run.id, failure = %log_failure(&error).message, "a failed hook is not in the log");
        }
    }
}

fn judge(phase: HookPhase, hook: &Hook, ended: Result<Exit, Error>, late: bool) -> Result<(), Failure> {
    let failed = |what: String| failing::permanent("hook_failed", format!("the {phase} hook `{}` {what}", hook.name));
    match ended {
        // However it takes that it is stopped.
        Ok(exit) if late && exit.stopped => {
            Err(failed(format!("took longer than {} s and was stopped", hook.timeout.as_secs_f64())))
        }
        Ok(exit) if exit.success() => Ok(()),
        Ok(exit) if exit.stopped => Err(failing::stopped_before(&describe(phase, &hook.name))),
        Ok(exit) => Err(match exit.status {
            ExitStatus::Code(code) => failed(format!("failed with exit code {code}")).exit_code(code),
            ExitStatus::Signal(signal) => failed(format!("was killed by signal {signal}")).exit_code(128 + signal),
            ExitStatus::Unknown => failed("ended unseen".to_owned()),
        }),
        Err(Error::NotStarted) => Err(failing::stopped_before(&describe(phase, &hook.name))),
        Err(Error::Lost { .. } | Error::StartUncertain(_)) => {
            Err(failed("ended unseen: its keeper had died".to_owned()))
        }
        Err(error @ Error::Spawn { .. }) => Err(failed(format!("could not be started: {error}"))),
        Err(error) => Err(runner_failure(Doing::Init, error)),
    }
}

fn describe(phase: HookPhase, name: &Name) -> String {
    format!("the {phase} hook `{name}` was done")
}
