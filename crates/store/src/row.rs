//! Typed values to rows and back: the only place that knows which column repeats what of the body.

use jiff::Timestamp;
use piton_model::{Projection, Record, Run, RunState, Seq, Subject};
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
    serde_json::to_string(value)
        .map_err(|error| Error::Unreadable { what: "a value to be stored".to_owned(), detail: error.to_string() })
}

pub(crate) fn run_body(run: &Run) -> Result<String, Error> {
    write(run)
}

/// Reads a run. `due` is the column, where the run is live: a renewed lease is written there and nowhere else.
pub(crate) fn run(body: &str, due: Option<i64>) -> Result<Run, Error> {
    let mut run: Run = read(|| format!("the run `{}`", excerpt(body)), body)?;
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
