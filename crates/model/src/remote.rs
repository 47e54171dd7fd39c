//! Repositories that nobody here makes: what workers elsewhere say of theirs becomes a run that this ledger records, and a
//! message of which nothing can be made a run that has failed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Backoff, By, Event, Failure, FailureClass, NewRun, Origin, OutcomeKind, Report, Run, RunId, RunState,
    ScaffoldId, ScaffoldKind, ScaffoldedRepository, Subject, WorkerId,
};

/// A run that somebody else carries out, or nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// What whoever asked for it calls it.
    pub run_id: ScaffoldId,
    /// What a message that was refused wants to have made, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<ScaffoldKind>,
}

/// What was heard of such a run last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteNews {
    /// What the worker calls itself.
    pub worker: String,
    /// How often it has begun.
    pub attempt: u32,
    /// When it said so, by its own clock.
    pub said_at: Timestamp,
}

/// How a worker says that a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteStatus {
    /// It is under way.
    Running,
    /// The repository is there.
    Succeeded {
        /// Which one, where it is told.
        repository: Option<ScaffoldedRepository>,
    },
    /// It failed for good.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Nothing can be made of the message that asks for it. This is said by a worker of this ledger, to which it came.
    Refused {
        /// Why.
        failure: Failure,
        /// What was to be made, where that can be read.
        kind: Option<ScaffoldKind>,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Why, where it is told.
        reason: Option<String>,
    },
}

/// Something that a worker elsewhere says of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWord {
    /// The run, as whoever asked for it calls it.
    pub run_id: ScaffoldId,
    /// How it stands.
    pub status: RemoteStatus,
    /// Who says it, of which attempt, and when.
    pub news: RemoteNews,
    /// Whose key it came with.
    pub by: By,
}

/// What a word means for what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hearing {
    /// It is the first of a run, which may be a further try of one that is over.
    Begins {
        /// That one.
        retry_of: Option<RunId>,
    },
    /// It is news of this run.
    Continues(RunId),
    /// It is known, or overtaken by what this run has become.
    Known(RunId),
}

impl RemoteWord {
    /// What it means, where `latest` is the newest run of that name. Words come twice, late and in any order; what is
    /// over stays as it is.
    pub fn heard(&self, latest: Option<&Run>) -> Hearing {
        let Some(run) = latest else { return Hearing::Begins { retry_of: None } };
        let said_last = run.report.remote.as_ref().map(|news| news.said_at);
        match &run.state {
            RunState::Ended { outcome, at } => {
                let is_later = self.news.said_at > said_last.unwrap_or(*at);
                if outcome.kind() == OutcomeKind::Succeeded || !is_later {
                    return Hearing::Known(run.id);
                }
                Hearing::Begins { retry_of: Some(run.id) }
            }
            RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => {
                let is_news = said_last.is_none_or(|said_last| match self.status {
                    RemoteStatus::Running => self.news.said_at > said_last,
                    // A clock that is coarse says two things at once.
                    _ => self.news.said_at >= said_last,
                });
                match *run.action {
                    Action::Remote(_) if is_news => Hearing::Continues(run.id),
                    // Whoever carries it out here knows better.
                    _ => Hearing::Known(run.id),
                }
            }
        }
    }

    /// The run that it begins.
    pub fn run(&self, id: RunId, retry_of: Option<RunId>, now: Timestamp) -> NewRun {
        let (origin, job_type) = match &self.status {
            RemoteStatus::Refused { kind, .. } => (Origin::Message { delivery: self.run_id.to_string() }, *kind),
            RemoteStatus::Running
            | RemoteStatus::Succeeded { .. }
            | RemoteStatus::Failed { .. }
            | RemoteStatus::Cancelled { .. } => (Origin::Report { worker: self.news.worker.clone() }, None),
        };
        NewRun {
            id,
            subject: Subject::Scaffold(self.run_id.clone()),
            action: Action::Remote(Remote { run_id: self.run_id.clone(), job_type }),
            origin,
            due: now,
            priority: 0,
            retry: Backoff::NONE,
            retry_of,
            dedup_key: None,
            // What is done elsewhere keeps nothing here from being done.
            lock_key: None,
        }
    }

    /// The holder of its run: no worker of this ledger, whatever it is called.
    pub fn holder(&self) -> WorkerId {
        WorkerId::new(format!("remote:{}", self.news.worker))
    }

    /// What happens to its run, in this order.
    pub fn events(&self) -> Vec<Event> {
        let news = Report { remote: Some(self.news.clone()), ..Report::default() };
        let mut events = vec![Event::Progressed { report: news }];
        match &self.status {
            RemoteStatus::Running => {}
            RemoteStatus::Succeeded { repository } => {
                let commit = repository.as_ref().map(|repository| repository.commit.clone());
                events.push(Event::Done {
                    report: Report { repository: repository.clone(), commit, ..Report::default() },
                });
            }
            RemoteStatus::Failed { failure } | RemoteStatus::Refused { failure, .. } => {
                events.push(Event::Failed { failure: failure.clone() });
            }
            RemoteStatus::Cancelled { reason } => {
                let (by, reason) = (self.by.clone(), reason.clone());
                events.push(Event::CancelAsked { by, reason, superseded_by: None });
                let failure = Failure::new(FailureClass::Interrupted, "stopped", "it was stopped where it was done");
                events.push(Event::Failed { failure });
            }
        }
        events
    }
}

