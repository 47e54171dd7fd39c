//! Scheduled provisions: takes rows that are due, and drives the runs that carry them out.
//!
//! The rows are the truth while they wait, and other programs may write them; so nothing is remembered of them here but
//! when to look next. A row is taken a moment before it is due, and its run waits for the rest of that moment: what a
//! transaction takes does not make it late.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{Backoff, By, SubjectKind};
use piton_store::{ProvisionPlace, Taking};
use tokio::sync::watch;

use crate::claim::{drive, free_slot, overlooked};
use crate::clock::{Moment, after};
use crate::drive::Drive;
use crate::{Engine, Error, Shared};

/// How many rows are taken in one transaction.
const BATCH: usize = 256;
/// Which share of the calls that may be under way are to be over before more rows are taken, and how long that is waited for.
const SHARE: usize = 4;
const A_MOMENT: Duration = Duration::from_millis(2);
/// How long to wait before the next look when nothing could be done although something is due: another node is just taking
/// it, or another program holds the row. At first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How scheduled provisions are executed.
#[derive(Debug, Clone)]
pub struct ProvisionRules {
    /// How many calls may be under way at once.
    pub max_concurrent: usize,
    /// How often, and after how long, a call that failed is made again.
    pub retry: Backoff,
    /// How long before it is due a row is taken.
    pub ahead: Duration,
}

impl Default for ProvisionRules {
    fn default() -> ProvisionRules {
        ProvisionRules { max_concurrent: 256, retry: Backoff::NONE, ahead: Duration::ZERO }
    }
}

pub(crate) struct Provisions {
    shared: Arc<Shared>,
    /// The answer to a take was lost: this worker may hold runs of which nothing is known here.
    unsure: bool,
    /// How long to wait when nothing can be done although something is due.
    pause: Duration,
    /// Where the last take came to an end, if there may be more after that, and since when takes have gone on from there.
    last: Option<(ProvisionPlace, Moment)>,
    /// When to let rows catch up again, if some of them may have been held the last time.
    astray: Option<Timestamp>,
}

impl Provisions {
    pub(crate) fn new(shared: Arc<Shared>) -> Provisions {
        Provisions { shared, unsure: false, pause: FIRST_PAUSE, last: None, astray: None }
    }

    /// When to look again after a look that was of no use.
    fn later(&mut self) -> Next {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Next::At(after(self.shared.clock.now(), pause))
    }

    /// Takes what is due, as far as there is room, ready to be driven.
    async fn take(&mut self) -> Result<Vec<Drive>, Error> {
        let shared = &self.shared;
        let mut drives = Vec::new();
        if self.unsure {
            drives = overlooked(shared, |kind| kind == SubjectKind::Provision).await?;
            self.unsure = false;
        }
        let room = shared.provision_slots.available_permits().min(BATCH);
        if room == 0 {
            return Ok(drives);
        }
        let now = shared.clock.now();
        let config = &shared.config;
        let taking = Taking {
            worker: config.worker.clone(),
            lease_until: after(now, config.lease),
            uptime: shared.uptime(),
            retry: config.provisions.retry,
            runs: (0..room).map(|_| shared.ids.provision(now)).collect(),
            horizon: after(now, config.provisions.ahead),
            after: self.place(),
        };
        match shared.store.take_provisions(taking, now).await {
            Ok(taken) => {
                let moment = shared.clock.moment();
                // When it was begun does not change: what was passed over is looked at again after a while.
                let since = self.last.filter(|_| self.place().is_some()).map_or(moment, |(_, since)| since);
                self.last = taken.last.map(|last| (last, since));
                drives.extend(taken.runs.into_iter().filter_map(|run| drive(shared, run, false)));
            }
            Err(error) => {
                self.unsure = true;
                self.last = None;
                if drives.is_empty() {
                    return Err(error.into());
                }
            }
        }
        Ok(drives)
    }

    /// After which row the next take may begin. Not for long: a row that somebody held is free again, and one that was
    /// written late may stand before it.
    fn place(&self) -> Option<ProvisionPlace> {
        let now = self.shared.clock.moment();
        self.last.filter(|(_, since)| now < since.after(LONGEST_PAUSE)).map(|(place, _)| place)
    }

    /// Waits until some of the calls under way are over: each take is a transaction, so that it should be worth one where
    /// calls are short, and wait for no second one where they are long.
    async fn room(&self) {
        let slots = &self.shared.provision_slots;
        free_slot(slots).await;
        let share = u32::try_from(self.shared.config.provisions.max_concurrent / SHARE).unwrap_or(u32::MAX);
        tokio::select! {
            // Given back at once: it only tells that they are free.
            _ = slots.acquire_many(share) => {}
            () = self.shared.clock.sleep(A_MOMENT) => {}
        }
    }

    /// Takes back what other programs have written about rows that are under way.
    async fn heed_others(&mut self) -> Result<(), Error> {
        // Where that fails it is done once more after a pause, and not at once because this time has come.
        self.astray = None;
        let shared = &self.shared;
        stop_unwanted(shared).await?;
        let found = shared.store.catch_up_provisions(shared.clock.now()).await?;
        self.astray = (found > 0).then(|| after(shared.clock.now(), LONGEST_PAUSE));
        Ok(())
    }

