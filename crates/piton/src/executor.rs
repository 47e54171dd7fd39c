//! What runs do in the world: the engine's port, over the parts that know how.

use piton_engine::{Executing, Executor, Passed, Task};
use piton_jobs::Tasks;
use piton_model::{Action, Failure, FailureClass, Run, RunId, Step};
use tokio::sync::mpsc;

use crate::provisioning::Provisioning;
use crate::scaffolding::Scaffolding;

/// The real executor: what takes a child goes through [`Tasks`].
#[derive(Debug)]
pub struct Real {
    pub tasks: Tasks,
    pub provisioning: Provisioning,
    pub scaffolding: Scaffolding,
    /// For who looks after what runs leave behind. In commands nobody does; the daemon finds it.
    pub tell_ended: mpsc::UnboundedSender<RunId>,
}

impl Executor for Real {
    fn execute<'a>(&'a self, task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        match (&*task.run.action, task.step) {
            // Needs no child, no file and no log: what was said is kept with the run.
            (Action::Provision(provision), _) => Box::pin(self.provisioning.call(task, provision)),
            (Action::Scaffold(scaffold), Step::Scaffold(step)) => Box::pin(self.scaffolding.step(task, scaffold, step)),
            (Action::Remote(_), _) => Box::pin(async {
                let message = "it is carried out by whoever told of it, and by nobody here";
                Err(Failure::new(FailureClass::Permanent, "remote_run", message))
            }),
            _ => self.tasks.execute(task),
        }
    }

    fn ended<'a>(&'a self, run: &'a Run) -> Executing<'a, ()> {
        Box::pin(async move {
            match &*run.action {
                Action::Provision(_) => return,
                Action::Scaffold(scaffold) => self.scaffolding.ended(run, scaffold),
                Action::Remote(_) => {}
                Action::Iac(_) | Action::Command(_) | Action::Batch(_) => self.tasks.ended(run).await,
            }
            let _ = self.tell_ended.send(run.id);
        })
    }

    fn forget(&self, runs: Vec<RunId>) -> Executing<'_, ()> {
        self.tasks.forget(runs)
    }

    fn reconcile<'a>(&'a self, held: &'a [RunId]) -> Executing<'a, ()> {
        self.tasks.reconcile(held)
    }
}
