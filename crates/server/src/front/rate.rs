//! How fast one caller may ask: a bucket of tokens each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use piton_model::By;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::problem::Refusal;
use crate::transport::{Peer, network};

/// More callers than this are not told apart for longer than a moment.
const CALLERS: usize = 100_000;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The buckets of all callers.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What one caller has left: it fills up again at the rate, to twice the rate.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: u32, at: Instant) -> Bucket {
        Bucket { tokens: capacity(rate), at }
    }

    fn refilled(self, rate: u32, now: Instant) -> Bucket {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate);
        Bucket { tokens: (self.tokens + grown).min(capacity(rate)), at: now }
    }

    /// Takes a token: what is left, or how long it takes until there is one.
    fn take(&mut self, rate: u32, now: Instant) -> Result<u32, Duration> {
        *self = self.refilled(rate, now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / f64::from(rate)));
        }
        self.tokens -= 1.0;
        Ok(self.tokens as u32)
    }
}

fn capacity(rate: u32) -> f64 {
    2.0 * f64::from(rate)
}

impl Rates {
    pub(crate) fn new(rate: u32) -> Rates {
        Rates { rate: rate.max(1), buckets: Mutex::default() }
    }

    fn take(&self, caller: String, now: Instant) -> Result<u32, Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS {
            // A full bucket is as good as none.
            buckets.retain(|_, bucket| bucket.refilled(self.rate, now).tokens < capacity(self.rate));
            if buckets.len() >= CALLERS {
                buckets.clear();
            }
        }
        buckets.entry(caller).or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now)
    }
}

/// By what callers are told apart; those of the unix socket are not counted.
pub(crate) fn key(request: &Request) -> Option<String> {
    let peer = request.extensions().get::<Peer>()?.address?;
    match request.extensions().get::<Caller>() {
        Some(Caller { by, .. }) if *by != By::User("anonymous".to_owned()) => Some(format!("{by:?}")),
        _ => Some(network(peer.ip()).to_string()),
    }
}

pub(crate) async fn limit(rates: Option<Arc<Rates>>, request: Request, next: Next) -> Response {
    let (Some(rates), Some(key)) = (rates, key(&request)) else { return next.run(request).await };
    let (left, wait, mut response) = match rates.take(key, Instant::now()) {
        Ok(left) => (left, Duration::ZERO, next.run(request).await),
        Err(wait) => (0, wait, refusal(rates.rate, wait).into_response()),
    };
    let headers = response.headers_mut();
    let policy = format!("\"second\";q={};w=1", rates.rate);
    let state = format!("\"second\";r={left};t={}", wait.as_secs_f64().ceil() as u64);
    for (name, value) in [(POLICY, policy), (LIMIT, state)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

fn refusal(rate: u32, wait: Duration) -> Refusal {
    let detail = format!("one caller may make {rate} requests in a second");
    let seconds = HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64);
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail, Some("slow down".to_owned()))
        .with(header::RETRY_AFTER, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_burst_and_fills_at_the_rate() {
        let rates = Rates::new(10);
        let begin = Instant::now();
        let take = |after| rates.take("a".to_owned(), begin + Duration::from_millis(after));
        let taken = (0..100).filter(|_| take(0).is_ok()).count();
        assert_eq!(taken, 20, "twice the rate at once");
        assert!(take(0).unwrap_err() <= Duration::from_millis(100));
        assert_eq!((0..100).filter(|_| take(500).is_ok()).count(), 5, "half a second later");
        assert!(take(60_000).is_ok());
        assert_eq!(rates.take("b".to_owned(), begin), Ok(19), "others have a bucket of their own");
    }

    #[test]
    fn callers_do_not_fill_the_memory() {
        let rates = Rates::new(1);
        let begin = Instant::now();
        for number in 0..CALLERS * 2 {
            rates.take(number.to_string(), begin).unwrap();
        }
        assert!(rates.buckets.lock().unwrap().len() <= CALLERS);
    }
}
