//! Tells the control plane how runs are doing. It may be away: no run fails for that.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_api::{LogReport, LogReportLine, StatusReport};
use piton_engine::Clock;
use piton_model::Secret;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// How often something is said that was not heard.
const TRIES: u32 = 6;
/// Before it is said for the second time; then twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// How long the end of a run waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(20);

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was said.
    pub timestamp: Timestamp,
    /// `INFO`, `WARN`, `ERROR` or `SUCCESS`.
    pub level: &'static str,
    /// What was said.
    pub message: String,
}

impl Line {
    /// As it stands in the log.
    pub fn text(&self) -> String {
        format!("[{}] {}", self.level, self.message)
    }
}

/// Who tells the control plane. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Reporter(Option<Arc<Desk>>);

#[derive(Debug)]
struct Desk {
    client: Client,
    /// Ends with a slash.
    base: Url,
    key: Option<Secret<String>>,
    worker: String,
    clock: Clock,
}

impl Reporter {
    /// Tells nobody where no control plane is configured. The worker is called `worker` there.
    pub fn new(place: &Place, clock: &Clock, worker: &str) -> Result<Reporter, CommandError> {
        let config = &place.config.control_plane;
        let Some(url) = &config.url else { return Ok(Reporter(None)) };
        let bad =
            |error: &dyn std::fmt::Display| CommandError::new(Exit::BadConfig, format!("control_plane.url: {error}"));
        let base = Url::parse(&format!("{}/api/runs/", url.trim_end_matches('/').trim_end_matches("/api")));
        let client = Client::builder()
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            // The key is for this address and for no other.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build();
        Ok(Reporter(Some(Arc::new(Desk {
            client: client.map_err(|error| bad(&error))?,
            base: base.map_err(|error| bad(&error))?,
            key: config.api_key.clone(),
            worker: worker.to_owned(),
            clock: clock.clone(),
        }))))
    }

    /// Tells how a run stands.
    pub async fn status(&self, run: &str, status: StatusReport) {
        if let Some(desk) = &self.0 {
            let worker_id = Some(desk.worker.clone());
            let status = StatusReport { run_id: Some(run.to_owned()), worker_id, ..status };
            desk.tell(run, "status", &status).await;
        }
    }

    /// Where the lines of a run's log go.
    pub fn lines(&self, run: &str) -> Lines {
        let Some(desk) = self.0.clone() else { return Lines(None) };
        let (inbox, mut lines) = mpsc::unbounded_channel();
        let run = run.to_owned();
        let telling = tokio::spawn(async move {
            let mut batch: Vec<Line> = Vec::new();
            while lines.recv_many(&mut batch, 256).await > 0 {
                let logs = batch.drain(..).map(told).collect();
                let (run_id, worker_id) = (Some(run.clone()), Some(desk.worker.clone()));
                desk.tell(&run, "logs", &LogReport { run_id, worker_id, logs }).await;
            }
        });
        Lines(Some((inbox, telling)))
    }
}

fn told(line: Line) -> LogReportLine {
    LogReportLine {
        timestamp: Some(line.timestamp),
        level: Some(line.level.to_owned()),
        line: Some(line.text()),
        message: line.message,
    }
}

/// The lines of one run on their way. They are told in their order, beside what the run does.
#[derive(Debug)]
pub struct Lines(Option<(mpsc::UnboundedSender<Line>, JoinHandle<()>)>);

impl Lines {
    /// One more.
    pub fn tell(&self, line: Line) {
        if let Some((inbox, _)) = &self.0 {
            // The other end stays as long as this one.
            let _ = inbox.send(line);
        }
    }

    /// Waits until all are told, for a while.
    pub async fn end(self) {
        let Some((inbox, telling)) = self.0 else { return };
        drop(inbox);
        if tokio::time::timeout(LAST_LINES, telling).await.is_err() {
            tracing::warn!("the control plane did not hear all of a run's log");
        }
    }
}

/// What becomes of something that was said.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Yes,
    Later,
    /// Saying it again would not help.
    Never,
}

fn heard(status: StatusCode) -> Heard {
    match status.as_u16() {
        200..=299 => Heard::Yes,
        408 | 425 | 429 | 500..=599 => Heard::Later,
        _ => Heard::Never,
    }
}

impl Desk {
    async fn tell(&self, run: &str, what: &'static str, report: &impl Serialize) {
        let (Ok(url), Ok(body)) = (self.base.join(&format!("{run}/{what}")), serde_json::to_vec(report)) else {
            return;
        };
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let mut request = self.client.post(url.clone()).header("content-type", "application/json");
            if let Some(key) = &self.key {
                request = request.bearer_auth(key.expose());
            }
            let (heard, said) = match request.body(body.clone()).send().await {
                Ok(answer) => (heard(answer.status()), answer.status().to_string()),
                // The address may hold what is nobody's business.
                Err(error) => (Heard::Later, error.without_url().to_string()),
            };
            match heard {
                Heard::Yes => return,
                Heard::Later if attempt < TRIES => {
                    tracing::debug!(run, what, said, attempt, "the control plane did not hear, trying again");
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                Heard::Later | Heard::Never => {
                    tracing::warn!(run, what, said, attempt, "the control plane was not told");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_said_again() {
        for (status, expected) in
            [(200, Heard::Yes), (204, Heard::Yes), (429, Heard::Later), (503, Heard::Later), (404, Heard::Never)]
        {
            assert_eq!(heard(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
