//! Rows with one expected result: what to parse, when to fire.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_cron::{DstPolicy, Schedule, ValueSet};
use serde_json::Value;

use crate::row::{Part, Row, instant, list, refusal, shown};

fn one(what: &'static str, expected: String, ours: String) -> Vec<Part> {
    vec![Part { what, expected, ours }]
}

pub fn next(row: Row<'_>) -> Result<Vec<Part>, String> {
    let (from, zone) = (row.instant("from")?, row.zone()?);
    let ours = match row.schedule()? {
        Ok(schedule) => shown(schedule.next(from, &zone)),
        Err(error) => refusal(&error),
    };
    Ok(one("next", shown(row.optional_instant("next")?), ours))
}

pub fn matches(row: Row<'_>) -> Result<Vec<Part>, String> {
    let (at, zone) = (row.instant("at")?, row.zone()?);
    let ours = match row.schedule()? {
        Ok(schedule) => schedule.fires_at(at, &zone).to_string(),
        Err(error) => refusal(&error),
    };
    Ok(one("match", row.flag("matches")?.to_string(), ours))
}

pub fn sequence(row: Row<'_>) -> Result<Vec<Part>, String> {
    let (mut from, zone) = (row.instant("from")?, row.zone()?);
    if row.flag("inclusive")? {
        from -= SignedDuration::from_nanos(1);
    }
    let policy = match row.text("dialect")? {
        "croner-js-10" => DstPolicy::FirstPass,
        _ => DstPolicy::Vixie,
    };
    let expected = row.value("next")?.as_array().ok_or("`next` is not a list")?;
    let ours = match row.schedule()? {
        Ok(schedule) => first(&schedule.with_dst_policy(policy), from, &zone, expected.len()),
        Err(error) => refusal(&error),
    };
    let expected: Vec<_> = expected.iter().map(instant).collect::<Result<_, _>>()?;
    Ok(one("sequence", list(expected), ours))
}

/// The first fires after a moment, as the report shows them.
pub fn first(schedule: &Schedule, from: Timestamp, zone: &jiff::tz::TimeZone, n: usize) -> String {
    list(schedule.upcoming(from, zone).take(n).map(Some))
}

pub fn parses(row: Row<'_>, accepted: bool) -> Result<Vec<Part>, String> {
    Ok(match row.schedule()? {
        Ok(_) => one("parse", if accepted { "accepted" } else { "refused" }.into(), "accepted".into()),
        Err(_) if !accepted => one("parse", "refused".into(), "refused".into()),
        Err(error) => one("parse", "accepted".into(), refusal(&error)),
    })
}

pub fn field(row: Row<'_>) -> Result<Vec<Part>, String> {
    let bound = |key| u8::try_from(row.integer(key)?).map_err(|_| format!("`{key}` is too large"));
    let expected = if row.has("error") {
        "refused".into()
    } else {
        let values = row.value("values")?.as_array().ok_or("`values` is not a list")?;
        let values: Vec<_> = values.iter().filter_map(Value::as_u64).collect();
        format!("{values:?} star {}", row.flag("star")?)
    };
    let ours = match ValueSet::parse(row.text("expr")?, bound("min")?..=bound("max")?, row.dialect()) {
        Ok(set) => format!("{:?} star {}", set.iter().collect::<Vec<_>>(), set.is_star()),
        Err(_) => "refused".into(),
    };
    Ok(one("field", expected, ours))
}

pub fn every(row: Row<'_>) -> Result<Vec<Part>, String> {
    let nanos = u64::try_from(row.integer("every_ns")?).map_err(|_| "negative delay")?;
    let ours = Schedule::every(Duration::from_nanos(nanos)).next(row.instant("from")?, &row.zone()?);
    Ok(one("every", shown(Some(row.instant("next")?)), shown(ours)))
}

pub fn equal(row: Row<'_>) -> Result<Vec<Part>, String> {
    let parse = |key| Ok::<_, String>(Schedule::parse_with(row.text(key)?, row.dialect()));
    let ours = match (parse("a")?, parse("b")?) {
        (Ok(a), Ok(b)) => (a == b).to_string(),
        (Err(error), _) | (_, Err(error)) => refusal(&error),
    };
    Ok(one("equal", row.flag("equal")?.to_string(), ours))
}