impl Run {
    /// The worker that refused the message which asks for this run; none where it is a run in its own right.
    pub fn refused_by(&self) -> Option<&str> {
        match (&*self.action, &self.origin, &self.report.remote) {
            (Action::Remote(_), Origin::Message { .. }, Some(news)) => Some(&news.worker),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttemptNo, Outcome};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn word(status: RemoteStatus, second: i64) -> RemoteWord {
        RemoteWord {
            run_id: "abc-123".parse().unwrap(),
            status,
            news: RemoteNews { worker: "worker-001".to_owned(), attempt: 1, said_at: at(second) },
            by: By::Client("worker".to_owned()),
        }
    }

    fn failed(second: i64) -> RemoteWord {
        let failure = Failure::new(FailureClass::Permanent, "template_failed", "no");
        word(RemoteStatus::Failed { failure }, second)
    }

    fn succeeded(second: i64) -> RemoteWord {
        word(RemoteStatus::Succeeded { repository: None }, second)
    }

    /// What comes of words, heard in this order, in runs.
    fn hear(words: &[RemoteWord]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let now = at(1_000 + i64::try_from(index).unwrap());
            match word.heard(runs.last()) {
                Hearing::Begins { retry_of } => {
                    let id = RunId::new(now, [0; 10]);
                    let run = Run::submitted(word.run(id, retry_of, now), now);
                    let claimed = Event::Claimed {
                        worker: word.holder(),
                        attempt: AttemptNo::after(0),
                        lease_until: at(9_999),
                        uptime: None,
                    };
                    runs.push(run.apply(&claimed, now).unwrap());
                }
                Hearing::Continues(id) => assert_eq!(runs.last().unwrap().id, id),
                Hearing::Known(_) => continue,
            }
            let last = runs.last_mut().unwrap();
            for event in word.events() {
                *last = last.apply(&event, now).unwrap();
            }
        }
        runs
    }

    fn outcomes(words: &[RemoteWord]) -> Vec<Option<OutcomeKind>> {
        hear(words).iter().map(|run| run.outcome().map(Outcome::kind)).collect()
    }

    #[test]
    fn what_is_over_stays_so_however_words_come() {
        use OutcomeKind::{Cancelled, Failed, Succeeded};
        let running = |second| word(RemoteStatus::Running, second);
        let cancelled = |second| word(RemoteStatus::Cancelled { reason: None }, second);
        let table: [(&[RemoteWord], &[Option<OutcomeKind>]); 13] = [
            (&[running(1)], &[None]),
            (&[running(1), running(1), succeeded(2), succeeded(2)], &[Some(Succeeded)]),
            (&[succeeded(2), running(1)], &[Some(Succeeded)]),
            (&[succeeded(2), failed(3), running(4)], &[Some(Succeeded)]),
            (&[running(1), failed(2), failed(2), running(1)], &[Some(Failed)]),
            // A further try, of which the beginning comes late or never.
            (&[failed(2), running(3)], &[Some(Failed), None]),
            (&[failed(2), succeeded(5), running(3)], &[Some(Failed), Some(Succeeded)]),
            (&[failed(2), failed(4), succeeded(6), failed(2)], &[Some(Failed), Some(Failed), Some(Succeeded)]),
            // The failure of the first try comes when the second is under way.
            (&[running(1), running(3), failed(2), succeeded(4)], &[Some(Succeeded)]),
            (&[running(1), cancelled(2), cancelled(2)], &[Some(Cancelled)]),
            (&[cancelled(2), running(1), running(3)], &[Some(Cancelled), None]),
            // A coarse clock.
            (&[running(1), succeeded(1), running(1)], &[Some(Succeeded)]),
            (&[failed(1), running(1)], &[Some(Failed)]),
        ];
        for (words, expected) in table {
            assert_eq!(outcomes(words), expected, "{words:#?}");
        }
    }

    #[test]
    fn a_further_try_names_the_one_before() {
        let runs = hear(&[failed(2), succeeded(5)]);
        assert_eq!(runs[1].retry_of, Some(runs[0].id));
        assert_eq!(runs[1].report.remote.as_ref().unwrap().said_at, at(5));
    }

    #[test]
    fn what_was_refused_is_known_by_who_did_so() {
        let failure = Failure::new(FailureClass::Permanent, "invalid_message", "`type` is missing");
        let kind = Some(ScaffoldKind::System);
        let refused = |second| word(RemoteStatus::Refused { failure: failure.clone(), kind }, second);
        let runs = hear(&[refused(1), refused(1)]);
        let kept = serde_json::to_string(&runs[0]).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&kept).unwrap(), runs[0]);
        assert_eq!(runs.len(), 1);
        assert_eq!(
            (runs[0].refused_by(), runs[0].outcome().map(Outcome::kind)),
            (Some("worker-001"), Some(OutcomeKind::Failed))
        );
        // Told to its own ledger it is nothing new.
        assert_eq!(failed(1).heard(Some(&runs[0])), Hearing::Known(runs[0].id));
        assert_eq!(hear(&[failed(1)])[0].refused_by(), None, "that was refused elsewhere");
        assert_eq!(hear(&[refused(1), succeeded(3)])[1].retry_of, Some(runs[0].id));
    }

    #[test]
    fn whom_nobody_hears_of_is_lost_and_may_come_back() {
        let mut runs = hear(&[word(RemoteStatus::Running, 1)]);
        let lost = runs.pop().unwrap().apply(&Event::LeaseLost, at(2_000)).unwrap();
        assert_eq!(lost.outcome().map(Outcome::kind), Some(OutcomeKind::Indeterminate));
        assert_eq!(succeeded(3).heard(Some(&lost)), Hearing::Begins { retry_of: Some(lost.id) });
        assert_eq!(word(RemoteStatus::Running, 1).heard(Some(&lost)), Hearing::Known(lost.id));
    }
}
