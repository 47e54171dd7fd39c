//! Runs every row of `cron_next.json`, a table of what other cron implementations do, against this crate.
//!
//! ```text
//! cargo run -p piton-cron --example conformance_cron -- DIR
//! ```
//!
//! `DIR` defaults to the environment variable `PITON_CONFORMANCE_DIR`. Rows that differ by decision are listed with the
//! reason; they count as passed only while the result is the one recorded in `differs.rs`.
#![expect(clippy::print_stdout, reason = "the report is the purpose of this program")]

mod cronjob_rows;
mod differs;
mod peers;
mod row;
mod schedule_rows;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use row::{Part, Row};

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
        .ok_or("usage: conformance_cron DIR (or set PITON_CONFORMANCE_DIR)")?;
    let path = PathBuf::from(dir).join("cron_next.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: Value = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;

    let mut rows = Vec::new();
    collect(&table, &mut rows);
    let (mut passed, mut failed) = (0, 0);
    let mut by_decision = Vec::new();
    for row in rows {
        let parts = check(row).unwrap_or_else(|problem| {
            vec![Part { what: "row", expected: "a row this program understands".into(), ours: problem }]
        });
        let mut row_failed = parts.is_empty();
        for part in parts.iter().filter(|part| part.expected != part.ours) {
            match differs::reason(row, part) {
                Some(reason) => by_decision.push((row, part.clone(), reason)),
                None => {
                    row_failed = true;
                    println!("FAIL {} ({}) {}", row.id(), part.what, row.subject());
                    println!("     expected {}\n     found    {}", part.expected, part.ours);
                }
            }
        }
        if row_failed {
            failed += 1;
        } else {
            passed += 1;
        }
    }
    if !by_decision.is_empty() {
        println!("differs by decision:");
        for (row, part, reason) in &by_decision {
            println!("  {} ({}) {}", row.id(), part.what, row.subject());
            println!("     peer {}\n     ours {}\n     {reason}", part.expected, part.ours);
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

/// The rows are wherever an object has an `id` and a `kind`.
fn collect<'a>(value: &'a Value, rows: &mut Vec<Row<'a>>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, rows)),
        Value::Object(map) if map.contains_key("id") && map.contains_key("kind") => rows.push(Row(value)),
        Value::Object(map) => map.values().for_each(|value| collect(value, rows)),
        _ => {}
    }
}

fn check(row: Row<'_>) -> Result<Vec<Part>, String> {
    match row.text("kind")? {
        "next" => schedule_rows::next(row),
        "match" => schedule_rows::matches(row),
        "seq" => schedule_rows::sequence(row),
        "parse_ok" => schedule_rows::parses(row, true),
        "parse_error" => schedule_rows::parses(row, false),
        "field" => schedule_rows::field(row),
        "every" => schedule_rows::every(row),
        "equal" => schedule_rows::equal(row),
        "most_recent" => cronjob_rows::most_recent(row),
        "unmet" => cronjob_rows::unmet(row),
        "requeue" | "reschedule_on_update" => cronjob_rows::requeue(row),
        "decide" => cronjob_rows::decide(row),
        "dst" => peers::daylight_saving(row),
        "syntax" => peers::syntax(row),
        "domdow" => peers::day_rule(row),
        other => Err(format!("unknown kind of row `{other}`")),
    }
}
