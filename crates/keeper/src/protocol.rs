//! The messages between a client and the keeper. Each is the JSON body of one [`frame`](crate::frame).
//!
//! A connection begins with [`Hello`] and is answered [`ToClient::Welcome`] or [`ToClient::Refused`]; then requests and
//! their answers follow, matched by id, and, after [`Request::Subscribe`], events between them. A keeper lives longer
//! than the daemon that started it, so each side understands its own version and the one before.

use serde::{Deserialize, Serialize};

use crate::{Child, Signal, Spec, Token};

/// The version this code speaks. Since 2, a [`Spec`] may have [`Limits`](crate::Limits) and logs: an older keeper would
/// not see the first and not understand the second.
pub const PROTOCOL_VERSION: u32 = 2;
/// The first version that keeps to limits and writes logs.
pub const LIMITS_SINCE: u32 = 2;

/// The version two sides talk in, if they are at most one apart: the older one's.
pub fn negotiate(ours: u32, theirs: u32) -> Option<u32> {
    (theirs > 0 && ours.abs_diff(theirs) <= 1).then_some(ours.min(theirs))
}

/// The first frame of a connection, from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest version the client speaks.
    pub protocol_version: u32,
}

/// Any later frame from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToKeeper {
    /// Echoed in the answer.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Start this, or find what was already started under the token. Answered by [`Reply::Child`].
    Spawn {
        /// The caller's name for the child.
        token: Token,
        /// What to run.
        spec: Spec,
    },
    /// One child. Answered by [`Reply::Child`].
    Get {
        /// Which.
        token: Token,
    },
    /// Children in the order of their tokens, a page at a time. Answered by [`Reply::Children`].
    List {
        /// The last token of the page before.
        after: Option<Token>,
    },
    /// Send a signal. Answered by [`Reply::Done`].
    Signal {
        /// Which child.
        token: Token,
        /// What to send.
        signal: Signal,
        /// How far it reaches.
        target: Target,
    },
    /// Kill whatever is left of the child's tree, the child included, and answer with [`Reply::Swept`] when it is gone.
    Sweep {
        /// Which child.
        token: Token,
    },
    /// Forget a child that has ended. Answered by [`Reply::Done`], also if it is already forgotten.
    Acknowledge {
        /// Which child.
        token: Token,
    },
    /// Send this connection an [`Event`] for each child that ends from now on. Answered by [`Reply::Done`].
    Subscribe,
    /// End the keeper. Children that still run go on, but their exit statuses will be lost, and with the pipes of their
    /// logs those that write to one are killed by the kernel. Answered by [`Reply::Done`].
    Stop {
        /// Refuse if a child of this keeper runs, a sweep is under way or a log is open to be written to.
        if_idle: bool,
    },
    /// Replace the keeper's program while it keeps its pid and so its children. On success the connection closes
    /// without an answer.
    Upgrade {
        /// The new program's absolute path; it is started with the keeper's own arguments.
        #[serde(with = "crate::os_text::value")]
        exe: std::path::PathBuf,
    },
}

/// How far a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The child alone.
    Process,
    /// The child's process group.
    Group,
    /// The group, all descendants, and whoever carries the child's token.
    Tree,
}

/// Any frame from the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToClient {
    /// The connection is accepted.
    Welcome(Welcome),
    /// The connection is refused and will be closed.
    Refused(Refusal),
    /// A request succeeded.
    Reply {
        /// The request's id.
        id: u64,
        /// Its answer.
        reply: Reply,
    },
    /// A request failed.
    Failed {
        /// The request's id.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Something happened.
    Event(Event),
}

/// The keeper introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version this connection speaks.
    pub protocol_version: u32,
    /// The version of the keeper's package.
    pub keeper_version: String,
    /// The keeper's process id.
    pub keeper_pid: u32,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing to tell but success.
    Done,
    /// A child.
    Child(Child),
    /// A page of children.
    Children {
        /// In the order of their tokens.
        children: Vec<Child>,
        /// Whether another page follows.
        more: bool,
    },
    /// A sweep ended.
    Swept(SweepReport),
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// How many processes it killed.
    pub killed: u32,
    /// Pids that were still there when it gave up: stuck in the kernel, or another user's.
    pub survivors: Vec<u32>,
}

/// What the keeper tells its subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A child ended; its status is already safe on disk.
    Exited(Child),
}

/// The keeper says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub kind: RefusalKind,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Why the keeper said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The two sides are more than one protocol version apart.
    Version,
    /// The request could not be understood.
    BadRequest,
    /// The [`Spec`] can never run.
    BadSpec,
    /// The program, or the interpreter it names, does not exist.
    ProgramNotFound,
    /// The program exists but may not be executed.
    PermissionDenied,
    /// The program is not in an executable format and has no `#!` line.
    NotExecutable,
    /// The working directory is missing or may not be entered.
    WorkingDirectory,
    /// An output file cannot be opened.
    Output,
    /// The child cannot be made who it should be, or held to a limit.
    Limits,
    /// The system is short of processes, memory or descriptors; worth another try.
    Resources,
    /// The keeper cannot write its own journal, so it cannot promise to start this only once.
    Journal,
    /// A keeper died in the very moment of starting this: it may or may not have run. Acknowledge to clear.
    StartUncertain,
    /// No child is held under this token.
    UnknownToken,
    /// The child has not ended.
    StillRunning,
    /// Nothing is left to receive the signal.
    NotRunning,
    /// Children are still running.
    Busy,
    /// Another error of the operating system.
    System,
    /// A kind that only a newer keeper knows.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_talk_in_the_older_version() {
        assert_eq!(negotiate(3, 3), Some(3));
        assert_eq!(negotiate(3, 2), Some(2));
        assert_eq!(negotiate(2, 3), Some(2));
        assert_eq!(negotiate(3, 1), None);
        assert_eq!(negotiate(1, 3), None);
        assert_eq!(negotiate(1, 0), None);
    }

    #[test]
    fn a_newer_keepers_refusal_is_still_understood() {
        let json = r#"{"failed":{"id":7,"refusal":{"kind":"eclipse","message":"no sun"}}}"#;
        let refusal = Refusal::new(RefusalKind::Other, "no sun");
        assert_eq!(serde_json::from_str::<ToClient>(json).unwrap(), ToClient::Failed { id: 7, refusal });
    }

    /// The wire format is shared with keepers already running: changing it needs a new version.
    #[test]
    fn the_wire_format_stays() {
        let text = r#"{"id":1,"request":{"signal":{"token":"a","signal":"SIGTERM","target":"tree"}}}"#;
        let request = Request::Signal { token: "a".parse().unwrap(), signal: Signal::Term, target: Target::Tree };
        let message = ToKeeper { id: 1, request };
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<ToKeeper>(text).unwrap(), message);
        let subscribe = ToKeeper { id: 2, request: Request::Subscribe };
        assert_eq!(serde_json::to_string(&subscribe).unwrap(), r#"{"id":2,"request":"subscribe"}"#);
    }
}
