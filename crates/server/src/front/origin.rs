//! Which pages of the web may call: CORS, and no forged requests.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host::Called;
use crate::problem::Refusal;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const ACCEPTED: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, \
                        Traceparent, X-Request-Id";
const EXPOSED: &str = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, Idempotency-Replayed";

/// The pages that may call.
#[derive(Debug)]
pub(crate) struct Origins {
    named: Vec<String>,
    /// `*`: any page may call the routes of the runner, which take no cookies.
    any: bool,
    credentials: bool,
}

/// What may be done for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is no page, or one of this server's.
    Own,
    /// It may call and read the answer.
    Named,
    /// So may any page.
    Any,
    /// It may not.
    Foreign,
}

impl Origins {
    pub(crate) fn new(allowed: &[String], credentials: bool) -> Origins {
        let any = allowed.iter().any(|origin| origin == "*");
        let named = allowed.iter().filter(|origin| *origin != "*").map(|origin| origin.to_ascii_lowercase());
        Origins { named: named.collect(), any, credentials }
    }

    fn judge(&self, origin: Option<&str>, called: Option<&str>, path: &str) -> Verdict {
        let Some(origin) = origin else { return Verdict::Own };
        let origin = origin.to_ascii_lowercase();
        let own = origin.split_once("://").zip(called).is_some_and(|((scheme, host), called)| {
            matches!(scheme, "http" | "https") && host == called.to_ascii_lowercase()
        });
        if own {
            Verdict::Own
        } else if self.named.contains(&origin) {
            Verdict::Named
        } else if self.any && (path == "/deploy" || path.starts_with("/deploy/")) {
            Verdict::Any
        } else {
            Verdict::Foreign
        }
    }

    /// Whether answers differ from page to page.
    fn varies(&self) -> bool {
        !self.named.is_empty()
    }

    fn permit(&self, verdict: Verdict, origin: &HeaderValue, headers: &mut HeaderMap) {
        match verdict {
            Verdict::Named => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if self.credentials {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
            Verdict::Any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Verdict::Own | Verdict::Foreign => {}
        }
    }
}

/// Answers the questions that browsers ask beforehand, and refuses what a foreign page would change.
pub(crate) async fn check(origins: Arc<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let text = origin.as_ref().map(|value| value.to_str().unwrap_or("null"));
    let called = request.extensions().get::<Called>().map(|called| called.0.as_str());
    let verdict = origins.judge(text, called, request.uri().path());
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    let mut response = match verdict {
        Verdict::Foreign if changes || asks => foreign(text.unwrap_or_default()).into_response(),
        Verdict::Named | Verdict::Any if asks => permission(),
        _ => next.run(request).await,
    };
    if let Some(origin) = &origin {
        origins.permit(verdict, origin, response.headers_mut());
        if verdict != Verdict::Foreign && verdict != Verdict::Own {
            let exposed = HeaderValue::from_static(EXPOSED);
            response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    if origins.varies() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

fn permission() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ACCEPTED),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn foreign(origin: &str) -> Refusal {
    let detail = format!("pages of `{}` may not call this server", origin.escape_debug());
    let hint = Some("if they should, add the origin to `server.allowed_origins`".to_owned());
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", detail, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_apart() {
        let origins = Origins::new(&["https://app.example.org".to_owned()], false);
        let called = Some("piton.example.org:8443");
        for (origin, path, verdict) in [
            (None, "/api/runs", Verdict::Own),
            (Some("https://piton.example.org:8443"), "/api/runs", Verdict::Own),
            (Some("https://Piton.example.org:8443"), "/api/runs", Verdict::Own),
            (Some("https://piton.example.org"), "/api/runs", Verdict::Foreign),
            (Some("https://app.example.org"), "/api/runs", Verdict::Named),
            (Some("http://app.example.org"), "/api/runs", Verdict::Foreign),
            (Some("https://app.example.org.evil"), "/deploy", Verdict::Foreign),
            (Some("null"), "/deploy", Verdict::Foreign),
            (Some("piton.example.org:8443"), "/deploy", Verdict::Foreign),
        ] {
            assert_eq!(origins.judge(origin, called, path), verdict, "{origin:?} {path}");
        }
    }

    #[test]
    fn any_page_may_call_the_runner_only() {
        let origins = Origins::new(&["*".to_owned()], false);
        for (path, verdict) in [
            ("/deploy", Verdict::Any),
            ("/deploy/x/approve", Verdict::Any),
            ("/deployx", Verdict::Foreign),
            ("/api/runs", Verdict::Foreign),
        ] {
            assert_eq!(origins.judge(Some("https://evil.example"), Some("localhost"), path), verdict, "{path}");
        }
    }
}
