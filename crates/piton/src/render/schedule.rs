//! Scheduled provisions.

use std::fmt::Write as _;

use piton_api::{BulkAnswer, Fault, Schedule};
use serde_json::Value;

use crate::clock::Clock;
use crate::table::{Cell, Fields, Table};
use crate::terminal::{Target, clean};

/// How many lines that were refused are told one by one.
const TOLD: usize = 20;

/// What is scheduled.
pub fn list(schedules: &[Schedule], clock: &Clock) -> String {
    if schedules.is_empty() {
        return "Nothing is scheduled\n".to_owned();
    }
    let mut table = Table::new(&["ID", "TYPE", "WHO", "TIME", "STATUS", "TAGS"]);
    for schedule in schedules {
        table.row([
            Cell::from(&schedule.id),
            (&schedule.job_type).into(),
            who(schedule).into(),
            clock.minute(schedule.schedule_time).into(),
            Cell::state(&schedule.status),
            schedule.tags.join(", ").into(),
        ]);
    }
    table.render()
}

fn who(schedule: &Schedule) -> &str {
    let employee = |name: &str| schedule.employee[name].as_str();
    schedule.target_user_email.as_deref().or(employee("workEmail")).or(employee("fullName")).unwrap_or("-")
}

/// One of them in full.
pub fn show(schedule: &Schedule, clock: &Clock) -> String {
    let mut fields = Fields::default();
    fields
        .field("ID", &schedule.id)
        .field("Type", &schedule.job_type)
        .field("Status", Cell::state(&schedule.status))
        .field("Who", who(schedule))
        .maybe("Applications", applications(&schedule.applications))
        .field("Time", clock.second(schedule.schedule_time));
    if let (Some(local), Some(zone)) = (&schedule.schedule_time_local, &schedule.timezone) {
        fields.field("Meant As", format!("{local} {zone}"));
    }
    fields
        .maybe("Next Try", schedule.next_attempt_at.map(|at| clock.second(at)))
        .maybe("Tags", (!schedule.tags.is_empty()).then(|| schedule.tags.join(", ")))
        .maybe("Requested By", schedule.requested_by.as_ref())
        .field("Approval", &schedule.approval_status)
        .maybe("Decided By", schedule.approved_by.as_ref())
        .maybe("Reason", schedule.approval_reason.as_ref())
        .field("Created", clock.second(schedule.created_at))
        .maybe("Executed", schedule.executed_at.map(|at| clock.second(at)))
        .maybe("Retries", (schedule.retry_count > 0).then(|| schedule.retry_count.to_string()))
        .maybe("Error", schedule.error_message.as_ref())
        .maybe("Run", schedule.run_id.as_ref());
    fields.render()
}

