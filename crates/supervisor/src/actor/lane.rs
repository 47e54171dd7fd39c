//! Requests that reach the keeper in the order in which they were decided.
//!
//! Each is begun when the one before it is on its way. Nobody waits for an answer but who asked for it: that would cost a
//! round trip for each of a thousand starts.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Made only when its turn has come: work that waits takes memory.
type Errand = Box<dyn FnOnce(OnItsWay) -> Work + Send>;

/// Does what is put into it in order. What is under way ends with it.
pub(super) struct Lane {
    errands: mpsc::UnboundedSender<Errand>,
    _tasks: JoinSet<()>,
}

/// By which an errand says that its request is on its way.
pub(super) struct OnItsWay(CancellationToken);

impl Lane {
    /// One in which so many errands are under way at once.
    pub(super) fn open(at_once: usize) -> Lane {
        let (errands, queue) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(queue, at_once));
        Lane { errands, _tasks: tasks }
    }

    /// Does this after what was put here before.
    pub(super) fn put<F>(&self, errand: impl FnOnce(OnItsWay) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Whoever takes them is there for as long as the lane is.
        let _ = self.errands.send(Box::new(move |on_its_way| Box::pin(errand(on_its_way))));
    }
}

impl OnItsWay {
    /// Makes a request. It is sent as soon as it is waited for, which lets the next errand begin.
    pub(super) async fn send<T>(&self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        poll_fn(|context| {
            let answer = request.as_mut().poll(context);
            self.0.cancel();
            answer
        })
        .await
    }
}

async fn run(mut queue: mpsc::UnboundedReceiver<Errand>, at_once: usize) {
    let places = Arc::new(Semaphore::new(at_once));
    let mut under_way = JoinSet::new();
    while let Some(errand) = queue.recv().await {
        // Nobody closes it; should that change, nothing would be worse than an errand that is not done.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let sent = CancellationToken::new();
        let (on_its_way, over) = (OnItsWay(sent.clone()), sent.clone().drop_guard());
        under_way.spawn(async move {
            errand(on_its_way).await;
            drop((place, over));
        });
        // Or over, having sent nothing.
        sent.cancelled().await;
        while under_way.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const COUNT: usize = 500;

    /// In which order so many are sent, of which each takes its own time before that.
    async fn sent(lane: &Lane, hold: bool) -> Vec<usize> {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (told, mut heard) = mpsc::unbounded_channel();
        for number in 0..COUNT {
            let (sent, told) = (Arc::clone(&sent), told.clone());
            lane.put(move |on_its_way| async move {
                for _ in 0..(number * 7) % 11 {
                    yield_now().await;
                }
                // Some send nothing, and are over.
                let sends = number % 5 > 0;
                if sends {
                    on_its_way.send(async { sent.lock().unwrap().push(number) }).await;
                }
                let _ = told.send(());
                if hold && sends {
                    std::future::pending::<()>().await;
                }
                for _ in 0..(number * 5) % 13 {
                    yield_now().await;
                }
            });
        }
        for _ in 0..COUNT {
            heard.recv().await.unwrap();
        }
        sent.lock().unwrap().clone()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_put_first_is_sent_first() {
        let expected: Vec<usize> = (0..COUNT).filter(|number| number % 5 > 0).collect();
        assert_eq!(sent(&Lane::open(8), false).await, expected);
        // Also where none of them is ever answered.
        assert_eq!(sent(&Lane::open(Semaphore::MAX_PERMITS), true).await, expected);
    }

    #[tokio::test]
    async fn no_answer_is_waited_for_but_by_who_has_no_place() {
        let lane = Lane::open(2);
        let (told, mut heard) = mpsc::unbounded_channel();
        let mut answers = Vec::new();
        for number in 0..4 {
            let (answer, answered) = oneshot::channel::<()>();
            answers.push(answer);
            let told = told.clone();
            lane.put(move |on_its_way| async move {
                let request = async {
                    let _ = told.send(number);
                    answered.await
                };
                let _ = on_its_way.send(request).await;
            });
        }
        assert_eq!((heard.recv().await, heard.recv().await), (Some(0), Some(1)));
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(heard.try_recv().is_err(), "there are two places");
        let _ = answers.remove(1).send(());
        assert_eq!(heard.recv().await, Some(2));
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_its_lane() {
        let lane = Lane::open(1);
        let (told, begun) = oneshot::channel();
        let (kept, gone) = oneshot::channel::<()>();
        lane.put(move |on_its_way| async move {
            let _ = told.send(());
            on_its_way.send(std::future::pending::<()>()).await;
            drop(kept);
        });
        begun.await.unwrap();
        drop(lane);
        assert!(timeout(Duration::from_secs(60), gone).await.unwrap().is_err());
    }
}
