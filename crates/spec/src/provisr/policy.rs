//! What certain failures and certain successes mean to a job, in Kubernetes' words.

use std::collections::BTreeSet;

use piton_model::{CodeOperator, DISRUPTION_TARGET, FailureAction, FailureRule, SuccessRule, TaskCondition};

use super::items::{count, integer};
use crate::diagnostic::Severity;
use crate::fields::{Fields, Item, shown};

/// Kubernetes takes no more.
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;
const MOST_CONDITIONS: usize = 20;

const ACTIONS: [(&str, FailureAction); 4] = [
    ("FailJob", FailureAction::FailJob),
    ("FailIndex", FailureAction::FailIndex),
    ("Ignore", FailureAction::Ignore),
    ("Count", FailureAction::Count),
];
const OPERATORS: [(&str, CodeOperator); 2] = [("In", CodeOperator::In), ("NotIn", CodeOperator::NotIn)];

/// The tables of `rules`.
fn rules<'r, 'd>(item: &Item<'r, 'd>) -> Vec<Item<'r, 'd>> {
    let Some(mut fields) = item.table() else { return Vec::new() };
    let rules = required(&mut fields, "rules").and_then(|item| item.list()).unwrap_or_default();
    fields.finish(Severity::Error);
    if rules.is_empty() || rules.len() > MOST_RULES {
        item.report(item.error("out_of_range", format!("there are 1 to {MOST_RULES} rules")));
    }
    rules
}

fn required<'r, 'd>(fields: &mut Fields<'r, 'd>, key: &'static str) -> Option<Item<'r, 'd>> {
    let item = fields.get(key);
    if item.is_none() {
        fields.item.report(fields.item.error("missing_field", format!("this needs `{key}`")));
    }
    item
}

/// Reads `pod_failure_policy`. A single index can fail only where each has a limit of its own.
pub(crate) fn read_failure_policy(item: &Item<'_, '_>, per_index: bool) -> Vec<FailureRule> {
    let read = |item: &Item<'_, '_>| {
        let mut fields = item.table()?;
        let action_item = required(&mut fields, "action");
        let action = action_item.as_ref().and_then(|item| item.choice(&ACTIONS));
        if action == Some(FailureAction::FailIndex)
            && !per_index
            && let Some(item) = &action_item
        {
            item.report(item.error("conflicting_fields", "`FailIndex` needs `backoff_limit_per_index`"));
        }
        let (codes, conditions) = (fields.get("on_exit_codes"), fields.get("on_pod_conditions"));
        fields.finish(Severity::Error);
        let rule = FailureRule { action: action?, operator: CodeOperator::In, values: vec![], conditions: vec![] };
        let mut codes = match (codes, conditions) {
            (Some(codes), None) => codes.table()?,
            (None, Some(conditions)) => return Some(FailureRule { conditions: read_conditions(&conditions), ..rule }),
            (None, None) => {
                let message = "a rule needs `on_exit_codes` or `on_pod_conditions`";
                item.report(item.error("missing_field", message));
                return None;
            }
            (Some(_), Some(conditions)) => {
                let message = "a rule looks at `on_exit_codes` or at `on_pod_conditions`, not at both";
                conditions.report(conditions.error("conflicting_fields", message));
                return None;
            }
        };
        let operator = required(&mut codes, "operator").and_then(|item| item.choice(&OPERATORS));
        let values = required(&mut codes, "values");
        // Kubernetes has a name of a container here; a task is one program.
        codes.get("container_name");
        codes.finish(Severity::Error);
        let (operator, values_item) = (operator?, values?);
        let values = read_codes(&values_item, operator);
        Some(FailureRule { operator, values, ..rule })
    };
    rules(item).iter().filter_map(read).collect()
}

const STATUSES: [(&str, &str); 3] = [("True", "True"), ("False", "False"), ("Unknown", "Unknown")];

