//! One call: guarded, paced, timed, and kept.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use piton_model::guard::{Blocked, Guard};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url, redirect};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::leave::may_begin;
use crate::pace::{Lane, Turnstile};
use crate::resolver::Resolver;
use crate::retry_after;
use crate::tape::{Tape, plain};
use crate::targets::Targets;
use crate::verdict::{Unanswered, health};

/// However long a host asks to be left alone: only the request that it said it to waits for all of it.
const LONGEST_HOLD: Duration = Duration::from_secs(5 * 60);

/// A request on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
    /// What is kept of the body, masked by then.
    pub(crate) shown: Option<Value>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body ends where it should: it neither was too long nor broke off.
    pub(crate) whole: bool,
    /// How long to wait before the next call, where the answer says so.
    pub(crate) retry_after: Option<Duration>,
}

impl Incoming {
    /// Where it redirects to, without the query.
    pub(crate) fn location(&self, from: &Url) -> Option<String> {
        let text = self.headers.get(LOCATION)?.to_str().ok()?;
        from.join(text).ok().as_ref().map(plain)
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The program that uses this has to choose who does the cryptography.
    #[error("no TLS provider was installed for this process")]
    NoTlsProvider,
    /// For example because the system trusts no certificate at all.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// How many times as long as a call may take it waits for its turn: with the usual numbers as many may be before it, and only
/// where they are slower than a call may be it makes room for calls of other hosts.
const PATIENCE: u32 = 4;

#[derive(Debug)]
pub(crate) struct Wire {
    client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    guard: Guard,
    lane: Lane,
    pub(crate) timeout: Duration,
    lanes: Mutex<HashMap<String, Arc<Turnstile>>>,
}

impl Wire {
    pub(crate) fn new(targets: &Targets, clock: Arc<dyn Clock>) -> Result<Wire, NoClient> {
        // reqwest panics where no provider was installed.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(NoClient::NoTlsProvider);
        }
        let client = Client::builder()
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            // With credentials nobody is followed.
            .redirect(redirect::Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .dns_resolver(Resolver(targets.guard.clone()))
            .build()?;
        Ok(Wire {
            client,
            clock,
            guard: targets.guard.clone(),
            lane: Lane::new(targets.concurrency, targets.rate, targets.breaker),
            timeout: targets.timeout,
            lanes: Mutex::new(HashMap::new()),
        })
    }

    /// Calls, reads at most `longest` bytes of the answer, and puts both on `tape`.
    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        longest: usize,
        tape: &mut Tape,
        stop: &CancellationToken,
    ) -> Result<Incoming, Unanswered> {
        self.guard.check_host(outgoing.url.host_str().unwrap_or_default()).map_err(Unanswered::Blocked)?;
        let turnstile = self.turnstile(&outgoing.url);
        let admitted = async {
            let permit = turnstile.pass(self.timeout * PATIENCE).await.map_err(Unanswered::NotAdmitted)?;
            if may_begin().await { Ok(permit) } else { Err(Unanswered::Stopped) }
        };
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Unanswered::Stopped),
            admitted = admitted => admitted?,
        };
        let begun = self.clock.uptime();
        let result = self.exchange(&outgoing, longest, begun + self.timeout, stop).await;
        let took = self.clock.uptime().saturating_sub(begun);
        match &result {
            Ok(incoming) => {
                let pause = incoming.retry_after.filter(|_| matches!(incoming.status, 429 | 503));
                permit.settle(health(incoming.status), pause.map(|pause| pause.min(LONGEST_HOLD)));
                tape.answered(&outgoing, incoming, took);
            }
            Err(unanswered) => {
                permit.settle(unanswered.health(), None);
                let why = unanswered.problem(&place(&outgoing.url)).failure.message;
                tape.unanswered(&outgoing, &why, took);
            }
        }
        result
    }

    async fn exchange(
        &self,
        outgoing: &Outgoing,
        longest: usize,
        give_up: Duration,
        stop: &CancellationToken,
    ) -> Result<Incoming, Unanswered> {
        let headers: HeaderMap = outgoing.headers.iter().cloned().collect();
        let request = self.client.request(outgoing.method.clone(), outgoing.url.clone()).headers(headers);
        let response = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Unanswered::Stopped),
            response = request.body(outgoing.body.clone()).send() => response.map_err(|error| unanswered(&error))?,
            () = self.clock.sleep_until(give_up) => return Err(Unanswered::TimedOut(self.timeout)),
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after::parse(text, self.clock.now()));
        let mut body = Vec::new();
        // The status has decided. What is wrong with the body is for those who need one.
        let whole = tokio::select! {
            whole = read(response, &mut body, longest) => whole,
            () = stop.cancelled() => false,
            () = self.clock.sleep_until(give_up) => false,
        };
        Ok(Incoming { status, headers, body, whole, retry_after })
    }

    fn turnstile(&self, url: &Url) -> Arc<Turnstile> {
        // Each of its changes is whole.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Turnstile::new(self.lane.clone(), Arc::clone(&self.clock));
        Arc::clone(lanes.entry(place(url)).or_insert_with(make))
    }
}

/// Host and port, as messages name a target and as lanes are told apart.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

async fn read(mut response: Response, body: &mut Vec<u8>, longest: usize) -> bool {
    loop {
        match response.chunk().await {
            Ok(None) => return true,
            Ok(Some(chunk)) if body.len() + chunk.len() > longest => {
                body.extend_from_slice(&chunk[..longest - body.len()]);
                return false;
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(_) => return false,
        }
    }
}

/// What a failed request died of: the client itself only says that it did.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        // The source of an I/O error is not what it holds, but what that holds in turn.
        while let Some(held) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            cause = held;
        }
        if let Some(blocked) = cause.downcast_ref::<Blocked>() {
            return Unanswered::Blocked(blocked.clone());
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            let lasting = matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_));
            return Unanswered::Tls { lasting, reason: tls.to_string() };
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return Unanswered::Network { connecting: error.is_connect(), reason: cause.to_string() },
        }
    }
}
