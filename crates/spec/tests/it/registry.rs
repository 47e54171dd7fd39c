//! The registry of templates, and the state files of the scheduler before Piton.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use piton_model::{JobStatus, Name, Projection, Subject, WorkspacePhase};
use piton_spec::{Registry, Template, legacy};
use proptest::prelude::*;

use crate::site::shown;

fn parse(text: &str) -> (Option<Registry>, String) {
    let (registry, diagnostics) = Registry::parse(Path::new("registry.json"), text.into());
    (registry, shown(&diagnostics))
}

#[test]
fn a_registry_as_the_seed_writes_it() {
    let (registry, told) = parse(
        r#"{
  "templates": {
    "web-app": {
      "name": "web-app",
      "source_url": "https://github.com/org/templates",
      "source_path": "web",
      "source_ref": "v1.0",
      "created_at": "2025-09-26T11:43:26.123456789+02:00",
      "updated_at": "0001-01-01T00:00:00Z",
      "content_hash": "abc",
      "description": "",
      "version": "1"
    }
  }
}"#,
    );
    assert_eq!(told, "");
    let registry = registry.unwrap();
    let template = &registry.templates[&Name::parse("web-app").unwrap()];
    assert_eq!(template.source_ref, "v1.0");
    assert_eq!(template.created_at.unwrap().to_string(), "2025-09-26T09:43:26.123456789Z");
    assert_eq!(template.updated_at, None);
}

