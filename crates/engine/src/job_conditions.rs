//! What is so with a job, and since when it is active, as Kubernetes tells it. Pure.

use jiff::Timestamp;
use piton_model::{BatchReason, Outcome, RunState};
use piton_store::FileHold;

use crate::JobObject;

/// Something that is so with a job, or was and is no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCondition {
    /// `Complete`, `Failed`, `Suspended`, `SuccessCriteriaMet` or `FailureTarget`.
    pub kind: &'static str,
    /// Whether it is so. Only of a job that was suspended it is told that it is not so any more.
    pub holds: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// Since when, where that is known.
    pub at: Option<Timestamp>,
}

impl JobObject {
    /// Since when it is active: its start, or when it was last let go on. None for one that was not begun or is held
    /// back. Its deadline counts from here.
    pub fn active_since(&self) -> Option<Timestamp> {
        let run = self.run.as_ref()?;
        let progress = run.report.batch.as_ref();
        let released = progress.filter(|progress| !progress.suspended).and_then(|it| it.suspension_changed_at);
        let has_ended = matches!(run.state, RunState::Ended { .. });
        if !has_ended && self.is_held_back() { None } else { released.or(run.started_at) }
    }

    /// What is so with it. What decides comes first.
    pub fn conditions(&self) -> Vec<JobCondition> {
        let Some(run) = &self.run else { return self.suspension().into_iter().collect() };
        let end = run.report.batch.as_ref().and_then(|progress| progress.end.clone());
        let RunState::Ended { outcome, at } = &run.state else {
            let interim = end.map(|end| JobCondition {
                kind: if end.reason.is_success() { "SuccessCriteriaMet" } else { "FailureTarget" },
                holds: true,
                reason: end.reason.to_string(),
                message: end.message,
                at: None,
            });
            return interim.into_iter().chain(self.suspension()).collect();
        };
        let reason = match (outcome, outcome.failure()) {
            (Outcome::Succeeded, _) => {
                end.as_ref().map_or(BatchReason::CompletionsReached, |end| end.reason).to_string()
            }
            (_, Some(failure)) => {
                BatchReason::of_code(&failure.code).map_or_else(|| failure.code.clone(), |reason| reason.to_string())
            }
            (_, None) => "JobStopped".to_owned(),
        };
        let message = match (outcome, end) {
            (Outcome::Succeeded, Some(end)) => end.message,
            _ => outcome.sentence(),
        };
        let kind = if *outcome == Outcome::Succeeded { "Complete" } else { "Failed" };
        let ended = JobCondition { kind, holds: true, reason, message, at: Some(*at) };
        std::iter::once(ended).chain(self.suspension()).collect()
    }

    /// Whether it is held back, or what holds it back has not let go of it yet.
    fn is_held_back(&self) -> bool {
        self.suspended || self.progress().suspended
    }

    /// Whether it is held back, if it ever was. One that has ended is as it was by then.
    fn suspension(&self) -> Option<JobCondition> {
        let (progress, end) = (self.progress(), self.completed_at());
        let holds = if end.is_some() { progress.suspended } else { self.is_held_back() };
        // What is told of the time is of the other change while its tasks have not heeded this one.
        let heeded = progress.suspension_changed_at.filter(|_| progress.suspended == holds);
        // Of what was before its tasks, they tell nothing.
        let is_of_now = |hold: &&FileHold| hold.holds == holds && end.is_none_or(|end| hold.at <= end);
        let at = heeded.or(self.held_by_file.as_ref().filter(is_of_now).map(|hold| hold.at));
        let (reason, message) = match (holds, at) {
            (true, _) => ("JobSuspended", "the job is suspended"),
            (false, Some(_)) => ("JobResumed", "the job was resumed"),
            (false, None) => return None,
        };
        Some(JobCondition { kind: "Suspended", holds, reason: reason.to_owned(), message: message.to_owned(), at })
    }
}

#[cfg(test)]
mod tests {
    use piton_model::{
        Action, AttemptNo, Backoff, Batch, BatchProgress, By, Digest, Event, Name, NewRun, Origin, Program, Report,
        Run, RunId, Subject, WorkerId,
    };

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A job that was begun at 10, is to be held back or not, and whose tasks tell of themselves whether they are, and
    /// since when.
    fn job(suspended: bool, told: bool, changed: Option<i64>) -> JobObject {
        let subject = Subject::Job { workspace: None, name: Name::parse("import").unwrap() };
        let batch = Batch::new(Program::Shell { line: "true".to_owned() });
        let new = NewRun {
            id: RunId::new(at(5), [1; 10]),
            subject: subject.clone(),
            action: Action::Batch(batch.clone()),
            origin: Origin::call(By::System),
            due: at(5),
            priority: 0,
            retry: Backoff::NONE,
            retry_of: None,
            dedup_key: None,
            lock_key: None,
        };
        let (worker, attempt) = (WorkerId::new("w"), AttemptNo::FIRST);
        let claimed = Event::Claimed { worker, attempt, lease_until: at(99), uptime: None };
        let mut run = Run::submitted(new, at(5)).apply(&claimed, at(10)).unwrap();
        let suspension_changed_at = changed.map(at);
        let progress = BatchProgress { suspended: told, suspension_changed_at, ..BatchProgress::default() };
        run.report = Report { batch: Some(progress), ..Report::default() };
        let name = "import".to_owned();
        JobObject { name, subject, batch, run: Some(run), suspended, scheduled: false, held_by_file: None }
    }