/// Conditions of a task. Here it has one: that nobody saw its end, which Kubernetes says of pods that were disrupted.
fn read_conditions(item: &Item<'_, '_>) -> Vec<TaskCondition> {
    let items = item.list().unwrap_or_default();
    if items.is_empty() || items.len() > MOST_CONDITIONS {
        item.report(item.error("out_of_range", format!("this takes 1 to {MOST_CONDITIONS} conditions")));
    }
    let read = |item: &Item<'_, '_>| {
        let mut fields = item.table()?;
        let kind_item = required(&mut fields, "type");
        let kind = kind_item.as_ref().and_then(Item::filled);
        if let (Some(item), Some(kind)) = (&kind_item, kind)
            && kind != DISRUPTION_TARGET
        {
            let warning = item.warning("unused_value", format!("no task ever has the condition `{}`", shown(kind)));
            item.report(warning.hint(format!("`{DISRUPTION_TARGET}` is what a task has whose end nobody saw")));
        }
        let status = fields.get("status").map_or(Some("True"), |item| item.choice(&STATUSES));
        fields.finish(Severity::Error);
        Some(TaskCondition { kind: kind?.to_owned(), status: status?.to_owned() })
    };
    items.iter().filter_map(read).collect()
}

fn read_codes(item: &Item<'_, '_>, operator: CodeOperator) -> Vec<i32> {
    let items = item.list().unwrap_or_default();
    if items.is_empty() || items.len() > MOST_CODES {
        item.report(item.error("out_of_range", format!("this takes 1 to {MOST_CODES} exit codes")));
        return Vec::new();
    }
    let least = i64::from(operator == CodeOperator::In);
    let codes: BTreeSet<i32> =
        items.iter().filter_map(|item| integer(item, least, 255)).filter_map(|code| i32::try_from(code).ok()).collect();
    codes.into_iter().collect()
}

/// Reads `success_policy` of a job with so many numbered tasks.
pub(crate) fn read_success_policy(item: &Item<'_, '_>, completions: u32) -> Vec<SuccessRule> {
    let read = |item: &Item<'_, '_>| {
        let mut fields = item.table()?;
        let mut most = completions;
        let indexes = fields.get("succeeded_indexes").and_then(|item| {
            let text = item.filled()?;
            match indexes(text, completions) {
                Ok(count) => most = count,
                Err(problem) => {
                    let error = item.error("invalid_indexes", format!("`{}`: {problem}", shown(text)));
                    item.report(error.hint("write numbers and ranges in their order, for example `0-2,5`"));
                }
            }
            Some(text.to_owned())
        });
        let succeeded_count = fields.get("succeeded_count").and_then(|item| count(&item, 1, most));
        fields.finish(Severity::Error);
        if indexes.is_none() && succeeded_count.is_none() {
            item.report(item.error("missing_field", "a rule needs `succeeded_indexes` or `succeeded_count`"));
        }
        Some(SuccessRule { succeeded_indexes: indexes, succeeded_count })
    };
    rules(item).iter().filter_map(read).collect()
}

/// How many indexes `0-2,5` names.
fn indexes(text: &str, completions: u32) -> Result<u32, &'static str> {
    let mut next = 0_u32;
    let mut all = 0_u32;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| -> Result<u32, &'static str> {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or("a number is expected")
        };
        let (first, last) = (number(first)?, number(last)?);
        if first < next || last < first {
            return Err("numbers rise, and none is there twice");
        }
        if last >= completions {
            return Err("there are fewer completions");
        }
        all += last - first + 1;
        next = last + 1;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::indexes;

    #[test]
    fn indexes_are_numbers_and_ranges_that_rise() {
        for (text, count) in [("0", 1), ("0-2,5", 4), ("1,2,3", 3), ("0-9", 10)] {
            assert_eq!(indexes(text, 10), Ok(count), "{text}");
        }
        for bad in ["", ",", "a", "-1", "2-1", "1,1", "3,2", "10", "0-", "+1", "99999999999"] {
            assert!(indexes(bad, 10).is_err(), "{bad}");
        }
    }
}
