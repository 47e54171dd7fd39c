//! The engine's port to the world, as far as it takes a child: tasks of jobs, and what else [`Exec`] knows to do.

use std::collections::BTreeSet;

use piton_engine::{Executing, Executor, Passed, Task};
use piton_exec::{Exec, StepInput};
use piton_logs::LogStore;
use piton_model::{Failure, Run, RunId};
use piton_process::Runner;

/// Executes what children do. Whoever has runs that take none passes on the rest.
#[derive(Debug)]
pub struct Tasks {
    /// Knows what each step does.
    pub exec: Exec,
    /// Its children.
    pub runner: Runner,
    /// What they print.
    pub logs: LogStore,
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
            // Those that are kept running are the supervisor's.
            let of_runs = children.iter().filter(|child| !piton_supervisor::is_supervised(&child.token));
            let mut strangers = BTreeSet::new();
            for child in of_runs {
                match child.token.as_str().split('/').next().and_then(|run| run.parse::<RunId>().ok()) {
                    Some(run) if held.contains(&run) => {}
                    Some(run) => drop(strangers.insert(run)),
                    None => tracing::warn!(token = %child.token, "the keeper holds a child that belongs to no run"),
                }
            }
            for run in strangers {
                tracing::warn!(%run, "the keeper holds children of a run that is over; they are stopped");
                if let Err(error) = self.runner.abandon(run).await {
                    tracing::warn!(%run, %error, "they could not be stopped");
                }
            }
        })
    }
}
