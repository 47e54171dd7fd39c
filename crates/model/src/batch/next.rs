//! What to do next about a job, as Kubernetes would. Pure.

use jiff::Timestamp;

use super::tally::Tally;
use super::{
    Batch, BatchEnd, BatchProgress, BatchReason, Claim, CompletionMode, RetryDelay, TaskId, TaskRestart, Tasks,
    success_rule, surplus,
};

/// What to do next about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Go {
        /// Tasks to start now.
        start: Vec<TaskId>,
        /// Tasks to stop now, some of which may be stopping already.
        stop: Vec<TaskId>,
        /// When to look again, though nothing has happened until then.
        again: Option<Timestamp>,
    },
    /// It is decided how it ends. It has ended once nothing is left to stop.
    Finish {
        /// The end.
        end: BatchEnd,
        /// What still runs.
        stop: Vec<TaskId>,
    },
}

impl Batch {
    /// What to do next, given what became of the tasks so far. The same tasks and the same time yield the same answer.
    pub fn next(&self, tasks: &Tasks, now: Timestamp, delay: RetryDelay) -> Next {
        let tally = Tally::of(self, tasks);
        if let Some(end) = self.end(&tally, tasks, now) {
            return Next::Finish { end, stop: tally.running };
        }
        if tasks.suspended {
            return Next::Go { start: vec![], stop: tally.running, again: None };
        }
        let wanted = self.wanted(&tally);
        let (start, delayed) = self.starts(&tally, wanted, now, delay);
        let again = [delayed, self.deadline(tasks)].into_iter().flatten().min();
        Next::Go { start, stop: self.stops(&tally, wanted), again }
    }

    /// What became of the tasks so far, for people.
    pub fn progress(&self, tasks: &Tasks) -> BatchProgress {
        let tally = Tally::of(self, tasks);
        let listed = |indexes: &super::Indexes| (!indexes.is_empty()).then(|| indexes.to_string());
        let indexed = self.completion_mode == CompletionMode::Indexed;
        BatchProgress {
            counts: tally.counts(),
            completed_indexes: indexed.then(|| listed(&tally.done)).flatten(),
            failed_indexes: self.per_index().and_then(|_| listed(&tally.lost)),
            suspended: tasks.suspended,
            suspension_changed_at: None,
            end: None,
        }
    }

    /// How often one index may fail, where that is what counts.
    pub(super) fn per_index(&self) -> Option<u32> {
        self.backoff_limit_per_index.filter(|_| self.completion_mode == CompletionMode::Indexed)
    }

    /// How many have to succeed; none for a queue of work.
    pub(super) fn goal(&self) -> Option<u32> {
        match self.completion_mode {
            CompletionMode::Indexed => Some(self.completions.unwrap_or(1)),
            CompletionMode::NonIndexed => self.completions,
        }
    }

    fn deadline(&self, tasks: &Tasks) -> Option<Timestamp> {
        let deadline = self.active_deadline.filter(|_| !tasks.suspended)?;
        Some(tasks.since.checked_add(deadline).unwrap_or(Timestamp::MAX))
    }

    /// In the order in which Kubernetes looks.
    fn end(&self, tally: &Tally, tasks: &Tasks, now: Timestamp) -> Option<BatchEnd> {
        let end = |reason, message| Some(BatchEnd { reason, message, exit_code: tally.last_code });
        if let Some((id, exit, rule)) = tally.fatal {
            let message =
                format!("task {id} failed with {exit}, which fits rule {rule} of the failure policy: FailJob");
            return Some(BatchEnd { reason: BatchReason::PodFailurePolicy, message, exit_code: exit.code() });
        }
        if self.limit_exceeded(tally) {
            let message = match self.restart_policy {
                TaskRestart::Never => {
                    format!("{} failed, more than the backoff limit of {}", tasks_of(tally.failed), self.backoff_limit)
                }
                TaskRestart::OnFailure => format!("restarts have reached the backoff limit of {}", self.backoff_limit),
            };
            return end(BatchReason::BackoffLimitExceeded, message);
        }
        if self.deadline(tasks).is_some_and(|deadline| deadline <= now) {
            let seconds = self.active_deadline.unwrap_or_default().as_secs_f64();
            let message = format!("it was active for longer than {seconds} s");
            return end(BatchReason::DeadlineExceeded, message);
        }
        if self.per_index().is_some() {
            let (lost, done) = (tally.lost.len(), tally.done.len());
            if let Some(most) = self.max_failed_indexes.filter(|most| lost > u64::from(*most)) {
                let message = format!("{lost} indexes failed, more than {most}: {}", tally.lost);
                return end(BatchReason::MaxFailedIndexesExceeded, message);
            }
            if lost > 0 && lost + done >= self.goal().unwrap_or(0).into() {
                let message = format!("these indexes failed: {}", tally.lost);
                return end(BatchReason::FailedIndexes, message);
            }
        }
        let met = match (self.completion_mode, self.goal()) {
            (CompletionMode::Indexed, Some(goal)) => success_rule(&self.success_policy, &tally.done, goal),
            _ => None,
        };
        if let Some(rule) = met {
            let message = format!("rule {rule} of the success policy is met");
            return Some(BatchEnd { reason: BatchReason::SuccessPolicy, message, exit_code: None });
        }
        let complete = match self.goal() {
            Some(goal) => tally.succeeded >= goal,
            None => tally.succeeded > 0 && tally.running.is_empty() && tally.waiting().next().is_none(),
        };
        let message = || format!("{} succeeded", tasks_of(tally.succeeded));
        complete.then(|| BatchEnd { reason: BatchReason::CompletionsReached, message: message(), exit_code: None })
    }

