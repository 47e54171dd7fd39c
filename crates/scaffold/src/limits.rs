//! How much a blueprint may take.

use std::time::{Duration, Instant};

use piton_gotmpl::Interrupt;

use crate::error::{Problem, Trouble};

/// How much a blueprint and a rendering of it may take.
#[derive(Clone)]
pub struct Limits {
    /// Bytes of one template (`MAX_TEMPLATE_SIZE`).
    pub template_size: u64,
    /// Bytes of all files of the blueprint, and of all files of the tree (`MAX_WORKSPACE_SIZE`).
    pub workspace_size: u64,
    /// How many files there may be.
    pub files: usize,
    /// How long a rendering may take (`MAX_JOB_DURATION`).
    pub duration: Duration,
    /// Steps of work for one template; data costs a step for each 64 bytes.
    pub fuel: u64,
    /// How deep templates may call one another, and directories may lie in one another.
    pub depth: usize,
    /// Ends the rendering when it says so.
    pub interrupt: Option<Interrupt>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            template_size: 10 << 20,
            workspace_size: 500 << 20,
            files: 100_000,
            duration: Duration::from_secs(600),
            fuel: 4_000_000,
            depth: 100,
            interrupt: None,
        }
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Limits")
            .field("template_size", &self.template_size)
            .field("workspace_size", &self.workspace_size)
            .field("files", &self.files)
            .field("duration", &self.duration)
            .field("fuel", &self.fuel)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// What is left of the limits of one rendering.
pub(crate) struct Budget<'a> {
    pub(crate) limits: &'a Limits,
    deadline: Option<Instant>,
    bytes_left: u64,
}

impl Budget<'_> {
    pub(crate) fn new(limits: &Limits) -> Budget<'_> {
        let deadline = Instant::now().checked_add(limits.duration);
        Budget { limits, deadline, bytes_left: limits.workspace_size }
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.is_late() {
            let message = format!("the rendering takes longer than {:?}", self.limits.duration);
            return Err(Problem::new(Trouble::TimedOut, message).hint("raise MAX_JOB_DURATION if it is not a loop"));
        }
        if self.limits.interrupt.as_ref().is_some_and(|interrupt| interrupt()) {
            return Err(Problem::new(Trouble::Interrupted, "the rendering was interrupted"));
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// How many bytes the next file may have.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.bytes_left
    }

    /// Takes the bytes of a file that is done.
    pub(crate) fn spend(&mut self, bytes: u64) -> Result<(), Problem> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| too_much(self.limits.workspace_size))?;
        Ok(())
    }

    /// Asked by engines while they run.
    pub(crate) fn interrupt(&self) -> Interrupt {
        let (deadline, interrupt) = (self.deadline, self.limits.interrupt.clone());
        std::sync::Arc::new(move || {
            deadline.is_some_and(|deadline| Instant::now() >= deadline)
                || interrupt.as_ref().is_some_and(|interrupt| interrupt())
        })
    }
}

pub(crate) fn too_much(limit: u64) -> Problem {
    Problem::new(Trouble::TooLarge, format!("the files have more than {limit} bytes"))
        .hint("leave files out, or raise MAX_WORKSPACE_SIZE")
}
