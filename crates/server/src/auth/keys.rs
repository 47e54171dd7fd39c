//! The keys that sign tokens.

use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use jiff::SignedDuration;
use piton_api as api;
use piton_auth::{Claims, Invalid, issue, key_of_secret, new_key, verify};
use piton_model::{Act, By, Deed, Secret, SigningKey};
use piton_store::Rotation;

use super::Auth;
use super::verify::Proven;
use crate::caller::{Caller, Session};
use crate::extract::Json;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

/// How long a key signs.
const ROTATE_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The keys as they were read last.
#[derive(Debug)]
pub(super) struct Keys {
    configured: Option<SigningKey>,
    stored: Mutex<Vec<SigningKey>>,
}

impl Keys {
    pub(super) fn new(secret: Option<&Secret<String>>) -> Keys {
        Keys { configured: secret.map(|secret| key_of_secret(secret.expose())), stored: Mutex::default() }
    }

    fn known(&self) -> Vec<SigningKey> {
        match &self.configured {
            Some(key) => vec![key.clone()],
            None => self.stored.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn learn(&self, keys: Vec<SigningKey>) {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl Auth {
    /// What a token says, if it is one of ours and not over, and the stored key that signed it.
    pub(super) async fn read_token(&self, token: &str) -> Answer<Option<(Claims, Option<String>)>> {
        let (keys, now) = (&self.0.keys, self.now());
        let mut read = verify(&keys.known(), token, now);
        // Another node may have begun a new key a moment ago.
        if read == Err(Invalid::UnknownKey) && keys.configured.is_none() {
            keys.learn(self.0.store.signing_keys().await?);
            read = verify(&keys.known(), token, now);
        }
        match read {
            Ok(verified) => Ok(Some((verified.claims, keys.configured.is_none().then_some(verified.key)))),
            Err(reason) => {
                tracing::debug!(%reason, "a token is worth nothing");
                Ok(None)
            }
        }
    }

    /// A token for somebody who proved who they are: now, or at the time that an older token names.
    pub(super) async fn give_token(&self, proven: &Proven, since: Option<i64>) -> Answer<(String, Session)> {
        let key = self.signing_key().await?;
        let owner = (proven.account.id.as_str(), proven.account.name.as_str());
        let token = piton_auth::new_id(rand::random());
        let span = SignedDuration::try_from(self.0.settings.token_ttl).unwrap_or(SignedDuration::from_hours(24));
        let claims = Claims::new(owner, &proven.account.roles, proven.account.generation, token, self.now());
        let mut claims = claims.valid_for(span);
        claims.auth_time = since.unwrap_or(claims.auth_time);
        let stored = self.0.keys.configured.is_none().then(|| key.id.clone());
        let session = Session { token: claims.jti.clone(), until: claims.expires_at(), key: stored };
        Ok((issue(&key, &claims), session))
    }

    /// The key that signs now; a new one where the newest has signed for long enough.
    async fn signing_key(&self) -> Answer<SigningKey> {
        if let Some(key) = &self.0.keys.configured {
            return Ok(key.clone());
        }
        let now = self.now();
        let keys = self.0.store.signing_keys().await?;
        let newest = keys.last().cloned();
        self.0.keys.learn(keys);
        match newest {
            Some(key) if now.duration_since(key.created_at) < ROTATE_AFTER => Ok(key),
            _ => self.rotate(Deed::new(By::System, Act::KeyRotated), false).await,
        }
    }

    async fn rotate(&self, deed: Deed, revoke: bool) -> Answer<SigningKey> {
        let now = self.now();
        let keys = self.0.store.signing_keys().await?;
        let newest = keys.last();
        // The newest is told by its time, so a clock that was set back must not hide the new one.
        let not_before = newest.map_or(now, |key| key.created_at.saturating_add(MICROSECOND).unwrap_or(now));
        let key = new_key(rand::random(), rand::random(), now.max(not_before));
        let ttl = SignedDuration::try_from(self.0.settings.token_ttl).unwrap_or(SignedDuration::MAX);
        let forget_before = if revoke { key.created_at.saturating_add(MICROSECOND) } else { now.saturating_sub(ttl) };
        let forget_before = forget_before.unwrap_or(now);
        let rotation = Rotation { key, forget_before };
        let keys = self.0.store.rotate_key(newest.map(|key| key.id.as_str()), rotation, deed, now).await?;
        let key = keys.last().cloned().ok_or_else(|| Refusal::internal(&"no key signs tokens"))?;
        self.0.keys.learn(keys);
        Ok(key)
    }
}

const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);

pub(super) fn routes() -> Table {
    Table::new().at(Permission::Administer, routes!(rotate))
}

/// Signs tokens with a new key from now on. The older keys verify until their tokens are over, unless told otherwise.
#[utoipa::path(
    post, path = "/auth/keys/rotate", tag = "auth",
    responses((status = 200, body = api::Done), (status = 409, description = "The key is configured."))
)]
async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<api::KeyRotation>,
) -> Answer<Json<api::Done>> {
    if app.auth.0.keys.configured.is_some() {
        let hint = Some("change `auth.jwt.secret`, and start piton again".to_owned());
        let detail = "tokens are signed with the configured secret";
        let refusal = Refusal::new(axum::http::StatusCode::CONFLICT, "key_is_configured", detail, hint);
        return Err(refusal.by_code());
    }
    let act = if request.revoke { Act::TokensRevoked } else { Act::KeyRotated };
    app.auth.rotate(caller.deed(act), request.revoke).await?;
    Ok(Json(api::Done { ok: true }))
}
