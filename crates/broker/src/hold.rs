//! One message, from its arrival to what is said to the broker.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::decide::{Action, Arrival, Patience, Verdict, answer, arrive};
use crate::doing::{Doing, Key, Work};
use crate::handler::{Delivery, Handler};
use crate::inlet::Settings;
use crate::marks::Marks;
use crate::message::{JobType, peek_type};
use crate::outlet::{Outgoing, Outlet};
use crate::topology::Topology;

/// A publication that failed is followed by this pause, so that the message does not spin.
const PAUSE: Duration = Duration::from_secs(5);

/// A message as the broker gave it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) tag: u64,
    pub(crate) queue: Arc<str>,
    pub(crate) redelivered: bool,
    pub(crate) body: Key,
    pub(crate) properties: BasicProperties,
}

/// What to say to the broker about one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Accepted,
    Retried,
    Buried,
    Forwarded,
    /// Unanswered: somebody else may have it.
    Returned,
}

/// What every message needs.
pub(crate) struct Desk<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) settings: Settings,
    pub(crate) topology: Topology,
    pub(crate) outlet: Outlet,
    pub(crate) doing: Arc<Doing>,
    pub(crate) permits: Arc<Semaphore>,
}

impl<H: Handler> Desk<H> {
    /// Does all that is to be done about one message. Only then may it be acknowledged.
    pub(crate) async fn hold(&self, held: &Held, draining: &CancellationToken) -> Said {
        // The broker takes it away after half an hour or so, and closes the channel: give it back before.
        let until = Instant::now() + self.settings.hold_limit;
        let marks = Marks::read(&held.properties, &self.topology);
        let arrival = Arrival { marks, redelivered: held.redelivered, foreign: self.foreign(held) };
        let patience = self.patience();
        let action = match arrive(arrival, patience) {
            Some(action) => action,
            None => match self.verdict(held, marks, until, draining).await {
                Some(verdict) => answer(verdict, marks, (self.settings.now)(), patience),
                None => return Said::Returned,
            },
        };
        if let Ok(said) = timeout_at(until.max(Instant::now() + PAUSE), self.carry_out(held, action, draining)).await {
            return said;
        }
        tracing::warn!(queue = %held.queue, "a message is given back, as nothing could be published in its place");
        Said::Returned
    }

    fn patience(&self) -> Patience {
        Patience { retries: self.settings.ladder.retries, returns: self.settings.returns }
    }

    /// Only from the queue of all types is something left to others; what lies in a queue of a type is for those who
    /// consume it.
    fn foreign(&self, held: &Held) -> Option<JobType> {
        let types = self.settings.types.as_ref()?;
        let job_type = peek_type(&held.body)?;
        (!types.contains(&job_type) && *held.queue == *self.topology.work()).then_some(job_type)
    }

    /// Asks the handler, or whoever asked it already. None: it was not begun, and will not be.
    async fn verdict(
        &self,
        held: &Held,
        marks: Marks,
        until: Instant,
        draining: &CancellationToken,
    ) -> Option<Verdict> {
        let work = match self.doing.join(&held.body, held.redelivered) {
            Some(work) => work,
            None => self.begin(held, marks, until, draining).await?,
        };
        if let Ok(verdict) = timeout_at(until, work.answer()).await {
            return Some(verdict);
        }
        self.doing.abort(&held.body);
        let limit = self.settings.hold_limit;
        Some(Verdict::Later { reason: format!("no answer within {limit:?}, the longest that a message is held") })
    }

    async fn begin(&self, held: &Held, marks: Marks, until: Instant, draining: &CancellationToken) -> Option<Work> {
        // Half of the time is for the work.
        let wait = until.saturating_duration_since(Instant::now()) / 2;
        let permit = tokio::select! {
            biased;
            () = draining.cancelled() => return None,
            permit = timeout(wait, Arc::clone(&self.permits).acquire_owned()) => permit.ok()?.ok()?,
        };
        let delivery = Delivery {
            body: Arc::clone(&held.body),
            queue: Arc::clone(&held.queue),
            properties: held.properties.clone(),
            redelivered: held.redelivered,
            attempt: marks.failures.saturating_add(1),
        };
        let handler = Arc::clone(&self.handler);
        Some(self.doing.begin(&held.body, async move {
            let verdict = handler.take(delivery).await;
            drop(permit);
            verdict
        }))
    }

    async fn carry_out(&self, held: &Held, action: Action, draining: &CancellationToken) -> Said {
        let (queue, marks, reason, said) = match action {
            Action::Ack => return Said::Accepted,
            Action::Retry { marks, reason } => {
                let rung = self.topology.rung_after(marks.failures);
                tracing::info!(%reason, attempt = marks.failures, queue = %rung.queue, "a message waits for its next attempt");
                (rung.queue.as_str(), marks, Some(reason), Said::Retried)
            }
            Action::Bury { marks, reason } => {
                tracing::warn!(%reason, attempts = marks.failures, "a message is put with the dead letters");
                self.handler.bury(&held.body, &reason).await;
                (self.topology.dead(), marks, Some(reason), Said::Buried)
            }
            Action::Forward { to, marks } => (self.topology.typed(to), marks, None, Said::Forwarded),
            // By way of a rung: if the copy were here at once, it could end this worker before the original is
            // acknowledged, and there would be one more of it each time.
            Action::Recount { marks } => (self.topology.rung_after(1).queue.as_str(), marks, None, Said::Forwarded),
        };
        let message = Outgoing {
            body: Arc::clone(&held.body),
            properties: marks.written(&held.properties, &held.queue, reason.as_deref()),
        };
        match self.outlet.publish(Arc::from(queue), message).await {
            Ok(()) => said,
            Err(error) => {
                tracing::error!(%error, "a message could not be published in place of another, which stays");
                // Without the pause it would come straight back.
                let _ = timeout(PAUSE, draining.cancelled()).await;
                Said::Returned
            }
        }
    }
}
