//! Who may speak on the unix socket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

type Asked = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Asked about every process that connects, by its id. The default admits everybody that the socket's permissions do.
#[derive(Clone, Default)]
pub struct Admission(Option<Arc<dyn Fn(u32) -> Asked + Send + Sync>>);

impl Admission {
    /// Admits those for whom `may` says so.
    pub fn by(may: impl Fn(u32) -> Asked + Send + Sync + 'static) -> Admission {
        Admission(Some(Arc::new(may)))
    }

    async fn admits(&self, pid: Option<u32>) -> bool {
        match (&self.0, pid) {
            // Processes that have no id here are not below this one: they live in an outer namespace.
            (None, _) | (Some(_), None | Some(0)) => true,
            (Some(may), Some(pid)) => may(pid).await,
        }
    }
}

/// Who connected, as far as that has to be asked about. It may take a while, so nobody else waits for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Visitor {
    admission: Admission,
    pid: Option<u32>,
}

impl Visitor {
    /// The process of this id, of which is to be asked.
    pub(super) fn new(admission: Admission, pid: Option<u32>) -> Visitor {
        Visitor { admission, pid }
    }

    /// Whether it may speak here.
    pub(super) async fn admitted(self) -> bool {
        self.admission.admits(self.pid).await
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admission").field(&self.0.is_some()).finish()
    }
}
