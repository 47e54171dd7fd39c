//! The text of job messages.

use piton_broker::message::{JobType, Limits, Provider, Refusal, Visibility, parse, peek_type};
use proptest::prelude::*;
use serde_json::{Value, json};

fn sample() -> Value {
    json!({
        "run_id": "0199d6a2-7c1e-7000-8000-000000000001",
        "type": "component",
        "blueprint": {
            "template": "go-backend",
            "name": "my-service",
            "namespace": "my-team",
            "values": {"port": 8080, "database": "postgres"}
        },
        "git_config": {"provider": "gitlab", "group_id": "123", "visibility": "private"}
    })
}

fn read(value: &Value) -> Result<piton_broker::message::Read, Refusal> {
    parse(value.to_string().as_bytes(), Limits::default())
}

/// The sample with something else at this place; null takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut sample = sample();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = sample.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(key)
    } else {
        parent.insert(key.to_owned(), value)
    };
    sample
}

#[test]
fn the_message_of_the_documentation_is_read() {
    let read = read(&sample()).unwrap();
    assert_eq!(read.unknown, Vec::<String>::new());
    let job = read.job;
    assert_eq!(job.run_id.as_str(), "0199d6a2-7c1e-7000-8000-000000000001");
    assert_eq!(job.job_type, JobType::Component);
    assert_eq!((job.blueprint.template.as_str(), job.blueprint.name.as_str()), ("go-backend", "my-service"));
    assert_eq!(job.blueprint.values["port"], 8080);
    assert_eq!(job.git_config.provider, Some(Provider::Gitlab));
    assert_eq!(job.git_config.group_id.as_deref(), Some("123"));
    assert_eq!(job.git_config.visibility, Some(Visibility::Private));
    assert_eq!(serde_json::to_value(&job).unwrap(), sample(), "and written the same");
}

#[test]
fn what_may_be_missing() {
    for pointer in
        ["/git_config", "/git_config/provider", "/git_config/group_id", "/blueprint/namespace", "/blueprint/values"]
    {
        read(&with(pointer, Value::Null)).unwrap_or_else(|error| panic!("{pointer}: {error}"));
    }
    let number = read(&with("/git_config/group_id", json!(123))).unwrap();
    assert_eq!(number.job.git_config.group_id.as_deref(), Some("123"));
    let unknown = read(&with("/blueprint/owner", json!("me"))).unwrap().unknown;
    assert_eq!(unknown, ["blueprint.owner"]);
}

#[test]
fn mistakes_are_named_by_their_place() {
    let cases = [
        ("/run_id", Value::Null, "`run_id` is missing"),
        ("/run_id", json!(7), "`run_id` must be text, not a number"),
        ("/run_id", json!("a b"), "`run_id` must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"),
        ("/run_id", json!(""), "`run_id` must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"),
        ("/type", json!("database"), "`type` must be one of system, component"),
        ("/blueprint", json!([]), "`blueprint` must be an object, not a list"),
        ("/blueprint", Value::Null, "`blueprint` is missing"),
        ("/blueprint/name", json!("  "), "`blueprint.name` is empty"),
        ("/blueprint/name", json!("a\nb"), "`blueprint.name` has control characters"),
        ("/blueprint/name", json!("x".repeat(201)), "`blueprint.name` has more than 200 characters"),
        ("/blueprint/template", json!(false), "`blueprint.template` must be text, not true or false"),
        ("/blueprint/values", json!("x"), "`blueprint.values` must be an object, not text"),
        ("/blueprint/values/port", json!([{"a": "x\0"}]), "`blueprint.values.port[0].a` has the character NUL"),
        ("/git_config", json!(1), "`git_config` must be an object, not a number"),
        (
            "/git_config/provider",
            json!("svn"),
            "`git_config.provider` must be one of gitlab, github, gitea, forgejo, git",
        ),
        ("/git_config/visibility", json!("secret"), "`git_config.visibility` must be one of private, internal, public"),
        ("/git_config/group_id", json!(-1), "`git_config.group_id` must be text, not a number"),
    ];
    for (pointer, value, expected) in cases {
        assert_eq!(read(&with(pointer, value.clone())).unwrap_err().to_string(), expected, "{pointer} = {value}");
    }
    let Refusal::Fields(all) = read(&json!({"run_id": "", "type": 1})).unwrap_err() else { panic!("fields") };
    let paths: Vec<&str> = all.iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(paths, ["run_id", "type", "blueprint"]);
}

#[test]
fn what_is_no_message_at_all() {
    let refused = |text: &str| parse(text.as_bytes(), Limits::default()).unwrap_err().to_string();
    assert!(refused("hello").starts_with("not JSON: expected value at line 1 column 1"));
    assert_eq!(refused("[]"), "not JSON: the message is not an object");
    assert!(refused(&"[".repeat(10_000)).contains("recursion limit"));
    let limits = Limits { bytes: 10, ..Limits::default() };
    let large = parse(sample().to_string().as_bytes(), limits).unwrap_err();
    assert!(matches!(large, Refusal::TooLarge { limit: 10, .. }), "{large}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&bytes, Limits::default()).is_err());
        prop_assert_eq!(peek_type(&bytes), None);
    }

    #[test]
    fn no_text_in_any_field_makes_it_panic(text in ".*", field in 0..6_usize) {
        let pointers =
            ["/run_id", "/type", "/blueprint/name", "/blueprint/values/x", "/git_config/group_id", "/git_config/provider"];
        let message = with(pointers[field], json!(text));
        if let Ok(read) = read(&message) {
            let again = serde_json::to_vec(&read.job).unwrap();
            prop_assert_eq!(parse(&again, Limits::default()).unwrap().job, read.job);
        }
        prop_assert_eq!(peek_type(message.to_string().as_bytes()).is_some(), field != 1 || ["system", "component"].contains(&text.as_str()));
    }
}
