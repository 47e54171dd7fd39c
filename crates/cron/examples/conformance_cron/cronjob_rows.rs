//! Rows about CronJobs.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use piton_cron::Schedule;
use piton_cron::cronjob::{Action, ConcurrencyPolicy, CronJob, Deadline, Missed};
use serde_json::Value;

use crate::row::{Part, Row, instant, shown};

fn part(what: &'static str, expected: String, ours: String) -> Part {
    Part { what, expected, ours }
}

/// The CronJob of a row. `None` when its schedule or its zone does not parse.
fn with_job<T>(row: Row<'_>, ask: impl FnOnce(&CronJob<'_>) -> T) -> Result<Option<T>, String> {
    let (Ok(schedule), Ok(zone)) = (row.schedule()?, row.zone()) else { return Ok(None) };
    Ok(Some(ask(&job(row, &schedule, &zone)?)))
}

fn job<'a>(row: Row<'_>, schedule: &'a Schedule, zone: &'a TimeZone) -> Result<CronJob<'a>, String> {
    let last_scheduled = row.optional_instant("last_schedule")?;
    let created = row.optional_instant("creation")?.or(last_scheduled).ok_or("no `creation`")?;
    Ok(CronJob {
        schedule,
        zone,
        created,
        last_scheduled,
        starting_deadline: row.integer("starting_deadline_s").ok().map(SignedDuration::from_secs),
        suspended: row.flag("suspend").unwrap_or(false),
        concurrency: match row.text("policy") {
            Ok("Forbid") => ConcurrencyPolicy::Forbid,
            Ok("Replace") => ConcurrencyPolicy::Replace,
            _ => ConcurrencyPolicy::Allow,
        },
    })
}

pub fn most_recent(row: Row<'_>) -> Result<Vec<Part>, String> {
    let now = row.instant("now")?;
    let deadline = if row.flag("apply_deadline")? { Deadline::Applies } else { Deadline::Ignored };
    let Some(recent) = with_job(row, |job| job.most_recent(now, deadline))? else {
        let expected = if row.has("error") { "error" } else { "no error" };
        return Ok(vec![part("schedule", expected.into(), "error".into())]);
    };
    if row.has("error") {
        return Ok(vec![part("schedule", "error".into(), "no error".into())]);
    }
    let missed = match recent.missed {
        Missed::AtMostOne => "none",
        Missed::Few => "few",
        Missed::Many => "many",
    };
    Ok(vec![
        part("earliest", shown(Some(row.instant("earliest")?)), shown(Some(recent.earliest))),
        part("most recent", shown(row.optional_instant("most_recent")?), shown(recent.start)),
        part("missed", row.text("missed")?.into(), missed.into()),
    ])
}

pub fn unmet(row: Row<'_>) -> Result<Vec<Part>, String> {
    let now = row.instant("now")?;
    let ours = with_job(row, |job| job.unmet_start(now))?;
    let (expected, ours) = match (row.value("expect")?, ours) {
        (Value::String(expected), None) => (expected.clone(), "error".into()),
        (Value::String(expected), Some(Some(_))) if expected == "non_null" => (expected.clone(), expected.clone()),
        (Value::String(expected), Some(ours)) if expected == "error" || expected == "non_null" => {
            (expected.clone(), shown(ours))
        }
        (expected, Some(ours)) => (shown(instant(expected)?), shown(ours)),
        (_, None) => ("no error".into(), "error".into()),
    };
    Ok(vec![part("unmet", expected, ours)])
}

/// How the table writes a sleep: in whole seconds, null for ever. Kubernetes adds a tenth of a second, which the table
/// leaves out.
fn sleep(value: &Value) -> String {
    value.as_f64().map_or_else(|| "for ever".into(), |seconds| format!("{seconds:.0} s"))
}

fn our_sleep(sleep: Option<SignedDuration>) -> String {
    sleep.map_or_else(|| "for ever".into(), |sleep| format!("{:.0} s", sleep.as_secs_f64()))
}

pub fn requeue(row: Row<'_>) -> Result<Vec<Part>, String> {
    let now = row.instant("now")?;
    let ours = with_job(row, |job| job.requeue_after(now))?.map_or_else(|| "error".into(), our_sleep);
    Ok(vec![part("sleep", sleep(row.value("sleep_s")?), ours)])
}

pub fn decide(row: Row<'_>) -> Result<Vec<Part>, String> {
    let now = row.instant("now")?;
    let active = row.value("active_jobs")?.as_array().ok_or("`active_jobs` is not a list")?;
    let active: Vec<Timestamp> = active.iter().filter_map(|job| instant(job).transpose()).collect::<Result<_, _>>()?;
    let running = active.len();
    let (start, kill, active_after, warnings, requeue_after) = match with_job(row, |job| job.decide(now, &active))? {
        // A CronJob that does not parse starts nothing and is reported once; parsing at the door is the warning.
        None => (false, false, running, 1, None),
        Some(decision) => {
            let (start, kill) = match decision.action {
                Action::Start { replace, .. } => (true, replace),
                Action::Wait(_) => (false, false),
            };
            let left = if kill { 0 } else { running };
            (start, kill, left + usize::from(start), decision.warnings.len(), decision.requeue_after)
        }
    };
    let expect = Row(row.value("expect")?);
    Ok(vec![
        part("start", expect.flag("start")?.to_string(), start.to_string()),
        part("kill active", expect.flag("kill_active")?.to_string(), kill.to_string()),
        part("active after", expect.integer("active_after")?.to_string(), active_after.to_string()),
        part("warnings", expect.integer("warnings")?.to_string(), warnings.to_string()),
        part("sleep", sleep(expect.value("sleep_s")?), our_sleep(requeue_after)),
    ])
}
