//! Judges the rules of jobs by `job_rules.json`, a table of what Kubernetes' job controller does.
//!
//! ```text
//! cargo run -p piton-model --example conformance_model -- DIR
//! ```
//!
//! `DIR` defaults to the environment variable `PITON_CONFORMANCE_DIR`.
#![expect(clippy::print_stdout, reason = "the report is the purpose of this program")]

mod failures;
mod indexes;

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

/// A row as this crate sees it: what is expected, and what was found.
pub(crate) struct Verdict {
    expected: String,
    found: String,
}

impl Verdict {
    pub(crate) fn of<T: Debug>(expected: T, found: T) -> Verdict {
        Verdict { expected: format!("{expected:?}"), found: format!("{found:?}") }
    }
}

type Judge = fn(&Value) -> Result<Verdict, String>;

const FAMILIES: [(&str, Judge); 9] = [
    ("backoff_record", failures::record),
    ("backoff_remaining", failures::remaining),
    ("backoff_remaining_per_index", failures::remaining_per_index),
    ("failure_policy", failures::policy),
    ("indexes_succeeded", indexes::succeeded),
    ("index_has", indexes::has),
    ("first_pending", indexes::first_pending),
    ("duplicate_index", indexes::duplicates),
    ("success_policy", indexes::success_policy),
];

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the report and returns the number of failures.
fn run() -> Result<usize, String> {
    let dir = std::env::args_os()
        .nth(1)
        .or_else(|| std::env::var_os("PITON_CONFORMANCE_DIR"))
        .ok_or("usage: conformance_model DIR (or set PITON_CONFORMANCE_DIR)")?;
    let path = PathBuf::from(dir).join("job_rules.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: Value = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let families = table.as_object().ok_or("the table is no object")?;
    let (mut passed, mut failed) = (0, 0);
    for (family, rows) in families.iter().filter(|(name, _)| *name != "meta") {
        let judge = FAMILIES.iter().find(|(name, _)| name == family).map(|(_, judge)| judge);
        for row in rows.as_array().ok_or_else(|| format!("`{family}` is no list"))? {
            let verdict = match judge {
                Some(judge) => judge(row),
                None => Err(format!("unknown kind of row `{family}`")),
            };
            let id = row.get("id").and_then(Value::as_str).unwrap_or("?");
            match verdict {
                Ok(Verdict { expected, found }) if expected == found => passed += 1,
                Ok(Verdict { expected, found }) => {
                    failed += 1;
                    println!("FAIL {id}\n     expected {expected}\n     found    {found}");
                }
                Err(problem) => {
                    failed += 1;
                    println!("FAIL {id}: {problem}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

/// A field that has to be there.
pub(crate) fn field<'a>(row: &'a Value, name: &str) -> Result<&'a Value, String> {
    row.get(name).ok_or_else(|| format!("there is no `{name}`"))
}

/// A list; none and null are an empty one.
pub(crate) fn list<'a>(row: &'a Value, name: &str) -> Result<&'a [Value], String> {
    match row.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(format!("`{name}` is {other}")),
    }
}

/// A number; none where it is missing or null.
pub(crate) fn maybe(row: &Value, name: &str) -> Option<i64> {
    row.get(name).and_then(Value::as_i64)
}

/// A count that has to be there.
pub(crate) fn count(row: &Value, name: &str) -> Result<u32, String> {
    let value = field(row, name)?;
    value.as_u64().and_then(|value| u32::try_from(value).ok()).ok_or_else(|| format!("`{name}` is {value}"))
}
