//! How much a rendering may take. Templates come from people who may be mistaken or worse.

use std::sync::Arc;

use thiserror::Error;

/// Asked now and then whether to give up: a deadline has passed, a caller has gone.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// What one rendering may take.
#[derive(Clone)]
pub struct Limits {
    /// Steps: nodes, commands, elements that functions look at.
    pub steps: u64,
    /// Bytes of output.
    pub output: usize,
    /// Bytes of all values made on the way, whether or not they are still there.
    pub memory: usize,
    /// How deep templates may call one another. It costs memory, a few hundred bytes for each, and no stack.
    pub depth: usize,
    /// Ends the rendering when it says so.
    pub interrupt: Option<Interrupt>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 10_000_000, output: 64 << 20, memory: 256 << 20, depth: 10_000, interrupt: None }
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Limits")
            .field("steps", &self.steps)
            .field("output", &self.output)
            .field("memory", &self.memory)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Limit {
    /// Too many steps.
    #[error("the template takes too many steps")]
    Steps,
    /// Too much output.
    #[error("the output of the template is too large")]
    Output,
    /// Too much memory.
    #[error("the values of the template take too much memory")]
    Memory,
    /// Templates that call one another, with the number allowed.
    #[error("exceeded maximum template depth ({0})")]
    Templates(usize),
    /// Blocks or values inside one another.
    #[error("blocks or values are nested too deep")]
    Depth,
    /// [`Limits::interrupt`] said so.
    #[error("the rendering was interrupted")]
    Interrupted,
}

/// How deep values may be nested where they are printed, compared or copied.
pub(crate) const DEEPEST_VALUE: usize = 100;

/// Steps between two questions to [`Limits::interrupt`].
const PATIENCE: u64 = 4096;

/// What is left of the limits. Functions spend from it what is not constant.
pub struct Meter {
    steps: u64,
    memory: usize,
    until_asked: u64,
    interrupt: Option<Interrupt>,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Meter {
        Meter { steps: limits.steps, memory: limits.memory, until_asked: 0, interrupt: limits.interrupt.clone() }
    }

    /// Takes steps.
    pub fn spend(&mut self, steps: u64) -> Result<(), Limit> {
        self.steps = self.steps.checked_sub(steps).ok_or(Limit::Steps)?;
        match self.until_asked.checked_sub(steps) {
            Some(left) => self.until_asked = left,
            None => {
                self.until_asked = PATIENCE;
                if self.interrupt.as_ref().is_some_and(|interrupt| interrupt()) {
                    return Err(Limit::Interrupted);
                }
            }
        }
        Ok(())
    }

    /// Takes memory, to be called before it is taken, and a step for each few bytes of it.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), Limit> {
        self.memory = self.memory.checked_sub(bytes).ok_or(Limit::Memory)?;
        self.spend(bytes as u64 / 64)
    }

    /// How many bytes may still be taken.
    pub fn memory_left(&self) -> usize {
        self.memory
    }
}
