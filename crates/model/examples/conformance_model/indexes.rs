//! Rows about the indexes of tasks.

use piton_model::batch::{Claim, Indexes, SuccessRule, success_rule, surplus};
use serde_json::Value;

use crate::{Verdict, count, field, list, maybe};

pub(crate) fn succeeded(row: &Value) -> Result<Verdict, String> {
    let completions = count(row, "completions")?;
    let before = field(row, "prev_succeeded")?.as_str().unwrap_or_default();
    let mut found = Indexes::parse(before, completions);
    for attempt in list(row, "attempts")? {
        let (index, phase) = attempt_of(attempt)?;
        if let (Some(index), "Succeeded") = (index.filter(|index| *index < completions), phase) {
            found.insert(index);
        }
    }
    Ok(Verdict::of(set(row, "want")?.intervals(), found.intervals()))
}

pub(crate) fn has(row: &Value) -> Result<Verdict, String> {
    let expected = field(row, "want")?.as_bool();
    Ok(Verdict::of(expected, Some(set(row, "intervals")?.contains(count(row, "index")?))))
}

pub(crate) fn first_pending(row: &Value) -> Result<Verdict, String> {
    let mut taken = set(row, "succeeded")?;
    for (first, last) in set(row, "failed")?.intervals() {
        taken.insert_all(*first, *last);
    }
    for index in list(row, "active_indexes")?.iter().filter_map(index_of) {
        taken.insert(index);
    }
    let wanted = usize::try_from(count(row, "count")?).unwrap_or(usize::MAX);
    let found: Vec<u64> = taken.missing(count(row, "completions")?).take(wanted).map(u64::from).collect();
    let expected: Vec<u64> = list(row, "want")?.iter().filter_map(Value::as_u64).collect();
    Ok(Verdict::of(expected, found))
}

pub(crate) fn duplicates(row: &Value) -> Result<Verdict, String> {
    let attempts = list(row, "attempts")?;
    let mut claims = vec![];
    for attempt in attempts {
        let (index, phase) = attempt_of(attempt)?;
        claims.push((index, if phase == "Running" { Claim::Running } else { Claim::Pending }));
    }
    let removed = surplus(&claims, count(row, "completions")?);
    let texts = |wanted: bool| -> Vec<String> {
        let chosen = attempts.iter().enumerate().filter(|(place, _)| removed.contains(place) == wanted);
        sorted(chosen.map(|(_, attempt)| attempt))
    };
    let expected = (sorted(list(row, "want_remove")?.iter()), sorted(list(row, "want_keep")?.iter()));
    Ok(Verdict::of(expected, (texts(true), texts(false))))
}

pub(crate) fn success_policy(row: &Value) -> Result<Verdict, String> {
    let mut rules = vec![];
    for rule in list(row, "rules")? {
        let count = maybe(rule, "succeeded_count").map(u32::try_from).transpose();
        rules.push(SuccessRule {
            succeeded_indexes: rule.get("succeeded_indexes").and_then(Value::as_str).map(str::to_owned),
            succeeded_count: count.map_err(|error| error.to_string())?,
        });
    }
    let found = success_rule(&rules, &set(row, "succeeded")?, count(row, "completions")?);
    let expected = maybe(row, "want_rule_index").and_then(|place| usize::try_from(place).ok());
    let met = field(row, "want_met")?.as_bool();
    Ok(Verdict::of((met, expected), (Some(found.is_some()), found)))
}

fn sorted<'a>(attempts: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut texts: Vec<String> = attempts.map(ToString::to_string).collect();
    texts.sort();
    texts
}

fn attempt_of(attempt: &Value) -> Result<(Option<u32>, &str), String> {
    match attempt.as_array().map(Vec::as_slice) {
        Some([index, phase]) => Ok((index_of(index), phase.as_str().ok_or("a phase is no text")?)),
        _ => Err(format!("{attempt} is no attempt")),
    }
}

/// What stands in an annotation; none where it is missing or no index.
fn index_of(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => u32::try_from(other.as_u64()?).ok(),
    }
}

/// A set given as intervals, or as nothing.
fn set(row: &Value, name: &str) -> Result<Indexes, String> {
    let mut indexes = Indexes::default();
    for interval in list(row, name)? {
        let ends = interval.as_array().map(Vec::as_slice);
        let Some([first, last]) = ends else { return Err(format!("{interval} is no interval")) };
        let end = |value: &Value| value.as_u64().and_then(|value| u32::try_from(value).ok());
        match (end(first), end(last)) {
            (Some(first), Some(last)) => indexes.insert_all(first, last),
            _ => return Err(format!("{interval} is no interval")),
        }
    }
    Ok(indexes)
}