    fn limit_exceeded(&self, tally: &Tally) -> bool {
        if self.per_index().is_some() {
            return false;
        }
        match self.restart_policy {
            TaskRestart::Never => tally.failed > self.backoff_limit,
            // The restart that would reach the limit is not begun only to be stopped.
            TaskRestart::OnFailure => tally.restarts() >= self.backoff_limit.max(1),
        }
    }

    /// How many tasks shall be active, those that wait for their restart included.
    fn wanted(&self, tally: &Tally) -> usize {
        let most = match self.goal() {
            Some(goal) => {
                let settled = u64::from(tally.succeeded) + tally.lost.len();
                self.parallelism.min(u32::try_from(u64::from(goal).saturating_sub(settled)).unwrap_or(u32::MAX))
            }
            None if tally.succeeded > 0 => return tally.running.len() + tally.waiting().count(),
            None => self.parallelism,
        };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn stops(&self, tally: &Tally, wanted: usize) -> Vec<TaskId> {
        let mut stop = vec![];
        if let (CompletionMode::Indexed, Some(goal)) = (self.completion_mode, self.goal()) {
            let claims: Vec<_> = tally.running.iter().map(|id| (Some(id.place), Claim::Running)).collect();
            stop.extend(surplus(&claims, goal).into_iter().filter_map(|place| tally.running.get(place).copied()));
        }
        let kept = tally.running.iter().filter(|id| !stop.contains(id));
        let too_many: Vec<TaskId> = kept.skip(wanted).copied().collect();
        stop.extend(too_many);
        stop
    }

    /// What to start, and when something that has to wait may be.
    fn starts(
        &self,
        tally: &Tally,
        wanted: usize,
        now: Timestamp,
        delay: RetryDelay,
    ) -> (Vec<TaskId>, Option<Timestamp>) {
        let mut starts = Starts { room: wanted.saturating_sub(tally.running.len()), start: vec![], next: None, now };
        if self.restart_policy == TaskRestart::OnFailure {
            for (number, place) in tally.waiting() {
                let due = if place.stopped_last { None } else { place.streak.over_at(delay) };
                starts.consider(TaskId { place: number, attempt: place.attempts + 1 }, due);
            }
            // A task that waits for its restart takes up its room.
            let waiting = tally.waiting().count().saturating_sub(starts.start.len());
            starts.room = starts.room.saturating_sub(waiting);
        }
        let streak = match (self.restart_policy, self.per_index()) {
            (TaskRestart::Never, None) => tally.streak.over_at(delay),
            _ => None,
        };
        match (self.completion_mode, self.goal()) {
            (CompletionMode::Indexed, Some(goal)) => {
                for index in tally.taken().missing(goal) {
                    if starts.room == 0 {
                        break;
                    }
                    let place = tally.places.get(&index);
                    let attempt = place.map_or(0, |place| place.attempts) + 1;
                    let own =
                        place.filter(|_| self.per_index().is_some()).and_then(|place| place.streak.over_at(delay));
                    starts.consider(TaskId { place: index, attempt }, streak.max(own));
                }
            }
            _ => {
                let first = tally.places.keys().next_back().map_or(0, |last| last.saturating_add(1));
                for place in first..u32::MAX {
                    if starts.room == 0 || starts.next.is_some() && streak.is_some_and(|due| due > now) {
                        break;
                    }
                    starts.consider(TaskId { place, attempt: 1 }, streak);
                }
            }
        }
        (starts.start, starts.next)
    }
}

struct Starts {
    room: usize,
    start: Vec<TaskId>,
    next: Option<Timestamp>,
    now: Timestamp,
}

impl Starts {
    /// Starts it if there is room, or notes when it may be started.
    fn consider(&mut self, id: TaskId, due: Option<Timestamp>) {
        match due.filter(|due| *due > self.now) {
            _ if self.room == 0 => {}
            Some(due) => self.next = Some(self.next.map_or(due, |next| next.min(due))),
            None => {
                self.start.push(id);
                self.room -= 1;
            }
        }
    }
}

fn tasks_of(count: u32) -> String {
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}
