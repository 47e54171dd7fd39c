//! The door of TCP where somebody has to log in.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt;

use super::Auth;
use super::cookie;
use super::refusals::authentication_failed;
use crate::caller::{Caller, Known, TurnedAway, address};
use crate::problem::Answer;

/// How often it is looked whether somebody who reads a stream may still do that.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The routes for those who say who they are; the rest is anonymous.
pub(crate) fn authenticated(router: Router, auth: Auth) -> Router {
    router.layer(from_fn_with_state(auth, door))
}

/// Finds out who asks. Credentials that are worth nothing matter only to routes that need some: a page that comes with
/// an old cookie can still log in.
async fn door(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    match auth.identify(&head).await {
        Ok(Some(caller)) => {
            head.extensions.insert(caller);
        }
        Ok(None) => {}
        Err(refusal) => {
            head.extensions.insert(TurnedAway(refusal));
        }
    }
    let caller = head.extensions.get::<Caller>().cloned();
    let response = next.run(Request::from_parts(head, body)).await;
    match caller {
        Some(caller) if goes_on(&response) => while_known(auth, caller, response),
        Some(_) | None => response,
    }
}

fn goes_on(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// Ends a stream when whoever reads it would not be let in any more.
fn while_known(auth: Auth, caller: Caller, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let unknown = async move {
        let mut looks = tokio::time::interval(LOOK_AGAIN);
        looks.tick().await;
        loop {
            looks.tick().await;
            if !auth.still_knows(&caller).await {
                break;
            }
        }
    };
    let body = Body::from_stream(body.into_data_stream().take_until(Box::pin(unknown)));
    Response::from_parts(head, body)
}

/// Credentials as a request brings them.
#[derive(Debug, PartialEq, Eq)]
enum Brought<'a> {
    Nothing,
    Token(&'a str),
    Basic(String, String),
    Cookie(&'a str),
    Nonsense,
}

impl Auth {
    async fn identify(&self, head: &Head) -> Answer<Option<Caller>> {
        let from = address(&head.extensions);
        let brought = brought(&head.headers);
        let origin = || {
            let allowed = &self.0.settings.allowed_origins;
            cookie::check_origin(&head.method, &head.uri, &head.headers, allowed)
        };
        let (proven, known) = match brought {
            Brought::Nothing => return Ok(None),
            Brought::Nonsense => return Err(authentication_failed()),
            Brought::Basic(name, password) => {
                let proven = self.by_basic(&name, &password, from).await?;
                let known = Known::Basic(proven.account.clone());
                (proven, known)
            }
            Brought::Token(token) => {
                if let Some(worker) = self.by_worker_key(token) {
                    return Ok(Some(Caller { from, ..worker }));
                }
                let (proven, session, _) = self.by_token(token).await?;
                let known = Known::Token(proven.account.clone(), session);
                (proven, known)
            }
            Brought::Cookie(token) => {
                origin()?;
                let (proven, session, _) = self.by_token(token).await?;
                let known = Known::Cookie(proven.account.clone(), session);
                (proven, known)
            }
        };
        Ok(Some(Caller { from, ..Caller::new(proven.by.clone(), proven.role(), known) }))
    }
}

fn brought(headers: &HeaderMap) -> Brought<'_> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => cookie::token(headers).map_or(Brought::Nothing, Brought::Cookie),
        (Some(_), Some(_)) => Brought::Nonsense,
        (Some(one), None) => one.to_str().ok().and_then(authorization).unwrap_or(Brought::Nonsense),
    }
}

fn authorization(text: &str) -> Option<Brought<'_>> {
    let (scheme, credentials) = text.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Brought::Token(credentials));
    }
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 1024 {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(credentials).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Brought::Basic(name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_request_brings() {
        let basic = |name: &str, password: &str| Brought::Basic(name.to_owned(), password.to_owned());
        let long = format!("Basic {}", "A".repeat(2000));
        let table: [(&[&str], Brought<'_>); 13] = [
            (&[], Brought::Nothing),
            (&["Bearer x.y.z"], Brought::Token("x.y.z")),
            (&["bearer  x"], Brought::Token("x")),
            (&["Basic YW5uYTpwYXNz"], basic("anna", "pass")),
            (&["basic YW5uYTpwYTpzcw=="], basic("anna", "pa:ss")),
            (&["Basic YW5uYQ=="], Brought::Nonsense),
            (&["Basic ????"], Brought::Nonsense),
            (&["Basic /////w=="], Brought::Nonsense),
            (&["Bearer"], Brought::Nonsense),
            (&[""], Brought::Nonsense),
            (&["Digest x"], Brought::Nonsense),
            (&["Bearer x", "Bearer y"], Brought::Nonsense),
            (&[&long], Brought::Nonsense),
        ];
        for (lines, wanted) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(brought(&headers), wanted, "{lines:?}");
        }
    }
}
