//! What runs do in the world: the engine's port, over the parts that know how.

use piton_engine::{Executing, Executor, Passed, Task};
use piton_exec::Exec;
use piton_logs::LogStore;
use piton_model::{Action, Failure, FailureClass, Run, RunId, Step};
use piton_process::Runner;
use tokio::sync::mpsc;

use crate::provisioning::Provisioning;
use crate::scaffolding::Scaffolding;

/// The real executor: everything that runs do goes through `piton-exec`.
#[derive(Debug)]
pub struct Real {
    pub exec: Exec,
    pub runner: Runner,
    pub logs: LogStore,
    pub provisioning: Provisioning,
    pub scaffolding: Scaffolding,
    /// For who looks after what runs leave behind. In commands nobody does; the daemon finds it.
    pub tell_ended: mpsc::UnboundedSender<RunId>,
}

impl Executor for Real {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(async move {
            // Needs no child, no file and no log: what was said is kept with the run.
            if let Action::Provision(provision) = &task.run.action {
                return self.provisioning.call(task, provision).await;
            }
            if let (Action::Scaffold(scaffold), Step::Scaffold(step)) = (&task.run.action, task.step) {
                return self.scaffolding.step(task, scaffold, step).await;
            }
            if let Action::Remote(_) = &task.run.action {
                let message = "it is carried out by whoever told of it, and by nobody here";
                return Err(Failure::new(FailureClass::Permanent, "remote_run", message));
            }
            let input = piton_exec::StepInput {
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
            if let Action::Provision(_) = run.action {
                return;
            }
            if let Action::Scaffold(_) | Action::Remote(_) = run.action {
                let _ = self.tell_ended.send(run.id);
                return;
            }
            self.exec.cleanup(run).await;
            if let Err(error) = self.runner.release(run.id).await {
                tracing::warn!(run = %run.id, %error, "the keeper still remembers the children of an ended run");
            }
            let _ = self.tell_ended.send(run.id);
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
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the keeper what it holds");
                    return;
                }
            };
            let mut strangers = std::collections::BTreeSet::new();
            // Those that are kept running are the supervisor's.
            let of_runs = |child: &piton_keeper::Child| !piton_supervisor::is_supervised(&child.token);
            for child in children.into_iter().filter(of_runs) {
                let run = child.token.as_str().split('/').next().and_then(|run| run.parse::<RunId>().ok());
                match run {
                    Some(run) if held.contains(&run) => {}
                    Some(run) => {
                        strangers.insert(run);
                    }
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
