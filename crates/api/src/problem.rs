//! Errors as RFC 9457 problems.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error as it travels: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A page about this kind of error.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of error, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// The same as `detail`, for older clients; about who somebody is, the same as `code`.
    pub error: String,
    /// The same as `detail`, where `error` is the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with which part of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// Names the request in the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The part of the body, as a JSON pointer (RFC 6901); `/NAME` is the parameter `NAME` where the query is wrong.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem with the title that belongs to its code.
    pub fn new(status: u16, code: &str, detail: impl Into<String>, hint: Option<String>) -> Problem {
        let detail = detail.into();
        let title = code.replace('_', " ");
        let kind = format!("/docs/errors/{code}");
        let code = code.to_owned();
        Problem {
            kind,
            title,
            status,
            error: detail.clone(),
            detail,
            code,
            message: None,
            hint,
            errors: vec![],
            request_id: None,
        }
    }
}
