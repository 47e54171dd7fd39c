//! One step of one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use piton_logs::LogStore;
use piton_model::{Action, AttemptNo, BatchStep, CommandStep, Failure, Gate, Report, Run, RunId, Step};
use piton_process::Runner;
use piton_tools::Manager;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pass::{Pass, log_failure};
use crate::run_files::RunFiles;
use crate::safe::Safe;
use crate::{Config, Confine, Templates, batch, command, failing, iac};

/// Does the steps of runs. Clones share everything.
#[derive(Clone)]
pub struct Exec {
    pub(crate) world: Arc<World>,
}

/// What every step works with.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) runner: Runner,
    pub(crate) logs: LogStore,
    pub(crate) tools: Arc<Manager>,
    pub(crate) templates: Templates,
    pub(crate) cache: iac::PluginCache,
}

/// One step to do.
#[derive(Debug)]
pub struct StepInput<'a> {
    /// The run, as it is stored.
    pub run: &'a Run,
    /// The step.
    pub step: Step,
    /// The attempt that the run is in.
    pub attempt: AttemptNo,
    /// Cancelled when the step shall stop, for whatever reason.
    pub stop: CancellationToken,
    /// This attempt was in this step already when the daemon was restarted.
    pub resumed: bool,
    /// What the tasks of a job have come to is told here while they run.
    pub progress: watch::Sender<Option<Report>>,
    /// Whether the tasks of a job are held back at present.
    pub suspended: watch::Receiver<bool>,
}

/// A step went well.
#[derive(Debug, Clone, PartialEq)]
pub enum Passed {
    /// Go on with the next step.
    Next(Report),
    /// A person must decide first.
    Gate {
        /// What is asked.
        gate: Gate,
        /// For how long.
        expires_in: Duration,
        /// What was found out.
        report: Report,
    },
    /// Nothing is left to do.
    Done(Report),
}

impl Exec {
    /// Touches nothing yet.
    pub fn new(
        config: Config,
        runner: Runner,
        logs: LogStore,
        tools: impl Into<Arc<Manager>>,
        templates: Templates,
    ) -> Exec {
        let cache = iac::PluginCache::default();
        Exec { world: Arc::new(World { config, runner, logs, tools: tools.into(), templates, cache }) }
    }

    /// What the installation decides.
    pub(crate) fn config(&self) -> &Config {
        &self.world.config
    }

    /// The templates that runs use.
    pub fn templates(&self) -> &Templates {
        &self.world.templates
    }

    fn files(&self, run: RunId) -> RunFiles {
        let safe = Safe::new(self.world.config.vault.clone(), run);
        RunFiles::new(self.world.logs.run_dir(run), safe)
    }

    /// Seals what an earlier version left in clear beside the logs of runs. To be called before the first step.
    pub async fn seal_what_lies_open(&self) {
        let (exec, runs) = (self.clone(), self.world.config.data_dir.join("runs"));
        let sealing = tokio::task::spawn_blocking(move || {
            let entries = std::fs::read_dir(runs).into_iter().flatten().filter_map(Result::ok);
            for run in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<RunId>().ok()) {
                match exec.files(run).seal_old_secrets() {
                    Ok(true) => tracing::info!(%run, "secrets of a run that lay in clear are sealed now"),
                    Ok(false) => {}
                    Err(failure) => {
                        tracing::warn!(%run, error = %failure.message, "secrets of a run lie in clear");
                    }
                }
            }
        });
        if let Err(error) = sealing.await {
            tracing::warn!(%error, "secrets of runs may lie in clear");
        }
    }

    /// Does one step, once. Called again for the same attempt, it continues where it was.
    ///
    /// After a stop it returns when the step's children are gone. It fails as
    /// [`Interrupted`](piton_model::FailureClass::Interrupted) then, unless the work was done by that time; the caller
    /// knows whether that means cancelled or timed out.
    pub async fn step(&self, input: StepInput<'_>) -> Result<Passed, Failure> {
        let files = self.files(input.run.id);
        let pass = Pass { world: &self.world, input: &input, files };
        pass.world.logs.prepare(input.run.id).await.map_err(|error| log_failure(&error))?;
        match (&*input.run.action, input.step) {
            (Action::Iac(_), Step::Iac(_)) if matches!(self.world.config.confine, Confine::Impossible) => {
                Err(confinement_unavailable())
            }
            (Action::Iac(iac), Step::Iac(step)) => {
                pass.files.make_work()?;
                iac::step(&pass, iac, step).await
            }
            (Action::Command(command), Step::Command(CommandStep::Execute)) => command::execute(&pass, command).await,
            (Action::Batch(action), Step::Batch(BatchStep::PreStart)) => batch::pre_start(&pass, action).await,
            (Action::Batch(action), Step::Batch(BatchStep::Execute)) => batch::execute(&pass, action).await,
            (action, step) => {
                Err(failing::permanent("internal", format!("the step `{step}` is none of a {}", action.verb())))
            }
        }
    }

    /// Removes what an ended run left behind beside its log: plan, values of variables, raw output. To be called when
    /// the end is recorded; may be called again.
    pub async fn cleanup(&self, run: &Run) {
        let files = self.files(run.id);
        let removed = tokio::task::spawn_blocking(move || files.remove()).await;
        match removed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(run = %run.id, %error, "cannot remove a run's files"),
            Err(error) => tracing::warn!(run = %run.id, %error, "cannot remove a run's files"),
        }
        if let Err(error) = self.world.logs.discard_raw(run.id).await {
            tracing::warn!(run = %run.id, %error, "cannot remove a run's raw output");
        }
    }
}

fn confinement_unavailable() -> Failure {
    let message = "deployed code has to be confined here, and this system cannot do that";
    failing::permanent("confinement_unavailable", message).hint(
        "it takes a kernel with Landlock (5.13 or later, `landlock` among its `lsm`); or set `iac.confine = auto`",
    )
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("data_dir", &self.world.config.data_dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever holds a run does its steps in a task of its own.
    #[expect(dead_code, reason = "it only has to compile")]
    fn a_step_can_be_done_in_a_task(exec: &Exec, input: StepInput<'_>, run: &Run) {
        fn task<F: Future + Send>(_: F) {}
        task(exec.step(input));
        task(exec.cleanup(run));
    }
}
