//! Requests that their clients may send again: each is worked on once, and answered each time.
//!
//! A request is written down before it is worked on, and its answer after. Whoever finds one without an answer asks who
//! works on it: if nobody does any more, it is worked on again under the token of the first time, and what was made
//! under that token is found instead of made once more.
//!
//! A request may hold secrets, and whoever could guess at them would have them confirmed by a digest: it is sealed.

use std::time::Duration;

use jiff::Timestamp;
use piton_vault::{Sealed, Vault};

use crate::batch::Batch;
use crate::db::{Row, params};
use crate::row::micros;
use crate::writer::Operation;
use crate::{Error, Store};

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// For so long nobody else works on a request that another node has begun. No request takes this long.
const HELD: Duration = Duration::from_secs(300);

pub(crate) const FIND: &str =
    "SELECT digest, token, node, begun_at, answer FROM requests WHERE caller = $1 AND request_key = $2";
pub(crate) const BEGIN: &str = "INSERT INTO requests (caller, request_key, digest, token, node, begun_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";
pub(crate) const TAKE_OVER: &str =
    "UPDATE requests SET node = $3, begun_at = $4 WHERE caller = $1 AND request_key = $2 AND answer IS NULL";
pub(crate) const ANSWER: &str = "UPDATE requests SET answer = $4 WHERE caller = $1 AND request_key = $2 AND token = $3";
pub(crate) const ABANDON: &str =
    "DELETE FROM requests WHERE caller = $1 AND request_key = $2 AND token = $3 AND answer IS NULL";
pub(crate) const FORGET: &str = "DELETE FROM requests WHERE begun_at < $1";

/// A request that its client may send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who sends it. Keys of others are none of their business.
    pub caller: String,
    /// The key that the client chose.
    pub key: String,
    /// The digest of what is asked.
    pub digest: String,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It has to be worked on, under this token.
    Begun {
        /// Names what it makes.
        token: String,
    },
    /// Another node works on it.
    Elsewhere,
    /// The key belongs to another request.
    Other,
    /// It was answered so.
    Answered(String),
}

impl Store {
    /// Begins a request on `node`, unless it was answered. `token` is a new name, for one that was never begun. The
    /// caller makes sure that this node does not work on it already.
    pub async fn begin_request(
        &self,
        request: Request,
        token: String,
        node: String,
        at: Timestamp,
    ) -> Result<Known, Error> {
        self.writer().perform(Begin { request, token, node, at, vault: self.vault().clone() }).await
    }

    /// Keeps the answer to a request that was begun under `token`.
    pub async fn answer_request(&self, request: Request, token: String, answer: String) -> Result<(), Error> {
        self.writer().perform(End { request, token, answer: Some(answer) }).await
    }

    /// Forgets a request that came to nothing, so that it may be sent again.
    pub async fn abandon_request(&self, request: Request, token: String) -> Result<(), Error> {
        self.writer().perform(End { request, token, answer: None }).await
    }
}

struct Begin {
    request: Request,
    token: String,
    node: String,
    at: Timestamp,
    vault: Vault,
}

impl Operation for Begin {
    type Answer = Known;

    async fn perform(&self, batch: &mut Batch) -> Result<Known, Error> {
        let Request { caller, key, digest } = &self.request;
        let (caller, key) = (caller.as_str(), key.as_str());
        let (node, at) = (self.node.as_str(), micros(self.at));
        batch.conn().run(FORGET, params![before(at, REMEMBERED)]).await?;
        let rows = batch.conn().rows(FIND, params![caller, key]).await?;
        let Some(found) = rows.first().map(Found::read).transpose()? else {
            let sealed = seal(&self.vault, &self.token, digest)?;
            let row = params![caller, key, sealed, self.token.as_str(), node, at];
            batch.conn().run(BEGIN, row).await?;
            return Ok(Known::Begun { token: self.token.clone() });
        };
        Ok(match found {
            Found { digest: other, token, .. } if !is_same(&self.vault, &token, &other, digest) => Known::Other,
            Found { answer: Some(answer), .. } => Known::Answered(answer),
            Found { node: other, begun_at, .. } if other != node && begun_at > before(at, HELD) => Known::Elsewhere,
            Found { token, .. } => {
                batch.conn().run(TAKE_OVER, params![caller, key, node, at]).await?;
                Known::Begun { token }
            }
        })
    }
}

struct Found {
    digest: String,
    token: String,
    node: String,
    begun_at: i64,
    answer: Option<String>,
}

impl Found {
    fn read(row: &Row) -> Result<Found, Error> {
        Ok(Found {
            digest: row.text(0)?,
            token: row.text(1)?,
            node: row.text(2)?,
            begun_at: row.int(3)?,
            answer: row.maybe_text(4)?,
        })
    }
}

struct End {
    request: Request,
    token: String,
    answer: Option<String>,
}

impl Operation for End {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        let (caller, key, token) = (self.request.caller.as_str(), self.request.key.as_str(), self.token.as_str());
        match &self.answer {
            Some(answer) => batch.conn().run(ANSWER, params![caller, key, token, answer.as_str()]).await?,
            None => batch.conn().run(ABANDON, params![caller, key, token]).await?,
        };
        Ok(())
    }
}

/// A digest as it is written: with the key that it is sealed with, where there is one.
fn seal(vault: &Vault, token: &str, digest: &str) -> Result<String, Error> {
    let sealed = vault.seal(&context(token), digest.as_bytes());
    let sealed = sealed.map_err(|error| Error::Refused(format!("a request cannot be sealed: {error}")))?;
    Ok(sealed.map_or_else(|| digest.to_owned(), |Sealed { key, text }| format!("{key}:{text}")))
}

/// Whether a digest is the one that was written. One that cannot be opened any more is another.
fn is_same(vault: &Vault, token: &str, written: &str, digest: &str) -> bool {
    let Some((key, text)) = written.split_once(':') else { return written == digest };
    let sealed = Sealed { key: key.to_owned(), text: text.to_owned() };
    vault.open(&context(token), &sealed).is_ok_and(|opened| opened == digest.as_bytes())
}

fn context(token: &str) -> String {
    format!("request:{token}")
}

fn before(at: i64, duration: Duration) -> i64 {
    at.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use piton_vault::Key;

    use super::*;

    #[test]
    fn a_digest_is_known_again_and_tells_nothing() {
        let vault = Vault::new([Key::generate().unwrap()]);
        let written = seal(&vault, "token", "digest").unwrap();
        assert!(!written.contains("digest"), "{written}");
        assert!(is_same(&vault, "token", &written, "digest"));
        assert!(!is_same(&vault, "token", &written, "other"));
        assert!(!is_same(&vault, "another", &written, "digest"), "it is sealed for one use of a key");
        assert!(!is_same(&Vault::default(), "token", &written, "digest"), "the key is lost");
        let plain = seal(&Vault::default(), "token", "digest").unwrap();
        assert!(is_same(&vault, "token", &plain, "digest"));
    }
}
