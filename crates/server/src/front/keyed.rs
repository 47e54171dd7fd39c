//! What creates something, asked for again: the header `Idempotency-Key`.
//!
//! A client whose answer was lost sends the same request with the same key, and gets the answer of the first time. Keys
//! belong to their caller and are remembered for a day, in the database. What a request submits to the ledger is keyed by
//! the use of its key, so a crash between the ledger and the answer makes no second run: the request is worked on again,
//! and finds the run of the first time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use piton_engine::{Call, Engine};
use piton_model::{DedupKey, Digest};
use piton_store::{Known, Request as Keyed, hurried};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use uuid::Uuid;

use super::{condition, hurry};
use crate::caller::Caller;
use crate::extract;
use crate::problem::{Answer, Refusal};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key.
pub(crate) const LONGEST_KEY: usize = 255;

/// The largest answer that is kept.
const LARGEST: usize = 4 * 1024 * 1024;

/// The headers that belong to an answer, whenever it is given.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// The keyed requests that this process works on, by caller and key, with what they ask. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Working(Arc<Mutex<HashMap<(String, String), String>>>);

/// A request that is worked on, until this is dropped.
#[derive(Debug)]
struct Held {
    working: Working,
    place: (String, String),
}

/// What keyed requests need, as an extension of each.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) engine: Engine,
    pub(crate) working: Working,
}

/// An answer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Working {
    fn hold(&self, request: &Keyed) -> Answer<Held> {
        let place = (request.caller.clone(), request.key.clone());
        let mut working = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match working.get(&place) {
            Some(digest) if *digest == request.digest => Err(in_flight()),
            Some(_) => Err(conflict()),
            None => {
                working.insert(place.clone(), request.digest.clone());
                Ok(Held { working: self.clone(), place })
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.working.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}

/// Answers a request that creates something: anew, or as the first time.
///
/// One with a key is worked on to its end even where its client has gone: it finds the answer when it asks again.
pub(crate) async fn answer(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(KEY) {
        return condition::check(request, next).await;
    }
    let answering = piton_engine::calling(Call::current(), answer_keyed(request, next));
    match tokio::spawn(hurried(hurry::PATIENCE, answering).in_current_span()).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => Refusal::internal(&error).into_response(),
    }
}

async fn answer_keyed(request: Request, next: Next) -> Answer<Response> {
    let Some(key) = key_of(request.headers())? else { return Ok(condition::check(request, next).await) };
    let extensions = request.extensions();
    let (Some(keys), Some(caller)) = (extensions.get::<Keys>().cloned(), extensions.get::<Caller>().cloned()) else {
        return Ok(condition::check(request, next).await);
    };
    let (parts, body) = request.into_parts();
    let body = extract::body(Request::from_parts(parts.clone(), body)).await?;
    let digest = digest(&parts.method, &parts.uri, &body);
    let keyed = Keyed { caller: format!("{:?}", caller.by), key, digest };
    let _held = keys.working.hold(&keyed)?;
    let (store, node) = (keys.engine.store(), keys.engine.worker().to_string());
    let fresh = Uuid::now_v7().to_string();
    let token = match store.begin_request(keyed.clone(), fresh, node, keys.engine.clock().now()).await? {
        Known::Answered(text) => return replay(&text),
        Known::Other => return Err(conflict()),
        Known::Elsewhere => return Err(in_flight()),
        Known::Begun { token } => token,
    };
    let call = Call { key: Some(DedupKey::new(format!("request:{token}"))), ..Call::current() };
    let request = Request::from_parts(parts, Body::from(body));
    let response = piton_engine::calling(call, condition::check(request, next)).await;
    keep(&keys.engine, keyed, token, response).await
}

/// Keeps an answer before it is given. What was refused may be asked again; what broke is worked on again, as the same
/// request, since nobody knows how far it came; so is what has too large an answer to be kept.
async fn keep(engine: &Engine, keyed: Keyed, token: String, response: Response) -> Answer<Response> {
    let status = response.status();
    if status.is_server_error() || is_large(response.body()) {
        return Ok(response);
    }
    let (response, kept) = if status.is_success() { copy(response).await? } else { (response, None) };
    let done = match kept {
        Some(kept) => engine.store().answer_request(keyed, token, kept).await,
        None => engine.store().abandon_request(keyed, token).await,
    };
    if let Err(error) = done {
        tracing::warn!(%error, "an answer could not be kept; the request is worked on again if it is repeated");
    }
    Ok(response)
}

fn is_large(body: &Body) -> bool {
    use axum::body::HttpBody as _;
    body.size_hint().exact().is_some_and(|size| size > LARGEST as u64)
}

async fn copy(response: Response) -> Answer<(Response, Option<String>)> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST).await.map_err(|error| Refusal::internal(&error))?;
    let named = KEPT.iter().filter_map(|name| Some((name, parts.headers.get(name)?.to_str().ok()?)));
    let headers = named.map(|(name, value)| (name.to_string(), value.to_owned())).collect();
    let kept = Kept { status: parts.status.as_u16(), headers, body: String::from_utf8_lossy(&body).into_owned() };
    let kept = serde_json::to_string(&kept).map_err(|error| Refusal::internal(&error))?;
    Ok((Response::from_parts(parts, Body::from(body)), Some(kept)))
}

