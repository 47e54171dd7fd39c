//! How long a start or a stop may take before whoever waits for it is told that it goes on without them.

use std::sync::Arc;
use std::time::Duration;

use piton_model::{Hook, Probe, Process};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Error;

/// What the machine itself may take.
const MACHINE: Duration = Duration::from_secs(60);

/// The time that these may take to start one after the other, going by their declarations.
pub(crate) fn of_start<'a>(processes: impl IntoIterator<Item = &'a Arc<Process>>) -> Duration {
    let one = |process: &Arc<Process>| {
        let start = process.start;
        let probe = process.probes.startup.as_ref().map_or(Duration::ZERO, of_probe);
        let once = of_hooks(&process.hooks.pre_start).saturating_add(start.duration).saturating_add(probe);
        let between = start.retry_interval.saturating_mul(start.retries);
        once.saturating_mul(start.retries.saturating_add(1)).saturating_add(between)
    };
    processes.into_iter().map(one).fold(MACHINE, Duration::saturating_add)
}

/// The time that an instance which runs may take to be ready. Its probe may fail at first, as it does of a program that
/// warms up, so this is generous.
pub(crate) fn of_readiness(process: &Process) -> Duration {
    let probe = process.probes.readiness.as_ref().map_or(Duration::ZERO, of_probe);
    probe.saturating_mul(3).saturating_add(MACHINE)
}

/// The time that these may take to stop one after the other.
pub(crate) fn of_stop<'a>(processes: impl IntoIterator<Item = &'a Arc<Process>>, wait: Option<Duration>) -> Duration {
    let one = |process: &Arc<Process>| {
        let hooks = of_hooks(&process.hooks.pre_stop).saturating_add(of_hooks(&process.hooks.post_stop));
        let command =
            process.stop.command.as_ref().map_or(Duration::ZERO, |_| wait.unwrap_or_else(|| process.stop.first_wait()));
        let stages = process.stop.stages.iter().map(|stage| stage.wait).fold(command, Duration::saturating_add);
        hooks.saturating_add(stages).saturating_add(wait.unwrap_or_default())
    };
    processes.into_iter().map(one).fold(MACHINE, Duration::saturating_add)
}

/// Each may be tried twice.
fn of_hooks(hooks: &[Hook]) -> Duration {
    hooks.iter().map(|hook| hook.timeout.saturating_mul(2)).fold(Duration::ZERO, Duration::saturating_add)
}

fn of_probe(probe: &Probe) -> Duration {
    let tries = probe.failure_threshold.max(probe.success_threshold).saturating_add(1);
    probe.initial_delay.saturating_add(probe.period.saturating_add(probe.timeout).saturating_mul(tries))
}

/// The answer, if it comes in time.
pub(crate) async fn within<T: Default>(
    patience: Duration,
    answer: oneshot::Receiver<T>,
    what: &'static str,
    instances: &[String],
) -> Result<T, Error> {
    match timeout(patience, answer).await {
        // Without an actor nothing is under way.
        Ok(answer) => Ok(answer.unwrap_or_default()),
        Err(_) => Err(Error::TimedOut { instance: instances.join(", "), what }),
    }
}
