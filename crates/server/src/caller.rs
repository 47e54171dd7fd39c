//! Who asks, as the door found out through which the request came.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use piton_auth::Role;
use piton_model::By;

use crate::problem::Refusal;

/// Who asks, and what they may do. A request without one is anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// For the record.
    pub(crate) by: By,
    /// What they may do.
    pub(crate) role: Role,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(unauthenticated)
    }
}

/// Whoever asks must say who they are.
pub(crate) fn unauthenticated() -> Refusal {
    let hint = Some("`piton login`, or send `Authorization: Bearer TOKEN`".to_owned());
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "nobody may do this without logging in", hint)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"piton\", Basic realm=\"piton\""))
}

/// The door of the unix socket and of commands in the same process. It lets in only the owner of the data directory,
/// so the caller's word is taken for the name.
pub(crate) async fn owner(mut request: Request, next: Next) -> Response {
    let caller = Caller { by: By::User(named(request.headers()).to_owned()), role: Role::Admin };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn named(headers: &HeaderMap) -> &str {
    let name = headers.get("x-piton-user").and_then(|value| value.to_str().ok());
    name.filter(|name| !name.is_empty() && name.len() <= 64).unwrap_or("unknown")
}

/// The door of TCP where nobody has to log in: the address is of this host only, or somebody wants it so.
pub(crate) async fn anybody(mut request: Request, next: Next) -> Response {
    let caller = Caller { by: By::User("anonymous".to_owned()), role: Role::Admin };
    request.extensions_mut().insert(caller);
    next.run(request).await
}