#[test]
fn bad_registries() {
    assert_eq!(parse(""), (Some(Registry::default()), String::new()));
    assert_eq!(parse("{}"), (Some(Registry::default()), String::new()));
    insta::assert_snapshot!(parse(r#"{"templates": ["#).1, @r#"
    registry.json:1:16: error: invalid JSON: expected a value, but the file ends
      hint: a file that is still being written is read again when it changes
    "#);
    let (registry, told) = parse(
        r#"{"templates": {
  "../x": {},
  "good": {"source_url": "u", "sorce_ref": "v", "name": "other", "created_at": "yesterday"},
  "bad": 1
}, "version": 2}"#,
    );
    insta::assert_snapshot!(told, @r#"
    registry.json:2:3: error: templates: `../x` is not a valid name: it contains a path separator
    registry.json:3:80: warning: templates.good.created_at: `yesterday` is not a point in time
      hint: write it as `2026-11-20T09:00:00Z`
    registry.json:3:57: warning: templates.good.name: the template is known as `good`, the key it is under
    registry.json:3:31: warning: templates.good: unknown field `sorce_ref`
      hint: did you mean `source_ref`?
    registry.json:4:10: error: templates.bad: expected a table, found a number
    registry.json:5:4: warning: unknown field `version`
    "#);
    assert_eq!(registry.unwrap().templates.len(), 1);
}

fn templates() -> impl Strategy<Value = BTreeMap<Name, Template>> {
    prop::collection::vec(
        ("[a-z0-9_][a-zA-Z0-9_-]{0,12}", any::<[String; 6]>(), prop::option::of(0..4_000_000_000_i64)),
        0..6,
    )
    .prop_map(|list| {
        list.into_iter()
            .map(|(name, texts, second)| {
                let name = Name::parse(&name).unwrap();
                let [source_url, source_path, source_ref, description, content_hash, version] = texts;
                let time = second.map(|second| Timestamp::from_second(second).unwrap());
                let template = Template {
                    name: name.clone(),
                    source_url,
                    source_path,
                    source_ref,
                    description,
                    created_at: time,
                    updated_at: time,
                    content_hash,
                    version,
                };
                (name, template)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_again(templates in templates()) {
        let registry = Registry { templates };
        let (again, diagnostics) = Registry::parse(Path::new("registry.json"), registry.render().into_bytes());
        prop_assert_eq!(shown(&diagnostics), "");
        prop_assert_eq!(again, Some(registry));
    }
}

#[test]
fn legacy_workspaces() {
    let (imported, diagnostics) = legacy::parse_scheduler(
        Path::new("scheduler.json"),
        br#"{
        "workspaces": {
            "web": {"status": "deployed", "last_deployed": "2025-09-26T11:43:26+02:00", "deployment_mode": "busy",
                    "last_destroyed": "0001-01-01T00:00:00Z"},
            "half": {"status": "deploying", "last_deployed": null},
            "bad": {"status": "destroyed", "last_destroy_error": "boom"},
            "../x": {}
        },
        "last_updated": "2025-09-26T11:43:26Z"
    }"#,
    );
    insta::assert_snapshot!(shown(&diagnostics), @"scheduler.json: warning: `../x` is not imported: `../x` is not a valid name: it contains a path separator");
    let state = |name: &str| {
        let subject = Subject::Workspace(Name::parse(name).unwrap());
        match imported.iter().find(|(other, _)| *other == subject) {
            Some((_, Projection::Workspace(state))) => state.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(state("web").settled.mode().unwrap().to_string(), "busy");
    assert!(state("web").last_deployed.is_some() && state("web").last_destroyed.is_none());
    assert!(state("half").deploy_failed());
    assert_eq!(state("bad").settled, WorkspacePhase::Destroyed);
    assert_eq!(state("bad").last_destroy_error.as_deref(), Some("boom"));
}

#[test]
fn what_a_legacy_file_does_not_say_clearly_is_told() {
    let scheduler = |text: &str| {
        let (imported, diagnostics) = legacy::parse_scheduler(Path::new("scheduler.json"), text.as_bytes());
        (imported.len(), shown(&diagnostics))
    };
    let state = r#"{"status": "deployed", "last_deployed": "2025-09-26T11:43:26Z"}"#;
    for text in [
        format!(r#"{{"environments": {{"web": {state}}}}}"#),
        r#"{"workspaces": [{"name": "web", "status": "destroyed"}]}"#.to_owned(),
        format!(r#"{{"workspaces": {{"web": {state}}}, "environments": {{"web": {{"status": "destroyed"}}}}}}"#),
    ] {
        assert_eq!(scheduler(&text), (1, String::new()), "{text}");
    }
    for nothing in ["{}", r#"{"workspaces": {}, "last_updated": "2025-09-26T11:43:26Z"}"#, r#"{"workspaces": null}"#] {
        assert_eq!(scheduler(nothing), (0, String::new()), "{nothing}");
    }
    let (count, told) = scheduler(r#"{"workspaces": {"web": {"status": "up", "last_deployed": "yesterday"}}}"#);
    assert_eq!(count, 1);
    insta::assert_snapshot!(told, @r#"
    scheduler.json: warning: workspaces.web.status: `up` is not understood: the workspace is taken for one that was never deployed
    scheduler.json: warning: workspaces.web.last_deployed: `yesterday` is not understood: it is taken for `never`
    "#);
    for nothing in [r#"{"machines": {"web": {"status": "deployed"}}}"#, r#"{"workspaces": 5}"#] {
        let (count, told) = scheduler(nothing);
        assert!(count == 0 && told.contains("scheduler.json: warning: "), "{told}");
    }
    let (imported, diagnostics) = legacy::parse_jobs(Path::new("jobs.json"), br#"{"jobs": ["web/backup", 5]}"#);
    assert!(imported.is_empty() && diagnostics.len() == 2, "{}", shown(&diagnostics));
}

#[test]
fn legacy_jobs_in_every_arrangement() {
    let state = r#"{"name": "backup", "workspace_id": "web", "status": "failed", "run_count": 3, "success_count": 2,
        "failure_count": 1, "last_error": "boom", "last_exit_code": 2, "last_run": "2025-09-26T11:43:26Z"}"#;
    for text in [
        format!(r#"{{"jobs": {{"web/backup": {state}}}}}"#),
        format!(r#"{{"jobs": {{"web": {{"backup": {state}}}}}}}"#),
        format!(r#"{{"web": {{"backup": {state}}}}}"#),
        format!(r#"{{"jobs": [{state}]}}"#),
        format!(r#"{{"jobs": {{"web": [{state}]}}}}"#),
    ] {
        let (imported, diagnostics) = legacy::parse_jobs(Path::new("jobs.json"), text.as_bytes());
        assert_eq!(shown(&diagnostics), "");
        let [(subject, Projection::Job(job))] = imported.as_slice() else { panic!("{imported:?}") };
        assert_eq!(subject.to_string(), "job/web/backup");
        assert_eq!((job.status, job.run_count, job.last_exit_code), (JobStatus::Failed, 3, Some(2)));
    }
    let standalone = br#"{"jobs": {"_standalone_": {"cleanup": {"status": "success"}}}, "last_updated": "x"}"#;
    let (imported, _) = legacy::parse_jobs(Path::new("jobs.json"), standalone);
    assert_eq!(imported[0].0.to_string(), "job/cleanup");
    let (imported, diagnostics) = legacy::parse_jobs(Path::new("jobs.json"), b"{\n");
    assert!(imported.is_empty());
    insta::assert_snapshot!(shown(&diagnostics), @"jobs.json:2:1: error: invalid JSON: EOF while parsing an object");
}
