//! An executor for tests in which nothing is to happen.

use piton_model::{Failure, Run, RunId};

use crate::{Executing, Executor, Passed, Task};

/// Comes to no end with anything.
#[derive(Debug)]
pub(crate) struct Idle;

impl Executor for Idle {
    fn execute<'a>(&'a self, _task: &'a Task) -> Executing<'a, Result<Passed, Failure>> {
        Box::pin(std::future::pending())
    }

    fn ended<'a>(&'a self, _run: &'a Run) -> Executing<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn forget(&self, _runs: Vec<RunId>) -> Executing<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn reconcile<'a>(&'a self, _held: &'a [RunId]) -> Executing<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
