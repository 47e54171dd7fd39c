//! Sensitive values: where the tool marks them, and what stands for them in a digest.

use std::collections::BTreeSet;

use piton_model::Digest;
use serde_json::Value;

/// `value` with everything sensitive replaced by its digest: equal secrets stay equal, and none is told.
///
/// `marks` has the shape of the tools' `*_sensitive` members: `true` for "all of this", else an object or array with
/// marks deeper down.
pub(super) fn hashed(value: &Value, marks: &Value) -> Value {
    match (value, marks) {
        (Value::Null, _) => Value::Null,
        (_, Value::Bool(true)) => Digest::of(super::canonical::text(value).as_bytes()).as_str().into(),
        (Value::Object(members), Value::Object(marks)) => members
            .iter()
            .map(|(key, member)| {
                let marks = marks.get(key).unwrap_or(&Value::Null);
                (key.clone(), hashed(member, marks))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        (Value::Array(items), Value::Array(marks)) => {
            items.iter().enumerate().map(|(i, item)| hashed(item, marks.get(i).unwrap_or(&Value::Null))).collect()
        }
        _ => value.clone(),
    }
}

/// Every text that the plan holds and calls sensitive.
pub(super) fn collect(shown: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    variables(shown, &mut found);
    for list in ["resource_changes", "resource_drift"] {
        for entry in items(shown.get(list)) {
            change(entry.get("change"), &mut found);
        }
    }
    for entry in shown.get("output_changes").and_then(Value::as_object).into_iter().flat_map(|map| map.values()) {
        change(Some(entry), &mut found);
    }
    // Data that was only read stands in no change.
    for state in [shown.pointer("/prior_state/values"), shown.get("planned_values")].into_iter().flatten() {
        module(state.get("root_module"), &mut found);
        for output in state.get("outputs").and_then(Value::as_object).into_iter().flat_map(|map| map.values()) {
            if output.get("sensitive") == Some(&Value::Bool(true)) {
                texts(output.get("value").unwrap_or(&Value::Null), &mut found);
            }
        }
    }
    found.into_iter().collect()
}

fn variables(shown: &Value, found: &mut BTreeSet<String>) {
    let declared = shown.pointer("/configuration/root_module/variables").and_then(Value::as_object);
    for (name, declaration) in declared.into_iter().flatten() {
        if declaration.get("sensitive") != Some(&Value::Bool(true)) {
            continue;
        }
        let given = shown.get("variables").and_then(|all| all.get(name)).and_then(|one| one.get("value"));
        for value in [given, declaration.get("default")].into_iter().flatten() {
            texts(value, found);
        }
    }
}

fn change(change: Option<&Value>, found: &mut BTreeSet<String>) {
    let Some(change) = change else { return };
    for (value, marks) in [("before", "before_sensitive"), ("after", "after_sensitive")] {
        if let (Some(value), Some(marks)) = (change.get(value), change.get(marks)) {
            marked(value, marks, found);
        }
    }
}

fn module(module: Option<&Value>, found: &mut BTreeSet<String>) {
    let Some(module) = module else { return };
    for resource in items(module.get("resources")) {
        if let (Some(values), Some(marks)) = (resource.get("values"), resource.get("sensitive_values")) {
            marked(values, marks, found);
        }
    }
    for child in items(module.get("child_modules")) {
        self::module(Some(child), found);
    }
}

fn marked(value: &Value, marks: &Value, found: &mut BTreeSet<String>) {
    match (value, marks) {
        (_, Value::Bool(true)) => texts(value, found),
        (Value::Object(members), Value::Object(marks)) => {
            for (key, marks) in marks {
                marked(members.get(key).unwrap_or(&Value::Null), marks, found);
            }
        }
        (Value::Array(items), Value::Array(marks)) => {
            for (item, marks) in items.iter().zip(marks) {
                marked(item, marks, found);
            }
        }
        _ => {}
    }
}

/// Every text within `value`. Numbers and booleans are no use to a redactor: it would blot out half the log.
pub(crate) fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if !text.is_empty() => {
            found.insert(text.clone());
        }
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
