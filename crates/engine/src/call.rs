//! What is known of the request that asks for a run, and belongs to the run.
//!
//! It goes with the task that answers the request, as spans of the log do: no function between the door and the ledger
//! has a use for it.

use piton_model::{Action, DedupKey, NewRun, Run, Secret};

use crate::{Engine, Error};

/// What is known of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Its place in a trace, as the W3C writes it; children of the run find it in `TRACEPARENT`.
    pub trace: Option<String>,
    /// The run that it makes is the only one with this key: asked again, it answers with the same run.
    pub key: Option<DedupKey>,
}

tokio::task_local! {
    static CALL: Call;
}

/// Awaits `future`, in which runs are asked for on behalf of `call`.
pub async fn calling<F: Future>(call: Call, future: F) -> F::Output {
    CALL.scope(call, future).await
}

impl Call {
    /// The call on whose behalf this task works; one without anything where there is none.
    pub fn current() -> Call {
        CALL.try_with(Clone::clone).unwrap_or_default()
    }

    /// Gives a run what belongs to it.
    pub(crate) fn mark(self, mut run: NewRun) -> NewRun {
        if let Some(trace) = self.trace {
            let env = match &mut run.action {
                Action::Iac(iac) => Some(&mut iac.env),
                Action::Command(command) => Some(&mut command.env),
                Action::Batch(batch) => Some(&mut batch.env),
                // Nobody asks for one of its runs.
                Action::Provision(_) => None,
                // They have no children.
                Action::Scaffold(_) | Action::Remote(_) => None,
            };
            if let Some(env) = env {
                env.insert("TRACEPARENT".to_owned(), Secret::new(trace));
            }
        }
        NewRun { dedup_key: run.dedup_key.or(self.key), ..run }
    }
}

impl Engine {
    /// The run that this very call has made already, before its answer was lost.
    pub(crate) async fn of_this_call(&self) -> Result<Option<Run>, Error> {
        let Some(key) = Call::current().key else { return Ok(None) };
        match self.0.store.run_of_key(&key).await? {
            Some(id) => self.run(id).await.map(Some),
            None => Ok(None),
        }
    }
}
