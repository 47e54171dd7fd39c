//! The engine's port to the world: tasks of jobs, and nothing else.

use std::collections::BTreeSet;

use piton_engine::{Executing, Executor, Passed, Task};
use piton_exec::{Exec, StepInput};
use piton_logs::LogStore;
use piton_model::{Failure, Run, RunId};
use piton_process::Runner;

#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) exec: Exec,
    pub(crate) runner: Runner,
    pub(crate) logs: LogStore,
}

impl Executor for Tasks {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async move {
            let input = StepInput {
                run: &task.run,
                step: task.step,
                attempt: task.attempt,
                stop: task.stop.clone(),
                resumed: task.resumed,
                progress: task.progress.clone(),
                suspended: task.suspended.clone(),
            };
            Ok(match self.exec.step(input).await? {
                piton_exec::Passed::Next(report) => Passed::Next(report),
                piton_exec::Passed::Gate { gate, expires_in, report } => Passed::Gate { gate, expires_in, report },
                piton_exec::Passed::Done(report) => Passed::Done(report),
            })
        })
    }

    fn ended<'a>(&'a self, run: &'a Run) -> Executing<'a, ()> {
        Box::pin(async move {
            self.exec.cleanup(run).await;
            if let Err(error) = self.runner.release(run.id).await {
                tracing::warn!(run = %run.id, %error, "the keeper still remembers the children of an ended run");
            }
        })
    }

    fn forget(&self, runs: Vec<RunId>) -> Executing<'_, ()> {
        Box::pin(async move {
            for run in runs {
                if let Err(error) = self.logs.remove(run).await {
                    tracing::warn!(%run, %error, "the log of an old run was left behind");
                }
            }
        })
    }

    fn reconcile<'a>(&'a self, held: &'a [RunId]) -> Executing<'a, ()> {
        Box::pin(async move {
            let children = match self.runner.held().await {
                Ok(children) => children,
                Err(error) => return tracing::warn!(%error, "cannot ask the keeper what it holds"),
            };
            let of_runs = children.iter().filter(|child| !piton_supervisor::is_supervised(&child.token));
            let runs = of_runs.filter_map(|child| child.token.as_str().split('/').next()?.parse::<RunId>().ok());
            let strangers: BTreeSet<RunId> = runs.filter(|run| !held.contains(run)).collect();
            for run in strangers {
                tracing::warn!(%run, "the keeper holds children of a run that is over; they are stopped");
                if let Err(error) = self.runner.abandon(run).await {
                    tracing::warn!(%run, %error, "they could not be stopped");
                }
            }
        })
    }
}
