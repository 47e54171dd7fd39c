//! What became of the tasks of a job.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::{DISRUPTION_TARGET, Indexes, TaskCondition};

/// One try of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Its completion index; where all are alike, its number in the order of their starts. Both begin at 0.
    pub place: u32,
    /// Which try of that place, from 1.
    pub attempt: u32,
}

impl fmt::Display for TaskId {
    /// `PLACE-ATTEMPT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.place, self.attempt)
    }
}

/// A text that is not `PLACE-ATTEMPT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is not the name of a task")]
pub struct NotATask;

impl FromStr for TaskId {
    type Err = NotATask;

    fn from_str(text: &str) -> Result<TaskId, NotATask> {
        let (place, attempt) = text.split_once('-').ok_or(NotATask)?;
        let number = |text: &str| text.parse().map_err(|_| NotATask);
        let id = TaskId { place: number(place)?, attempt: number(attempt)? };
        // One name for each task: no signs, no leading zeros.
        if id.to_string() == text { Ok(id) } else { Err(NotATask) }
    }
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskExit {
    /// With this exit code; after a signal 128 and its number.
    Code(i32),
    /// Nobody saw it.
    Unseen,
}

impl TaskExit {
    /// Whether it is certain that the task succeeded.
    pub fn success(self) -> bool {
        self == TaskExit::Code(0)
    }

    /// The exit code, where one was seen.
    pub fn code(self) -> Option<i32> {
        match self {
            TaskExit::Code(code) => Some(code),
            TaskExit::Unseen => None,
        }
    }

    /// What rules look at beside the code.
    pub(crate) fn conditions(self) -> Vec<TaskCondition> {
        match self {
            TaskExit::Code(_) => vec![],
            TaskExit::Unseen => vec![TaskCondition::holds(DISRUPTION_TARGET)],
        }
    }
}

impl fmt::Display for TaskExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskExit::Code(code) => write!(f, "exit code {code}"),
            TaskExit::Unseen => f.write_str("an end that nobody saw"),
        }
    }
}

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It was started and has not ended.
    Running,
    /// It is over.
    Ended {
        /// How.
        exit: TaskExit,
        /// When.
        at: Timestamp,
        /// It was told to stop before: then its failure says nothing about it.
        stopped: bool,
    },
}

/// One task that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Which.
    pub id: TaskId,
    /// What became of it.
    pub state: TaskState,
}

/// All tasks of a job that were ever started, and since when the job is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tasks {
    /// The tasks, in whatever order.
    pub all: Vec<Task>,
    /// Since when it counts as active: its start, or when it was resumed.
    pub since: Timestamp,
    /// It is held back: nothing is started, and what runs is stopped.
    pub suspended: bool,
}

impl Tasks {
    /// Nothing was started yet.
    pub fn none(since: Timestamp) -> Tasks {
        Tasks { all: vec![], since, suspended: false }
    }
}

/// Where a task is that claims an index, for [`surplus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It runs.
    Running,
    /// It is about to.
    Pending,
}

/// Which of several tasks are one too many: those without an index or with one that the job does not have, and of those
/// with the same index all but one. One that runs is kept before one that does not yet.
pub fn surplus(claims: &[(Option<u32>, Claim)], completions: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|place| claims.get(*place).map(|(_, claim)| *claim));
    let mut taken = Indexes::default();
    let mut surplus: Vec<usize> = order
        .into_iter()
        .filter(|place| match claims.get(*place) {
            Some((Some(index), _)) if *index < completions && !taken.contains(*index) => {
                taken.insert(*index);
                false
            }
            _ => true,
        })
        .collect();
    surplus.sort_unstable();
    surplus
}
