//! What failed for good lies with the dead letters, too: there people look, and from there it can be sent again.

use piton_broker::{Marks, Outgoing, Outlet};
use piton_model::{Action, Outcome, OutcomeKind, Run, RunState, Scaffold};

use super::job;
use crate::ends::Duty;

/// Puts runs that failed with the dead letters.
pub struct Graves {
    pub outlet: Outlet,
}

impl Duty for Graves {
    const NAME: &'static str = "dead-letters";

    fn concerns(&self, outcome: &Outcome) -> bool {
        matches!(outcome.kind(), OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Indeterminate)
    }

    async fn discharge(&self, run: &Run) -> Result<(), String> {
        let (Action::Scaffold(scaffold), RunState::Ended { outcome, at }) = (&*run.action, &run.state) else {
            return Ok(());
        };
        if run.sealed.is_some() || run.forgotten {
            tracing::warn!(run = %run.id, "a run that failed is not with the dead letters: its values are gone");
            return Ok(());
        }
        let message = match message(scaffold) {
            Ok(message) => message,
            // It would fail in the same way for ever.
            Err(why) => {
                tracing::error!(run = %run.id, why, "a failed run cannot be put with the dead letters; the ledger has it");
                return Ok(());
            }
        };
        let marks = Marks { failures: run.attempts.max(1), first_failed: Some(*at), ..Marks::default() };
        self.outlet.bury(message, marks, &outcome.sentence()).await.map_err(|error| error.to_string())
    }
}

fn message(scaffold: &Scaffold) -> Result<Outgoing, String> {
    let run_id =
        scaffold.run_id.as_str().parse().map_err(|error: piton_broker::message::InvalidRunId| error.to_string())?;
    Ok(Outgoing::job(&run_id, job::text(scaffold)?).sent_at(scaffold.asked_at))
}