    /// Of a condition its kind, whether it holds, why and since when.
    type Told = (&'static str, bool, String, Option<Timestamp>);

    /// Since when it is active, and its conditions.
    fn told(job: &JobObject) -> (Option<Timestamp>, Vec<Told>) {
        let conditions = job.conditions().into_iter();
        (job.active_since(), conditions.map(|it| (it.kind, it.holds, it.reason, it.at)).collect())
    }

    fn suspended(holds: bool, since: Option<i64>) -> Told {
        let reason = if holds { "JobSuspended" } else { "JobResumed" };
        ("Suspended", holds, reason.to_owned(), since.map(at))
    }

    /// As in Kubernetes: the time of the start is gone while it is held back, and is a new one afterwards.
    #[test]
    fn a_job_that_is_held_back_has_no_start_and_a_new_one_when_it_goes_on() {
        assert_eq!(told(&job(false, false, None)), (Some(at(10)), vec![]));
        // It is to be held back, and its tasks have not heeded it yet.
        assert_eq!(told(&job(true, false, None)), (None, vec![suspended(true, None)]));
        assert_eq!(told(&job(true, true, Some(20))), (None, vec![suspended(true, Some(20))]));
        // It may go on, and its tasks have not heeded it yet.
        assert_eq!(told(&job(false, true, Some(20))), (None, vec![suspended(true, Some(20))]));
        assert_eq!(told(&job(false, false, Some(30))), (Some(at(30)), vec![suspended(false, Some(30))]));
        // Held back once more: the time that is known is that of the change before.
        assert_eq!(told(&job(true, false, Some(30))), (None, vec![suspended(true, None)]));
        let unbegun = JobObject { run: None, ..job(true, false, None) };
        assert_eq!(told(&unbegun), (None, vec![suspended(true, None)]));
    }

    /// What was so before it began is told by its file.
    #[test]
    fn a_job_that_its_file_held_back_tells_since_when() {
        let hold = |holds, since| Some(FileHold { declaration: Digest::of(b"import"), holds, at: at(since) });
        let unbegun = JobObject { run: None, held_by_file: hold(true, 3), ..job(true, false, None) };
        assert_eq!(told(&unbegun), (None, vec![suspended(true, Some(3))]));
        let begun = JobObject { held_by_file: hold(false, 9), ..job(false, false, None) };
        assert_eq!(told(&begun), (Some(at(10)), vec![suspended(false, Some(9))]));
        // What its tasks have heeded is newer; what they have not is told by nobody else.
        let resumed = JobObject { held_by_file: hold(false, 9), ..job(false, false, Some(30)) };
        assert_eq!(told(&resumed), (Some(at(30)), vec![suspended(false, Some(30))]));
        let by_hand = JobObject { held_by_file: hold(false, 9), ..job(true, false, None) };
        assert_eq!(told(&by_hand), (None, vec![suspended(true, None)]));
        let by_file = JobObject { held_by_file: hold(true, 20), ..job(true, false, None) };
        assert_eq!(told(&by_file), (None, vec![suspended(true, Some(20))]));
        // What its file said after its end is not about it.
        let mut ended = JobObject { held_by_file: hold(false, 60), ..job(false, false, None) };
        let run = ended.run.as_mut().unwrap();
        run.state = RunState::Ended { outcome: Outcome::Succeeded, at: at(50) };
        assert_eq!(told(&ended).1.len(), 1);
    }

    /// What decides comes first, and the start is told of every job that has ended.
    #[test]
    fn a_job_that_has_ended_is_as_it_was_by_then() {
        let ended = |mut job: JobObject| {
            let run = job.run.as_mut().unwrap();
            run.state = RunState::Ended { outcome: Outcome::Succeeded, at: at(50) };
            job
        };
        let complete = || ("Complete", true, "CompletionsReached".to_owned(), Some(at(50)));
        assert_eq!(told(&ended(job(false, false, None))), (Some(at(10)), vec![complete()]));
        // That its subject is held back by now says nothing of it.
        assert_eq!(told(&ended(job(true, false, None))), (Some(at(10)), vec![complete()]));
        let resumed = ended(job(false, false, Some(30)));
        assert_eq!(told(&resumed), (Some(at(30)), vec![complete(), suspended(false, Some(30))]));
        let held = ended(job(true, true, Some(20)));
        assert_eq!(told(&held), (Some(at(10)), vec![complete(), suspended(true, Some(20))]));
    }
}