    /// Does what there is to do; when to look next, if not at once.
    async fn round(&mut self, news: bool) -> Result<Next, Error> {
        let shared = self.shared.clone();
        let ahead = shared.config.provisions.ahead;
        if news {
            self.last = None;
            self.heed_others().await?;
            // To take is a transaction, and most of what is written is for another day.
            let due = if self.unsure { None } else { Some(shared.store.next_provision().await?) };
            match due {
                Some(None) => return Ok(Next::WithNews),
                Some(Some(due)) if before(due, ahead) > shared.clock.now() => return Ok(Next::At(before(due, ahead))),
                Some(Some(_)) | None => {}
            }
        }
        let drives = self.take().await?;
        let taken = drives.len();
        for drive in drives {
            shared.drives.spawn(drive.run());
        }
        if self.last.is_some() || shared.provision_slots.available_permits() == 0 {
            // There may be more than there were slots for.
            return Ok(Next::WithRoom);
        }
        let Some(due) = shared.store.next_provision().await? else { return Ok(Next::WithNews) };
        let at = before(due, ahead);
        if at <= shared.clock.now() && taken == 0 {
            return Ok(self.later());
        }
        self.pause = FIRST_PAUSE;
        Ok(if at > shared.clock.now() { Next::At(at) } else { Next::Now })
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut changes = shared.store.provision_changes();
        let (mut news, mut heard) = (true, 0);
        loop {
            news |= hears(&mut changes, &mut heard);
            let (next, heeded) = match self.round(news).await {
                Ok(next) => (next, true),
                Err(error) => {
                    tracing::error!(%error, "could not execute scheduled provisions");
                    self.pause = LONGEST_PAUSE;
                    (self.later(), !news)
                }
            };
            if next == Next::Now && !shared.stages.closing.is_cancelled() {
                news = false;
                continue;
            }
            let backstop = after(shared.clock.now(), shared.config.check_interval);
            let heed = self.astray.map_or(backstop, |again| again.min(backstop));
            let wake = if let Next::At(at) = next { at.min(heed) } else { heed };
            news = tokio::select! {
                () = shared.stages.closing.cancelled() => return,
                () = self.room(), if next == Next::WithRoom => false,
                changed = changes.changed() => changed.is_ok(),
                // Perhaps nobody heard of what was new.
                () = shared.clock.sleep_until(wake) => wake == heed || !heeded,
            };
        }
    }
}

/// Asks runs under way to stop whose rows somebody has cancelled or deleted.
pub(crate) async fn stop_unwanted(shared: &Arc<Shared>) -> Result<(), Error> {
    for run in shared.store.unwanted_provisions().await? {
        let reason = "its row was cancelled or deleted".to_owned();
        match Engine(shared.clone()).cancel(run, By::System, Some(reason)).await {
            Ok(_) | Err(Error::Illegal(_) | Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// When there is something to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Now,
    At(Timestamp),
    /// As soon as one of the calls under way is over.
    WithRoom,
    /// When somebody schedules something.
    WithNews,
}

/// Whether something has changed since this was asked last, also what nobody waited for just then.
fn hears(changes: &mut watch::Receiver<u64>, heard: &mut u64) -> bool {
    let count = *changes.borrow_and_update();
    std::mem::replace(heard, count) != count
}

fn before(due: Timestamp, ahead: Duration) -> Timestamp {
    due.checked_sub(ahead).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use piton_model::WorkerId;
    use piton_store::{Options, Store};

    use super::*;
    use crate::idle::Idle;
    use crate::{Config, Loaded, VirtualClock};

    /// Otherwise the loop would go round and round for as long as the database is away.
    #[tokio::test]
    async fn what_cannot_be_looked_at_is_not_looked_at_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("piton.db").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        let loaded = watch::Sender::<Arc<Loaded>>::default();
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH).clock();
        let config = Config::new(WorkerId::new("w"));
        let engine = Engine::new(config, store.clone(), clock, Arc::new(Idle), loaded.subscribe());
        let mut provisions = Provisions::new(engine.0.clone());
        provisions.astray = Some(Timestamp::UNIX_EPOCH);
        store.close().await;
        provisions.round(true).await.unwrap_err();
        assert_eq!(provisions.astray, None);
    }

    #[test]
    fn what_comes_while_there_is_other_work_is_heard_of_once() {
        let (sender, mut changes) = watch::channel(7);
        let mut heard = 0;
        assert!(hears(&mut changes, &mut heard), "what was there before is news at first");
        assert!(!hears(&mut changes, &mut heard));
        // Nobody waits for it, and it comes twice.
        sender.send_modify(|count| *count += 1);
        sender.send_modify(|count| *count += 1);
        assert!(hears(&mut changes, &mut heard));
        assert!(!hears(&mut changes, &mut heard));
        assert!(!changes.has_changed().unwrap(), "nor is it waited for any more");
    }
}
