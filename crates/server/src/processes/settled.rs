//! Whether what was declared a moment ago came up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use piton_supervisor::{Change, InstanceState, InstanceStatus, LastExit, Selector, Supervisor};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, timeout};

/// What has not failed by then is on its way, and is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is waited for need not be a change of state, so it is looked again from time to time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An instance that waits for its own predecessor to be gone waits so long at most; what waits longer waits for others.
const HESITATION: Duration = Duration::from_millis(500);

/// How an instance that was just declared does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It came up, waits for something that is not there yet, or is not meant to run.
    Well,
    /// It is on its way.
    Open,
    /// It did not come up, and why.
    Failed(String),
}

/// What an instance has done since the declaration.
#[derive(Debug, Clone, Default)]
struct News {
    /// It went to another state.
    moved: bool,
    /// It ran.
    ran: bool,
    /// How it had ended before: that says nothing about what is declared now.
    old_exit: Option<LastExit>,
}

/// What is known of all instances of a process.
struct Watched<'a> {
    process: &'a str,
    news: BTreeMap<String, News>,
    /// Some changes were missed: any instance may have moved.
    missed: bool,
}

impl<'a> Watched<'a> {
    fn new(process: &'a str, before: &[InstanceStatus]) -> Watched<'a> {
        let known = |status: &InstanceStatus| {
            (status.name.clone(), News { old_exit: status.last_exit.clone(), ..News::default() })
        };
        Watched { process, news: before.iter().map(known).collect(), missed: false }
    }

    /// Takes notice of a change; whether it is one of the process.
    fn hear(&mut self, change: &Change) -> bool {
        let is_ours = change.now.process == self.process;
        if is_ours {
            let news = self.news.entry(change.now.name.clone()).or_default();
            news.moved = true;
            news.ran |= change.now.state == InstanceState::Running;
        }
        is_ours
    }

    /// Takes notice of all that was told up to now; whether anything of it is news of the process.
    fn hear_all(&mut self, changes: &mut broadcast::Receiver<Change>) -> bool {
        let mut is_news = false;
        loop {
            match changes.try_recv() {
                Ok(change) => is_news |= self.hear(&change),
                // What was missed may have been good news: what is seen now decides.
                Err(TryRecvError::Lagged(_)) => (self.missed, is_news) = (true, true),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return is_news,
            }
        }
    }

    fn of(&self, instance: &str) -> News {
        let known = self.news.get(instance).cloned().unwrap_or_default();
        News { moved: known.moved || self.missed, ..known }
    }
}

/// Waits until every instance of a process came up, or one did not, with the reason. `changes` must have been
/// subscribed to before the declaration was applied; `before` are the instances as they were then, and the children of
/// those in `replaced` have to go.
pub(super) async fn came_up(
    supervisor: &Supervisor,
    mut changes: broadcast::Receiver<Change>,
    process: &str,
    before: &[InstanceStatus],
    replaced: &BTreeSet<u32>,
) -> Result<(), String> {
    let which = Selector::Name(process.to_owned());
    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    let mut watched = Watched::new(process, before);
    loop {
        let instances = supervisor.status(&which).map_err(|error| error.to_string())?;
        // What is seen was told, so all of it is known now. What was told since then has to be seen first.
        if watched.hear_all(&mut changes) {
            continue;
        }
        let mut open = instances.is_empty();
        for instance in &instances {
            if instance.pid.is_some_and(|pid| replaced.contains(&pid)) {
                if let Some(news) = watched.news.get_mut(&instance.name) {
                    news.ran = false;
                }
                open = true;
                continue;
            }
            if instance.state == InstanceState::Waiting && begun.elapsed() < HESITATION {
                open = true;
                continue;
            }
            match verdict(instance, &watched.of(&instance.name)) {
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
            Ok(Ok(change)) => {
                watched.hear(&change);
            }
            Ok(Err(RecvError::Lagged(_))) => watched.missed = true,
            // Nothing came: what is seen then decides.
            Err(_) => {}
            Ok(Err(RecvError::Closed)) => return Ok(()),
        }
    }
}

fn verdict(instance: &InstanceStatus, news: &News) -> Verdict {
    // An end that was asked for is that of a predecessor.
    let exit = instance.last_exit.as_ref().filter(|exit| exit.unexpected && news.old_exit.as_ref() != Some(*exit));
    match instance.state {
        InstanceState::Running | InstanceState::Waiting => Verdict::Well,
        // What is on its way out makes room for what was declared.
        InstanceState::Starting | InstanceState::Stopping => Verdict::Open,
        // Whatever is wanted was begun before the declaration was in force: this one somebody has stopped.
        InstanceState::Stopped => Verdict::Well,
        // Nothing was asked of it, so nothing failed.
        InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal if !news.moved => Verdict::Well,
        InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal
            if news.ran || exit.is_some_and(|exit| exit.status.success()) =>
        {
            Verdict::Well
        }
        InstanceState::Backoff | InstanceState::Exited | InstanceState::Fatal => {
            let exit = exit.map(|exit| exit.status.to_string());
            Verdict::Failed(instance.reason.clone().or(exit).unwrap_or_else(|| "it ended at once".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use piton_supervisor::ExitStatus;

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
            (S::Stopped, None, None, false, Verdict::Well),
            (S::Stopped, Some(ExitStatus::Signal(15)), None, false, Verdict::Well),
            (S::Exited, code(0), None, false, Verdict::Well),
            (S::Exited, code(1), None, true, Verdict::Well),
            (S::Exited, code(1), None, false, failed("exit code 1")),
            (S::Backoff, code(1), Some("no such program"), false, failed("no such program")),
            (S::Fatal, None, Some("no such program"), false, failed("no such program")),
        ];
        for (state, exit, reason, ran, wanted) in table {
            let news = News { moved: true, ran, old_exit: None };
            assert_eq!(verdict(&instance(state, exit, reason), &news), wanted, "{state}");
        }
    }

    #[test]
    fn what_was_before_the_declaration_does_not_count() {
        let ended = instance(InstanceState::Fatal, Some(ExitStatus::Code(0)), Some("no such program"));
        let news = |moved| News { moved, ran: false, old_exit: ended.last_exit.clone() };
        let failed = Verdict::Failed("no such program".to_owned());
        assert_eq!(verdict(&ended, &news(true)), failed, "the success was that of another program");
        assert_eq!(verdict(&ended, &news(false)), Verdict::Well, "it was not even tried");
        let mut replaced = ended.clone();
        replaced.last_exit.as_mut().unwrap().unexpected = false;
        let fresh = News { moved: true, ..News::default() };
        assert_eq!(verdict(&replaced, &fresh), failed, "the predecessor's end was asked for");
        assert_eq!(verdict(&ended, &fresh), Verdict::Well);
    }

    #[test]
    fn changes_of_others_are_no_news() {
        let before = [instance(InstanceState::Running, Some(ExitStatus::Code(1)), None)];
        let mut watched = Watched::new("web", &before);
        let change = |process: &str, state| Change {
            number: 1,
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            from: InstanceState::Stopped,
            now: Arc::new(InstanceStatus { state, ..InstanceStatus::at_rest("web", process) }),
        };
        watched.hear(&change("api", InstanceState::Running));
        assert!(!watched.of("web").moved && watched.of("web").old_exit == before[0].last_exit);
        watched.hear(&change("web", InstanceState::Starting));
        assert!(watched.of("web").moved && !watched.of("web").ran);
        watched.hear(&change("web", InstanceState::Running));
        watched.hear(&change("web", InstanceState::Exited));
        assert!(watched.of("web").ran);
        let (tell, mut changes) = broadcast::channel(2);
        tell.send(change("api", InstanceState::Running)).unwrap();
        assert!(!watched.hear_all(&mut changes));
        tell.send(change("web", InstanceState::Starting)).unwrap();
        assert!(watched.hear_all(&mut changes) && !watched.hear_all(&mut changes), "once");
        assert!(!watched.of("web-2").moved);
        for _ in 0..3 {
            tell.send(change("api", InstanceState::Running)).unwrap();
        }
        assert!(watched.hear_all(&mut changes) && watched.of("web-2").moved, "nobody knows what was missed");
    }
}
