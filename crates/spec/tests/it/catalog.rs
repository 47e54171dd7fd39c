//! What good declarations become.

use std::time::Duration;

use jiff::tz::TimeZone;
use piton_model::{Action, ApprovalPolicy, Mode, Name, Operation, Program, Source, Subject, ToolChoice, TriggerWord};
use piton_spec::{Catalog, CatchUp, Change, Effect, JobTrigger, JobWork};

use crate::site::{Site, shown};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

#[test]
fn everything_a_workspace_can_say() {
    let site = Site::new();
    site.template("web-app", "1");
    site.write(
        "workspaces/web/config.json",
        r#"{
        "name": "web", "enabled": false, "description": "The site", "template": "web-app",
        "mode_schedules": {"busy": ["0 8 * * 1-5", "0 13 * * 1-5"], "hibernation": "0 23 * * 1-5"},
        "destroy_schedule": "CRON_TZ=UTC 0 1 * * 0", "timezone": "Europe/Berlin", "tool": "terraform",
        "version": "~> 1.9", "vars": {"size": 3, "zones": ["a", "b"]}, "var_files": ["prod.tfvars"],
        "env": {"AWS_REGION": "eu-central-1", "LEVEL": 3}, "timeout": "1h30m", "approval": "manual",
        "catch_up": "skip", "tags": ["prod", "web"],
        "custom_deploy": {"init_command": "make init", "plan_command": "make plan", "apply_command": "make up"},
        "custom_destroy": {"destroy_command": "make down"}
    }"#,
    );
    let catalog = site.load_clean();
    let web = &catalog.workspaces[&name("web")];
    assert!(!web.enabled && !catalog.is_enabled(&web.subject()));
    let lines: Vec<_> = web.lines.iter().map(|line| (line.text.as_str(), line.effect.clone())).collect();
    let mode = |word| Mode(name(word));
    let deploy = |word| Effect::Deploy(Some(mode(word)));
    assert_eq!(
        lines,
        [
            ("0 8 * * 1-5", deploy("busy")),
            ("0 13 * * 1-5", deploy("busy")),
            ("0 23 * * 1-5", deploy("hibernation")),
            ("CRON_TZ=UTC 0 1 * * 0", Effect::Destroy),
        ]
    );
    assert_eq!(web.modes, [mode("busy"), mode("hibernation")].into());
    assert_eq!(web.time_zone, TimeZone::get("Europe/Berlin").unwrap());
    assert_eq!(web.catch_up, CatchUp::Skip);
    assert_eq!(catalog.users_of(&name("web-app")), [subject("workspace/web")]);

    let Action::Iac(iac) = web.action(Operation::Deploy { mode: Some(mode("busy")) }) else { panic!() };
    assert_eq!(iac.source, Source::Template { name: name("web-app"), overlay: Some(site.path("workspaces/web")) });
    assert_eq!((iac.tool, iac.version.as_deref()), (ToolChoice::Terraform, Some("~> 1.9")));
    assert_eq!(iac.vars["zones"], serde_json::json!(["a", "b"]));
    assert_eq!(iac.env["LEVEL"].expose(), "3");
    assert_eq!(iac.timeout, Duration::from_secs(5400));
    assert_eq!(iac.approval, ApprovalPolicy::Manual { timeout: Duration::from_secs(86_400) });
    assert_eq!(iac.commands.apply.as_deref(), Some("make up"));
    assert_eq!(iac.source_digest.as_ref(), Some(&web.digest));
    let Action::Iac(iac) = web.action(Operation::Destroy) else { panic!() };
    assert_eq!(iac.commands.apply.as_deref(), Some("make down"));
    assert_eq!(iac.commands.init, None);
}

#[test]
fn defaults_and_the_seed_example() {
    let site = Site::new();
    site.workspace(
        "example",
        r#"{"enabled": true, "deploy_schedule": ["0 9 * * 1-5", "0 14 * * 6"],
        "destroy_schedule": false, "description": "Deploy weekdays"}"#,
    );
    let catalog = site.load_clean();
    let example = &catalog.workspaces[&name("example")];
    assert_eq!(example.lines.len(), 2);
    assert_eq!(example.source, Source::Directory { path: site.path("workspaces/example") });
    assert_eq!((example.timeout, example.tool), (Duration::from_secs(3600), ToolChoice::Auto));
    assert_eq!((example.approval, example.catch_up), (ApprovalPolicy::None, CatchUp::Latest));
    assert!(catalog.is_enabled(&example.subject()));
}

