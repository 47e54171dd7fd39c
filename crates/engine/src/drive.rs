//! Walks one leased run through its steps.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_model::{AttemptNo, Event, Failure, FailureClass, Run, RunState, Step};
use piton_store::{Guard, RecordError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::after;
use crate::executor::{Passed, Task};
use crate::{Engine, Shared};

/// Walks one leased run through its steps.
#[derive(Debug)]
pub struct Drive {
    shared: Arc<Shared>,
    run: Run,
    attempt: AttemptNo,
    deadline: Timestamp,
    stop: CancellationToken,
    resumed: bool,
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
    pub(crate) fn new(shared: Arc<Shared>, run: Run, stop: CancellationToken, resumed: bool) -> Option<Drive> {
        let RunState::Running { lease, cancel, .. } = &run.state else { return None };
        if cancel.is_some() {
            stop.cancel();
        }
        let (attempt, deadline) = (lease.attempt, after(lease.since, run.action.timeout()));
        Some(Drive { shared, run, attempt, deadline, stop, resumed })
    }

    /// Drives a run by hand, for simulations.
    pub fn by_hand(engine: &Engine, run: Run, resumed: bool) -> Option<Drive> {
        Drive::new(engine.0.clone(), run, CancellationToken::new(), resumed)
    }

    /// The run as it is now.
    pub fn current(&self) -> &Run {
        &self.run
    }

    pub(crate) async fn run(mut self) {
        let span_of = |run: &Run| (run.id, run.subject.clone());
        let (id, subject) = span_of(&self.run);
        loop {
            match self.step().await {
                Driven::On => {}
                Driven::Released(run) => {
                    let outcome = run.outcome().map(piton_model::Outcome::kind);
                    tracing::info!(run = %id, %subject, phase = %run.phase(), ?outcome, "run released");
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

    /// Executes the current step and commits what came of it.
    pub async fn step(&mut self) -> Driven {
        let Some(step) = self.run.step() else { return Driven::Released(Box::new(self.run.clone())) };
        let stop = CancellationToken::new();
        let task = Task {
            run: self.run.clone(),
            step,
            attempt: self.attempt,
            stop: stop.clone(),
            resumed: std::mem::take(&mut self.resumed),
        };
        let executor = self.shared.executor.clone();
        // A task of its own, so that a panic fails this run and nothing else.
        let mut work = AbortOnDropHandle::new(tokio::spawn(async move { executor.execute(&task).await }));
        let mut why = None;
        let result = loop {
            tokio::select! {
                done = &mut work => break done,
                () = self.shared.stages.detach.cancelled() => return Driven::Detached,
                () = self.stop.cancelled(), if why.is_none() => {
                    why = Some(Stopped::Asked);
                    stop.cancel();
                }
                () = self.shared.clock.sleep_until(self.deadline), if why.is_none() => {
                    why = Some(Stopped::Late(self.run.action.timeout()));
                    stop.cancel();
                }
            }
        };
        let result = result.unwrap_or_else(|panic| {
            tracing::error!(run = %self.run.id, %step, %panic, "a step panicked");
            Err(internal(step))
        });
        let event = event_after(step, result, why, self.shared.clock.now());
        self.commit(event).await
    }

    async fn commit(&mut self, event: Event) -> Driven {
        let mut pause = Duration::from_millis(50);
        loop {
            let now = self.shared.clock.now();
            match self.shared.store.record(self.run.id, event.clone(), Guard::Attempt(self.attempt), now).await {
                Ok(run) => {
                    self.run = run;
                    break;
                }
                Err(RecordError::Store(error)) => {
                    // The step is done and must not be forgotten: try until the store answers or the lease is lost.
                    tracing::warn!(run = %self.run.id, %error, "could not record what happened, trying again");
                    tokio::select! {
                        () = self.shared.clock.sleep(pause) => {}
                        () = self.shared.stages.detach.cancelled() => return Driven::Detached,
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                    // Whether the lost answer was a success shows in what is stored now.
                    if let Ok(Some(stored)) = self.shared.store.run(self.run.id).await
                        && stored != self.run
                        && self.run.apply(&event, now).is_ok_and(|wanted| wanted.state == stored.state)
                    {
                        self.run = stored;
                        break;
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
}

/// Why a step was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Asked,
    Late(Duration),
}

/// The event that a step's result is. Pure.
fn event_after(step: Step, result: Result<Passed, Failure>, why: Option<Stopped>, now: Timestamp) -> Event {
    match (result, why) {
        // It came to its end although it was told to stop: that counts, but nothing new is begun.
        (Ok(Passed::Done(report)), _) => Event::Done { report },
        (Ok(Passed::Next(report)), _) if step.next().is_none() => Event::Done { report },
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
        Stopped::Late(limit) => Failure {
            class: FailureClass::TimedOut,
            code: "timed_out".to_owned(),
            message: format!("took longer than {}s and was stopped during `{step}`", limit.as_secs()),
            hint: Some("raise `timeout` if it needs longer".to_owned()),
            exit_code: failure.exit_code,
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
    use piton_model::{CommandStep, IacStep, Report};

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
    fn the_last_step_ends_the_run_even_when_it_was_told_to_stop() {
        let last = Step::Command(CommandStep::Execute);
        for why in [None, Some(Stopped::Asked), LATE] {
            let event = event_after(last, Ok(Passed::Next(Report::default())), why, Timestamp::UNIX_EPOCH);
            assert!(matches!(event, Event::Done { .. }));
        }
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
