//! Requests become values, or refusals that say which part is wrong.

mod once;
mod query;

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use piton_api::Fault;
use piton_model::json_pointer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path as Place, Segment};

pub(crate) use self::once::{stands_twice, twice};
pub(crate) use self::query::{Query, wrong, wrong_cursor};
use crate::problem::Refusal;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body; nothing at all counts as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

/// Parameters of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let is_json = is_json(request.headers());
        let is_coded = request.headers().contains_key(header::CONTENT_ENCODING);
        let bytes = body(request).await?;
        // No body can be parsed whatever it is called, and curl calls every body a form.
        if !bytes.is_empty() && (!is_json || is_coded) {
            let hint = Some("send `Content-Type: application/json`, and the body as it is".to_owned());
            let detail = "the body is not plain JSON by its headers";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail, hint));
        }
        parse(if bytes.is_empty() { b"{}" } else { &bytes }).map(Json)
    }
}

/// How large the body of a request may be, where that is not the usual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Largest(pub(crate) usize);

/// The whole body, within the limits of size and time.
pub(crate) async fn body(request: Request) -> Result<Bytes, Refusal> {
    let largest = request.extensions().get::<Largest>().map_or(crate::BODY_LIMIT, |largest| largest.0);
    // Who asks first whether to send it is told before anything is sent. To others it would not be told: a connection that
    // is closed while they send takes the answer with it.
    if request.headers().contains_key(header::EXPECT)
        && announced(request.headers()).is_some_and(|length| length > largest as u64)
    {
        return Err(too_large(largest));
    }
    let Ok(bytes) = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await else {
        let detail = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
        return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail, None));
    };
    bytes.map_err(|rejection| unreadable(&rejection, largest))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn unreadable(rejection: &BytesRejection, largest: usize) -> Refusal {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => too_large(largest),
        _ => Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body broke off", None),
    }
}

pub(crate) fn too_large(largest: usize) -> Refusal {
    let detail = format!("the body is larger than {largest} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail, None)
}

/// A value from what a body is known to hold.
pub(crate) fn read<T: DeserializeOwned>(members: &serde_json::Map<String, serde_json::Value>) -> Result<T, Refusal> {
    shape(&serde_json::to_vec(members).map_err(|error| Refusal::internal(&error))?)
}

/// What a body says, which says nothing twice.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if let Some(place) = twice(bytes) {
        let pointer = json_pointer(place);
        let detail = stands_twice(&pointer);
        let hint = Some("say each member of an object once".to_owned());
        let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone(), hint);
        return Err(refusal.at(Fault { pointer, detail }));
    }
    shape(bytes)
}

fn shape<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Serde would take a list for a struct, member by member.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let fault = Fault { pointer: String::new(), detail: "a list, expected an object".to_owned() };
        let detail = "the body must be a JSON object";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail, None).at(fault));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        if inner.classify() == serde_json::error::Category::Data {
            // The place in the text adds nothing to the pointer.
            let detail = without_place(&inner.to_string()).to_owned();
            let fault = Fault { pointer: pointer(error.path()), detail: detail.clone() };
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail, None).at(fault)
        } else {
            malformed(inner)
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// What the reader of JSON says, but for the line and column.
pub(crate) fn without_place(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text)
}

fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is no JSON: {error}"), None)
}

/// What is named so on the way through a value, as RFC 6901 has it.
pub(crate) fn pointer(place: &Place) -> String {
    let parts = place.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Cow::Owned(index.to_string())),
        Segment::Map { key } => Some(Cow::Borrowed(key.as_str())),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    json_pointer(parts)
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) if error.status() == StatusCode::BAD_REQUEST => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_path", error.body_text(), None))
            }
            Err(error) => Err(Refusal::internal(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        #[expect(dead_code, reason = "only its place matters")]
        lists: BTreeMap<String, Vec<u8>>,
    }

    fn refused(text: &str) -> (u16, String, Option<String>) {
        let problem = parse::<Wanted>(text.as_bytes()).unwrap_err().into_problem();
        (problem.status, problem.code, problem.errors.first().map(|fault| fault.pointer.clone()))
    }

    #[test]
    fn a_refusal_points_at_what_is_wrong() {
        let table = [
            (r#"{"lists":{"a/b~":[1,"x"]}}"#, 422, "invalid_body", Some("/lists/a~1b~0/1")),
            (r#"{"lists":{"a":[256]}}"#, 422, "invalid_body", Some("/lists/a/0")),
            (r#"{"list":{}}"#, 422, "invalid_body", Some("/list")),
            (r#"{"lists":{"a":[1],"a":[2]}}"#, 422, "invalid_body", Some("/lists/a")),
            (r#"{"lists":{},"lists":{}}"#, 422, "invalid_body", Some("/lists")),
            (r"[]", 422, "invalid_body", Some("")),
            (r#"{"lists":"#, 400, "malformed_json", None),
            (r"{}{}", 400, "malformed_json", None),
            ("", 400, "malformed_json", None),
        ];
        for (text, status, code, pointer) in table {
            assert_eq!(refused(text), (status, code.to_owned(), pointer.map(str::to_owned)), "{text}");
        }
        assert!(parse::<Wanted>(b"{}").is_ok());
    }

    #[test]
    fn deep_nesting_is_refused_without_harm() {
        let deep = format!("{{\"lists\":{}", "[".repeat(100_000));
        assert_eq!(refused(&deep).0, 422, "a list is no map");
        let text = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(parse::<serde_json::Value>(text.as_bytes()).is_err());
    }
}
