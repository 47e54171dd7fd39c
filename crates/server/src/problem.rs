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

/// When it is worth asking again while the database is away.
pub(crate) fn soon() -> HeaderValue {
    HeaderValue::from_static("5")
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>, hint: Option<String>) -> Refusal {
        let problem = Box::new(Problem::new(status.as_u16(), code, detail, hint));
        Refusal { problem, headers: HeaderMap::new() }
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
            | E::ProvisionState { .. } => StatusCode::CONFLICT,
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
            E::Store(piton_store::Error::Unavailable(_)) => refusal.with(header::RETRY_AFTER, soon()),
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
    Refusal::new(StatusCode::NOT_FOUND, "no_such_route", detail, None)
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not take {method}", uri.path().escape_debug());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, None)
}
