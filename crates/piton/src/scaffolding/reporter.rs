//! Tells the control plane how runs are doing. It may be away: no run fails for that.
//!
//! That a run is under way, and what it says, is told beside what it does, and given up after a while. How it ended is told
//! until it is heard, see [`super::reports`]. Each request has a key that is the same however often it is made.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::Clock;
use piton_model::Secret;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Serialize;
use serde_json::Value;
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
const LAST_LINES: Duration = Duration::from_secs(5);

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Tells nobody where no control plane is configured. The worker is called `worker` there, unless it has a name.
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
            worker: place.config.worker.id.clone().unwrap_or_else(|| worker.to_owned()),
            clock: clock.clone(),
        }))))
    }

    /// What this worker is called at the control plane; none where there is none.
    pub fn worker(&self) -> Option<&str> {
        self.0.as_ref().map(|desk| desk.worker.as_str())
    }

    /// Tells once how a run ended. An error says that it was not heard.
    pub async fn end(&self, run: &str, key: &str, status: &Value) -> Result<(), String> {
        let Some(desk) = &self.0 else { return Ok(()) };
        match desk.say(run, "status", key, status.to_string()).await {
            (Heard::Yes, _) => Ok(()),
            (Heard::Never, said) => {
                tracing::warn!(run, said, "the control plane does not want to know how a run ended");
                Ok(())
            }
            (Heard::Later | Heard::NotFromUs, said) => Err(format!("the control plane was not told: {said}")),
        }
    }

    /// Where what a run says goes, in its order. `key` is that of the attempt.
    pub fn lines(&self, run: &str, key: String) -> Lines {
        let Some(desk) = self.0.clone() else { return Lines(None) };
        let (inbox, mut waiting) = mpsc::unbounded_channel();
        let run = run.to_owned();
        let telling = tokio::spawn(async move {
            let mut batch: Vec<News> = Vec::new();
            while waiting.recv_many(&mut batch, 256).await > 0 {
                let mut lines = Vec::new();
                for news in batch.drain(..) {
                    match news {
                        News::Line(line) => lines.push(line),
                        News::Status(status) => {
                            desk.tell_lines(&run, &key, std::mem::take(&mut lines)).await;
                            desk.tell(&run, "status", &format!("{key}-running"), &status).await;
                        }
                    }
                }
                desk.tell_lines(&run, &key, lines).await;
            }
        });
        Lines(Some((inbox, telling)))
    }
}

/// What a run has to say.
#[derive(Debug)]
enum News {
    Line(Line),
    Status(Value),
}

fn told(line: &Line) -> Value {
    serde_json::json!({
        "timestamp": line.timestamp, "level": line.level, "message": line.message, "line": line.text(),
    })
}

/// The lines of one run on their way. They are told in their order, beside what the run does.
#[derive(Debug)]
pub struct Lines(Option<(mpsc::UnboundedSender<News>, JoinHandle<()>)>);

impl Lines {
    /// One more.
    pub fn tell(&self, line: Line) {
        self.say(News::Line(line));
    }

    /// How the run stands, after the lines so far.
    pub fn status(&self, status: Value) {
        self.say(News::Status(status));
    }

    fn say(&self, news: News) {
        if let Some((inbox, _)) = &self.0 {
            // The other end stays as long as this one.
            let _ = inbox.send(news);
        }
    }

    /// Waits until all are told, for a while. Nothing is told after that: it would come after the end.
    pub async fn end(self) {
        let Some((inbox, mut telling)) = self.0 else { return };
        drop(inbox);
        if tokio::time::timeout(LAST_LINES, &mut telling).await.is_err() {
            telling.abort();
            tracing::warn!("the control plane did not hear all of a run's log");
        }
    }
}

/// What becomes of something that was said.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Yes,
    Later,
    /// It does not know this worker's key: saying it again helps when somebody has mended that.
    NotFromUs,
    /// Saying it again would not help.
    Never,
}

fn heard(status: StatusCode) -> Heard {
    match status.as_u16() {
        200..=299 => Heard::Yes,
        408 | 425 | 429 | 500..=599 => Heard::Later,
        401 | 403 => Heard::NotFromUs,
        _ => Heard::Never,
    }
}

impl Desk {
    async fn tell_lines(&self, run: &str, key: &str, lines: Vec<Line>) {
        let Some(first) = lines.first() else { return };
        let key = format!("{key}-log-{}", first.timestamp.as_microsecond());
        let logs: Vec<Value> = lines.iter().map(told).collect();
        let report = serde_json::json!({ "run_id": run, "worker_id": self.worker, "logs": logs });
        self.tell(run, "logs", &key, &report).await;
    }

    async fn tell(&self, run: &str, what: &'static str, key: &str, body: &Value) {
        let body = body.to_string();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let (heard, said) = self.say(run, what, key, body.clone()).await;
            match heard {
                Heard::Yes => return,
                Heard::Later if attempt < TRIES => {
                    tracing::debug!(run, what, said, attempt, "the control plane did not hear, trying again");
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                Heard::Later | Heard::NotFromUs | Heard::Never => {
                    tracing::warn!(run, what, said, attempt, "the control plane was not told");
                    return;
                }
            }
        }
    }

    /// Says something once.
    async fn say(&self, run: &str, what: &str, key: &str, body: String) -> (Heard, String) {
        let url = match self.base.join(&format!("{run}/{what}")) {
            Ok(url) => url,
            Err(error) => return (Heard::Never, error.to_string()),
        };
        let mut request =
            self.client.post(url).header("content-type", "application/json").header("idempotency-key", key);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        match request.body(body).send().await {
            Ok(answer) => (heard(answer.status()), answer.status().to_string()),
            // The address may hold what is nobody's business.
            Err(error) => (Heard::Later, error.without_url().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_said_again() {
        for (status, expected) in [
            (200, Heard::Yes),
            (204, Heard::Yes),
            (429, Heard::Later),
            (503, Heard::Later),
            (401, Heard::NotFromUs),
            (404, Heard::Never),
        ] {
            assert_eq!(heard(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
