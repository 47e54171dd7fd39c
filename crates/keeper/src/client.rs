//! The daemon's end of the socket, for tokio.

mod link;
mod start;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::frame::FrameError;
use crate::protocol::{PROTOCOL_VERSION, Refusal, RefusalKind, Reply, Request, SweepReport, Target, Welcome};
use crate::{Child, ExitStatus, Signal, Spec, Token};
use link::Link;

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

    /// Starts this, or finds what was already started under the token.
    pub async fn spawn(&self, token: &Token, spec: &Spec) -> Result<Child, Error> {
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
        // Registered before asking: an end between the two would otherwise be missed.
        let ended = self.link.watch(token)?;
        if let Some(status) = self.get(token).await?.exit() {
            return Ok(status);
        }
        ended.await
    }

    /// Ends the keeper; with `if_idle` only if nothing runs. Without, children go on, but nobody will learn their exit
    /// status.
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

fn unexpected(reply: &Reply) -> Error {
    let what = match reply {
        Reply::Done => "done",
        Reply::Child(_) => "a child",
        Reply::Children { .. } => "children",
        Reply::Swept(_) => "a sweep",
    };
    Error::Protocol(format!("it answered with {what} where something else was asked"))
}