fn applications(applications: &Value) -> Option<String> {
    let on = |value: &Value| matches!(value, Value::Bool(true) | Value::Object(_));
    let named = applications.as_object()?.iter().filter(|(_, value)| on(value)).map(|(name, _)| name.as_str());
    let named: Vec<&str> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// What became of the lines of a file.
pub fn bulk(answer: &BulkAnswer) -> String {
    let mut text = format!("{} scheduled, {} refused\n", answer.created, answer.failed);
    let refused = answer.results.iter().filter_map(|result| {
        let error = result.error.as_ref()?;
        Some((result.line.to_string(), error.field.clone().unwrap_or_default(), error.detail.as_str()))
    });
    tell(&mut text, refused);
    text
}

/// Why none of the lines of a file was scheduled. The pointers are `/LINE/FIELD`.
pub fn refused(faults: &[Fault]) -> String {
    let mut text = String::new();
    let each = faults.iter().map(|fault| {
        let pointer = fault.pointer.trim_start_matches('/');
        let (line, field) = pointer.split_once('/').unwrap_or((pointer, ""));
        let field = field.replace('/', ".").replace("~1", "/").replace("~0", "~");
        (line.to_owned(), field, fault.detail.as_str())
    });
    tell(&mut text, each);
    text
}

/// Tells what is wrong with the fields of lines, of the first lines one by one.
fn tell<'a>(text: &mut String, refused: impl Iterator<Item = (String, String, &'a str)>) {
    let mut more = 0;
    for (index, (line, field, detail)) in refused.enumerate() {
        if index >= TOLD {
            more += 1;
            continue;
        }
        let field = if field.is_empty() { field } else { format!("{field}: ") };
        let told = clean(&format!("{field}{detail}"), Target::Plain).replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  line {line}: {told}");
    }
    if more > 0 {
        let _ = writeln!(text, "  and {more} more; `-o json` tells all");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::{clock, document};
    use super::*;

    fn schedule(changes: Value) -> Schedule {
        let base = json!({
            "id": "019a3f2e-0000-7000-8000-a1b2c3d4e5f6", "job_type": "provision",
            "employee": {"fullName": "Ada Lovelace", "workEmail": "ada@example.org"},
            "applications": {"google": true, "slack": false, "microsoft": {}},
            "schedule_time": "2025-12-01T08:00:00Z", "status": "pending", "tags": ["new-hire"],
            "approval_status": "auto_approved", "retry_count": 0,
            "created_at": "2025-09-19T10:00:00Z", "updated_at": "2025-09-19T10:00:00Z",
        });
        document(base, changes)
    }

    #[test]
    fn the_table() {
        let text = list(&[schedule(json!({"status": "failed"}))], &clock());
        assert!(
            text.contains("provision  ada@example.org  2025-12-01 09:00  \u{1b}[31mfailed\u{1b}[0m  new-hire\n"),
            "{text}"
        );
        assert_eq!(list(&[], &clock()), "Nothing is scheduled\n");
    }

    #[test]
    fn one_in_full() {
        let local = json!({
            "timezone": "Europe/Berlin", "schedule_time_local": "2025-12-01T09:00:00+01:00",
            "error_message": "no", "retry_count": 2,
        });
        let text = show(&schedule(local), &clock());
        for line in
            ["Applications: google, microsoft\n", "Meant As: 2025-12-01T09:00:00+01:00 Europe/Berlin\n", "Retries: 2\n"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn words_of_others_are_shown_as_text() {
        let rejected = json!({"approval_reason": "no\u{7}t\u{202e} yet", "approved_by": "a\u{1b}[1Ada"});
        let text = show(&schedule(rejected), &clock());
        assert!(text.contains("Decided By: ada\nReason: no\u{fffd}t\u{fffd} yet\n"), "{text:?}");
        let odd = Fault { pointer: "/2/employee/a\u{202e}b".to_owned(), detail: "n\u{7}o".to_owned() };
        assert_eq!(refused(&[odd]), "  line 2: employee.a\u{fffd}b: n\u{fffd}o\n");
    }

    #[test]
    fn what_became_of_a_file() {
        let answer: BulkAnswer = serde_json::from_value(json!({"created": 1, "failed": 1, "results": [
            {"line": 2, "id": "x"}, {"line": 3, "error": {"code": "invalid_email", "detail": "no", "field": "employee.workEmail"}},
        ]}))
        .unwrap();
        assert_eq!(bulk(&answer), "1 scheduled, 1 refused\n  line 3: employee.workEmail: no\n");
    }

    #[test]
    fn why_nothing_of_a_file_was_taken() {
        let fault = |pointer: &str| Fault { pointer: pointer.to_owned(), detail: "no".to_owned() };
        let told = refused(&[fault("/2/employee/workEmail"), fault("/3/"), fault("/4"), fault("/5/employee/a~1b")]);
        assert_eq!(told, "  line 2: employee.workEmail: no\n  line 3: no\n  line 4: no\n  line 5: employee.a/b: no\n");
        let many: Vec<Fault> = (0..22).map(|line| fault(&format!("/{line}/x"))).collect();
        assert!(refused(&many).ends_with("  line 19: x: no\n  and 2 more; `-o json` tells all\n"));
    }
}
