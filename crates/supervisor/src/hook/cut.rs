//! Cutting a phase of hooks short, and the mark by which a later supervisor knows that one was.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use piton_keeper::{Limits, Output, Remembered, Spec, Token};
use piton_process::Keeping;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Now;
use crate::real_time::pause;

/// What stands for a hook in the token of the mark. No hook can be called so.
const MARK: &str = ":cut";

/// By which a phase is cut short that is not to lead anywhere any more. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    made: CancellationToken,
    /// The moment from which on the hook is killed.
    until: Arc<watch::Sender<Option<Duration>>>,
}

impl Cut {
    /// The hook that runs is asked to end and killed after this time, with all it started; no other one is begun. Those
    /// beside the phase go on. Of several times the one counts that is over first.
    pub(crate) fn make(&self, grace: Duration) {
        let end = Now::read().moment.saturating_add(grace);
        self.until.send_if_modified(|until| {
            let is_sooner = until.is_none_or(|known| end < known);
            if is_sooner {
                *until = Some(end);
            }
            is_sooner
        });
        self.made.cancel();
    }

    pub(crate) fn is_made(&self) -> bool {
        self.made.is_cancelled()
    }

    /// Cancelled when the cut is made.
    pub(crate) fn made(&self) -> &CancellationToken {
        &self.made
    }

    /// Waits until the cut was made and its time is over.
    pub(crate) async fn over(&self) {
        let mut until = self.until.subscribe();
        loop {
            let end = *until.borrow_and_update();
            let left = end.map(|end| end.saturating_sub(Now::read().moment));
            tokio::select! {
                biased;
                // What is waited for holds the other end.
                changed = until.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = pause(left.unwrap_or_default()), if left.is_some() => return,
            }
        }
    }
}

/// Marks the phase of this try as cut short, before the try is told: how it ends then says nothing about what it was
/// for, and another supervisor may come before the keeper has forgotten it.
///
/// The mark is a child of the phase itself, which does nothing: so the keeper remembers it as long as the phase, and one
/// of an older version does too.
pub(crate) async fn mark(keeping: &Keeping, try_: &Token) {
    let Some(token) = mark_of(try_) else { return };
    let spec = Spec {
        argv: ["/bin/sh", "-c", ":"].map(OsString::from).into(),
        env: BTreeMap::new(),
        cwd: "/".into(),
        stdout: Output::Null,
        stderr: Output::Null,
        limits: Limits::default(),
        remembered: Remembered::OverPowerLoss,
    };
    if let Err(error) = keeping.start(&token, &spec).await {
        // It has to end all the same.
        warn!(token = token.as_str(), %error, "that a hook was stopped could not be written down");
    }
}

/// Whether a token is that of a mark, and none of a hook.
pub(crate) fn is_mark(token: &Token) -> bool {
    token.as_str().rsplit_once('/').is_some_and(|(_, last)| last == MARK)
}

/// `PREFIX/PHASE/:cut` for `PREFIX/PHASE/HOOK/TRY`.
fn mark_of(try_: &Token) -> Option<Token> {
    let (hook, _) = try_.as_str().rsplit_once('/')?;
    let (phase, _) = hook.rsplit_once('/')?;
    format!("{phase}/{MARK}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_its_phase_and_no_hook() {
        let try_: Token = "hook/web/7/pre_start/migrate/2".parse().unwrap();
        let mark = mark_of(&try_).unwrap();
        assert_eq!(mark.as_str(), "hook/web/7/pre_start/:cut");
        assert!(is_mark(&mark) && !is_mark(&try_));
    }

    #[tokio::test]
    async fn the_end_counts_that_comes_first() {
        let (hour, cut) = (Duration::from_secs(3600), Cut::default());
        cut.make(hour);
        let waits = tokio::spawn({
            let cut = cut.clone();
            async move { cut.over().await }
        });
        cut.make(Duration::ZERO);
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, waits).await.expect("less patience counts").unwrap();
        cut.make(hour);
        tokio::time::timeout(patience, cut.over()).await.expect("more patience does not");
    }
}
