//! Following a log as it grows.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::watch;

use crate::error::Error;
use crate::hub::Shared;
use crate::layout::Layout;
use crate::store::Chunk;
use crate::wait::{Backoff, pause};

/// Small, because thousands of followers may each hold one.
const PIECE: usize = 32 * 1024;
/// A writer in this process says when there is more; this is only for the unforeseen.
const LOCAL: Duration = Duration::from_secs(10);

struct Follower {
    shared: Arc<Shared>,
    layout: Layout,
    from: u64,
    changes: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    backoff: Backoff,
}

pub(crate) fn follow(
    shared: Arc<Shared>,
    layout: Layout,
    from: u64,
    ended: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Chunk, Error>> + Send + use<> {
    let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
    let follower = Follower { changes: shared.changes(), shared, layout, from, ended, backoff };
    stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await.transpose()? {
            Ok(chunk) => Some((Ok(chunk), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            // Both are looked at before the log is: what is written after that is noticed, what was written before is
            // read.
            self.changes.mark_unchanged();
            let over = *self.ended.borrow_and_update() || self.ended.has_changed().is_err();
            let reader = Arc::clone(&self.shared).reader(self.layout.clone()).await?;
            let chunk = reader.read(self.from, PIECE).await?;
            if !chunk.bytes.is_empty() {
                self.from = chunk.next();
                self.backoff.reset();
                return Ok(Some(chunk));
            }
            if over {
                return Ok(None);
            }
            let longest = if self.shared.is_local() { LOCAL } else { self.backoff.next() };
            tokio::select! {
                // Neither sender's end matters here: the next round sees it.
                _ = self.changes.changed() => {}
                _ = self.ended.changed() => {}
                () = pause(longest) => {}
            }
        }
    }
}
