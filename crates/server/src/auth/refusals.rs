//! How it is said that somebody may not.

use axum::http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use piton_api::Fault;
use piton_store::AccountError;

use crate::caller::challenge;
use crate::problem::Refusal;

/// The one answer to every credential that is worth nothing, whatever is wrong with it.
pub(super) fn authentication_failed() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "authentication_failed", "these credentials are not valid", None)
        .by_code()
        .with(header::WWW_AUTHENTICATE, challenge())
}

pub(super) fn too_many(until: Timestamp, now: Timestamp) -> Refusal {
    let left = until.duration_since(now);
    let seconds = u64::try_from(left.as_secs()).unwrap_or(0) + 1;
    let detail = "too many tries have failed; nobody is heard for a while";
    let hint = Some(format!("try again in {seconds} s"));
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail, hint)
        .by_code()
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}

pub(super) fn overloaded() -> Refusal {
    let detail = "too many people are logging in at once";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail, Some("try again in a moment".to_owned()))
        .by_code()
        .with(header::RETRY_AFTER, HeaderValue::from(1))
}

/// Something about a member of the body.
pub(super) fn invalid(pointer: &str, detail: impl std::fmt::Display) -> Refusal {
    let detail = detail.to_string();
    let fault = Fault { pointer: pointer.to_owned(), detail: detail.clone() };
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail, None).by_code().at(fault)
}

pub(super) fn weak_password(pointer: &str, problem: piton_auth::PasswordProblem) -> Refusal {
    let fault = Fault { pointer: pointer.to_owned(), detail: problem.to_string() };
    let hint = Some("eight characters or more, which nobody would guess".to_owned());
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "weak_password", problem.to_string(), hint).by_code().at(fault)
}

/// What of an account it is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    User,
    Client,
}

impl Kind {
    pub(super) fn missing(self) -> Refusal {
        let (code, detail) = match self {
            Kind::User => ("user_not_found", "there is no such user"),
            Kind::Client => ("client_not_found", "there is no such client"),
        };
        Refusal::new(StatusCode::NOT_FOUND, code, detail, None).by_code()
    }

    pub(super) fn refusal(self, error: AccountError) -> Refusal {
        let conflict = |code, detail: &str, hint: &str| {
            Refusal::new(StatusCode::CONFLICT, code, detail, Some(hint.to_owned())).by_code()
        };
        match error {
            AccountError::NotFound => self.missing(),
            AccountError::Exists => conflict("user_exists", "the name is taken", "names are the same in any case"),
            AccountError::LastAdmin => conflict(
                "last_active_admin",
                "this is the last active administrator",
                "make another user an administrator first",
            ),
            AccountError::NotFirst => {
                conflict("already_bootstrapped", "there are users already", "an administrator can make more")
            }
            AccountError::Store(error) => error.into(),
        }
    }
}
