//! Every error of every layer as an answer.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use piton_api::Problem;

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Problem>);

pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>, hint: Option<String>) -> Refusal {
        Refusal(Box::new(Problem::new(status.as_u16(), code, detail, hint)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

impl From<piton_engine::Error> for Refusal {
    fn from(error: piton_engine::Error) -> Refusal {
        use piton_engine::Error as E;
        let status = match &error {
            E::NotFound { .. } => StatusCode::NOT_FOUND,
            E::Disabled(_)
            | E::Busy { .. }
            | E::NotRunning(_)
            | E::Illegal(_)
            | E::NothingToApprove(_)
            | E::AnotherPlan { .. }
            | E::NotEnded(_) => StatusCode::CONFLICT,
            E::InvalidName(_) | E::ModeRequired { .. } | E::UnknownMode { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            E::ShuttingDown | E::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, error.code(), error.to_string(), error.hint())
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

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        Refusal::new(rejection.status(), "invalid_body", rejection.body_text(), None)
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text(), None)
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", rejection.body_text(), None)
    }
}

pub(crate) async fn no_route(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no_such_route", format!("there is no route {}", uri.path()), None)
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, None)
}
