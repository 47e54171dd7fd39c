//! The port through which a run reaches the world.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use piton_model::{AttemptNo, Failure, Gate, Report, Run, RunId, Step};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Leave;

/// A boxed future, so that the engine does not depend on the type of its executor.
pub type Executing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Does what the steps of a run ask for. The only port of the engine: the real one is in `piton`, a scripted one in
/// `testkit`.
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// Executes one step.
    ///
    /// When `stop` is cancelled it ends the step as gracefully as it can and answers with a failure. It must be safe
    /// to drop the future at any time: what it started goes on, and the same step executed again takes it over.
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>>;

    /// The run ended: what was kept for it, beside its log, can go.
    fn ended<'a>(&'a self, run: &'a Run) -> Executing<'a, ()>;

    /// The log of a run can go too.
    fn forget(&self, runs: Vec<RunId>) -> Executing<'_, ()>;

    /// Called once at the start with the runs that this worker still holds or that wait for a person. Whatever else it still executes belongs
    /// to nobody and is reported and stopped.
    fn reconcile<'a>(&'a self, held: &'a [RunId]) -> Executing<'a, ()>;
}

/// One step to execute.
#[derive(Debug, Clone)]
pub struct Task {
    /// The run, as it was when the step began.
    pub run: Run,
    /// The step.
    pub step: Step,
    /// The attempt, which fences what the step writes.
    pub attempt: AttemptNo,
    /// Cancelled when the step shall stop.
    pub stop: CancellationToken,
    /// Whether this worker was restarted while the step was under way.
    pub resumed: bool,
    /// What the step has come to may be told here while it goes on.
    pub progress: watch::Sender<Option<Report>>,
    /// Whether the run is held back. Only jobs of several tasks heed it.
    pub suspended: watch::Receiver<bool>,
    /// Asked before anything is begun that nobody can take back, and that does not go on without the daemon.
    pub leave: Leave,
}

/// How a step went well.
#[derive(Debug, Clone, PartialEq)]
pub enum Passed {
    /// The next step may begin.
    Next(Report),
    /// A person must decide before the next step.
    Gate {
        /// What is asked.
        gate: Gate,
        /// How long the question stands.
        expires_in: Duration,
        /// What the step found out.
        report: Report,
    },
    /// Nothing is left to do, even if there are further steps.
    Done(Report),
}
