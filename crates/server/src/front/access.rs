//! Each request gets an id and a place in a trace, and is written down once it was answered.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use piton_api::Problem;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::trace::Trace;
use crate::metrics::Metrics;
use crate::problem;
use crate::transport::Peer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is written down, and where it is counted.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    metrics: Metrics,
}

impl Access {
    pub(crate) fn new(metrics: Metrics) -> Access {
        Access { metrics }
    }
}

/// Who asked, once somebody has found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Arc<OnceLock<String>>);

impl Asked {
    /// Tells who asked.
    pub(crate) fn tell(&self, who: &impl ToString) {
        let _ = self.0.set(who.to_string());
    }
}

pub(crate) async fn write(access: Access, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let fresh = Uuid::now_v7();
    let id = given_id(request.headers()).unwrap_or_else(|| fresh.simple().to_string());
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).and_then(Trace::parse);
    let trace = given.map(|trace| trace.child(fresh.as_u64_pair().1));
    let asked = Asked::default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    request.extensions_mut().insert(asked.clone());
    let origin = piton_engine::Call { trace: trace.map(|trace| trace.to_string()), key: None };

    let span = tracing::info_span!("request", request_id = id);
    if let Some(trace) = trace {
        span.in_scope(|| tracing::trace!(trace_id = trace.id(), "the request continues a trace"));
    }
    let answer = piton_engine::calling(origin, next.run(request)).instrument(span.clone()).await;
    let mut answer = with_request_id(answer, &id);

    let took = begun.elapsed();
    let status = answer.status().as_u16();
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    access.metrics.http(method_word(&method), route.as_deref().unwrap_or("none"), status, took);
    let caller = asked.0.get().map_or("-", String::as_str);
    let (peer, trace) = (peer.map(|peer| peer.to_string()), trace.map(Trace::id));
    let (peer, trace) = (peer.as_deref().unwrap_or("unix"), trace.as_deref().unwrap_or("-"));
    let took_ms = took.as_millis();
    // Probes and commands ask all the time and are of no interest.
    if is_probe(&path) || peer == "unix" {
        tracing::debug!(%method, path, status, took_ms, peer, caller, request_id = id, trace_id = trace, "answered");
    } else {
        tracing::info!(%method, path, status, took_ms, peer, caller, request_id = id, trace_id = trace, "answered");
    }
    answer
}

/// A problem says by which id the log knows the request.
fn with_request_id(mut answer: Response, id: &str) -> Response {
    let Some(mut problem) = answer.extensions_mut().remove::<Box<Problem>>() else { return answer };
    problem.request_id = Some(id.to_owned());
    let (mut parts, _) = answer.into_parts();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, problem::render(&problem).into_body())
}

/// An id that a client or a proxy gave, if it cannot do harm in a log.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    ((1..=128).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}

/// Clients may invent methods, and each would be a series of its own.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/healthz" | "/livez" | "/readyz" | "/metrics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_where_it_is_harmless() {
        let with = |text: &'static str| HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(text))]);
        assert_eq!(given_id(&with("abc-1.2_3:4")).as_deref(), Some("abc-1.2_3:4"));
        for bad in ["", "a b", "a\"b", "a=b"] {
            assert_eq!(given_id(&with(bad)), None, "{bad}");
        }
        let long = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(&"x".repeat(129)).unwrap())]);
        assert_eq!(given_id(&long), None);
    }
}