#[test]
fn local_code_wins_over_a_template() {
    let site = Site::new();
    site.template("app", "1");
    site.workspace("web", r#"{"template": "app"}"#);
    site.workspace("lost", r#"{"template": "nowhere"}"#);
    let catalog = site.load_clean();
    for workspace in catalog.workspaces.values() {
        assert!(matches!(workspace.source, Source::Directory { .. }));
    }
}

#[test]
fn jobs_of_every_type() {
    let site = Site::new();
    site.template("app", "1");
    site.workspace("web", r##"{"timezone": "Asia/Tokyo", "jobs": [
        {"name": "backup", "type": "script", "script": "#!/bin/bash\necho hi\n", "schedule": ["0 2 * * *", "@deployment"],
         "environment": {"WHO": "{{workspace_name}}-{{ job_name }}"}, "working_dir": "data", "timeout": "5m"},
        {"name": "made", "type": "template", "template": "app", "depends_on": ["backup"], "enabled": false}
    ]}"##);
    site.write(
        "jobs/cleanup.toml",
        "type = 'command'\ncommand = 'rm -rf /tmp/x'\nschedule = '@reboot'\ntags = ['x']\n",
    );
    site.write(
        "jobs/health.yaml",
        "name: system-health\ntype: command\ncommand: uptime\ntimezone: UTC\ncatch_up: latest\n",
    );
    site.write("jobs/README.md", "not a job");
    let catalog = site.load_clean();
    assert_eq!(catalog.jobs.len(), 4);

    let backup = &catalog.jobs[&subject("job/web/backup")];
    assert_eq!(backup.triggers.iter().map(JobTrigger::text).collect::<Vec<_>>(), ["0 2 * * *", "@deployment"]);
    assert_eq!(backup.time_zone, TimeZone::get("Asia/Tokyo").unwrap());
    assert_eq!(backup.catch_up, CatchUp::Skip);
    let Action::Command(command) = backup.action(&catalog) else { panic!() };
    assert_eq!(command.program, Program::Script { text: "#!/bin/bash\necho hi\n".to_owned() });
    assert_eq!(command.env["WHO"].expose(), "web-backup");
    assert_eq!((command.deployment, command.timeout), (name("web"), Duration::from_secs(300)));

    let made = &catalog.jobs[&subject("job/web/made")];
    assert_eq!(made.dependencies().collect::<Vec<_>>(), [subject("job/web/backup")]);
    assert!(!catalog.is_enabled(&made.subject) && catalog.is_enabled(&backup.subject));
    let Action::Iac(iac) = made.action(&catalog) else { panic!() };
    assert_eq!((iac.deployment, iac.workspace_name), (name("_job_web_made"), Some(name("web"))));

    let cleanup = &catalog.jobs[&subject("job/cleanup")];
    assert_eq!(cleanup.triggers, [JobTrigger::Word(TriggerWord::Reboot)]);
    let Action::Command(command) = cleanup.action(&catalog) else { panic!() };
    assert_eq!(command.program, Program::Shell { line: "rm -rf /tmp/x".to_owned() });
    assert_eq!((command.deployment, command.timeout), (name("_standalone_"), Duration::from_secs(1800)));

    let health = &catalog.jobs[&subject("job/system-health")];
    assert_eq!((health.catch_up, health.work.type_word()), (CatchUp::Latest, "command"));
    assert_eq!(health.work, JobWork::Command("uptime".to_owned()));
    assert_eq!(catalog.jobs_of(None).count(), 2);
}

#[test]
fn the_jobs_of_a_disabled_workspace_are_disabled() {
    let site = Site::new();
    site.workspace("web", r#"{"enabled": false, "jobs": [{"name": "a", "type": "command", "command": "true"}]}"#);
    assert!(!site.load_clean().is_enabled(&subject("job/web/a")));
}

#[test]
fn the_digest_follows_what_matters() {
    let site = Site::new();
    site.template("app", "1");
    let digest = |site: &Site| {
        let catalog = site.load_clean();
        let web = &catalog.workspaces[&name("web")];
        (web.digest.clone(), web.declaration_digest.clone())
    };
    site.write("workspaces/web/config.json", r#"{"template": "app"}"#);
    let first = digest(&site);

    let irrelevant = r#"{"template": "app", "description": "x", "deploy_schedule": "0 9 * * *", "tags": ["a"],
        "timeout": "1m", "enabled": false, "approval": "manual", "catch_up": "skip", "timezone": "Asia/Tokyo"}"#;
    site.write("workspaces/web/config.json", irrelevant);
    for ignored in [".terraform/x", "terraform.tfstate", "terraform.tfstate.backup", "main.tf~", ".main.tf.swp"] {
        site.write(&format!("workspaces/web/{ignored}"), "x");
    }
    assert_eq!(digest(&site), first);

    for relevant in [
        r#"{"template": "app", "vars": {"a": 1}}"#,
        r#"{"template": "app", "env": {"A": "1"}}"#,
        r#"{"template": "app", "tool": "tofu"}"#,
        r#"{"template": "app", "version": "1.9"}"#,
        r#"{"template": "app", "var_files": ["x"]}"#,
        r#"{"template": "app", "custom_deploy": {"init_command": "x"}}"#,
    ] {
        site.write("workspaces/web/config.json", relevant);
        let now = digest(&site);
        assert!(now.0 != first.0 && now.1 != first.1, "{relevant}");
    }
    site.write("workspaces/web/config.json", irrelevant);

    site.write("workspaces/web/prod.tfvars", "a = 1");
    let with_file = digest(&site);
    assert_ne!(with_file.1, first.1);
    site.write("workspaces/web/prod.tfvars", "a = 2");
    assert_ne!(digest(&site).1, with_file.1);
    site.remove("workspaces/web/prod.tfvars");
    assert_eq!(digest(&site), first);

    site.template("app", "2");
    let updated = digest(&site);
    assert_ne!(updated.0, first.0);
    assert_eq!(updated.1, first.1, "an updated template leaves the declaration as it was");
}

#[test]
fn diffs() {
    let site = Site::new();
    let job = r#"{"type": "command", "command": "true"}"#;
    site.workspace("same", "{}").workspace("changed", "{}").workspace("gone", "{}").write("jobs/a.json", job);
    let old = site.load_clean();
    assert_eq!(Catalog::diff(&old, &old), []);
    assert_eq!(Catalog::diff(&old, &site.load_clean()), [], "equal by content, not by identity");

    site.write("workspaces/changed/main.tf", "# changed").remove("workspaces/gone").workspace("new", "{}");
    site.write("jobs/a.json", r#"{"type": "command", "command": "false"}"#);
    let (new, diagnostics) = site.reload(&old);
    assert_eq!(shown(&diagnostics), "");
    assert_eq!(
        Catalog::diff(&old, &new),
        [
            Change::Changed(subject("workspace/changed")),
            Change::Removed(subject("workspace/gone")),
            Change::Added(subject("workspace/new")),
            Change::Changed(subject("job/a")),
        ]
    );
    let same = name("same");
    assert!(std::sync::Arc::ptr_eq(&old.workspaces[&same], &new.workspaces[&same]), "unchanged things are shared");
}

#[test]
fn other_defaults_are_seen_although_no_file_changed() {
    let mut site = Site::new();
    site.workspace("web", "{}");
    let old = site.load_clean();
    site.layout.defaults.timeout = Duration::from_secs(7);
    let (new, _) = site.reload(&old);
    assert_eq!(new.workspaces[&name("web")].timeout, Duration::from_secs(7));
}

#[test]
fn nothing_there_is_an_empty_catalog() {
    let catalog = Site::new().load_clean();
    assert_eq!(catalog.subjects().count(), 0);
}
