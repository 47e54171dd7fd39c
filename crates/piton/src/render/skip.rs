//! Due times that made no run.

use piton_api::Skip;

use crate::clock::Clock;
use crate::table::{Cell, Table};

/// The latest of them, of any subject.
pub fn list(skips: &[Skip], clock: &Clock) -> String {
    if skips.is_empty() {
        return "No due time went by without a run\n".to_owned();
    }
    let mut table = Table::new(&["DUE", "SUBJECT", "LINE", "VERDICT", "WHY"]);
    for skip in skips {
        table.row([
            Cell::from(clock.minute(skip.due)),
            (&skip.subject).into(),
            (&skip.line).into(),
            (&skip.verdict).into(),
            why(skip).into(),
        ]);
    }
    table.render()
}

/// Those of the workspace or job that is shown above; nothing where there are none.
pub fn latest(skips: &[Skip], clock: &Clock) -> String {
    if skips.is_empty() {
        return String::new();
    }
    let line =
        |skip: &Skip| format!("  {} {}: {} (`{}`)\n", clock.minute(skip.due), skip.verdict, why(skip), skip.line);
    let lines: String = skips.iter().map(line).collect();
    format!("Latest due times without a run:\n{lines}")
}

fn why(skip: &Skip) -> String {
    match skip.count {
        0 | 1 => skip.message.clone(),
        2 => format!("{}, and so was one before", skip.message),
        more => format!("{}, and so were {} before", skip.message, more - 1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::{clock, document};
    use super::*;

    fn skip(changes: serde_json::Value) -> Skip {
        let base = json!({
            "due": "2025-09-19T07:00:00Z",
            "subject": "workspace/web",
            "line": "0 9 * * *",
            "verdict": "skipped",
            "reason": "already_deployed",
            "message": "already deployed, nothing changed",
            "count": 1,
            "recorded_at": "2025-09-19T07:00:00Z",
        });
        document(base, changes)
    }

    #[test]
    fn a_status_says_what_went_by() {
        let missed = skip(json!({ "verdict": "missed", "message": "noticed too late", "count": 3 }));
        let wanted = "\
Latest due times without a run:
  2025-09-19 09:00 skipped: already deployed, nothing changed (`0 9 * * *`)
  2025-09-19 09:00 missed: noticed too late, and so were 2 before (`0 9 * * *`)
";
        assert_eq!(latest(&[skip(json!({})), missed], &clock()), wanted);
        assert_eq!(latest(&[], &clock()), "");
    }

    #[test]
    fn a_list_names_the_subject() {
        let text = list(&[skip(json!({ "count": 2 }))], &clock());
        let row = "2025-09-19 09:00  workspace/web  0 9 * * *  skipped  already deployed, nothing changed, and so was one before";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert_eq!(list(&[], &clock()), "No due time went by without a run\n");
    }
}
