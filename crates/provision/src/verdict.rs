//! What an answer, or the lack of one, means: which failure, of which class, and what to try. Pure.

use std::time::Duration;

use piton_model::guard::Blocked;
use piton_model::{Failure, FailureClass, Unsent};

use crate::answer::Problem;
use crate::pace::{NotAdmitted, Verdict};

/// What is known of an answer that decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) status: u16,
    /// Where the target is, as messages name it.
    pub(crate) host: &'a str,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) location: Option<&'a str>,
    /// The first words of the body, masked.
    pub(crate) said: &'a str,
}

/// What the status says about the host, for its breaker.
pub(crate) fn health(status: u16) -> Verdict {
    match status {
        408 | 500.. => Verdict::Ill,
        _ => Verdict::Well,
    }
}

/// Whether the answer says that the request was carried out, and if not, what that means.
pub(crate) fn judge(seen: Seen<'_>) -> Result<(), Problem> {
    let Seen { status, host, retry_after, .. } = seen;
    let said = if seen.said.is_empty() { String::new() } else { format!(": {}", seen.said) };
    let transient = |code: &str, message: String| Failure::new(FailureClass::Transient, code, message);
    let permanent = |code: &str, message: String| Failure::new(FailureClass::Permanent, code, message);
    let failure = match status {
        200..=299 => return Ok(()),
        300..=399 => {
            let to = seen.location.map_or_else(String::new, |to| format!(" to {to}"));
            permanent("target_redirected", format!("{host} answered {status} and redirects{to}"))
                .hint("redirects are not followed, since the request carries credentials: configure the final address")
        }
        408 => transient("target_timeout", format!("{host} answered 408: it waited too long for the request"))
            .hint("look at the load of the target and of what lies between"),
        425 => transient("target_busy", format!("{host} answered 425: too early")).hint("it is tried again"),
        429 => transient("target_busy", format!("{host} answered 429: too many requests{said}"))
            .hint("lower `rate` or `concurrency` of the targets below what it allows"),
        503 => transient("target_busy", format!("{host} answered 503: it is not available{said}"))
            .hint("it is tried again; look at the target if that goes on"),
        500.. => transient("target_failed", format!("{host} answered {status}{said}"))
            .hint("look into the log of the target for the idempotency key"),
        _ => permanent("target_refused", format!("{host} answered {status}{said}")).hint(advice(status)),
    };
    Err(Problem::after(failure, retry_after))
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "the target does not accept the credentials: check `headers` and `secret`",
        404 => {
            "nothing listens at this address: check it; a workflow of n8n has to be active, and its production URL begins \
             with /webhook/, not /webhook-test/"
        }
        405 => "the target takes no POST at this address",
        409 => "the target says that this contradicts what it has: look at its answer",
        413 => "the request is larger than the target takes",
        400 | 415 | 422 => "the target does not understand the request: look at its answer and at what was sent",
        _ => "the same request would be refused again: look at the answer of the target",
    }
}

/// What kept a call from being answered.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The target may not be reached.
    Blocked(Blocked),
    /// TLS failed; whether it would fail again.
    Tls { lasting: bool, reason: String },
    /// No connection, or one that broke.
    Network { connecting: bool, reason: String },
    /// It took too long.
    TimedOut(Duration),
    /// The caller was told to stop.
    Stopped,
    /// It was not even sent.
    NotAdmitted(NotAdmitted),
}

impl Unanswered {
    /// What it says about the host, for its breaker.
    pub(crate) fn health(&self) -> Verdict {
        match self {
            Unanswered::Network { .. } | Unanswered::TimedOut(_) | Unanswered::Tls { .. } => Verdict::Ill,
            Unanswered::Blocked(_) | Unanswered::Stopped | Unanswered::NotAdmitted(_) => Verdict::Unknown,
        }
    }

