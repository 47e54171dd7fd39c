//! The messages that somebody works on in this process, over all connections.
//!
//! When a connection breaks, the broker gives out again what was not acknowledged, and the work on it goes on here all the
//! same. So a message that arrives while the same one is being worked on joins that work, and one that comes back after
//! its answer was lost gets that answer. What another process does is not seen here: that is for the durable insert.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::decide::Verdict;

/// An answer that nobody could be given is kept for this long: messages come back within moments of a reconnect.
const KEPT: Duration = Duration::from_secs(300);

/// The bytes of a message.
pub(crate) type Key = Arc<[u8]>;

#[derive(Debug, Default)]
pub(crate) struct Doing {
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    answer: watch::Receiver<Option<Answered>>,
    work: AbortHandle,
}

#[derive(Clone, Debug)]
struct Answered {
    verdict: Verdict,
    at: Instant,
}

/// Work that was begun, here or before.
#[derive(Debug)]
pub(crate) struct Work {
    answer: watch::Receiver<Option<Answered>>,
}

impl Doing {
    /// The work on this message, if it goes on. If it has ended, then only for one that comes back: whoever sends the
    /// same again later wants it done again.
    pub(crate) fn join(&self, key: &Key, redelivered: bool) -> Option<Work> {
        let mut entries = self.lock();
        let answer = entries.get(key)?.answer.clone();
        let ended = answer.borrow().as_ref().map(|answered| answered.at);
        if ended.is_some_and(|at| !redelivered || at.elapsed() > KEPT) {
            entries.remove(key);
            return None;
        }
        Some(Work { answer })
    }

    /// Begins the work on this message, or joins the one that somebody began meanwhile.
    pub(crate) fn begin(&self, key: &Key, work: impl Future<Output = Verdict> + Send + 'static) -> Work {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(key).filter(|entry| entry.answer.borrow().is_none()) {
            return Work { answer: entry.answer.clone() };
        }
        let (tell, answer) = watch::channel(None);
        let task = tokio::spawn(async move {
            let verdict = work.await;
            tell.send_replace(Some(Answered { verdict, at: Instant::now() }));
        });
        entries.insert(Arc::clone(key), Entry { answer: answer.clone(), work: task.abort_handle() });
        Work { answer }
    }

    /// The answer has reached the broker, or nobody wants it. Work that somebody began on a copy since goes on.
    pub(crate) fn forget(&self, key: &Key) {
        let mut entries = self.lock();
        if entries.get(key).is_some_and(|entry| entry.answer.borrow().is_some()) {
            entries.remove(key);
        }
    }

    /// Ends the work on this message, wherever it stands.
    pub(crate) fn abort(&self, key: &Key) {
        if let Some(entry) = self.lock().remove(key) {
            entry.work.abort();
        }
    }

    /// Ends all work.
    pub(crate) fn abort_all(&self) {
        for (_, entry) in self.lock().drain() {
            entry.work.abort();
        }
    }

    /// Drops answers that are too old to be asked for.
    pub(crate) fn tidy(&self) {
        let fresh = |entry: &Entry| entry.answer.borrow().as_ref().is_none_or(|answered| answered.at.elapsed() <= KEPT);
        self.lock().retain(|_, entry| fresh(entry));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without an inlet there is nobody to answer.
impl Drop for Doing {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl Work {
    /// Waits for the answer.
    pub(crate) async fn answer(mut self) -> Verdict {
        let answered = self.answer.wait_for(Option::is_some).await;
        match answered.as_deref() {
            Ok(Some(answered)) => answered.verdict.clone(),
            // The task has ended without one.
            Ok(None) | Err(_) => Verdict::Later { reason: "the work on it ended without an answer".to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn key(text: &str) -> Key {
        Arc::from(text.as_bytes())
    }

    #[tokio::test]
    async fn the_same_message_is_worked_on_once_at_a_time() {
        let (doing, begun, go) = (Doing::default(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                Verdict::Accept
            }
        };
        let first = doing.begin(&key("a"), work());
        let second = doing.begin(&key("a"), work());
        let third = doing.join(&key("a"), false).expect("it goes on");
        assert!(doing.join(&key("b"), true).is_none());
        go.notify_one();
        for work in [first, second, third] {
            assert_eq!(work.answer().await, Verdict::Accept);
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_lost_is_given_to_what_comes_back_only() {
        let doing = Doing::default();
        let begin = |text: &str| doing.begin(&key(text), async { Verdict::Accept });
        begin("a").answer().await;
        assert_eq!(doing.join(&key("a"), true).expect("comes back").answer().await, Verdict::Accept);
        assert!(doing.join(&key("a"), false).is_none(), "sent again");
        assert!(doing.join(&key("a"), true).is_none(), "forgotten by then");

        begin("b").answer().await;
        tokio::time::advance(KEPT + Duration::from_secs(1)).await;
        doing.tidy();
        assert!(doing.join(&key("b"), true).is_none(), "too old");
        assert!(doing.lock().is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_forgotten_but_not_the_work_on_a_copy() {
        let doing = Doing::default();
        doing.begin(&key("a"), async { Verdict::Accept }).answer().await;
        assert!(doing.join(&key("a"), false).is_none(), "a copy, while the answer is on its way");
        let _copy = doing.begin(&key("a"), std::future::pending());
        doing.forget(&key("a"));
        assert!(doing.join(&key("a"), false).is_some());
    }

    #[tokio::test]
    async fn work_that_ends_without_an_answer_is_tried_again() {
        let doing = Doing::default();
        let work = doing.begin(&key("a"), std::future::pending());
        doing.abort(&key("a"));
        assert!(matches!(work.answer().await, Verdict::Later { .. }));
        let work = doing.begin(&key("b"), std::future::pending());
        doing.abort_all();
        assert!(matches!(work.answer().await, Verdict::Later { .. }));
    }
}
