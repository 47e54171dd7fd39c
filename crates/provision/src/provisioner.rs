//! Carries out one request: plans the calls, makes them, and keeps what was said.

use std::sync::Arc;

use piton_model::{Answer, Failure, FailureClass, Unsent};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::answer::{CallFailed, Problem};
use crate::legible;
use crate::mask::{Masker, excerpt};
use crate::plan::{Call, Configured, Provider, plan};
use crate::sign::{self, sign};
use crate::tape::Tape;
use crate::targets::Targets;
use crate::verdict::{Seen, judge};
use crate::wanted::Wanted;
use crate::wire::{NoClient, Outgoing, Wire, place};
use crate::{Clock, Request};

/// More is not read of the answer of an HTTP target.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Carries out requests. One for the whole process: what it knows of its targets, such as whose breaker is open, is in it.
#[derive(Debug)]
pub struct Provisioner {
    targets: Targets,
    wire: Wire,
    /// Knows the secrets of the targets.
    masker: Masker,
}

impl Provisioner {
    /// Needs a TLS provider to be installed for the process.
    pub fn new(targets: Targets, clock: Arc<dyn Clock>) -> Result<Provisioner, NoClient> {
        let wire = Wire::new(&targets, clock)?;
        let masker = knowing(&targets);
        Ok(Provisioner { targets, wire, masker })
    }

    /// Carries out `request`, or as much of it as is not done yet: an attempt may be repeated with the same key at any
    /// time. Ends soon after `stop` was cancelled; when it is dropped, nothing is left behind but what was already sent.
    ///
    /// A failure of class [`Transient`](FailureClass::Transient) is worth another attempt, after
    /// [`retry_after`](CallFailed::retry_after) at the earliest; one that was told to stop is
    /// [`Interrupted`](FailureClass::Interrupted); the rest would fail again.
    pub async fn carry_out(&self, request: &Request, stop: &CancellationToken) -> Result<Answer, CallFailed> {
        let begun = self.wire.clock.uptime();
        let mut masker = self.masker.clone();
        masker.learn_from(&request.body);
        let mut tape = Tape::new(masker);
        let result = self.make_calls(request, &mut tape, stop).await;
        let took = self.wire.clock.uptime().saturating_sub(begun);
        match result {
            Ok(()) => Ok(tape.finish(took)),
            Err(Problem { mut failure, retry_after }) => {
                failure.message = legible::line(&tape.masker.without_known(&failure.message));
                let answer = (!tape.is_empty()).then(|| tape.finish(took));
                tracing::debug!(schedule = %request.id, attempt = request.attempt, code = %failure.code,
                    "a provisioning request was not carried out");
                Err(CallFailed { failure: *failure, retry_after, answer })
            }
        }
    }

    async fn make_calls(&self, request: &Request, tape: &mut Tape, stop: &CancellationToken) -> Result<(), Problem> {
        let configured = Configured {
            http: self.targets.url(request.job_type).is_some(),
            google: self.targets.google.is_some(),
            microsoft: self.targets.microsoft.is_some(),
        };
        let mut is_first = true;
        for call in plan(request, configured)? {
            if stop.is_cancelled() {
                let message = "stopped before everything was asked for";
                return Err(Failure::new(FailureClass::Interrupted, "stopped", message).into());
            }
            let made = match call {
                Call::Http(body) => {
                    let posted = self.post(request, body, tape, stop).await;
                    if posted.is_ok() {
                        tape.settle();
                    }
                    posted
                }
                Call::Provider(provider) => {
                    let wanted = Wanted::of(request, provider);
                    match (provider, &self.targets.google, &self.targets.microsoft) {
                        (Provider::Google, Some(google), _) => google.carry_out(&wanted, &self.wire, tape, stop).await,
                        (Provider::Microsoft, _, Some(microsoft)) => {
                            microsoft.carry_out(&wanted, &self.wire, tape, stop).await
                        }
                        // The plan names no provider that is not configured.
                        (Provider::Google, None, _) | (Provider::Microsoft, _, None) => Ok(()),
                    }
                }
            };
            made.map_err(|problem| if is_first { problem } else { counted(problem) })?;
            is_first = false;
        }
        Ok(())
    }

    async fn post(
        &self,
        request: &Request,
        body: Value,
        tape: &mut Tape,
        stop: &CancellationToken,
    ) -> Result<(), Problem> {
        // The plan posts only where there is a target.
        let Some(url) = self.targets.url(request.job_type) else { return Ok(()) };
        let host = place(url);
        let bytes = body.to_string().into_bytes();
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ];
        let mut own = vec![
            ("idempotency-key", request.key.clone()),
            ("x-piton-schedule", request.id.clone()),
            ("x-piton-job-type", request.job_type.to_string()),
            ("x-piton-attempt", request.attempt.to_string()),
            ("x-piton-due", request.due.to_string()),
        ];
        if let Some(secret) = &self.targets.secret {
            let (timed, plain) = sign(secret, self.wire.clock.now(), &bytes);
            own.extend([(sign::TIMED, timed), (sign::PLAIN, plain)]);
        }
        for (name, value) in own {
            let value = HeaderValue::from_str(&value).map_err(|_| {
                let message = format!("{name} cannot be sent as it is");
                Problem::from(Failure::new(FailureClass::Permanent, "request_incomplete", message))
            })?;
            headers.push((HeaderName::from_static(name), value));
        }
        headers.extend(self.targets.headers.iter().cloned());
        let outgoing = Outgoing { method: Method::POST, url: url.clone(), headers, body: bytes, shown: Some(body) };
        let sent = self.wire.send(outgoing, LONGEST_ANSWER, tape, stop).await;
        let incoming = sent.map_err(|unanswered| unanswered.problem(&host))?;
        let location = incoming.location(url);
        let said = tape.masker.text(&String::from_utf8_lossy(&incoming.body));
        judge(Seen {
            status: incoming.status,
            host: &host,
            retry_after: incoming.retry_after,
            location: location.as_deref(),
            said: &excerpt(said, 300),
        })
    }
}

/// A call that was not made although those before it were. The next attempt makes those again, so that this one counts
/// as a try: else they would be made for as long as this one cannot be.
fn counted(mut problem: Problem) -> Problem {
    if Unsent::ALL.iter().any(|unsent| unsent.code() == problem.failure.code) {
        "target_busy".clone_into(&mut problem.failure.code);
    }
    problem
}

/// A masker that hides what the targets are shown of us.
fn knowing(targets: &Targets) -> Masker {
    let microsoft = targets.microsoft.iter().map(|microsoft| microsoft.secret());
    let secrets =
        targets.header_values.iter().chain(&targets.secret).chain(microsoft).map(|secret| secret.expose().as_str());
    let mut masker = Masker::default();
    // `Bearer TOKEN` may come back as the token alone.
    masker.learn(secrets.flat_map(|secret| secret.split_whitespace().chain([secret])));
    masker
}
