use proptest::prelude::*;

use super::*;

fn entry(address: &str, actions: &[&str], before: Value, after: Value) -> Value {
    json!({
        "address": address, "mode": "managed", "type": "terraform_data", "name": "x",
        "provider_name": "terraform.io/builtin/terraform",
        "change": {
            "actions": actions, "before": before, "after": after, "after_unknown": {},
            "before_sensitive": false, "after_sensitive": false,
        },
    })
}

fn plan(resources: &[Value]) -> Value {
    json!({ "format_version": "1.2", "terraform_version": "1.11.4", "resource_changes": resources, "timestamp": "now" })
}

fn summary(plan: &Value) -> PlanSummary {
    read(plan.to_string().as_bytes(), Digest::of(b"file")).unwrap().summary
}

#[test]
fn every_kind_of_change_is_counted_and_what_destroys_is_listed_first() {
    let mut replaced = entry("a.replaced", &["delete", "create"], json!({}), json!({}));
    replaced["action_reason"] = "replace_because_a_reason_from_the_future".into();
    let summary = summary(&plan(&[
        entry("a.created", &["create"], Value::Null, json!({})),
        entry("a.updated", &["update"], json!({}), json!({})),
        replaced,
        entry("b.replaced", &["create", "delete"], json!({}), json!({})),
        entry("a.deleted", &["delete"], json!({}), Value::Null),
        entry("a.forgotten", &["forget"], json!({}), Value::Null),
        entry("a.same", &["no-op"], json!({}), json!({})),
        entry("data.a.read", &["read"], Value::Null, json!({})),
        entry("a.novel", &["transmogrify"], Value::Null, json!({})),
    ]));
    assert_eq!((summary.add, summary.change, summary.replace, summary.destroy), (1, 1, 2, 1));
    let listed: Vec<_> = summary.changes.iter().map(|c| (c.address.as_str(), c.action.as_str())).collect();
    assert_eq!(
        listed,
        [
            ("a.deleted", "delete"),
            ("a.replaced", "replace"),
            ("b.replaced", "replace"),
            ("a.forgotten", "forget"),
            ("a.updated", "update"),
            ("a.created", "create"),
            ("a.novel", "transmogrify"),
        ]
    );
    assert_eq!(summary.changes[1].reason.as_deref(), Some("replace_because_a_reason_from_the_future"));
}

#[test]
fn a_huge_plan_is_counted_in_full_and_listed_in_part() {
    let resources: Vec<_> =
        (0..2_000).map(|i| entry(&format!("a.x[{i}]"), &["create"], Value::Null, json!({}))).collect();
    let summary = summary(&plan(&resources));
    assert_eq!(summary.add, 2_000);
    assert_eq!(summary.changes.len(), LISTED);
}

#[test]
fn the_digest_sees_what_would_be_done_and_nothing_else() {
    let base = plan(&[entry("a.x", &["update"], json!({ "in": 1 }), json!({ "in": 2 }))]);
    let same = |other: &Value| summary(&base).digest == summary(other).digest;

    let mut later = base.clone();
    later["timestamp"] = "later".into();
    later["relevant_attributes"] = json!([{ "resource": "a.x" }]);
    later["resource_changes"].as_array_mut().unwrap().push(entry("a.y", &["no-op"], json!({}), json!({})));
    assert!(same(&later));

    let mut elsewhere = base.clone();
    elsewhere["resource_changes"][0]["change"]["after"]["in"] = 3.into();
    assert!(!same(&elsewhere));

    let mut output = base.clone();
    output["output_changes"] = json!({ "o": { "actions": ["create"], "before": null, "after": 1 } });
    assert!(!same(&output));
    assert_eq!(summary(&output).output_changes, 1);
}

#[test]
fn secrets_change_the_digest_without_being_told() {
    let with = |secret: &str| {
        let mut resource = entry("a.x", &["create"], Value::Null, json!({ "in": { "pw": secret, "user": "carol" } }));
        resource["change"]["after_sensitive"] = json!({ "in": { "pw": true } });
        plan(&[resource])
    };
    let reading = read(with("first-secret").to_string().as_bytes(), Digest::of(b"")).unwrap();
    assert_eq!(reading.secrets, ["first-secret"]);
    assert_ne!(reading.summary.digest, summary(&with("other-secret")).digest);
    assert!(!serde_json::to_string(&reading.summary).unwrap().contains("first-secret"));
}

#[test]
fn secrets_are_found_wherever_the_format_keeps_them() {
    let shown = json!({
        "format_version": "1.0",
        "variables": { "token": { "value": "variable-secret" }, "region": { "value": "eu-west-1" } },
        "configuration": { "root_module": { "variables": {
            "token": { "sensitive": true, "default": "default-secret" }, "region": {} } } },
        "output_changes": { "o": { "actions": ["create"], "before": null, "after": ["output-secret"], "after_sensitive": true } },
        "resource_drift": [{ "address": "a.x", "change": {
            "actions": ["update"], "before": { "k": ["one", "drift-secret"] }, "before_sensitive": { "k": [false, true] } } }],
        "prior_state": { "values": { "root_module": { "child_modules": [{ "resources": [{
            "values": { "result": "state-secret", "plain": "visible" }, "sensitive_values": { "result": true } }] }] } } },
    });
    let mut found = read(shown.to_string().as_bytes(), Digest::of(b"")).unwrap().secrets;
    found.sort();
    assert_eq!(found, ["default-secret", "drift-secret", "output-secret", "state-secret", "variable-secret"]);
}

#[test]
fn an_unknown_major_format_is_refused_and_a_minor_one_is_not() {
    let read = |version: &str| read(json!({ "format_version": version }).to_string().as_bytes(), Digest::of(b""));
    assert!(read("1.99").is_ok());
    assert!(matches!(read("2.0"), Err(Error::Format { found }) if found == "2.0"));
    assert!(matches!(super::read(b"{}", Digest::of(b"")), Err(Error::Format { .. })));
    assert!(matches!(super::read(b"not json", Digest::of(b"")), Err(Error::Malformed(_))));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{1,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// A text that is marked never survives, one that is not does, and no shape of the marks makes it panic.
    #[test]
    fn digests_stand_for_what_is_marked_and_for_nothing_else(value in any_json(), marks in any_json()) {
        let all_texts = |value: &Value| {
            let mut found = std::collections::BTreeSet::new();
            texts(value, &mut found);
            found
        };
        let all = secrets::hashed(&value, &Value::Bool(true));
        prop_assert!(all_texts(&all).is_disjoint(&all_texts(&value)));
        let _ = secrets::hashed(&value, &marks);
        prop_assert_eq!(secrets::hashed(&value, &Value::Bool(false)), value);
    }
}