    pub(crate) fn problem(&self, host: &str) -> Problem {
        let transient = |code: &str, message: String| Failure::new(FailureClass::Transient, code, message);
        let permanent = |code: &str, message: String| Failure::new(FailureClass::Permanent, code, message);
        let failure = match self {
            Unanswered::Blocked(blocked) => permanent("target_blocked", format!("{host} is not called: {blocked}"))
                .hint("configure another address, or take its network out of `security.blocked_networks`"),
            Unanswered::Tls { lasting: true, reason } => {
                permanent("target_untrusted", format!("{host} cannot be trusted: {reason}")).hint(
                    "check that it speaks TLS, that its certificate is for this name and not expired, and that this \
                     machine trusts who issued it",
                )
            }
            Unanswered::Tls { lasting: false, reason } => {
                transient("target_unreachable", format!("no TLS with {host}: {reason}"))
                    .hint("check that the target speaks TLS 1.2 or 1.3")
            }
            Unanswered::Network { connecting, reason } => {
                let doing = if *connecting { "cannot be reached" } else { "broke off" };
                transient("target_unreachable", format!("{host} {doing}: {reason}"))
                    .hint("check that the target runs, its address, and what lies between")
            }
            Unanswered::TimedOut(timeout) => {
                transient("target_timeout", format!("{host} did not answer within {} s", timeout.as_secs_f64()))
                    .hint("the target may still be at work; it sees the same idempotency key again")
            }
            Unanswered::Stopped => {
                Failure::new(FailureClass::Interrupted, "stopped", format!("stopped while {host} was being called"))
            }
            Unanswered::NotAdmitted(NotAdmitted::Open(left)) => {
                let message = format!("{host} failed so often that it is left alone for {} s", left.as_secs());
                return Problem::after(
                    transient(Unsent::Open.code(), message)
                        .hint("look at why the target fails; it is tried again by itself"),
                    Some(*left),
                );
            }
            Unanswered::NotAdmitted(NotAdmitted::Held(left)) => {
                let message = format!("{host} asked not to be called for another {} s", left.as_secs());
                return Problem::after(
                    transient(Unsent::Held.code(), message).hint("it is tried again after that"),
                    Some(*left),
                );
            }
            Unanswered::NotAdmitted(NotAdmitted::Crowded) => {
                transient(Unsent::Crowded.code(), format!("too many calls of {host} were waiting before this one"))
                    .hint("raise `concurrency` or `rate` of the targets if it can take more")
            }
        };
        failure.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16) -> Option<(FailureClass, String)> {
        let seen = Seen { status, host: "h", retry_after: None, location: Some("https://x/"), said: "no" };
        judge(seen).err().map(|problem| {
            assert!(problem.failure.hint.is_some(), "{status}");
            (problem.failure.class, problem.failure.code)
        })
    }

    #[test]
    fn every_status_has_its_meaning() {
        use FailureClass::{Permanent, Transient};
        for (status, class, code) in [
            (301, Permanent, "target_redirected"),
            (304, Permanent, "target_redirected"),
            (400, Permanent, "target_refused"),
            (401, Permanent, "target_refused"),
            (404, Permanent, "target_refused"),
            (408, Transient, "target_timeout"),
            (409, Permanent, "target_refused"),
            (425, Transient, "target_busy"),
            (429, Transient, "target_busy"),
            (451, Permanent, "target_refused"),
            (500, Transient, "target_failed"),
            (502, Transient, "target_failed"),
            (503, Transient, "target_busy"),
            (504, Transient, "target_failed"),
        ] {
            assert_eq!(judged(status), Some((class, code.to_owned())), "{status}");
        }
        for status in 200..300 {
            assert_eq!(judged(status), None);
        }
    }

    #[test]
    fn only_what_was_stopped_or_would_fail_again_is_not_transient() {
        let wait = Duration::from_secs(3);
        for (unanswered, class, code, after) in [
            (Unanswered::Stopped, FailureClass::Interrupted, "stopped", None),
            (Unanswered::TimedOut(wait), FailureClass::Transient, "target_timeout", None),
            (Unanswered::NotAdmitted(NotAdmitted::Open(wait)), FailureClass::Transient, "target_open", Some(wait)),
            (Unanswered::NotAdmitted(NotAdmitted::Held(wait)), FailureClass::Transient, "target_held", Some(wait)),
            (Unanswered::NotAdmitted(NotAdmitted::Crowded), FailureClass::Transient, "target_crowded", None),
            (Unanswered::Blocked(Blocked::Always("x".into())), FailureClass::Permanent, "target_blocked", None),
        ] {
            let problem = unanswered.problem("h");
            assert_eq!(
                (problem.failure.class, problem.failure.code.as_str(), problem.retry_after),
                (class, code, after)
            );
        }
    }
}
