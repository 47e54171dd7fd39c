//! The tasks of one job, while they run.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use piton_model::batch::{Next, Task, TaskExit, TaskId, TaskState, Tasks};
use piton_model::{BatchEnd, BatchReason, Failure, HookPhase, Report, RunMode};
use piton_process::{Attended, Child, Error, ExitStatus, State};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::workplace::Workplace;
use crate::failing;
use crate::hooks::HookRunner;
use crate::pass::runner_failure;
use crate::real_time::RealTime;
use crate::verdict::Doing;

/// The tasks of one job, while they run. What is true stands in the keeper and in the journal: a crew that is dropped
/// can be assembled again.
pub(super) struct Crew<'a> {
    place: &'a Workplace<'a>,
    hooks: &'a HookRunner<'a>,
    time: RealTime,
    tasks: Tasks,
    journal: Journal,
    running: FuturesUnordered<BoxFuture<'a, (TaskId, Result<Attended, Error>)>>,
    stops: BTreeMap<TaskId, CancellationToken>,
    /// What goes on beside the tasks.
    beside: FuturesUnordered<BoxFuture<'a, Beside>>,
    /// Stops the hooks among them.
    stop_hooks: CancellationToken,
    /// Whether the hooks after the start were begun.
    greeted: bool,
    farewell: Farewell,
    /// Why the job cannot go on, for a reason that is not its tasks'.
    trouble: Option<Failure>,
    /// What could not be written first, though the job went on.
    unwritten: Option<String>,
}

/// Something that goes on beside the tasks has ended.
enum Beside {
    /// Nothing follows from it.
    Whatever,
    /// The hooks after the start.
    Greeted(Result<(), Failure>),
    /// The hooks before the stop.
    Parted,
    /// The log of a task that had ended before, but for what could not be written.
    Logged(Option<String>),
}

/// The hooks before the stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    NotYet,
    UnderWay,
    Over,
}

