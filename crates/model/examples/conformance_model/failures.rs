//! Rows about delays and about what failures mean.

use std::time::Duration;

use jiff::Timestamp;
use piton_model::batch::{
    CodeOperator, FailureAction, FailureRule, FailureStreak, RetryDelay, TaskCondition, failure_action,
};
use serde_json::Value;

use crate::{Verdict, count, field, list, maybe};

/// What a failed run of a task says: whether it counts, what the rule asks for, and which rule that is.
type Meaning = (bool, Option<String>, Option<usize>);

pub(crate) fn record(row: &Value) -> Result<Verdict, String> {
    let before = FailureStreak {
        failures: count(row, "prev_failures")?,
        last: maybe(row, "prev_last_failure_ms").map(at).transpose()?,
    };
    let after = before.after(times(row, "succeeded_at_ms")?, times(row, "failed_at_ms")?);
    let found = (i64::from(after.failures), after.last.map(Timestamp::as_millisecond));
    let expected = (count(row, "want_failures_since_success")?.into(), maybe(row, "want_last_failure_ms"));
    Ok(Verdict::of(expected, found))
}

pub(crate) fn remaining(row: &Value) -> Result<Verdict, String> {
    left(row, count(row, "failures")?)
}

pub(crate) fn remaining_per_index(row: &Value) -> Result<Verdict, String> {
    let earlier = |name| maybe(row, name).map(u32::try_from).transpose().map_err(|error| error.to_string());
    let failures = match (earlier("prev_counted_failures")?, earlier("prev_ignored_failures")?) {
        // The index has not failed.
        (None, None) => 0,
        (counted, ignored) => counted.unwrap_or(0) + ignored.unwrap_or(0) + 1,
    };
    left(row, failures)
}

fn left(row: &Value, failures: u32) -> Result<Verdict, String> {
    let seconds = |name| count(row, name).map(|seconds| Duration::from_secs(seconds.into()));
    let delay = RetryDelay { first: seconds("base_s")?, cap: seconds("cap_s")? };
    let found = match maybe(row, "seconds_since_last_failure") {
        Some(since) => delay.remaining(failures, Duration::from_secs(since.try_into().unwrap_or(0))),
        None => Duration::ZERO,
    };
    Ok(Verdict::of(seconds("want_s")?, found))
}

pub(crate) fn policy(row: &Value) -> Result<Verdict, String> {
    // What a rule says that is not known here is no rule; the others keep their places.
    let known = list(row, "rules")?.iter().enumerate().filter_map(|(place, rule)| Some((place, rule_of(rule)?)));
    let (places, rules): (Vec<usize>, Vec<FailureRule>) = known.unzip();
    let codes: Vec<i32> = list(row, "containers")?
        .iter()
        .filter_map(|container| container.get("exit")?.as_i64())
        .filter_map(|code| i32::try_from(code).ok())
        .collect();
    let conditions = conditions(row, "conditions").ok_or("a condition cannot be read")?;
    let found: Meaning = match failure_action(&rules, &codes, &conditions) {
        Some((rule, action)) => {
            (action != FailureAction::Ignore, Some(format!("{action:?}")), places.get(rule).copied())
        }
        None => (true, None, None),
    };
    let expected: Meaning = (
        field(row, "want_count_failed")?.as_bool().ok_or("`want_count_failed` is no truth value")?,
        field(row, "want_action")?.as_str().map(str::to_owned),
        maybe(row, "want_rule_index").and_then(|place| usize::try_from(place).ok()),
    );
    Ok(Verdict::of(expected, found))
}

fn rule_of(rule: &Value) -> Option<FailureRule> {
    let action: FailureAction = serde_json::from_value(rule.get("action")?.clone()).ok()?;
    let codes = rule.get("on_exit_codes").filter(|codes| !codes.is_null());
    let (operator, values) = match codes {
        Some(codes) => {
            let operator = serde_json::from_value(codes.get("operator")?.clone()).ok()?;
            (operator, serde_json::from_value(codes.get("values")?.clone()).ok()?)
        }
        None => (CodeOperator::In, vec![]),
    };
    let conditions = if codes.is_some() { vec![] } else { conditions(rule, "on_conditions")? };
    Some(FailureRule { action, operator, values, conditions })
}

fn conditions(row: &Value, name: &str) -> Option<Vec<TaskCondition>> {
    let read = |value: &Value| serde_json::from_value(value.clone()).ok();
    list(row, name).ok()?.iter().map(read).collect()
}

fn times(row: &Value, name: &str) -> Result<Vec<Timestamp>, String> {
    list(row, name)?.iter().map(|value| at(value.as_i64().ok_or("a time is no number")?)).collect()
}

fn at(milliseconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| error.to_string())
}
