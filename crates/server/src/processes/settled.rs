//! Whether what was declared a moment ago came up.

use std::collections::BTreeSet;
use std::time::Duration;

use piton_supervisor::{Change, InstanceState, InstanceStatus, Selector, Supervisor};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

/// What has not failed by then is on its way, and is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A change is told a moment before it can be seen, so it is looked again from time to time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An instance that waits for its own predecessor to be gone waits so long at most; what waits longer waits for others.
const HESITATION: Duration = Duration::from_millis(500);

/// How an instance that was just declared does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It came up, or waits for something that is not there yet.
    Well,
    /// It is on its way.
    Open,
    /// It did not come up, and why.
    Failed(String),
}

/// Waits until every instance of a process came up, or one did not, with the reason. `changes` must have been
/// subscribed to before the declaration was applied; process ids in `replaced` are those of instances that have to go.
pub(super) async fn came_up(
    supervisor: &Supervisor,
    mut changes: broadcast::Receiver<Change>,
    process: &str,
    replaced: &BTreeSet<u32>,
) -> Result<(), String> {
    let which = Selector::Name(process.to_owned());
    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    let mut ran = BTreeSet::new();
    loop {
        loop {
            match changes.try_recv() {
                Ok(change) if change.now.process == process && change.now.state == InstanceState::Running => {
                    ran.insert(change.now.name.clone());
                }
                Ok(_) => {}
                // What was missed may have been good news: what is seen now decides.
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => break,
            }
        }
        let instances = supervisor.status(&which).map_err(|error| error.to_string())?;
        let mut open = instances.is_empty();
        for instance in &instances {
            if instance.pid.is_some_and(|pid| replaced.contains(&pid)) {
                ran.remove(&instance.name);
                open = true;
                continue;
            }
            if instance.state == InstanceState::Waiting && begun.elapsed() < HESITATION {
                open = true;
                continue;
            }
            match verdict(instance, ran.contains(&instance.name)) {
                Verdict::Well => {}
                Verdict::Open => open = true,
                Verdict::Failed(reason) => return Err(format!("`{}` could not be started: {reason}", instance.name)),
            }
        }
        if !open {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Ok(());
        }
        match timeout(LOOK_AGAIN, changes.recv()).await {
            Ok(Ok(change)) if change.now.process == process && change.now.state == InstanceState::Running => {
                ran.insert(change.now.name.clone());
            }
            // Nothing came, or something else: what is seen then decides.
            Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => {}
            Ok(Err(RecvError::Closed)) => return Ok(()),
        }
    }
}

fn verdict(instance: &InstanceStatus, ran: bool) -> Verdict {
    let ended_well = instance.last_exit.as_ref().is_some_and(|exit| exit.status.success());
    match instance.state {
        InstanceState::Running | InstanceState::Waiting => Verdict::Well,
        // What is on its way out makes room for what was declared.
        InstanceState::Starting | InstanceState::Stopping => Verdict::Open,
        InstanceState::Stopped | InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal
            if ran || ended_well =>
        {
            Verdict::Well
        }
        // Not begun yet.
        InstanceState::Stopped if instance.started_at.is_none() && instance.reason.is_none() => Verdict::Open,
        InstanceState::Stopped | InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal => {
            let exit = instance.last_exit.as_ref().map(|exit| exit.status.to_string());
            Verdict::Failed(instance.reason.clone().or(exit).unwrap_or_else(|| "it ended at once".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use piton_supervisor::{ExitStatus, LastExit};

    use super::*;

    fn instance(state: InstanceState, exit: Option<ExitStatus>, reason: Option<&str>) -> InstanceStatus {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        InstanceStatus {
            state,
            started_at: exit.map(|_| at),
            last_exit: exit.map(|status| LastExit { status, at, unexpected: true }),
            reason: reason.map(str::to_owned),
            ..InstanceStatus::at_rest("web", "web")
        }
    }

    #[test]
    fn verdicts() {
        use InstanceState as S;
        let code = |code| Some(ExitStatus::Code(code));
        let failed = |text: &str| Verdict::Failed(text.to_owned());
        let table = [
            (S::Running, None, None, false, Verdict::Well),
            (S::Waiting, None, None, false, Verdict::Well),
            (S::Starting, None, None, false, Verdict::Open),
            (S::Stopping, None, None, true, Verdict::Open),
            (S::Stopped, None, None, false, Verdict::Open),
            (S::Exited, code(0), None, false, Verdict::Well),
            (S::Exited, code(1), None, true, Verdict::Well),
            (S::Exited, code(1), None, false, failed("exit code 1")),
            (S::Backoff, code(1), Some("no such program"), false, failed("no such program")),
            (S::Fatal, None, Some("no such program"), false, failed("no such program")),
        ];
        for (state, exit, reason, ran, wanted) in table {
            assert_eq!(verdict(&instance(state, exit, reason), ran), wanted, "{state}");
        }
    }
}