impl<'a> Crew<'a> {
    /// Begins, or takes back what was begun.
    pub(super) async fn assemble(place: &'a Workplace<'a>, hooks: &'a HookRunner<'a>) -> Result<Crew<'a>, Failure> {
        let pass = place.pass;
        let time = RealTime::begin();
        let path = pass.files.batch(pass.input.attempt);
        let found = Journal::find(&path)?;
        let resumed = found.is_some();
        let journal = match found {
            Some(journal) => journal,
            None => {
                pass.go_on("the job")?;
                Journal::begin(path, time.now())?
            }
        };
        let mut crew = Crew {
            tasks: Tasks { all: vec![], since: journal.since, suspended: journal.suspended },
            place,
            hooks,
            time,
            journal,
            running: FuturesUnordered::new(),
            stops: BTreeMap::new(),
            beside: FuturesUnordered::new(),
            stop_hooks: CancellationToken::new(),
            greeted: false,
            farewell: Farewell::NotYet,
            trouble: None,
            unwritten: None,
        };
        if resumed {
            crew.take_back().await?;
        }
        // Those that nobody waits for go on, or are begun now.
        let stop = crew.stop_hooks.clone();
        crew.beside.push(Box::pin(async move {
            hooks.beside(HookPhase::PreStart, &stop).await;
            Beside::Whatever
        }));
        Ok(crew)
    }

    /// Everything that the keeper remembers of this attempt.
    async fn take_back(&mut self) -> Result<(), Failure> {
        let pass = self.place.pass;
        let held = pass.world.runner.held().await.map_err(|error| runner_failure(Doing::Job, error))?;
        let prefix = pass.token("");
        for child in &held {
            let Some(id) = child.token.as_str().strip_prefix(&prefix).and_then(|id| id.parse().ok()) else { continue };
            match ended(child) {
                None => self.attend(id),
                Some((exit, at)) => {
                    let stopped = self.journal.was_stopped(id);
                    self.tasks.all.push(Task { id, state: TaskState::Ended { exit, at, stopped } });
                    // The end of its output may not be in the log yet, nor what it left behind be gone.
                    let end = self.run(id, CancellationToken::new());
                    let unwritten = |attended: Attended| attended.unwritten.map(|error| error.to_string());
                    self.beside.push(Box::pin(end.map(move |end| Beside::Logged(end.ok().and_then(unwritten)))));
                }
            }
        }
        Ok(())
    }

    /// Goes on until it is decided how the job ends and nothing runs any more.
    pub(super) async fn work(&mut self) -> Result<BatchEnd, Failure> {
        let mut suspended = self.place.pass.input.suspended.clone();
        loop {
            self.heed(*suspended.borrow_and_update());
            let stopping = self.trouble.is_some() || self.place.pass.input.stop.is_cancelled();
            let again = if stopping {
                self.let_go();
                None
            } else {
                self.advance()
            };
            self.tell();
            if self.running.is_empty() && (self.trouble.is_some() || stopping || self.journal.end.is_some()) {
                return self.close().await;
            }
            let stop = &self.place.pass.input.stop;
            tokio::select! {
                Some((id, result)) = self.running.next() => self.ended(id, result),
                Some(beside) = self.beside.next() => self.settle(beside),
                () = stop.cancelled(), if !stopping => {}
                () = self.time.reach(again) => {}
                Ok(()) = suspended.changed() => {}
            }
            // What has ended at the same time counts together.
            while let Some(Some((id, result))) = self.running.next().now_or_never() {
                self.ended(id, result);
            }
        }
    }

    /// Does what the rules say; when to look again.
    fn advance(&mut self) -> Option<Timestamp> {
        if self.journal.end.is_none() {
            let delay = self.place.pass.world.config.retry_delay;
            match self.place.batch.next(&self.tasks, self.time.now(), delay) {
                Next::Go { start, stop, again } => {
                    self.dismiss(&stop);
                    for id in start {
                        self.attend(id);
                    }
                    self.greet();
                    return again;
                }
                Next::Finish { end, stop } => {
                    match self.journal.decide(&end, &stop) {
                        // Nothing follows from it but the end, and whoever looks again decides the same.
                        Err(failure) if stop.is_empty() => self.miss(failure.message),
                        noted => self.note(noted),
                    }
                }
            }
        }
        self.let_go();
        None
    }

    /// Stops all that runs, after the hooks that want to be told before.
    fn let_go(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let running: Vec<TaskId> = self.stops.keys().copied().collect();
        let noted = self.journal.stop(&running);
        self.note(noted);
        match self.farewell {
            Farewell::NotYet if self.hooks.hooks.pre_stop.is_empty() => self.farewell = Farewell::Over,
            Farewell::NotYet => {
                let hooks = self.hooks;
                self.farewell = Farewell::UnderWay;
                self.beside.push(Box::pin(async move {
                    hooks.all(HookPhase::PreStop).await;
                    Beside::Parted
                }));
            }
            Farewell::UnderWay | Farewell::Over => {}
        }
        if self.farewell == Farewell::Over {
            self.stops.values().for_each(CancellationToken::cancel);
        }
    }

    /// Stops these, though the job goes on.
    fn dismiss(&mut self, ids: &[TaskId]) {
        let noted = self.journal.stop(ids);
        self.note(noted);
        for id in ids {
            if let Some(stop) = self.stops.get(id) {
                stop.cancel();
            }
        }
    }

    /// Starts a task, or goes on with one that was started.
    fn attend(&mut self, id: TaskId) {
        let stop = CancellationToken::new();
        self.stops.insert(id, stop.clone());
        self.tasks.all.push(Task { id, state: TaskState::Running });
        if self.journal.was_stopped(id) && self.journal.end.is_none() {
            stop.cancel();
        }
        let end = self.run(id, stop);
        self.running.push(Box::pin(end.map(move |result| (id, result))));
    }

    fn run(
        &self,
        id: TaskId,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<Attended, Error>> + Send + use<'a> {
        let (place, invocation) = (self.place, self.place.invocation(id));
        async move {
            let (runner, run) = (&place.pass.world.runner, place.pass.input.run.id);
            runner.run(&invocation, run, &place.log, &stop).await
        }
    }

    fn ended(&mut self, id: TaskId, result: Result<Attended, Error>) {
        self.stops.remove(&id);
        let exit = match result {
            Ok(Attended { exit, unwritten }) => {
                if let Some(error) = unwritten {
                    self.miss(error.to_string());
                }
                Some(exit_of(exit.status))
            }
            // It may have run: that counts as a try.
            Err(Error::Lost { .. } | Error::StartUncertain(_)) => Some(TaskExit::Unseen),
            // It was told to stop before it began, which the journal knows and a later daemon reads there: it counts against
            // no limit, and what is tried next gets the next number. Forgotten, it would be begun again under its own
            // number, and be stopped again for what the journal says, without end.
            Err(Error::NotStarted) => Some(TaskExit::Unseen),
            Err(error) => {
                self.trouble.get_or_insert(runner_failure(Doing::Job, error));
                None
            }
        };
        match exit {
            Some(exit) => {
                let ended = TaskState::Ended { exit, at: self.time.now(), stopped: self.journal.was_stopped(id) };
                self.tasks.all.iter_mut().filter(|task| task.id == id).for_each(|task| task.state = ended);
            }
            None => self.tasks.all.retain(|task| task.id != id),
        }
    }

    fn settle(&mut self, beside: Beside) {
        match beside {
            Beside::Whatever | Beside::Greeted(Ok(())) | Beside::Logged(None) => {}
            Beside::Logged(Some(error)) => self.miss(error),
            Beside::Greeted(Err(failure)) => self.note(Err(failure)),
            Beside::Parted => self.farewell = Farewell::Over,
        }
    }

    /// Runs the hooks after the start, once something was started.
    fn greet(&mut self) {
        if self.greeted || self.tasks.all.is_empty() {
            return;
        }
        self.greeted = true;
        let hooks = self.hooks;
        let (stop, stop_beside) = (self.stop_hooks.clone(), self.stop_hooks.clone());
        self.beside.push(Box::pin(async move { Beside::Greeted(hooks.blocking(HookPhase::PostStart, &stop).await) }));
        self.beside.push(Box::pin(async move {
            hooks.beside(HookPhase::PostStart, &stop_beside).await;
            Beside::Whatever
        }));
    }

    /// Heeds whether the job is to be held back.
    fn heed(&mut self, suspended: bool) {
        if suspended != self.tasks.suspended {
            let noted = self.journal.suspend(suspended, self.time.now());
            self.note(noted);
            (self.tasks.suspended, self.tasks.since) = (suspended, self.journal.since);
        }
    }

    /// What could not be written, where all goes on without.
    fn miss(&mut self, error: String) {
        tracing::warn!(run = %self.place.pass.input.run.id, error, "what is told of a job is not complete");
        self.unwritten.get_or_insert(error);
    }

    pub(super) fn unwritten(&self) -> Option<String> {
        self.unwritten.clone()
    }

    fn note(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.trouble.get_or_insert(failure);
        }
    }

    /// Says how far the job has come.
    fn tell(&self) {
        let progress = piton_model::BatchProgress {
            suspension_changed_at: self.journal.suspension_changed_at,
            end: self.journal.end.clone(),
            ..self.place.batch.progress(&self.tasks)
        };
        let report = Some(Report { batch: Some(progress), ..Report::default() });
        self.place.pass.input.progress.send_if_modified(|told| {
            let news = *told != report;
            *told = report;
            news
        });
    }

    /// Waits for what goes on beside, and gives the end.
    async fn close(&mut self) -> Result<BatchEnd, Failure> {
        if self.trouble.is_some() || self.place.pass.input.stop.is_cancelled() {
            self.stop_hooks.cancel();
        }
        while let Some(beside) = self.beside.next().await {
            self.settle(beside);
        }
        match (self.trouble.take(), self.journal.end.clone()) {
            (Some(failure), _) => Err(failure),
            (None, Some(end)) => Ok(end),
            // What was done by the time it was told to stop is done.
            (None, None) => self.done().ok_or_else(|| failing::stopped_before("the job was done")),
        }
    }

    /// When the last task ended, where that ended the job, be it that nobody looked for long. A deadline passes by itself,
    /// and hooks go on after the tasks.
    pub(super) fn ended_with(&self, end: &BatchEnd) -> Option<Timestamp> {
        let hooks = self.hooks.hooks;
        let later = [HookPhase::PostStart, HookPhase::PreStop, HookPhase::PostStop];
        let go_on = later.into_iter().any(|phase| !hooks.of(phase).is_empty())
            || hooks.of(HookPhase::PreStart).iter().any(|hook| hook.run_mode == RunMode::Async);
        if go_on || end.reason == BatchReason::DeadlineExceeded {
            return None;
        }
        let ends = self.tasks.all.iter().filter_map(|task| match task.state {
            TaskState::Ended { at, .. } => Some(at),
            TaskState::Running => None,
        });
        ends.max()
    }

    fn done(&self) -> Option<BatchEnd> {
        let delay = self.place.pass.world.config.retry_delay;
        match self.place.batch.next(&self.tasks, self.time.now(), delay) {
            Next::Finish { end, .. } if end.reason.is_success() => Some(end),
            Next::Finish { .. } | Next::Go { .. } => None,
        }
    }
}

fn exit_of(status: ExitStatus) -> TaskExit {
    match status {
        ExitStatus::Code(code) => TaskExit::Code(code),
        // As a shell tells it.
        ExitStatus::Signal(signal) => TaskExit::Code(128 + signal),
        ExitStatus::Unknown => TaskExit::Unseen,
    }
}

/// How and when a child ended, if it has.
fn ended(child: &Child) -> Option<(TaskExit, Timestamp)> {
    match child.state {
        State::Running | State::Orphaned => None,
        State::Exited { status, at_unix_us } => {
            Some((exit_of(status), Timestamp::from_microsecond(at_unix_us).unwrap_or(Timestamp::MIN)))
        }
    }
}
