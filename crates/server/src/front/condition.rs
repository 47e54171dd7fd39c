//! What a client knows of an object, compared with what is there: `ETag`, `If-None-Match`, `If-Match`.
//!
//! The tag of an object is the digest of what is sent of it. Packed, that is another sequence of bytes, and has another
//! tag; of the forms that a client may be sent, it is told of the one that it has already (RFC 9110, 8.8.3 and 13.1.2).
//! Whoever changes an object under `If-Match` is refused unless it is still what they saw, in either form: the object
//! is asked for as they would ask for it, right before. What must hold in the very moment of the change, such as which
//! plan is approved, is judged by the engine and not here.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use piton_model::Digest;
use tower::ServiceExt;

use crate::caller::Caller;
use crate::problem::Refusal;

/// Answers that are larger are not tagged: they are logs, not objects.
const LARGEST: usize = 4 * 1024 * 1024;
/// How answers are packed.
const GZIP: &str = "gzip";

/// The routes as they are within, to look at objects, and the path that was asked for.
#[derive(Debug, Clone)]
struct Objects(Router, String);

/// Tags what is read, and keeps at hand what a change must be compared with.
pub(crate) async fn tagged(routes: Router, mut request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let held = Held::of(request.headers());
        return tag(next.run(request).await, held.as_ref()).await;
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
        Some(found) if matches(&wanted, &found) || packed(&found, GZIP).is_some_and(|form| matches(&wanted, &form)) => {
            return next.run(request).await;
        }
        Some(_) => "it is not what it was any more",
        None => "there is nothing that `If-Match` could be compared with",
    };
    let hint = Some("read it again, and decide again".to_owned());
    Refusal::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail, hint).into_response()
}

/// Tells what was packed on the way out from what was not.
pub(crate) async fn retagged(mut response: Response) -> Response {
    let headers = response.headers();
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
    let form = headers.get(header::ETAG).zip(coding).and_then(|(tag, coding)| packed(tag, coding));
    if let Some(form) = form {
        response.headers_mut().insert(header::ETAG, form);
    }
    response
}

/// The tag of an object as it is when it is packed so.
fn packed(tag: &HeaderValue, coding: &str) -> Option<HeaderValue> {
    let opened = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{opened}-{coding}\"")).ok()
}

/// What a client has of an object.
#[derive(Debug)]
struct Held {
    tags: Vec<HeaderValue>,
    /// It may be sent packed.
    takes_packed: bool,
}

impl Held {
    fn of(headers: &HeaderMap) -> Option<Held> {
        let tags: Vec<HeaderValue> = headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect();
        (!tags.is_empty()).then(|| Held { tags, takes_packed: takes(headers, GZIP) })
    }

    /// The tag of the form that it has, of those that it could be sent now.
    fn form(&self, tag: &HeaderValue) -> Option<HeaderValue> {
        let packed = packed(tag, GZIP).filter(|_| self.takes_packed);
        let mut forms = [Some(tag.clone()), packed].into_iter().flatten();
        forms.find(|form| self.tags.iter().any(|list| matches(list, form)))
    }
}

/// Whether an answer may be packed so.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let says = |wanted: &str| {
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(',')).find_map(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=');
            let weight: f32 = weight.parse().unwrap_or(1.0);
            name.trim().eq_ignore_ascii_case(wanted).then_some(weight > 0.0)
        })
    };
    says(coding).or_else(|| says("*")).unwrap_or(false)
}

/// Tags an answer that is an object, or says that the client has it already.
async fn tag(response: Response, held: Option<&Held>) -> Response {
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
    let same = held.and_then(|held| held.form(&tag));
    let is_same = same.is_some();
    parts.headers.insert(header::ETAG, same.unwrap_or(tag));
    // Of every form, that caches do not give one to whoever cannot read it.
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_same {
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

/// Whether a list of tags has this one. A proxy that packs an object calls its tag weak; it is still the same object.
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
    fn a_client_is_told_of_the_form_that_it_has_and_can_read() {
        let tag = tag_of(b"{}");
        let gzip = packed(&tag, GZIP).unwrap();
        assert!(gzip != tag && gzip.to_str().unwrap().ends_with("-gzip\""), "{gzip:?}");
        let (plain, packed) = (tag.to_str().unwrap(), gzip.to_str().unwrap());
        let both = format!("{packed}, {plain}");
        for (knows, accepts, told) in [
            (plain, "", Some(&tag)),
            (plain, "gzip", Some(&tag)),
            (packed, "gzip", Some(&gzip)),
            (packed, "br, GZIP ; q=0.5", Some(&gzip)),
            (packed, "*", Some(&gzip)),
            (packed, "", None),
            (packed, "br", None),
            (packed, "gzip;q=0, *", None),
            (both.as_str(), "", Some(&tag)),
            ("\"x\"", "gzip", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(knows).unwrap());
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(accepts).unwrap());
            assert_eq!(Held::of(&headers).unwrap().form(&tag).as_ref(), told, "{knows}, {accepts}");
        }
        assert!(Held::of(&HeaderMap::new()).is_none());
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
