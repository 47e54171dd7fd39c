//! What a worker without an API shows of itself.
//!
//! That it lives is one thing: whoever restarts what is dead shall leave alone a worker that is waiting for its broker. That
//! is what `/livez` and the code of `/health` say. Whether it takes jobs is another, which the words of `/health` and the code
//! of `/readyz` say, with what keeps it from doing so.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use piton_broker::{State as Taking, Status};
use piton_server::App;
use piton_server::ready::{self, Check};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Clone)]
struct Worker {
    app: App,
    queue: watch::Receiver<Status>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    verbose: Option<String>,
}

/// The routes of a worker.
pub fn routes(app: &App, queue: watch::Receiver<Status>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .with_state(Worker { app: app.clone(), queue })
}

async fn live() -> &'static str {
    "ok\n"
}

async fn health(State(worker): State<Worker>) -> Json<Value> {
    let checks = ready::checks(&worker.app).await;
    let status = worker.queue.borrow().clone();
    Json(told(&status, &checks))
}

async fn ready(State(worker): State<Worker>, Query(detail): Query<Detail>) -> (StatusCode, String) {
    let mut checks = ready::checks(&worker.app).await;
    checks.push(taking(&worker.queue.borrow()));
    ready::answer(&checks, detail.verbose.is_some())
}

/// Whether jobs are taken.
fn taking(status: &Status) -> Check {
    let fault = match (status.state, &status.last_error) {
        (Taking::Consuming { .. }, _) => None,
        (Taking::Connecting, None) => Some("it is not connected to the broker yet".to_owned()),
        (Taking::Connecting, Some(problem)) => Some(format!("it is not connected to the broker: {}", problem.what)),
        (Taking::Draining | Taking::Stopped, _) => Some("no more jobs are taken".to_owned()),
    };
    Check::new("queue", fault)
}

/// Whether what cannot be done can be put away.
fn publishing(status: &Status) -> Check {
    let fault = status.blocked.as_ref();
    Check::new(
        "publishing",
        fault.map(|why| format!("the broker takes no messages, so retries and dead letters wait: {why}")),
    )
}

/// The page. Pure.
fn told(status: &Status, checks: &[Check]) -> Value {
    let about_queue = [taking(status), publishing(status)];
    let faults: Vec<String> = checks.iter().chain(&about_queue).filter_map(Check::fault).collect();
    let word = match status.state {
        Taking::Draining | Taking::Stopped => "ending",
        Taking::Connecting | Taking::Consuming { .. } if faults.is_empty() => "healthy",
        Taking::Connecting | Taking::Consuming { .. } => "degraded",
    };
    json!({
        "status": word,
        "reason": Some(faults.join("; ")).filter(|faults| !faults.is_empty()),
        "queue": match status.state {
            Taking::Connecting => "connecting",
            Taking::Consuming { .. } => "consuming",
            Taking::Draining => "draining",
            Taking::Stopped => "stopped",
        },
        "in_flight": status.in_flight,
        "queue_depth": status.depth.map(|depth| depth.ready),
        "dead_letters": status.depth.map(|depth| depth.dead),
        "last_error": status.last_error.as_ref().map(|problem| &problem.what),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_broker::Problem;

    use super::*;

    #[test]
    fn what_keeps_it_from_its_work_is_named() {
        let consuming = Taking::Consuming { since: Timestamp::UNIX_EPOCH };
        let refused = Problem { at: Timestamp::UNIX_EPOCH, what: "connection refused".to_owned() };
        let status = |state, last_error: Option<&Problem>, blocked: Option<&str>| Status {
            state,
            last_error: last_error.cloned(),
            blocked: blocked.map(str::to_owned),
            ..Status::default()
        };
        let store = Check::new("store", Some("the database does not answer".to_owned()));
        let table = [
            (status(consuming, None, None), None, "healthy", None, true),
            // It is over.
            (status(consuming, Some(&refused), None), None, "healthy", None, true),
            (status(Taking::Connecting, None, None), None, "degraded", Some("not connected to the broker yet"), false),
            (
                status(Taking::Connecting, Some(&refused), None),
                None,
                "degraded",
                Some("queue: it is not connected to the broker: connection refused"),
                false,
            ),
            // It takes jobs all the same.
            (status(consuming, None, Some("low on disk")), None, "degraded", Some("wait: low on disk"), true),
            (status(consuming, None, None), Some(store), "degraded", Some("store: the database does not answer"), true),
            (status(Taking::Draining, None, None), None, "ending", Some("no more jobs are taken"), false),
            (status(Taking::Stopped, None, None), None, "ending", Some("no more jobs are taken"), false),
        ];
        for (status, check, word, reason, takes) in table {
            let told = told(&status, &check.into_iter().collect::<Vec<_>>());
            assert_eq!(told["status"], word, "{told:#}");
            match reason {
                Some(reason) => assert!(told["reason"].as_str().is_some_and(|said| said.contains(reason)), "{told:#}"),
                None => assert_eq!(told["reason"], Value::Null, "{told:#}"),
            }
            assert_eq!(taking(&status).fault().is_none(), takes, "{status:?}");
        }
    }
}
