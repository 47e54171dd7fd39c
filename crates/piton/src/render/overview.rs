//! One page about everything.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use piton_api::{Diagnostic, Overview, ServedBy};

use super::workspace::effect;
use crate::clock::{Clock, length};
use crate::table::{Fields, Table};

/// The page.
pub fn page(overview: &Overview, clock: &Clock) -> String {
    let mut fields = Fields::default();
    let version = match &overview.version.commit {
        Some(commit) => format!("{} ({commit})", overview.version.version),
        None => overview.version.version.clone(),
    };
    let daemon = if overview.served_by == ServedBy::Daemon {
        format!("running as process {} for {}", overview.pid, length(overview.started_at, clock.now))
    } else {
        "not running".to_owned()
    };
    fields
        .field("Version", version)
        .field("Daemon", daemon)
        .field("Address", overview.listen.as_deref().unwrap_or("-"))
        .field("Directory", &overview.directory)
        .field("Data", format!("{} ({})", overview.data_directory, overview.store))
        .field("Workspaces", tally(&overview.workspaces))
        .field("Jobs", tally(&overview.jobs))
        .field("Processes", tally(&overview.processes))
        .field("Runs", tally(&overview.runs));
    let mut text = fields.render();
    if !overview.next.is_empty() {
        text.push_str("\nNext:\n");
        let mut table = Table::new(&["WHEN", "WHAT", "SUBJECT"]);
        for (subject, next) in &overview.next {
            table.row([clock.second(next.at).into(), effect(next).into(), subject.into()]);
        }
        text.push_str(&table.render());
    }
    if !overview.diagnostics.is_empty() {
        text.push_str("\nProblems:\n");
        for found in &overview.diagnostics {
            text.push_str(&diagnostic(found));
        }
    }
    text
}

/// A problem in a file, as compilers print it.
pub fn diagnostic(found: &Diagnostic) -> String {
    let mut text = found.file.clone();
    for number in [found.line, found.column].into_iter().flatten() {
        let _ = write!(text, ":{number}");
    }
    let _ = write!(text, ": {}: ", found.severity);
    if let Some(field) = &found.field {
        let _ = write!(text, "{field}: ");
    }
    text.push_str(&found.message);
    text.push('\n');
    if let Some(hint) = &found.hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
    text
}

/// `2 deployed, 1 failed`
fn tally(counts: &BTreeMap<String, usize>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::clock;
    use super::*;

    #[test]
    fn everything_on_one_page() {
        let overview: Overview = serde_json::from_value(json!({
            "version": { "version": "0.1.0" },
            "served_by": "daemon",
            "listen": "127.0.0.1:8080",
            "pid": 7,
            "started_at": "2025-09-19T10:00:00Z",
            "directory": "/srv",
            "data_directory": "/srv/.piton",
            "store": "sqlite",
            "workspaces": { "deployed": 2, "failed": 1 },
            "jobs": {},
            "processes": { "fatal": 1, "running": 2 },
            "runs": { "running": 1 },
            "next": [["workspace/web", { "at": "2025-09-19T21:00:00Z", "effect": "destroy", "line": "0 23 * * *" }]],
            "diagnostics": [{
                "severity": "error", "file": "workspaces/x/config.json", "line": 3, "column": 5,
                "field": "deploy_schedule", "message": "never fires", "hint": "look", "code": "never_fires",
            }],
            "ledger_head": 12,
        }))
        .unwrap();
        let wanted = "\
Version: 0.1.0
Daemon: running as process 7 for 2 h
Address: 127.0.0.1:8080
Directory: /srv
Data: /srv/.piton (sqlite)
Workspaces: 2 deployed, 1 failed
Jobs: none
Processes: 1 fatal, 2 running
Runs: 1 running

Next:
WHEN                 WHAT     SUBJECT
2025-09-19 23:00:00  destroy  workspace/web

Problems:
workspaces/x/config.json:3:5: error: deploy_schedule: never fires
  hint: look
";
        assert_eq!(page(&overview, &clock()), wanted);
    }
}
