//! Typed values to rows and back: the only place that knows which column repeats what of the body.

use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{OutcomeKind, Projection, Record, Run, RunState, Sealed, Seq, Subject};
use piton_vault::Vault;
use serde::de::DeserializeOwned;

use crate::Error;

/// Microseconds since 1970, as stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The time that is stored as `micros`.
pub(crate) fn timestamp(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| Error::Unreadable { what: format!("the time {micros}"), detail: error.to_string() })
}

/// `at` as it will be read back, so that what is written now equals what is folded later.
pub(crate) fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn read<T: DeserializeOwned>(what: impl FnOnce() -> String, body: &str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|error| Error::Unreadable { what: what(), detail: error.to_string() })
}

fn write<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> Error {
    Error::Unreadable { what: "a value to be stored".to_owned(), detail: error.to_string() }
}

/// What is written of a run. Its secrets are sealed, where it has any and there is a key, and left out where nobody will
/// need them; a run whose secrets could not be opened keeps them as they were.
pub(crate) fn run_body(vault: &Vault, run: &Run) -> Result<String, Error> {
    if run.sealed.is_some() || !run.action.holds_secrets() {
        return write(run);
    }
    let action = Arc::new(run.action.without_secrets());
    if needs_no_secrets(run) {
        return write(&Run { action, forgotten: true, ..run.clone() });
    }
    // The row of a scheduled provision holds the same in clear, beside it, where other programs write and read it.
    if matches!(run.subject, Subject::Provision(_)) {
        return write(run);
    }
    let sealed = vault.seal(&run.id.to_string(), write(&run.action)?.as_bytes());
    let sealed = sealed.map_err(|error| Error::Refused(format!("a run's secrets cannot be sealed: {error}")))?;
    let Some(piton_vault::Sealed { key, text }) = sealed else { return write(run) };
    write(&Run { action, sealed: Some(Sealed { key, text }), ..run.clone() })
}

/// Whether the secrets of a run were given for it alone, and it did what it was made for. One that did not may be tried
/// again, and needs them then.
fn needs_no_secrets(run: &Run) -> bool {
    use OutcomeKind as O;
    let RunState::Ended { outcome, .. } = &run.state else { return false };
    let is_done = match outcome.kind() {
        O::Succeeded | O::Rejected | O::Superseded => true,
        // A further try of a scheduled provision is made from its row.
        O::Failed | O::TimedOut | O::Cancelled | O::Expired | O::Indeterminate => {
            matches!(run.subject, Subject::Provision(_))
        }
    };
    is_done && may_be_forgotten(run)
}

/// Secrets of workspaces and jobs are in their files, too; those of a deployment or a scaffold came with it,
/// and those of a scheduled provision are in its row.
pub(crate) fn may_be_forgotten(run: &Run) -> bool {
    matches!(run.subject, Subject::Deployment(_) | Subject::Provision(_) | Subject::Scaffold(_))
        && matches!(run.state, RunState::Ended { .. })
}

/// With which key the secrets in a body are sealed, that has any.
pub(crate) fn sealed_with(body: &str) -> Result<String, Error> {
    #[derive(serde::Deserialize)]
    struct Body {
        sealed: Sealed,
    }
    read(|| format!("the run `{}`", excerpt(body)), body).map(|Body { sealed }| sealed.key)
}

/// Reads a run. `due` is the column, where the run is live: a renewed lease is written there and nowhere else.
pub(crate) fn run(vault: &Vault, body: &str, due: Option<i64>) -> Result<Run, Error> {
    let mut run: Run = read(|| format!("the run `{}`", excerpt(body)), body)?;
    if let Some(Sealed { key, text }) = run.sealed.take() {
        let sealed = piton_vault::Sealed { key, text };
        match vault.open(&run.id.to_string(), &sealed) {
            Ok(action) => {
                let unreadable = |detail| Error::Unreadable { what: format!("the action of run {}", run.id), detail };
                run.action =
                    serde_json::from_slice(&action).map(Arc::new).map_err(|error| unreadable(error.to_string()))?;
            }
            Err(error) => {
                tracing::debug!(run = %run.id, %error, "the secrets of a run stay sealed");
                run.sealed = Some(Sealed { key: sealed.key, text: sealed.text });
            }
        }
    }
    if let (RunState::Running { lease, .. }, Some(due)) = (&mut run.state, due) {
        lease.until = timestamp(due)?;
    }
    Ok(run)
}

pub(crate) fn record_body(record: &Record) -> Result<String, Error> {
    write(record)
}

pub(crate) fn record(seq: Seq, body: &str) -> Result<Record, Error> {
    read(|| format!("entry {seq} of the ledger"), body)
}

pub(crate) fn projection_body(projection: &Projection) -> Result<String, Error> {
    write(projection)
}

pub(crate) fn projection(subject: &str, body: &str) -> Result<Projection, Error> {
    read(|| format!("the status of {subject}"), body)
}

/// A user, a client or a key. What is wrong with one is said without showing it.
pub(crate) fn account<T: DeserializeOwned>(body: &str) -> Result<T, Error> {
    read(|| "an account or a key".to_owned(), body)
}

pub(crate) fn account_body<T: serde::Serialize>(account: &T) -> Result<String, Error> {
    write(account)
}

pub(crate) fn subject(text: &str) -> Result<Subject, Error> {
    text.parse().map_err(|error: piton_model::InvalidName| Error::Unreadable {
        what: format!("the subject `{}`", excerpt(text)),
        detail: error.to_string(),
    })
}

pub(crate) fn run_id(text: &str) -> Result<piton_model::RunId, Error> {
    text.parse().map_err(|error| Error::Unreadable {
        what: format!("the run id `{}`", excerpt(text)),
        detail: format!("{error}"),
    })
}

/// The id at the start of a run's body; enough to find it, and no secret.
fn excerpt(text: &str) -> String {
    text.chars().take(50).collect::<String>().escape_debug().to_string()
}
