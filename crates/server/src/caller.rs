//! Who asks, as the door found out through which the request came.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use piton_auth::Role;
use piton_model::{Act, By, Deed, Name};
use piton_spec::provisr::Secrets;

use crate::problem::Refusal;
use crate::transport::Peer;

/// Who asks, and what they may do. A request without one is anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// For the record.
    pub(crate) by: By,
    /// What they may do.
    pub(crate) role: Role,
    /// How that is known.
    pub(crate) known: Known,
    /// The address they come from, where they come over the network.
    pub(crate) from: Option<IpAddr>,
}

/// How it is known who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Only the owner of the data directory can ask this way.
    Socket,
    /// Nobody has to log in.
    Anonymous,
    /// By the key of workers, with which they report and do nothing else.
    Worker,
    /// By a name and a password, or a client's id and secret.
    Basic(Account),
    /// By a token in a header.
    Token(Account, Session),
    /// By a token in a cookie.
    Cookie(Account, Session),
}

/// The user or client who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its id.
    pub(crate) id: String,
    /// Its name, for people.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) roles: Vec<Role>,
    /// The workspaces that it is bound to; none where it is not bound.
    pub(crate) workspaces: BTreeSet<Name>,
    /// Of its rights: in a later one it has to prove anew who it is.
    pub(crate) generation: u32,
}

/// The token by which somebody is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) token: String,
    /// When it is over.
    pub(crate) until: Timestamp,
    /// The stored key that signed it.
    pub(crate) key: Option<String>,
}

impl Caller {
    pub(crate) fn new(by: By, role: Role, known: Known) -> Caller {
        Caller { by, role, known, from: None }
    }

    /// What is secret in a declaration is for those who may change it.
    pub(crate) fn secrets(&self) -> Secrets {
        if self.role == Role::Admin { Secrets::Shown } else { Secrets::Masked }
    }

    /// The user or client, where it is one.
    pub(crate) fn account(&self) -> Option<&Account> {
        match &self.known {
            Known::Socket | Known::Anonymous | Known::Worker => None,
            Known::Basic(account) | Known::Token(account, _) | Known::Cookie(account, _) => Some(account),
        }
    }

    /// The workspaces that they are bound to; nothing where they may see everything.
    pub(crate) fn bound(&self) -> Option<&BTreeSet<Name>> {
        self.account().map(|account| &account.workspaces).filter(|workspaces| !workspaces.is_empty())
    }

    /// The token, where they are known by one.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.known {
            Known::Token(_, session) | Known::Cookie(_, session) => Some(session),
            Known::Socket | Known::Anonymous | Known::Worker | Known::Basic(_) => None,
        }
    }

    /// What only administrators may do, where that does not depend on the route alone.
    pub(crate) fn check_admin(&self, doing: &str, hint: Option<String>) -> Result<(), Refusal> {
        if self.role == Role::Admin {
            return Ok(());
        }
        let detail = format!("{doing} takes the role admin, and you are {}", self.role);
        Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", detail, hint).by_code())
    }

    /// Something that they do, for the audit trail.
    pub(crate) fn deed(&self, act: Act) -> Deed {
        Deed { from: self.from.map(|from| from.to_string()), ..Deed::new(self.by.clone(), act) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        required(&parts.extensions).cloned()
    }
}

/// Whoever asks, or why it is nobody.
#[derive(Debug, Clone)]
pub(crate) struct TurnedAway(pub(crate) Refusal);

/// Who asks. Whoever came with credentials that are worth nothing is told that, and not that they brought none.
pub(crate) fn required(extensions: &Extensions) -> Result<&Caller, Refusal> {
    match (extensions.get::<Caller>(), extensions.get::<TurnedAway>()) {
        (Some(caller), _) => Ok(caller),
        (None, Some(TurnedAway(refusal))) => Err(refusal.clone()),
        (None, None) => Err(unauthenticated()),
    }
}

/// Where the request comes from, if it comes over the network.
pub(crate) fn address(extensions: &Extensions) -> Option<IpAddr> {
    Some(extensions.get::<Peer>()?.address?.ip().to_canonical())
}

/// Whoever asks must say who they are.
pub(crate) fn unauthenticated() -> Refusal {
    let hint = Some("`piton login`, or send `Authorization: Bearer TOKEN`".to_owned());
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "nobody may do this without logging in", hint)
        .by_code()
        .with(header::WWW_AUTHENTICATE, challenge())
}

/// How to say who one is.
pub(crate) fn challenge() -> HeaderValue {
    HeaderValue::from_static("Bearer realm=\"piton\", Basic realm=\"piton\", charset=\"UTF-8\"")
}

/// The door of the unix socket and of commands in the same process. It lets in only the owner of the data directory,
/// so the caller's word is taken for the name.
pub(crate) async fn owner(mut request: Request, next: Next) -> Response {
    let by = By::User(named(request.headers()).to_owned());
    request.extensions_mut().insert(Caller::new(by, Role::Admin, Known::Socket));
    next.run(request).await
}

fn named(headers: &HeaderMap) -> &str {
    let name = headers.get("x-piton-user").and_then(|value| value.to_str().ok());
    name.filter(|name| !name.is_empty() && name.len() <= 64).unwrap_or("unknown")
}

/// The door of TCP where nobody has to log in: the address is of this host only, or somebody wants it so.
pub(crate) async fn anybody(mut request: Request, next: Next) -> Response {
    let from = address(request.extensions());
    let caller = Caller::new(By::User("anonymous".to_owned()), Role::Admin, Known::Anonymous);
    request.extensions_mut().insert(Caller { from, ..caller });
    next.run(request).await
}
