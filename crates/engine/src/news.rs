//! What a step tells of itself while it goes on.

use std::time::Duration;

use piton_model::Report;
use tokio::sync::watch;

use crate::clock::{Clock, Moment};

/// How often it is recorded, at most.
const PAUSE: Duration = Duration::from_millis(500);

/// What a step tells of itself while it goes on.
pub(crate) struct News {
    told: watch::Receiver<Option<Report>>,
    recorded: Option<Report>,
    /// Nothing is recorded before.
    not_before: Option<Moment>,
}

impl News {
    /// Of the step that tells it here.
    pub(crate) fn of(progress: &watch::Sender<Option<Report>>) -> News {
        News { told: progress.subscribe(), recorded: None, not_before: None }
    }

    /// What is to be recorded next, in good time. May be dropped at any moment: then nothing is lost.
    pub(crate) async fn next(&mut self, clock: &Clock) -> Report {
        loop {
            if self.told.changed().await.is_err() {
                // The step is gone, and says no more.
                std::future::pending::<()>().await;
            }
            self.told.mark_changed();
            if let Some(moment) = self.not_before {
                clock.sleep_to(moment).await;
            }
            if let Some(report) = self.latest() {
                self.not_before = Some(clock.moment().after(PAUSE));
                return report;
            }
        }
    }

    /// What was told last, unless that is recorded.
    pub(crate) fn latest(&mut self) -> Option<Report> {
        let told = self.told.borrow_and_update().clone();
        if told == self.recorded {
            return None;
        }
        self.recorded.clone_from(&told);
        told
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::{BatchCounts, BatchProgress};

    use super::*;
    use crate::VirtualClock;

    fn active(active: u32) -> Report {
        let counts = BatchCounts { active, ..BatchCounts::default() };
        Report { batch: Some(BatchProgress { counts, ..BatchProgress::default() }), ..Report::default() }
    }

    #[tokio::test]
    async fn the_first_news_are_told_at_once_and_of_the_rest_the_last() {
        let hand = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let clock = hand.clock();
        let progress = watch::Sender::new(None);
        let mut news = News::of(&progress);
        progress.send_replace(Some(active(1)));
        assert_eq!(news.next(&clock).await, active(1));
        progress.send_replace(Some(active(2)));
        progress.send_replace(Some(active(3)));
        {
            let next = news.next(&clock);
            tokio::pin!(next);
            assert!(futures_util::poll!(&mut next).is_pending());
        }
        hand.set(Timestamp::from_millisecond(500).unwrap());
        assert_eq!(news.next(&clock).await, active(3));
        assert_eq!(news.latest(), None);
        progress.send_replace(Some(active(0)));
        drop(progress);
        assert_eq!(news.latest(), Some(active(0)));
    }
}