fn replay(text: &str) -> Answer<Response> {
    let kept: Kept = serde_json::from_str(text).map_err(|error| Refusal::internal(&error))?;
    let status = StatusCode::from_u16(kept.status).map_err(|error| Refusal::internal(&error))?;
    let mut response = (status, kept.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in &kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The key of a request. The standard to be writes it in quotes, and most clients do not.
fn key_of(headers: &HeaderMap) -> Answer<Option<String>> {
    let wrong = |detail: &str| {
        let hint = Some("a new UUID for each thing to be created does well".to_owned());
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail, hint)
    };
    let mut given = headers.get_all(KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(wrong("there are several headers `Idempotency-Key`"));
    }
    let text = value.to_str().map_err(|_| wrong("the `Idempotency-Key` is no text"))?.trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !(1..=LONGEST_KEY).contains(&key.len()) {
        return Err(wrong("an `Idempotency-Key` has 1 to 255 characters"));
    }
    Ok(Some(key.to_owned()))
}

/// Of what is asked. The order of the members of an object says nothing.
fn digest(method: &Method, uri: &Uri, body: &Bytes) -> String {
    let mut text = format!("{method} {}\n", uri.path_and_query().map_or("/", |target| target.as_str())).into_bytes();
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) => text.extend_from_slice(value.to_string().as_bytes()),
        Err(_) => text.extend_from_slice(body),
    }
    Digest::of(&text).to_string()
}

fn conflict() -> Refusal {
    let detail = "this `Idempotency-Key` was used for another request";
    let hint = Some("use a new key for each thing to be created".to_owned());
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", detail, hint)
}

fn in_flight() -> Refusal {
    let detail = "the first request with this `Idempotency-Key` is still under way";
    let hint = Some("send it again a little later, to get its answer".to_owned());
    Refusal::new(StatusCode::CONFLICT, "idempotency_in_flight", detail, hint)
        .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_clients_write_them() {
        let of = |text: &str| key_of(&HeaderMap::from_iter([(KEY, HeaderValue::from_str(text).unwrap())]));
        assert_eq!(of("a-1").unwrap().as_deref(), Some("a-1"));
        assert_eq!(of("\"a-1\"").unwrap().as_deref(), Some("a-1"), "in quotes it is the same key");
        assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
        for bad in ["", "\"\"", &"x".repeat(LONGEST_KEY + 1)] {
            assert_eq!(of(bad).unwrap_err().into_problem().code, "invalid_idempotency_key", "{bad}");
        }
        let mut both = HeaderMap::new();
        both.append(KEY, HeaderValue::from_static("a"));
        both.append(KEY, HeaderValue::from_static("b"));
        assert!(key_of(&both).is_err());
    }

    #[test]
    fn what_is_the_same_request() {
        let of = |path: &'static str, body: &'static str| {
            digest(&Method::POST, &Uri::from_static(path), &Bytes::from_static(body.as_bytes()))
        };
        let one = of("/deploy", r#"{"a":1,"b":[1,2]}"#);
        assert_eq!(one, of("/deploy", r#" { "b": [1, 2], "a": 1 } "#));
        for (path, body) in [
            ("/deploy", r#"{"a":1,"b":[2,1]}"#),
            ("/deploy", r#"{"a":"1","b":[1,2]}"#),
            ("/deploy", ""),
            ("/deploy?x", r#"{"a":1,"b":[1,2]}"#),
            ("/other", r#"{"a":1,"b":[1,2]}"#),
        ] {
            assert_ne!(one, of(path, body), "{path} {body}");
        }
    }

    #[test]
    fn a_request_is_worked_on_once_at_a_time() {
        let working = Working::default();
        let keyed =
            |key: &str, digest: &str| Keyed { caller: "a".to_owned(), key: key.to_owned(), digest: digest.to_owned() };
        let code = |held: Answer<Held>| held.unwrap_err().into_problem().code;
        let held = working.hold(&keyed("1", "x")).unwrap();
        assert_eq!(code(working.hold(&keyed("1", "x"))), "idempotency_in_flight");
        assert_eq!(code(working.hold(&keyed("1", "y"))), "idempotency_conflict");
        assert!(working.hold(&keyed("2", "x")).is_ok());
        drop(held);
        assert!(working.hold(&keyed("1", "x")).is_ok());
        assert!(working.0.lock().unwrap().is_empty(), "nothing is remembered of what is over");
    }
}
