//! Rows with one measured result per implementation. Each of our rules is compared with the peer that defines it:
//!
//! * daylight saving: [`DstPolicy::Vixie`] with cronie, [`DstPolicy::Robfig`] with robfig;
//! * day of month with day of week: robfig, and croner where robfig refuses the expression;
//! * syntax: the robfig dialects with robfig; the superset with the first peer that accepts the expression, in the
//!   order robfig, croner, saffron. What they all refuse is refused.

use piton_cron::{Dialect, DstPolicy, ParseError, ParseErrorKind, Schedule};
use serde_json::Value;

use crate::row::{Part, Row, instant, list, refusal};
use crate::schedule_rows::first;

const ROBFIG: &str = "robfig_v3_and_k8s";
const CRONIE: &str = "cronie_simulated";
const CRONER: &str = "croner_rust_4.0.3";

/// What a peer answered: a list of fires, or `None` where it refused the expression.
fn measured(row: Row<'_>, peer: &str) -> Result<Option<String>, String> {
    match row.value("next")?.get(peer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(fires)) => Ok(Some(list(fires.iter().map(instant).collect::<Result<Vec<_>, _>>()?))),
        Some(other) => Err(format!("{peer}: {other} is not a list")),
    }
}

fn ours(row: Row<'_>, schedule: Result<Schedule, ParseError>) -> Result<String, String> {
    let n = usize::try_from(row.integer("n")?).map_err(|_| "negative `n`")?;
    let (from, zone) = (row.instant("from")?, row.zone()?);
    Ok(match schedule {
        Ok(schedule) => first(&schedule, from, &zone, n),
        Err(error) => refusal(&error),
    })
}

/// Any refusal agrees with a refusal.
fn compare(what: &'static str, expected: Option<String>, ours: String) -> Part {
    match expected {
        Some(expected) => Part { what, expected, ours },
        None if ours.starts_with("refused") => Part { what, expected: ours.clone(), ours },
        None => Part { what, expected: "refused".into(), ours },
    }
}

pub fn daylight_saving(row: Row<'_>) -> Result<Vec<Part>, String> {
    let expression = row.text("expr")?;
    let vixie = Schedule::parse(expression);
    let robfig = Schedule::parse_with(expression, Dialect::Robfig).map(|s| s.with_dst_policy(DstPolicy::Robfig));
    let mut parts = Vec::new();
    if let Some(expected) = measured(row, CRONIE)? {
        parts.push(compare("vixie", Some(expected), ours(row, vixie)?));
    }
    if let Some(expected) = measured(row, ROBFIG)? {
        parts.push(compare("robfig", Some(expected), ours(row, robfig)?));
    }
    Ok(parts)
}

pub fn day_rule(row: Row<'_>) -> Result<Vec<Part>, String> {
    let expected = match measured(row, ROBFIG)? {
        Some(robfig) => Some(robfig),
        None => measured(row, CRONER)?,
    };
    Ok(vec![compare("day rule", expected, ours(row, Schedule::parse(row.text("expr")?))?)])
}

pub fn syntax(row: Row<'_>) -> Result<Vec<Part>, String> {
    let expression = row.text("expr")?;
    let five = Schedule::parse_with(expression, Dialect::Robfig);
    let optional = match &five {
        Err(ParseError { kind: ParseErrorKind::FieldCount { .. }, .. }) => {
            Schedule::parse_with(expression, Dialect::RobfigSeconds)
        }
        _ => five.clone(),
    };
    Ok(vec![
        compare("robfig", measured(row, "robfig_v3_5field")?, ours(row, five)?),
        compare("robfig with seconds", measured(row, "robfig_v3_sec_optional")?, ours(row, optional)?),
        compare("superset", defining_peer(row, expression)?, ours(row, Schedule::parse(expression))?),
    ])
}

/// The answer of the peer that defines the expression in the superset.
fn defining_peer(row: Row<'_>, expression: &str) -> Result<Option<String>, String> {
    for peer in ["robfig_v3_sec_optional", CRONER, "croner_rust_4.0.3_sloppy"] {
        if let Some(answer) = measured(row, peer)? {
            return Ok(Some(answer));
        }
    }
    // Saffron numbers the days of the week from 1, so it only speaks for expressions without such numbers.
    let weekdays = expression.split_whitespace().nth(4).unwrap_or_default();
    if weekdays.contains(|c: char| c.is_ascii_digit()) { Ok(None) } else { measured(row, "saffron_0.1.0") }
}
