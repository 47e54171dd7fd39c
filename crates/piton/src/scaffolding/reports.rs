//! How runs ended, as the control plane is told: until it is heard, also by the next process.
//!
//! What is said depends on nothing but the run as it is stored, and its key on the run alone. So whoever hears it twice can
//! tell that it is the same. Of a success the key is the same for workers that share nothing but the queue, too.

use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Engine};
use piton_model::{Action, Outcome, Run, RunState, Scaffold, ScaffoldId, ScaffoldKind};
use serde_json::{Value, json};

use super::Reporter;
use crate::ends::{Duty, Following};
use crate::error::{CommandError, Exit};
use crate::place::Place;

/// What was not heard for so long is given up: a control plane that chokes on one run shall hear of the others.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);

/// Tells how runs ended.
pub struct Reports {
    reporter: Reporter,
    worker: String,
    clock: Clock,
}

impl Reports {
    /// Begins to tell, where there is a control plane.
    pub async fn begin(place: &Place, engine: &Engine) -> Result<Option<Following>, CommandError> {
        let clock = engine.clock().clone();
        let reporter = Reporter::new(place, &clock, engine.worker().as_str())?;
        let Some(worker) = reporter.worker().map(str::to_owned) else { return Ok(None) };
        let following = Following::begin(engine, Reports { reporter, worker, clock }).await;
        let failed = |error| CommandError::new(Exit::Failed, format!("cannot follow the ledger: {error}"));
        following.map(Some).map_err(failed)
    }
}

impl Duty for Reports {
    const NAME: &'static str = "run-reports";

    fn concerns(&self, _outcome: &Outcome) -> bool {
        true
    }

    async fn discharge(&self, run: &Run) -> Result<(), String> {
        let RunState::Ended { outcome, at } = &run.state else { return Ok(()) };
        let Some((about, said_at)) = about(run, *at) else { return Ok(()) };
        let (word, status) = ended(run, &about, outcome, said_at, &self.worker);
        // It succeeds once, whoever does it; every try may fail.
        let key = match outcome {
            Outcome::Succeeded => format!("{}-{word}", about.run_id),
            _ => format!("{}-{word}", run.id),
        };
        let told = self.reporter.end(about.run_id.as_str(), &key, &status).await;
        let waited = Duration::try_from(self.clock.now().duration_since(*at)).unwrap_or_default();
        match told {
            Err(why) if waited > GIVEN_UP => {
                tracing::error!(run = %run.id, why, "the control plane is not told any more how a run ended");
                Ok(())
            }
            told => told,
        }
    }
}

/// What is told of a run however it stands.
#[derive(Debug)]
pub struct About<'a> {
    run_id: &'a ScaffoldId,
    kind: Option<ScaffoldKind>,
    attempt: u32,
}

impl<'a> About<'a> {
    /// Of a run that this worker executes.
    pub fn own(run: &Run, scaffold: &'a Scaffold) -> About<'a> {
        About { run_id: &scaffold.run_id, kind: Some(scaffold.job_type), attempt: run.attempts }
    }
}

/// What is told of a run that has ended, and since when that is so; none of one that is not about a repository. Pure.
fn about(run: &Run, ended_at: Timestamp) -> Option<(About<'_>, Timestamp)> {
    match (&*run.action, &run.report.remote) {
        (Action::Scaffold(scaffold), _) => Some((About::own(run, scaffold), ended_at)),
        // Exactly as it is known here, so that it is nothing new where it comes back to this ledger.
        (Action::Remote(remote), Some(news)) => {
            Some((About { run_id: &remote.run_id, kind: remote.job_type, attempt: news.attempt }, news.said_at))
        }
        _ => None,
    }
}

/// How a run ended. Pure.
fn ended(run: &Run, about: &About<'_>, outcome: &Outcome, at: Timestamp, worker: &str) -> (&'static str, Value) {
    let word = match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. } | Outcome::Expired => {
            "failed"
        }
        Outcome::Cancelled { .. } | Outcome::Rejected { .. } | Outcome::Superseded { .. } => "cancelled",
    };
    let more = match (outcome, outcome.failure()) {
        (Outcome::Succeeded, _) => json!({ "repository": run.report.repository }),
        (_, Some(failure)) => json!({ "error": failure.message, "code": failure.code, "hint": failure.hint }),
        (_, None) => json!({ "error": outcome.sentence() }),
    };
    (word, status(run, about, word, at, worker, more))
}

/// How a run stands. Pure.
pub fn status(run: &Run, about: &About<'_>, word: &str, at: Timestamp, worker: &str, more: Value) -> Value {
    let began = run.started_at.unwrap_or(run.submitted_at);
    let mut status = json!({
        "run_id": about.run_id,
        "status": word,
        "type": about.kind.map(ScaffoldKind::as_str),
        "worker_id": worker,
        "attempt": about.attempt,
        "timestamp": at,
        "duration_seconds": at.duration_since(began).as_secs_f64().max(0.0),
    });
    if let (Value::Object(status), Value::Object(more)) = (&mut status, more) {
        status.extend(more);
    }
    status
}
