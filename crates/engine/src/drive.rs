//! Walks one leased run through its steps.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{
    AttemptNo, BatchProgress, By, Event, Failure, FailureClass, LEASE_NOT_RENEWED, Lease, NewRun, Record, Report, Run,
    RunState, Step, Subject, SubjectKind, Uptime,
};
use piton_store::{Guard, RecordError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::ahead::{self, Verdict};
use crate::claim::Slots;
use crate::clock::{Moment, RETRY, after};
use crate::executor::{Passed, Task};
use crate::leave::Leave;
use crate::news::News;
use crate::{Engine, Error, Shared};

/// Walks one leased run through its steps.
#[derive(Debug)]
pub struct Drive {
    shared: Arc<Shared>,
    run: Run,
    attempt: AttemptNo,
    deadline: Moment,
    /// When it may begin, where that is ahead.
    waits: Option<Timestamp>,
    stop: CancellationToken,
    unrenewed: CancellationToken,
    resumed: bool,
    suspended: watch::Sender<bool>,
    /// A run that was taken back may have none: its child runs already.
    _slots: Slots,
}

/// What came of one step.
#[derive(Debug)]
pub enum Driven {
    /// There is another step.
    On,
    /// The run is not held any more: it ended, waits for a person, or was put back.
    Released(Box<Run>),
    /// Somebody else holds it now, or it is gone.
    Lost,
    /// The engine is shutting down and let go of it.
    Detached,
}

impl Drive {
    /// Makes ready to drive a run. From now on, until the drive is dropped, a request to cancel reaches it.
    pub(crate) fn new(shared: Arc<Shared>, run: Run, slots: Slots, resumed: bool) -> Option<Drive> {
        let RunState::Running { lease, cancel, .. } = &run.state else { return None };
        if let Some(sealed) = &run.sealed {
            // It was claimed with its secrets. Without them it would do something else.
            tracing::error!(run = %run.id, key = sealed.key, "a run of this worker is sealed with a key that is gone; it is left alone");
            return None;
        }
        let stop = CancellationToken::new();
        if cancel.is_some() {
            stop.cancel();
        }
        let now = shared.clock.now();
        let rest = ahead::rest(lease.since, now, shared.config.ahead.max(shared.config.provisions.ahead));
        let waits = (!rest.is_zero()).then(|| after(now, rest));
        let age = age(lease, now, shared.uptime().as_ref());
        let (attempt, left) = (lease.attempt, run.action.timeout().saturating_sub(age));
        let deadline = shared.clock.moment().after(rest).after(left);
        let suspended = watch::Sender::new(false);
        let unrenewed = CancellationToken::new();
        let driver = Driver {
            attempt,
            stop: stop.clone(),
            kept: shared.clock.moment(),
            unrenewed: unrenewed.clone(),
            suspended: suspended.clone(),
            heeds: shared.heeds(&run),
        };
        shared.drivers().insert(run.id, driver);
        Some(Drive { shared, run, attempt, deadline, waits, stop, unrenewed, resumed, suspended, _slots: slots })
    }

    /// Drives a run by hand, for simulations.
    pub fn by_hand(engine: &Engine, run: Run, resumed: bool) -> Option<Drive> {
        Drive::new(engine.0.clone(), run, Slots::default(), resumed)
    }

    /// When the attempt has taken too long, whatever the wall clock shows then.
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// When it may begin, where that is ahead.
    pub fn waits(&self) -> Option<Timestamp> {
        self.waits
    }

    /// The run as it is now.
    pub fn current(&self) -> &Run {
        &self.run
    }

    pub(crate) async fn run(mut self) {
        let span_of = |run: &Run| (run.id, run.subject.clone());
        let (id, subject) = span_of(&self.run);
        self.look_for_cancel().await;
        if !self.wait_until_due().await || !self.look_again().await {
            tracing::info!(run = %id, %subject, "run goes on without the daemon");
            return;
        }
        loop {
            match self.step().await {
                Driven::On => {}
                Driven::Released(run) => {
                    match run.outcome() {
                        Some(outcome) => {
                            tracing::info!(run = %id, %subject, outcome = %outcome.kind(), "run ended");
                        }
                        None => tracing::info!(run = %id, %subject, phase = %run.phase(), "run released"),
                    }
                    return;
                }
                Driven::Lost => {
                    tracing::warn!(run = %id, %subject, "run lost to another worker");
                    return;
                }
                Driven::Detached => {
                    tracing::info!(run = %id, %subject, "run goes on without the daemon");
                    return;
                }
            }
        }
    }

    /// What was claimed a little ahead of its time waits for that here. Whether it is driven on.
    async fn wait_until_due(&self) -> bool {
        let Some(due) = self.waits else { return true };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => true,
            () = self.shared.alarms.at(due, &self.shared.clock) => true,
            () = self.shared.stages.detach.cancelled() => false,
        }
    }

    /// The time has come. What a schedule submitted ahead of it is decided about once more: it may have been suspended or
    /// declared otherwise since. Whether the run is driven on; one that is not wanted any more is driven to its end.
    pub async fn look_again(&mut self) -> bool {
        // One that is taken back may have begun: where the clock was set back since, it seems to wait.
        let waited = self.waits.take().is_some() && !self.resumed;
        if !waited || !ahead::is_early(&self.run) || self.stop.is_cancelled() {
            return true;
        }
        let loaded = self.shared.catalog.borrow().clone();
        let suspended = match self.shared.store.suspended().await {
            Ok(suspended) => suspended,
            // It was wanted a moment ago.
            Err(error) => {
                tracing::warn!(run = %self.run.id, %error, "could not see whether a job was suspended just now");
                return true;
            }
        };
        let asked = |reason: Option<&str>, superseded_by| Event::CancelAsked {
            by: By::System,
            reason: reason.map(str::to_owned),
            superseded_by,
        };
        let (event, instead) = match ahead::verdict(&self.run, &loaded, &suspended) {
            Verdict::Go => return true,
            Verdict::Withdraw(reason) => (asked(Some(reason), None), None),
            Verdict::Replace => {
                let Some(job) = loaded.catalog.jobs.get(&self.run.subject) else { return true };
                let (origin, now) = (self.run.origin.clone(), self.shared.clock.now());
                let run = self.shared.new_job_run(job, &loaded.catalog, origin, now);
                // The key is that of the fire, which has its run already.
                (asked(None, Some(run.id)), Some(NewRun { dedup_key: None, ..run }))
            }
        };
        self.stop.cancel();
        self.give_way(event, instead).await
    }

    /// Records that the run is not wanted any more, and what is instead of it. Unless the engine lets go of it meanwhile.
    async fn give_way(&self, event: Event, instead: Option<NewRun>) -> bool {
        loop {
            let now = self.shared.clock.now();
            // Whoever holds the run now, if it is not this attempt, decides about it.
            let recorded = match instead.clone() {
                Some(run) => {
                    self.shared.store.replace(self.run.id, self.attempt, event.clone(), run, now).await.map(drop)
                }
                None => {
                    match self.shared.store.record(self.run.id, event.clone(), Guard::Attempt(self.attempt), now).await
                    {
                        Err(RecordError::Store(error)) => Err(error),
                        Ok(_)
                        | Err(RecordError::NotFound(_) | RecordError::Fenced { .. } | RecordError::Illegal(_)) => {
                            Ok(())
                        }
                    }
                }
            };
            match recorded {
                Ok(()) => return true,
                Err(piton_store::Error::Closed) => return false,
                Err(error) => tracing::warn!(run = %self.run.id, %error, "could not record that a run is not wanted"),
            }
            tokio::select! {
                () = self.shared.clock.sleep(RETRY) => {}
                () = self.shared.stages.detach.cancelled() => return false,
            }
        }
    }

    /// Executes the current step and commits what came of it.
    pub async fn step(&mut self) -> Driven {
        let Some(step) = self.run.step() else { return Driven::Released(Box::new(self.run.clone())) };
        if let Some(why) = self.why_not_begin() {
            let failure = Failure::new(FailureClass::Interrupted, "stopped", format!("stopped before `{step}`"));
            return self.commit(Event::Failed { failure: classify(failure, step, why) }).await;
        }
        let stop = CancellationToken::new();
        let progress = watch::Sender::new(None);
        let (mut news, mut told) = (News::of(&progress), progress.subscribe());
        self.shared.hold_back(&self.run, &self.suspended).await;
        let leave = Leave::new(self.shared.clone(), self.run.id, self.attempt);
        let task = Task {
            run: self.run.clone(),
            step,
            attempt: self.attempt,
            stop: stop.clone(),
            resumed: std::mem::take(&mut self.resumed),
            progress,
            suspended: self.suspended.subscribe(),
            leave: leave.clone(),
        };
        let executor = self.shared.executor.clone();
        // A task of its own, so that a panic fails this run and nothing else.
        let mut work = AbortOnDropHandle::new(tokio::spawn(async move { executor.execute(&task).await }));
        let mut why = None;
        let result = loop {
            tokio::select! {
                // In this order, so that what is done counts as done whatever else happens at the same moment.
                biased;
                done = &mut work => break done,
                () = self.let_go(&leave) => return Driven::Detached,
                () = self.stop.cancelled(), if why.is_none() => {
                    why = Some(Stopped::Asked);
                    stop.cancel();
                }
                () = self.unrenewed.cancelled(), if why.is_none() => {
                    why = Some(Stopped::Unrenewed);
                    stop.cancel();
                }
                () = self.shared.clock.sleep_to(self.deadline), if why.is_none() => {
                    why = Some(Stopped::Late(self.run.action.timeout()));
                    stop.cancel();
                }
                () = self.at_rest_at_the_end(&mut told), if why.is_none() => {
                    if let Some(report) = news.latest() {
                        self.record_progress(report).await;
                    }
                    return Driven::Detached;
                }
                report = news.next(&self.shared.clock) => tokio::select! {
                    () = self.record_progress(report) => {}
                    // A database that is away must not keep the step from being stopped.
                    () = self.unrenewed.cancelled(), if why.is_none() => {}
                },
            }
        };
        let result = result.unwrap_or_else(|panic| {
            tracing::error!(run = %self.run.id, %step, %panic, "a step panicked");
            Err(internal(step))
        });
        if let Some(report) = news.latest() {
            self.record_progress(report).await;
        }
        let event = event_after(step, result, why, self.shared.clock.now());
        self.commit(event).await
    }

    /// Waits until the engine lets go of what is under way. A call that has begun gets a while to come to its end.
    async fn let_go(&self, leave: &Leave) {
        self.shared.stages.detach.cancelled().await;
        if leave.is_taken() {
            tokio::select! {
                () = self.shared.clock.sleep(self.shared.config.call_grace) => {}
                () = self.shared.stages.end_calls.cancelled() => {}
            }
        }
    }

    /// Waits until the engine is ending and the step tells that it is at rest: it would not end before somebody resumes it,
    /// and the next daemon can wait for that as well.
    async fn at_rest_at_the_end(&self, told: &mut watch::Receiver<Option<Report>>) {
        self.shared.stages.closing.cancelled().await;
        if told.wait_for(|told| told.as_ref().is_some_and(is_at_rest)).await.is_err() {
            // The step is gone, and its end is awaited.
            std::future::pending::<()>().await;
        }
    }

    /// Records how far the step has come. Not being able to does no harm: there will be more news, and the end.
    async fn record_progress(&self, report: Report) {
        let event = Event::Progressed { report };
        let now = self.shared.clock.now();
        if let Err(error) = self.shared.store.record(self.run.id, event, Guard::Attempt(self.attempt), now).await {
            tracing::debug!(run = %self.run.id, %error, "could not record how far a step has come");
        }
    }

    /// A request to cancel that was recorded after the claim and before this drive could be found reached nobody. If it
    /// has been seen since, that was remembered; if it is yet to be seen, it will find this drive.
    async fn look_for_cancel(&self) {
        if !self.shared.cancels_asked().remove(&self.run.id) {
            return;
        }
        match self.shared.store.run(self.run.id).await {
            Ok(Some(Run { state: RunState::Running { lease, cancel: Some(_), .. }, .. }))
                if lease.attempt == self.attempt =>
            {
                self.stop.cancel();
            }
            Ok(_) => {}
            // It shows again when the step is committed.
            Err(error) => tracing::warn!(run = %self.run.id, %error, "could not look for a request to cancel"),
        }
    }

    /// A step that would have to be stopped at once is not begun. One that was under way when the daemon went down
    /// is: nobody else stops it. But a call went down with the daemon, and to begin is to make it again.
    fn why_not_begin(&self) -> Option<Stopped> {
        if self.resumed && self.run.subject.kind() != SubjectKind::Provision {
            None
        } else if self.stop.is_cancelled() {
            Some(Stopped::Asked)
        } else if self.unrenewed.is_cancelled() {
            Some(Stopped::Unrenewed)
        } else {
            (self.shared.clock.moment() >= self.deadline).then(|| Stopped::Late(self.run.action.timeout()))
        }
    }

    async fn commit(&mut self, event: Event) -> Driven {
        let mut pause = Duration::from_millis(50);
        // Whether an earlier try may have been committed although its answer was lost.
        let mut unsure = false;
        loop {
            let now = self.shared.clock.now();
            match self.shared.store.record(self.run.id, event.clone(), Guard::Attempt(self.attempt), now).await {
                Ok(run) => {
                    self.run = run;
                    break;
                }
                Err(RecordError::Store(piton_store::Error::Closed)) => return Driven::Detached,
                Err(RecordError::Store(error)) => {
                    unsure = true;
                    // The step is done and must not be forgotten: try until the store answers or the lease is lost.
                    tracing::warn!(run = %self.run.id, %error, "could not record what happened, trying again");
                    tokio::select! {
                        () = self.shared.clock.sleep(pause) => {}
                        () = self.shared.stages.detach.cancelled() => return Driven::Detached,
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                // No event happens twice in one attempt, so a refusal may mean that it is recorded already.
                Err(RecordError::Fenced { .. } | RecordError::Illegal(_)) if unsure => {
                    match self.recorded(&event).await {
                        Ok(Some(run)) => {
                            self.run = run;
                            break;
                        }
                        Ok(None) => return Driven::Lost,
                        Err(error) => {
                            tracing::warn!(run = %self.run.id, %error, "could not see what was recorded, trying again");
                            self.shared.clock.sleep(pause).await;
                        }
                    }
                }
                Err(RecordError::NotFound(_) | RecordError::Fenced { .. }) => return Driven::Lost,
                Err(RecordError::Illegal(illegal)) => {
                    tracing::error!(run = %self.run.id, %illegal, "the run changed under its worker");
                    return Driven::Lost;
                }
            }
        }
        if let RunState::Running { cancel, .. } = &self.run.state {
            if cancel.is_some() {
                self.stop.cancel();
            }
            return Driven::On;
        }
        if self.run.outcome().is_some() {
            self.shared.executor.ended(&self.run).await;
        }
        Driven::Released(Box::new(self.run.clone()))
    }

    /// The run as it is stored, if this attempt has recorded `event`.
    async fn recorded(&self, event: &Event) -> Result<Option<Run>, Error> {
        let entries = self.shared.store.entries_of(self.run.id).await?;
        let events = entries.into_iter().filter_map(|entry| match entry.record {
            Record::Run { event, .. } => Some(event),
            Record::Skipped { .. } | Record::Removed { .. } | Record::Audit(_) => None,
        });
        let claim = |event: &Event| matches!(event, Event::Claimed { attempt, .. } if *attempt == self.attempt);
        let other = |event: &Event| matches!(event, Event::Claimed { .. }) && !claim(event);
        let mut of_attempt = events.skip_while(|event| !claim(event)).take_while(|event| !other(event));
        if of_attempt.any(|recorded| recorded == *event) {
            Ok(self.shared.store.run(self.run.id).await?)
        } else {
            Ok(None)
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let mut drivers = self.shared.drivers();
        // The run may have been put back and claimed again meanwhile: then another drive stands there.
        if drivers.get(&self.run.id).is_some_and(|driver| driver.attempt == self.attempt) {
            drivers.remove(&self.run.id);
        }
    }
}

/// How the drive of a run is reached.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) attempt: AttemptNo,
    pub(crate) stop: CancellationToken,
    /// When the lease was renewed last, or taken: not later than the store did it.
    pub(crate) kept: Moment,
    /// The lease was not renewed in time.
    pub(crate) unrenewed: CancellationToken,
    pub(crate) suspended: watch::Sender<bool>,
    /// What has to be suspended for the run to be held back; none for a run that heeds nothing of the kind.
    pub(crate) heeds: Option<Subject>,
}

/// Why a step was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Asked,
    Unrenewed,
    Late(Duration),
}

/// How old an attempt is. By the wall clock only where the host was started anew since, or the attempt began elsewhere:
/// what counts in uptime is right even if the wall clock was set while nobody looked. Pure.
fn age(lease: &Lease, now: Timestamp, uptime: Option<&Uptime>) -> Duration {
    let counted = lease.uptime.as_ref().zip(uptime).and_then(|(since, now)| now.since(since));
    counted.unwrap_or_else(|| Duration::try_from(now.duration_since(lease.since)).unwrap_or_default())
}

/// Whether somebody has to let it go on before anything more happens to a run that tells this of itself. Pure.
pub(crate) fn is_at_rest(report: &Report) -> bool {
    report.batch.as_ref().is_some_and(BatchProgress::is_at_rest)
}

/// The event that a step's result is. Pure.
fn event_after(step: Step, result: Result<Passed, Failure>, why: Option<Stopped>, now: Timestamp) -> Event {
    match (result, why) {
        // It came to its end although it was told to stop: that counts, but nothing new is begun.
        (Ok(Passed::Done(report)), _) => Event::Done { report },
        (Ok(Passed::Next(report)), _) if step.is_last() => Event::Done { report },
        (Ok(Passed::Next(report)), Some(_)) if step.may_have_effect() => Event::Done { report },
        (Ok(Passed::Next(report)), None) => Event::StepPassed { step, report },
        (Ok(Passed::Gate { gate, expires_in, report }), None) => {
            Event::GateReached { gate, expires: after(now, expires_in), report }
        }
        (Ok(Passed::Next(_) | Passed::Gate { .. }), Some(why)) => {
            let message = format!("stopped after `{step}`");
            Event::Failed { failure: classify(Failure::new(FailureClass::Interrupted, "stopped", message), step, why) }
        }
        (Err(failure), Some(why)) if failure.class != FailureClass::Uncertain => {
            Event::Failed { failure: classify(failure, step, why) }
        }
        (Err(failure), _) => Event::Failed { failure },
    }
}

fn classify(failure: Failure, step: Step, why: Stopped) -> Failure {
    match why {
        Stopped::Asked => Failure { class: FailureClass::Interrupted, ..failure },
        // What has changed nothing is tried again; where something may be half done, a person decides.
        Stopped::Unrenewed => Failure {
            class: if step.may_have_effect() { FailureClass::Interrupted } else { FailureClass::Transient },
            code: LEASE_NOT_RENEWED.to_owned(),
            message: format!("stopped during `{step}`, because the database did not answer in time to renew the lease"),
            hint: Some("see why the database was away, then run it again".to_owned()),
            exit_code: failure.exit_code,
            exited_at: failure.exited_at,
            retry_after: None,
        },
        Stopped::Late(limit) => Failure {
            class: FailureClass::TimedOut,
            code: "timed_out".to_owned(),
            message: format!("took longer than {}s and was stopped during `{step}`", limit.as_secs()),
            hint: Some("raise `timeout` if it needs longer".to_owned()),
            exit_code: failure.exit_code,
            exited_at: failure.exited_at,
            retry_after: None,
        },
    }
}

fn internal(step: Step) -> Failure {
    let class = if step.may_have_effect() { FailureClass::Uncertain } else { FailureClass::Permanent };
    Failure::new(class, "internal_error", format!("an internal error stopped `{step}`"))
        .hint("this is a bug in piton: please report it with the daemon's log")
}

#[cfg(test)]
mod tests {
    use piton_model::{CommandStep, IacStep, Report, WorkerId};

    use super::*;

    const PLAN: Step = Step::Iac(IacStep::Plan);
    const LATE: Option<Stopped> = Some(Stopped::Late(Duration::from_secs(60)));

    fn failed(event: Event) -> Failure {
        match event {
            Event::Failed { failure } => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_attempt_ages_by_uptime_while_the_host_is_up() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let up = |boot: &str, seconds| Some(Uptime::new(boot, Duration::from_secs(seconds)));
        let lease = |uptime| Lease {
            worker: WorkerId::new("w"),
            attempt: AttemptNo::FIRST,
            since: second(1000),
            until: second(1015),
            uptime,
        };
        for (began, now, expected) in [
            (up("one", 50), up("one", 57), 7),
            (up("one", 50), up("two", 57), 300),
            (up("one", 50), up("one", 49), 300),
            (up("one", 50), None, 300),
            (None, up("one", 57), 300),
        ] {
            let age = age(&lease(began.clone()), second(1300), now.as_ref());
            assert_eq!(age, Duration::from_secs(expected), "{began:?} {now:?}");
        }
        assert_eq!(age(&lease(None), second(900), None), Duration::ZERO, "the wall clock was set back");
    }

    #[test]
    fn the_last_step_ends_the_run_even_when_it_was_told_to_stop() {
        let last = Step::Command(CommandStep::Execute);
        for why in [None, Some(Stopped::Asked), LATE] {
            let event = event_after(last, Ok(Passed::Next(Report::default())), why, Timestamp::UNIX_EPOCH);
            assert!(matches!(event, Event::Done { .. }));
        }
    }

    #[test]
    fn what_was_applied_counts_even_when_it_was_told_to_stop() {
        let passed = || Ok(Passed::Next(Report::default()));
        let apply = Step::Iac(IacStep::Apply);
        for why in [Some(Stopped::Asked), LATE] {
            assert!(matches!(event_after(apply, passed(), why, Timestamp::UNIX_EPOCH), Event::Done { .. }));
        }
        assert!(matches!(event_after(apply, passed(), None, Timestamp::UNIX_EPOCH), Event::StepPassed { .. }));
    }

    #[test]
    fn nothing_new_is_begun_after_a_stop() {
        let next = || Ok(Passed::Next(Report::default()));
        assert!(matches!(event_after(PLAN, next(), None, Timestamp::UNIX_EPOCH), Event::StepPassed { .. }));
        let failure = failed(event_after(PLAN, next(), Some(Stopped::Asked), Timestamp::UNIX_EPOCH));
        assert_eq!(failure.class, FailureClass::Interrupted);
        let failure = failed(event_after(PLAN, next(), LATE, Timestamp::UNIX_EPOCH));
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::TimedOut, "timed_out"));
    }

    #[test]
    fn an_uncertain_end_stays_uncertain_whatever_was_asked() {
        for why in [None, Some(Stopped::Asked), LATE] {
            let unseen = Failure::new(FailureClass::Uncertain, "tool_killed", "killed");
            assert_eq!(failed(event_after(PLAN, Err(unseen.clone()), why, Timestamp::UNIX_EPOCH)), unseen);
        }
    }
}
