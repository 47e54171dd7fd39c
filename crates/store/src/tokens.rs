//! What tokens are checked against: the keys that sign them, and which were given back.

use jiff::Timestamp;
use piton_model::{ApiClient, Deed, Record, SigningKey, User};

use crate::batch::Batch;
use crate::db::params;
use crate::row::{self, micros, whole_micros};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const KEYS: &str = "SELECT body FROM signing_keys ORDER BY created_at, id";
pub(crate) const WRITE_KEY: &str =
    "INSERT INTO signing_keys (id, created_at, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
// A key is needed while tokens that it signed may be valid: until some time after the next one took over.
pub(crate) const DELETE_KEYS: &str = "DELETE FROM signing_keys WHERE id <> $1 AND EXISTS (\
     SELECT 1 FROM signing_keys n WHERE n.created_at > signing_keys.created_at AND n.created_at < $2)";
pub(crate) const REVOKE: &str = "INSERT INTO revoked_tokens (id, until_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
pub(crate) const FORGET_REVOKED: &str = "DELETE FROM revoked_tokens WHERE until_at < $1";
pub(crate) const OWNER: &str = "SELECT u.body, c.body, r.until_at, k.created_at FROM (SELECT CAST($1 AS TEXT) AS id) s \
     LEFT JOIN users u ON u.id = s.id LEFT JOIN clients c ON c.id = s.id LEFT JOIN revoked_tokens r ON r.id = $2 \
     LEFT JOIN signing_keys k ON k.id = $3";

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user's.
    User(User),
    /// A client's.
    Client(ApiClient),
}

/// A key that takes over, and which older ones go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new key.
    pub key: SigningKey,
    /// Keys that were replaced before then are forgotten.
    pub forget_before: Timestamp,
}

impl Store {
    /// The keys that sign tokens, the newest last.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, Error> {
        let rows = self.readers().rows(KEYS, params![]).await?;
        rows.iter().map(|row| row::account(&row.text(0)?)).collect()
    }

    /// Lets a new key sign, if `newest` still is the newest; answers all keys as they are then, the newest last.
    pub async fn rotate_key(
        &self,
        newest: Option<&str>,
        rotation: Rotation,
        deed: Deed,
        at: Timestamp,
    ) -> Result<Vec<SigningKey>, Error> {
        let rotate = Rotate { newest: newest.map(str::to_owned), rotation, deed, at: whole_micros(at) };
        self.writer().perform(rotate).await
    }

    /// The user or client with an id, unless the token that names them was given back, or the key that signed it is no
    /// longer there. No key stands for one that is not kept here.
    pub async fn token_owner(&self, id: &str, token: &str, key: Option<&str>) -> Result<Option<Principal>, Error> {
        let Some(found) = self.readers().row(OWNER, params![id, token, key]).await? else { return Ok(None) };
        let given_back = found.maybe_int(2)?.is_some();
        let unsigned = key.is_some() && found.maybe_int(3)?.is_none();
        if given_back || unsigned {
            return Ok(None);
        }
        if let Some(user) = found.maybe_text(0)? {
            return Ok(Some(Principal::User(row::account(&user)?)));
        }
        Ok(match found.maybe_text(1)? {
            Some(client) => Some(Principal::Client(row::account(&client)?)),
            None => None,
        })
    }

    /// Makes a token worthless, which would have been valid until then.
    pub async fn revoke_token(&self, token: &str, until: Timestamp, deed: Deed, at: Timestamp) -> Result<(), Error> {
        let revoked = Some((token.to_owned(), until));
        self.writer().perform(Done { revoked, deed, at: whole_micros(at) }).await
    }

    /// Records what somebody did where nothing else changes with it.
    pub async fn record_deed(&self, deed: Deed, at: Timestamp) -> Result<(), Error> {
        self.writer().perform(Done { revoked: None, deed, at: whole_micros(at) }).await
    }
}

struct Rotate {
    newest: Option<String>,
    rotation: Rotation,
    deed: Deed,
    at: Timestamp,
}

impl Operation for Rotate {
    type Answer = Vec<SigningKey>;

    async fn perform(&self, batch: &mut Batch) -> Result<Vec<SigningKey>, Error> {
        let keys = keys(batch).await?;
        if keys.last().map(|key| key.id.as_str()) != self.newest.as_deref() {
            return Ok(keys);
        }
        let Rotation { key, forget_before } = &self.rotation;
        let (id, body) = (key.id.as_str(), row::account_body(key)?);
        batch.conn().run(WRITE_KEY, params![id, micros(key.created_at), body]).await?;
        batch.conn().run(DELETE_KEYS, params![id, micros(*forget_before)]).await?;
        batch.append(Record::Audit(self.deed.clone()), self.at);
        self::keys(batch).await
    }
}

async fn keys(batch: &mut Batch) -> Result<Vec<SigningKey>, Error> {
    let rows = batch.conn().rows(KEYS, params![]).await?;
    rows.iter().map(|row| row::account(&row.text(0)?)).collect()
}

struct Done {
    revoked: Option<(String, Timestamp)>,
    deed: Deed,
    at: Timestamp,
}

impl Operation for Done {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        if let Some((token, until)) = &self.revoked {
            batch.conn().run(FORGET_REVOKED, params![micros(self.at)]).await?;
            batch.conn().run(REVOKE, params![token.as_str(), micros(*until)]).await?;
        }
        batch.append(Record::Audit(self.deed.clone()), self.at);
        Ok(())
    }
}
