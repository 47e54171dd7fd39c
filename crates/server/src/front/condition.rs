//! What a client knows of an object, compared with what is there: `ETag`, `If-None-Match`, `If-Match`.
//!
//! The tag of an object is the digest of what is sent of it. Whoever changes one under `If-Match` is refused unless it is
//! still what they saw: the object is asked for as they would ask for it, right before. What must hold in the very moment
//! of the change, such as which plan is approved, is judged by the engine and not here.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use piton_model::Digest;
use tower::ServiceExt;

use crate::caller::Caller;
use crate::problem::Refusal;

/// Answers that are larger are not tagged: they are logs, not objects.
const LARGEST: usize = 4 * 1024 * 1024;

/// The routes as they are within, to look at objects, and the path that was asked for.
#[derive(Debug, Clone)]
struct Objects(Router, String);

/// Tags what is read, and keeps at hand what a change must be compared with.
pub(crate) async fn tagged(routes: Router, mut request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let known = request.headers().get(header::IF_NONE_MATCH).cloned();
        return tag(next.run(request).await, known.as_ref()).await;
    }
    if request.headers().contains_key(header::IF_MATCH) {
        let path = request.uri().path().to_owned();
        request.extensions_mut().insert(Objects(routes, path));
    }
    next.run(request).await
}

/// Refuses a change of what is not as the client saw it.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let wanted = request.headers().get(header::IF_MATCH).cloned();
    let objects = request.extensions().get::<Objects>().cloned();
    let (Some(wanted), Some(Objects(routes, path))) = (wanted, objects) else { return next.run(request).await };
    let caller = request.extensions().get::<Caller>().cloned();
    let detail = match current(routes, &path, caller).await {
        Some(found) if matches(&wanted, &found) => return next.run(request).await,
        Some(_) => "it is not what it was any more",
        None => "there is nothing that `If-Match` could be compared with",
    };
    let hint = Some("read it again, and decide again".to_owned());
    Refusal::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail, hint).into_response()
}

/// Tags an answer that is an object, or says that the client has it already.
async fn tag(response: Response, known: Option<&HeaderValue>) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if response.status() != StatusCode::OK || kind != Some(b"application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Some(tag) = size(&body).filter(|size| *size <= LARGEST as u64) else {
        return Response::from_parts(parts, body);
    };
    let Ok(bytes) = to_bytes(body, tag as usize + 1).await else {
        return Refusal::internal(&"an answer could not be read").into_response();
    };
    let tag = tag_of(&bytes);
    let same = known.is_some_and(|known| matches(known, &tag));
    parts.headers.insert(header::ETAG, tag);
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn size(body: &Body) -> Option<u64> {
    use hyper::body::Body as _;
    body.size_hint().exact()
}

fn tag_of(bytes: &[u8]) -> HeaderValue {
    let digest = Digest::of(bytes);
    let text: String = digest.as_str().chars().take(32).collect();
    HeaderValue::from_str(&format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a list of tags has this one. Compressed on the way, an object is still the same object.
fn matches(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else { return false };
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// The tag of what a request would change, as its caller may see it.
async fn current(routes: Router, path: &str, caller: Option<Caller>) -> Option<HeaderValue> {
    for path in objects(path) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse::<Uri>().ok()?;
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        let Ok(response) = routes.clone().oneshot(request).await;
        let found = tag(response, None).await.headers().get(header::ETAG).cloned();
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Where the object of a request may be: at its own path, or where the action is taken off; deployments have theirs at
/// `status`.
fn objects(path: &str) -> Vec<String> {
    let parent = path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
    let mut places = vec![path.to_owned()];
    places.extend(parent.map(str::to_owned));
    places.extend(parent.map(|parent| format!("{parent}/status")));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags() {
        let tag = tag_of(b"{}");
        let text = tag.to_str().unwrap();
        let list = |text: &str| HeaderValue::from_str(text).unwrap();
        assert!(matches(&list(text), &tag));
        assert!(matches(&list(&format!("\"x\", W/{text}")), &tag));
        assert!(matches(&list("*"), &tag));
        assert!(!matches(&list("\"x\""), &tag));
        assert!(!matches(&list(text.trim_matches('"')), &tag), "a tag has quotes");
    }

    #[test]
    fn where_an_object_may_be() {
        assert_eq!(
            objects("/api/runs/1/approve"),
            ["/api/runs/1/approve", "/api/runs/1", "/api/runs/1/status"].map(str::to_owned)
        );
        assert_eq!(objects("/deploy"), ["/deploy"].map(str::to_owned));
    }
}
