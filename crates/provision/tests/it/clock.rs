//! A clock that stands still until a test moves it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_provision::{Clock, Sleeping};
use tokio::sync::watch;

#[derive(Debug)]
pub struct ManualClock {
    uptime: watch::Sender<Duration>,
    /// Until when somebody ever slept.
    asked: watch::Sender<Vec<Duration>>,
}

pub const START: &str = "2026-01-05T09:00:00Z";

impl ManualClock {
    pub fn new() -> ManualClock {
        ManualClock { uptime: watch::Sender::new(Duration::ZERO), asked: watch::Sender::new(Vec::new()) }
    }

    pub fn advance(&self, span: Duration) {
        self.uptime.send_modify(|uptime| *uptime += span);
    }

    /// Waits until somebody sleeps until `at`.
    pub async fn sleeper(&self, at: Duration) {
        self.asked.subscribe().wait_for(|asked| asked.contains(&at)).await.unwrap();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        start + SignedDuration::try_from(self.uptime()).unwrap()
    }

    fn uptime(&self) -> Duration {
        *self.uptime.borrow()
    }

    fn sleep_until(&self, at: Duration) -> Sleeping<'_> {
        Box::pin(async move {
            let mut uptime = self.uptime.subscribe();
            self.asked.send_modify(|asked| asked.push(at));
            uptime.wait_for(|uptime| *uptime >= at).await.unwrap();
        })
    }
}
