//! The daemon's end of the socket, for tokio.

mod link;
mod start;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::frame::FrameError;
use crate::protocol::{
    LIMITS_SINCE, PROTOCOL_VERSION, Refusal, RefusalKind, Reply, Request, SweepReport, Target, Welcome,
};
use crate::{Child, ExitStatus, Exited, Output, Signal, Spec, Token};
use link::Link;
use tokio::sync::mpsc;

/// How long a keeper may take to go on as another program.
const UPGRADE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(5);

/// A connection to the keeper of one directory. Clones share it; it closes with the last one, which no child notices.
///
/// Every method may be dropped at any time: a request that was sent is still carried out, and may be repeated.
#[derive(Debug, Clone)]
pub struct Client {
    link: Link,
}

/// Why the keeper could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No keeper answers in this directory.
    #[error("no keeper answers in {}: {source}", dir.display())]
    Absent {
        /// The directory.
        dir: PathBuf,
        /// What connecting said.
        source: io::Error,
    },
    /// The keeper was started but never answered.
    #[error("the keeper did not start in {}: {}{}", dir.display(),
        status.map_or("it does not answer".to_owned(), |status| format!("it ended with {status}")),
        last_words.as_ref().map(|words| format!(": {words}")).unwrap_or_default())]
    Start {
        /// The directory.
        dir: PathBuf,
        /// How it ended, if it did.
        status: Option<process::ExitStatus>,
        /// The last thing it said.
        last_words: Option<String>,
    },
    /// Somebody else's process answers in the keeper's place.
    #[error("the keeper's socket is served by another user (uid {0})")]
    Foreign(u32),
    /// What answers does not behave like a keeper.
    #[error("the keeper's answer makes no sense: {0}")]
    Protocol(String),
    /// The connection is gone, and with it perhaps the keeper. What was asked may or may not have been done; connect
    /// and ask again.
    #[error("the connection to the keeper is lost")]
    Disconnected,
    /// The request cannot be put into a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The keeper is older than what is asked of it. [`Client::ensure_current`] may help.
    #[error("the keeper (version {0}) is too old to limit children and to write logs")]
    Outdated(String),
    /// The keeper said no.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl Error {
    /// Why the keeper said no, if that is what happened.
    pub fn refusal(&self) -> Option<RefusalKind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            _ => None,
        }
    }
}

impl Client {
    /// Connects to the keeper of this directory.
    pub async fn connect(dir: &Path) -> Result<Self, Error> {
        let link = Link::open(dir, PROTOCOL_VERSION).await?;
        let client = Self { link };
        client.done(Request::Subscribe).await?;
        Ok(client)
    }

    /// Connects to the keeper of this directory; if none answers, starts one with this command and connects to it, or
    /// to the one that another daemon started in the same moment.
    pub async fn connect_or_start(dir: &Path, keeper_argv: &[OsString]) -> Result<Self, Error> {
        match Self::connect(dir).await {
            Err(Error::Absent { .. } | Error::Disconnected) => start::start_and_connect(dir, keeper_argv).await,
            result => result,
        }
    }

    /// Who answers.
    pub fn keeper(&self) -> &Welcome {
        self.link.welcome()
    }

    /// Sees to it that the keeper is at least as new as this code: makes one that is older go on as the program `exe`,
    /// with the children it holds. Gives the connection to go on with.
    pub async fn ensure_current(self, dir: &Path, exe: &Path) -> Result<Self, Error> {
        let Welcome { protocol_version, keeper_version, keeper_pid } = self.keeper().clone();
        if protocol_version >= PROTOCOL_VERSION && !is_older(&keeper_version, env!("CARGO_PKG_VERSION")) {
            return Ok(self);
        }
        self.upgrade(exe).await?;
        let deadline = Instant::now() + UPGRADE;
        let mut retry = interval(RETRY);
        loop {
            retry.tick().await;
            match Self::connect(dir).await {
                Err(Error::Absent { .. } | Error::Disconnected) if Instant::now() < deadline => {}
                Ok(client) if client.keeper().keeper_pid != keeper_pid => {
                    return Err(Error::Protocol("another keeper took over during the upgrade".to_owned()));
                }
                result => return result,
            }
        }
    }

