//! Every error of every layer as an answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use piton_api::{Fault, Problem};

/// An answer that says no.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    headers: HeaderMap,
}

pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>, hint: Option<String>) -> Refusal {
        let problem = Box::new(Problem::new(status.as_u16(), code, detail, hint));
        let mut headers = HeaderMap::new();
        // Whoever finds that the database is away: it is worth asking again soon.
        if code == "store_unavailable" {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Refusal { problem, headers }
    }

    /// Something broke on this side. What, is for the log: it may name files and hosts that are nobody's business.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Refusal {
        tracing::error!(%error, "a request could not be answered");
        let hint = Some("the daemon's log says more, under this request_id".to_owned());
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "something broke inside piton", hint)
    }

    /// Which part of the body is wrong.
    pub(crate) fn at(mut self, fault: Fault) -> Refusal {
        self.problem.errors.push(fault);
        self
    }

    /// About who somebody is: there, older clients read the code from `error` and the text from `message`.
    pub(crate) fn by_code(mut self) -> Refusal {
        self.problem.error.clone_from(&self.problem.code);
        self.problem.message = Some(self.problem.detail.clone());
        self
    }

    /// Its status.
    pub(crate) fn status(&self) -> u16 {
        self.problem.status
    }

    /// The same under another status, for older clients.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Refusal {
        self.problem.status = status.as_u16();
        self
    }

    /// What went wrong, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.problem.detail
    }

    /// A header that belongs to the answer.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.append(name, value);
        self
    }

    #[cfg(test)]
    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }
}

impl IntoResponse for Refusal {
    /// The problem travels beside its text too, for whoever knows more about the request.
    fn into_response(self) -> Response {
        let mut response = render(&self.problem);
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(self.problem);
        response
    }
}

/// The answer that a problem is.
pub(crate) fn render(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

impl From<piton_engine::Error> for Refusal {
    fn from(error: piton_engine::Error) -> Refusal {
        use piton_engine::Error as E;
        let status = match &error {
            E::NotFound { .. } | E::Broken { .. } => StatusCode::NOT_FOUND,
            E::NotDeclared { .. }
            | E::Disabled(_)
            | E::Busy { .. }
            | E::NotRunning(_)
            | E::JobExists(_)
            | E::AmbiguousName { .. }
            | E::OfSchedule { .. }
            | E::Illegal(_)
            | E::NothingToApprove(_)
            | E::NotEnded(_)
            | E::CancelledElsewhere(_)
            | E::RetriedElsewhere(_)
            | E::OfProvision { .. }
            | E::Sealed { .. }
            | E::Forgotten(_)
            | E::ProvisionBusy(_)
            | E::ProvisionState { .. }
            // The database is well; as long as the row is as it is, asking again is of no use.
            | E::Store(piton_store::Error::UnreadableProvision { .. }) => StatusCode::CONFLICT,
            E::AnotherPlan { .. } => StatusCode::PRECONDITION_FAILED,
            E::SelfApproval(_) | E::OwnProvision(_) => StatusCode::FORBIDDEN,
            E::ShareFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            E::InvalidName(_) | E::ModeRequired { .. } | E::UnknownMode { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            E::Store(piton_store::Error::Full(_)) => StatusCode::INSUFFICIENT_STORAGE,
            E::QueueFull { .. } | E::ShuttingDown | E::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let refusal = Refusal::new(status, error.code(), error.to_string(), error.hint());
        match error {
            E::QueueFull { .. } | E::ShareFull { .. } => {
                refusal.with(header::RETRY_AFTER, HeaderValue::from_static("30"))
            }
            _ => refusal,
        }
    }
}

impl From<piton_store::Error> for Refusal {
    fn from(error: piton_store::Error) -> Refusal {
        piton_engine::Error::from(error).into()
    }
}

impl From<piton_logs::Error> for Refusal {
    fn from(error: piton_logs::Error) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "log_unreadable", error.to_string(), None)
    }
}

pub(crate) async fn no_route(uri: Uri) -> Refusal {
    let detail = format!("there is no route {}", uri.path().escape_debug());
    let hint = Some("`/docs` shows the routes there are".to_owned());
    Refusal::new(StatusCode::NOT_FOUND, "no_such_route", detail, hint)
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not take {method}", uri.path().escape_debug());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::as_provisr;

    fn retry_after(refusal: Refusal) -> Vec<String> {
        let response = refusal.into_response();
        let values = response.headers().get_all(header::RETRY_AFTER).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn whoever_finds_the_database_away_says_when_to_ask_again() {
        let why = || "it does not answer".to_owned();
        for refusal in [
            Refusal::from(piton_store::Error::Unavailable(why())),
            Refusal::from(piton_store::Error::Locked(why())),
            Refusal::from(piton_store::Error::Closed),
            Refusal::from(piton_supervisor::Error::Memory(why())),
            as_provisr(piton_supervisor::Error::Memory(why())),
        ] {
            assert_eq!(refusal.clone().into_problem().code, "store_unavailable");
            assert_eq!(retry_after(refusal), ["5"]);
        }
        let (id, column) = ("x".to_owned(), "tags".to_owned());
        let unreadable = Refusal::from(piton_store::Error::UnreadableProvision { id, column, detail: why() });
        assert_eq!(
            (unreadable.status(), unreadable.clone().into_problem().code.as_str()),
            (409, "unreadable_provision")
        );
        assert_eq!(retry_after(unreadable), [""; 0]);
        let full = Refusal::from(piton_store::Error::Full(why()));
        assert_eq!(full.clone().into_problem().code, "disk_full");
        assert_eq!(retry_after(full), [""; 0]);
    }
}
