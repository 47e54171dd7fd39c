//! SQL lives in the store, and takes its time from a parameter.
//!
//! A query elsewhere would be a second owner of the ledger. A database that reads its own clock would make a
//! simulated year impossible and two machines with different clocks disagree.

use super::finding::Finding;
use crate::repository::{Repository, extension};
use crate::rust_text::{RustText, line_of};

const RULE: &str = "sql";

const STORE: &str = "crates/store/";
/// This rule spells what it forbids.
const EXEMPT: &str = "xtask/";

const STATEMENTS: &[&str] = &["SELECT ", "INSERT INTO", "DELETE FROM"];

/// How the two databases spell "now", in lower case.
const CLOCKS: &[&str] = &[
    "now()",
    "current_timestamp",
    "current_time",
    "current_date",
    "localtimestamp",
    "clock_timestamp(",
    "statement_timestamp(",
    "transaction_timestamp(",
    "'now'",
    "unixepoch()",
];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts().filter(|(path, _)| !path.starts_with(EXEMPT)) {
        let sql = if extension(path) == "rs" {
            RustText::split(text).strings
        } else if extension(path) == "sql" {
            without_comments(text)
        } else {
            continue;
        };
        if !path.starts_with(STORE) {
            if let Some((at, word)) = first(&sql, STATEMENTS) {
                let message = format!("`{}` outside {STORE}: ask the store", word.trim());
                findings.push(Finding::at(RULE, path, line_of(&sql, at), message));
            }
            continue;
        }
        let lower = sql.to_ascii_lowercase();
        if let Some((at, word)) = first(&lower, CLOCKS) {
            let message = format!("`{word}` reads the database's clock: time is a parameter");
            findings.push(Finding::at(RULE, path, line_of(&lower, at), message));
        }
    }
    findings
}

fn first<'a>(text: &str, words: &[&'a str]) -> Option<(usize, &'a str)> {
    words.iter().filter_map(|word| Some((text.find(word)?, *word))).min()
}

/// The same text with `--` comments blanked, so that offsets still name lines.
fn without_comments(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    for line in sql.split_inclusive('\n') {
        let end = line.find("--").unwrap_or(line.len());
        text.push_str(&line[..end]);
        if end < line.len() && line.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn sql_outside_the_store_fails() {
        let repository = Repository::of(&[
            ("crates/engine/src/claim.rs", "// SELECT is fine here\nlet q =\n    \"SELECT id FROM runs\";"),
            ("crates/engine/src/other.rs", "let text = \"select a door\"; // INSERT INTO"),
            ("crates/store/src/claim.rs", "let q = \"SELECT id FROM runs\";"),
            ("docs/query.md", "SELECT id"),
            ("bench/fill.sql", "INSERT INTO runs"),
        ]);
        assert_eq!(places(&check(&repository)), ["bench/fill.sql:1", "crates/engine/src/claim.rs:3"]);
    }

    #[test]
    fn the_clock_of_the_database_fails() {
        let repository = Repository::of(&[
            ("crates/store/src/claim.rs", "let at = clock.now();\nlet q = \"UPDATE runs SET at = NOW()\";"),
            ("crates/store/migrations/1.sql", "-- no now() here\nCREATE TABLE t (at TEXT DEFAULT CURRENT_TIMESTAMP);"),
            ("crates/store/src/fine.rs", "let at = now(); // CURRENT_TIMESTAMP"),
        ]);
        assert_eq!(places(&check(&repository)), ["crates/store/migrations/1.sql:2", "crates/store/src/claim.rs:2"]);
    }
}
