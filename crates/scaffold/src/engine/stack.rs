//! Room for values that templates nest.
//!
//! A Jinja2 template can put a list into a list as often as it has fuel, and minijinja compares, prints and drops values
//! by recursion. A thread whose stack ends takes the whole process with it. So templates run where the stack lasts longer
//! than the fuel; its pages cost nothing until they are touched.

use crate::error::{Problem, Trouble};

/// The most fuel that a Jinja2 template gets: a level of nesting takes four steps.
pub(super) const MOST_FUEL: u64 = 1_000_000;

/// Bytes of stack for each step: a level takes at most 1,700 without optimisation.
const PER_STEP: usize = 512;

/// Runs `work` with room for whatever [`MOST_FUEL`] can build.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Problem> {
    let size = MOST_FUEL as usize * PER_STEP;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("scaffold".to_owned()).stack_size(size);
        match thread.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().map_err(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(Problem::new(Trouble::Io, format!("cannot start a thread: {error}"))),
        }
    })
}
