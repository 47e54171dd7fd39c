//! Workers that report here: they show the configured key, and may do nothing else.

use axum::http::{HeaderMap, header};
use piton_auth::{Role, matches_digest};
use piton_model::By;

use super::Auth;
use super::refusals::authentication_failed;
use crate::caller::{Caller, Known};
use crate::problem::Answer;

impl Auth {
    /// The worker that shows this key, if it is the configured one.
    pub(super) fn by_worker_key(&self, key: &str) -> Option<Caller> {
        let is_right = matches_digest(key, self.0.worker_key.as_deref());
        is_right.then(|| Caller::new(By::Client("worker".to_owned()), Role::Viewer, Known::Worker))
    }

    /// Where nobody has to log in, workers still have to show the key that is configured for them. Elsewhere the door has
    /// seen to it.
    pub(crate) fn admit_worker(&self, caller: &Caller, headers: &HeaderMap) -> Answer<()> {
        if caller.known != Known::Anonymous || self.0.worker_key.is_none() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key =
            given.and_then(|given| given.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match key.and_then(|(_, key)| self.by_worker_key(key.trim())) {
            Some(_) => Ok(()),
            None => Err(authentication_failed()),
        }
    }
}
