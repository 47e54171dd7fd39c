//! New rows in bulk, as PostgreSQL takes them fastest: a stream of lines in the format of `COPY`.

use std::fmt::Write as _;

use jiff::Timestamp;
use piton_model::{NewProvision, ScheduleStatus};

use super::row;
use crate::dialect::Dialect;
use crate::row::whole_micros;

/// What begins the stream. The columns are those of a line.
pub(crate) const COPY: &str = "COPY scheduled_provisions (id, job_type, employee_data, applications, payload, \
     schedule_time, timezone, tags, target_user_email, requested_by, approval_status, status, created_at, updated_at, \
     retry_count) FROM STDIN";
/// From how many rows on it is worth it: it takes three round trips more than a statement.
pub(super) const WORTH_IT: usize = 100;
/// How many lines are sent at once, so that the server reads while the next ones are written.
const TOGETHER: usize = 200;

/// The lines of new rows, some at a time.
pub(super) fn lines(new: &[NewProvision], at: Timestamp) -> impl Iterator<Item = String> + Send + '_ {
    let now = time(at);
    new.chunks(TOGETHER).map(move |some| {
        let mut lines = String::with_capacity(some.len() * 512);
        for new in some {
            line(&mut lines, new, &now);
        }
        lines
    })
}

fn line(out: &mut String, new: &NewProvision, now: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{}\t{}\t", new.id, new.job_type);
    text(out, &row::document(new.employee.expose()));
    out.push('\t');
    text(out, &row::document(new.applications.expose()));
    out.push('\t');
    maybe(out, new.payload.as_ref().map(|payload| row::document(payload.expose())).as_deref());
    let _ = write!(out, "\t{}\t", time(new.schedule_time));
    maybe(out, new.timezone.as_deref());
    out.push('\t');
    text(out, &row::tags(&new.tags, Dialect::Postgres));
    out.push('\t');
    maybe(out, new.target_user_email.as_deref());
    out.push('\t');
    maybe(out, new.requested_by.as_deref());
    let _ = writeln!(out, "\t{}\t{}\t{now}\t{now}\t0", new.approval, ScheduleStatus::Pending);
}

fn time(at: Timestamp) -> String {
    whole_micros(at).to_string()
}

fn maybe(out: &mut String, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => out.push_str("\\N"),
    }
}

fn text(out: &mut String, value: &str) {
    for piece in value.split_inclusive(['\\', '\t', '\n', '\r', '\0']) {
        let plain = piece.trim_end_matches(['\\', '\t', '\n', '\r', '\0']);
        out.push_str(plain);
        match &piece[plain.len()..] {
            "\\" => out.push_str("\\\\"),
            "\t" => out.push_str("\\t"),
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            // As for a parameter: PostgreSQL has none in texts.
            "\0" => out.push('\u{fffd}'),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_column_or_a_line_is_written_in_other_words() {
        let mut out = String::new();
        text(&mut out, "a\tb\\\\c\r\n\u{1f600}\\N\0");
        maybe(&mut out, None);
        assert_eq!(out, "a\\tb\\\\\\\\c\\r\\n\u{1f600}\\\\N\u{fffd}\\N");
    }
}