    /// Starts this, or finds what was already started under the token.
    pub async fn spawn(&self, token: &Token, spec: &Spec) -> Result<Child, Error> {
        let writes_log = [&spec.stdout, &spec.stderr].into_iter().any(|output| matches!(output, Output::Log(_)));
        let Welcome { protocol_version, keeper_version, .. } = self.keeper();
        // An older keeper would start it without limits, and nobody would notice.
        if *protocol_version < LIMITS_SINCE && (writes_log || !spec.limits.is_default()) {
            return Err(Error::Outdated(keeper_version.clone()));
        }
        self.child(Request::Spawn { token: token.clone(), spec: spec.clone() }).await
    }

    /// One child.
    pub async fn get(&self, token: &Token) -> Result<Child, Error> {
        self.child(Request::Get { token: token.clone() }).await
    }

    /// Every child that is held, in the order of the tokens.
    pub async fn list(&self) -> Result<Vec<Child>, Error> {
        let mut all = Vec::<Child>::new();
        loop {
            let after = all.last().map(|child| child.token.clone());
            match self.link.ask(Request::List { after }).await? {
                Reply::Children { children, more } => {
                    let stuck = children.is_empty();
                    all.extend(children);
                    if !more || stuck {
                        return Ok(all);
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Sends a signal. Refused as [`RefusalKind::NotRunning`] if nothing is left to receive it.
    pub async fn signal(&self, token: &Token, signal: Signal, target: Target) -> Result<(), Error> {
        self.done(Request::Signal { token: token.clone(), signal, target }).await
    }

    /// Kills whatever is left of the child's tree, the child included, and tells how much that was.
    pub async fn sweep(&self, token: &Token) -> Result<SweepReport, Error> {
        match self.link.ask(Request::Sweep { token: token.clone() }).await? {
            Reply::Swept(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the keeper forget a child that has ended; forgetting one it does not know succeeds.
    pub async fn acknowledge(&self, token: &Token) -> Result<(), Error> {
        self.done(Request::Acknowledge { token: token.clone() }).await
    }

    /// Waits until the child has ended, which may already be so.
    ///
    /// [`Error::Disconnected`] says nothing about the child: whether it lives is for [`is_alive`](crate::is_alive) to
    /// say, how it ended perhaps for the next keeper.
    pub async fn wait(&self, token: &Token) -> Result<ExitStatus, Error> {
        Ok(self.wait_for_end(token).await?.status)
    }

    /// The same for those who want to know when it was as well: it may be long ago.
    pub async fn wait_for_end(&self, token: &Token) -> Result<Exited, Error> {
        // Registered before asking: an end between the two would otherwise be missed.
        let ended = self.link.watch(token)?;
        if let Some(exited) = self.get(token).await?.exited() {
            return Ok(exited);
        }
        ended.await
    }

    /// Every child that ends from now on. The stream ends with the connection; what ended while there was none is told by
    /// [`Client::list`].
    pub fn ends(&self) -> Result<mpsc::UnboundedReceiver<Child>, Error> {
        self.link.listen()
    }

    /// Ends the keeper; with `if_idle` only if none of its children and of those of a keeper before it runs, no sweep is
    /// under way and no log is open to be written to. Without, children go on and the next keeper watches them, but nobody will learn their exit status, and
    /// the kernel kills those that write to a log.
    pub async fn stop(&self, if_idle: bool) -> Result<(), Error> {
        self.done(Request::Stop { if_idle }).await
    }

    /// Makes the keeper go on as this program, with the children it holds. The connection is used up: connect again.
    pub async fn upgrade(self, exe: &Path) -> Result<(), Error> {
        match self.link.ask(Request::Upgrade { exe: exe.to_owned() }).await {
            Err(Error::Disconnected) => Ok(()),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        }
    }

    async fn done(&self, request: Request) -> Result<(), Error> {
        match self.link.ask(request).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn child(&self, request: Request) -> Result<Child, Error> {
        match self.link.ask(request).await? {
            Reply::Child(child) => Ok(child),
            other => Err(unexpected(&other)),
        }
    }
}

/// Whether the first version is certainly older.
fn is_older(version: &str, than: &str) -> bool {
    let parse = |version: &str| version.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    matches!((parse(version), parse(than)), (Some(version), Some(than)) if version < than)
}

fn unexpected(reply: &Reply) -> Error {
    let what = match reply {
        Reply::Done => "done",
        Reply::Child(_) => "a child",
        Reply::Children { .. } => "children",
        Reply::Swept(_) => "a sweep",
    };
    Error::Protocol(format!("it answered with {what} where something else was asked"))
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("0.9.3", "0.10.0"));
        assert!(!is_older("0.10.0", "0.10.0"));
        assert!(!is_older("1.0.0", "0.10.0"));
        assert!(!is_older("strange", "0.10.0"));
    }
}
