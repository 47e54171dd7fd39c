//! What is kept of a call to a provisioning API.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a request was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status of the HTTP target's answer, or of the last one of a provider; none where nothing was answered.
    pub status: Option<u16>,
    /// The body of that answer, masked and cut.
    pub body: String,
    /// Its headers that help to find it again on the other side.
    pub headers: BTreeMap<String, String>,
    /// How long all of it took, waiting included.
    pub took: Duration,
    /// What was called, in that order: the first fifty.
    pub exchanges: Vec<Exchange>,
}

/// One call and its answer, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The address, without its query.
    pub url: String,
    /// The body that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The status of the answer, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body of the answer, or what went wrong.
    pub response: String,
    /// How long it took.
    pub took: Duration,
}
