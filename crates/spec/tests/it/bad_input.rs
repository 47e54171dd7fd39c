//! Everything that may be wrong with a declaration: the message with its place, and what stays in force.

use piton_model::{Name, Source, Subject};

use crate::site::{Site, shown};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// What a workspace `web` with this configuration and code of its own is told.
fn told(config: &str) -> String {
    let site = Site::new();
    site.workspace("web", config);
    shown(&site.load().1)
}

#[test]
fn broken_json() {
    insta::assert_snapshot!(told("{\n  \"enabled\": true\n  \"deploy_schedule\": \"0 9 * * *\"\n}"), @r#"
    workspaces/web/config.json:3:3: error: invalid JSON: expected `,` or `}`, found `"`
      hint: put a comma between two members
    "#);
    insta::assert_snapshot!(told("{\"enabled\": true,}"), @r#"
    workspaces/web/config.json:1:18: error: invalid JSON: expected a key in double quotes, found `}`
      hint: remove the comma after the last member
    "#);
    insta::assert_snapshot!(told("{\"enabled\": True}"), @r#"
    workspaces/web/config.json:1:13: error: invalid JSON: `True` is not a value
      hint: write `true`
    "#);
    insta::assert_snapshot!(told("{'enabled': true}"), @r#"
    workspaces/web/config.json:1:2: error: invalid JSON: expected a key in double quotes, found `'`
      hint: JSON writes text in double quotes
    "#);
    insta::assert_snapshot!(told("{\n  // on weekdays\n  \"enabled\": true}"), @r#"
    workspaces/web/config.json:2:3: error: invalid JSON: expected a key in double quotes, found `/`
      hint: JSON has no comments; use `description` for a note
    "#);
    insta::assert_snapshot!(told("[]"), @"workspaces/web/config.json:1:1: error: expected a table, found a list");
    insta::assert_snapshot!(told("{\"description\": \"one\ntwo\"}"), @r#"
    workspaces/web/config.json:1:21: error: invalid JSON: a line ends inside a text
      hint: close it with `"`, or write a line break as `\n`
    "#);
    insta::assert_snapshot!(told("{} {}"), @"workspaces/web/config.json:1:4: error: invalid JSON: expected the end of the file, found `{`");
}

#[test]
fn half_written_files() {
    insta::assert_snapshot!(told(""), @r#"
    workspaces/web/config.json: error: the file is empty
      hint: a file that is still being written is read again when it changes
    "#);
    insta::assert_snapshot!(told("{\"enabled\": true, \"deploy_sch"), @r#"
    workspaces/web/config.json:1:19: error: invalid JSON: this text is never closed
      hint: a file that is still being written is read again when it changes
    "#);
    insta::assert_snapshot!(told("{\"jobs\": [{\"name\": \"a\","), @r#"
    workspaces/web/config.json:1:24: error: invalid JSON: expected a key in double quotes, but the file ends
      hint: a file that is still being written is read again when it changes
    "#);
}

#[test]
fn unknown_and_mistyped_fields() {
    insta::assert_snapshot!(told(r#"{
  "deploy_shedule": "0 9 * * *",
  "colour": "red",
  "name": "webb"
}"#), @r#"
    workspaces/web/config.json:2:3: warning: unknown field `deploy_shedule`
      hint: did you mean `deploy_schedule`?
    workspaces/web/config.json:3:3: warning: unknown field `colour`
    workspaces/web/config.json:4:11: warning: name: the workspace is known as `web`, the name of its directory
      hint: remove `name`, or rename the directory
    "#);
    insta::assert_snapshot!(told(r#"{"enabled": "true", "timeout": 60, "tags": "a", "env": {"A=B": "x"}}"#), @r#"
    workspaces/web/config.json:1:13: error: enabled: expected a boolean, found text
      hint: write true without quotes
    workspaces/web/config.json:1:32: error: timeout: expected a duration with its unit, found a number
      hint: write `60s` for seconds or `60m` for minutes, in quotes
    workspaces/web/config.json:1:44: error: tags: expected a list, found text
    workspaces/web/config.json:1:64: error: env.A=B: `A=B` cannot be the name of an environment variable
    "#);
    insta::assert_snapshot!(told(r#"{"tool": "tufo", "approval": "always", "catch_up": "last"}"#), @r#"
    workspaces/web/config.json:1:10: error: tool: `tufo` is not one of auto, tofu, opentofu, terraform
    workspaces/web/config.json:1:30: error: approval: `always` is not one of none, manual
    workspaces/web/config.json:1:52: error: catch_up: `last` is not one of latest, skip
    "#);
    insta::assert_snapshot!(told(r#"{"timezone": "Europe/Belin"}"#), @r#"
    workspaces/web/config.json:1:14: error: timezone: unknown time zone `Europe/Belin`
      hint: use a name of the IANA database, for example `Europe/Berlin` or `UTC`
    "#);
    insta::assert_snapshot!(told(r#"{"vars": {"a b": 1}, "var_files": ["../secret.tfvars", "/etc/x"]}"#), @r#"
    workspaces/web/config.json:1:11: error: vars: `a b` cannot be the name of an input variable
    workspaces/web/config.json:1:36: error: var_files[0]: a variable file must not lead out of the directory
      hint: put the file into the workspace's directory, and write its path below that, without `..`
    workspaces/web/config.json:1:56: error: var_files[1]: a variable file must not lead out of the directory
      hint: put the file into the workspace's directory, and write its path below that, without `..`
    "#);
    insta::assert_snapshot!(told(r#"{"custom_deploy": {"destroy_command": "x", "plan_comand": "y"}}"#), @r#"
    workspaces/web/config.json:1:39: warning: custom_deploy.destroy_command: this has no effect here; the command is `apply_command`
    workspaces/web/config.json:1:44: warning: custom_deploy: unknown field `plan_comand`
      hint: did you mean `plan_command`?
    "#);
}

#[test]
fn impossible_schedules() {
    insta::assert_snapshot!(told(r#"{"deploy_schedule": "0 25 * * *"}"#), @r#"
    workspaces/web/config.json:1:24: error: deploy_schedule: hour: 25 is out of range, it goes from 0 to 23
      hint: midnight is hour 0
    "#);
    insta::assert_snapshot!(told(r#"{"deploy_schedule": "0 0 30 2 *"}"#), @r#"
    workspaces/web/config.json:1:26: error: deploy_schedule: the schedule never fires: no date satisfies day, month and day of week
      hint: `L` is the last day of the month, whatever its length
    "#);
    insta::assert_snapshot!(told(r#"{
  "deploy_schedule": [
    "0 9 * * 1-5",
    "0 14 * * SAN"
  ],
  "destroy_schedule": true
}"#), @r#"
    workspaces/web/config.json:4:15: error: deploy_schedule[1]: day of week: `SAN` is not a value
      hint: days of the week are 0 to 7 (0 and 7 are Sunday) or SUN to SAT
    workspaces/web/config.json:6:23: error: destroy_schedule: expected a cron expression, a list of them, or false
      hint: `false` says that the workspace is never destroyed by itself
    "#);
    insta::assert_snapshot!(told(r#"{"deploy_schedule": "@deployment"}"#), @r#"
    workspaces/web/config.json:1:21: error: deploy_schedule: `@deployment` names an event, which only the schedule of a job can listen for
      hint: write a cron expression
    "#);
    insta::assert_snapshot!(
        told(r#"{"jobs": [{"name": "a", "type": "command", "command": "true", "schedule": "@bogus"}]}"#), @r#"
    workspaces/web/config.json:1:76: error: jobs[0].schedule: unknown shortcut `@bogus`
      hint: the shortcuts are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @every DURATION; events are @deployment, @deployment-failed, @destroy, @destroy-failed, @reboot
    "#);
    insta::assert_snapshot!(
        told(r#"{"jobs": [{"name": "a", "type": "command", "command": "true", "schedule": "@deploymnt"}]}"#), @r#"
    workspaces/web/config.json:1:76: error: jobs[0].schedule: unknown shortcut `@deploymnt`
      hint: did you mean `@deployment`?
    "#);
}

#[test]
fn modes() {
    insta::assert_snapshot!(told(r#"{"mode_schedules": {"busy": "0 8 * * 1-5"}}"#), @r#"
    workspaces/web/config.json:1:20: error: mode_schedules: this needs a `template`
      hint: a mode reaches the template as the variable `deployment_mode`; add `"template": "NAME"`
    "#);
    insta::assert_snapshot!(told(r#"{
  "template": "web",
  "deploy_schedule": "0 9 * * *",
  "mode_schedules": {"busy": "0 8 * * 1-5"}
}"#), @r#"
    workspaces/web/config.json:4:21: error: mode_schedules: this excludes deploy_schedule, and both are there
      hint: a plain deployment can be a mode of its own: move deploy_schedule into mode_schedules
    "#);
    insta::assert_snapshot!(told(r#"{"template": "web", "mode_schedules": {"../busy": "0 8 * * 1-5"}}"#), @r#"
    workspaces/web/config.json:1:40: error: mode_schedules: `../busy` is not a valid name: it contains a path separator
      hint: a mode is a word of letters, digits, `.`, `_` and `-`, for example `busy`
    "#);
    insta::assert_snapshot!(told(r#"{"template": "web", "mode_schedules": {}}"#), @"workspaces/web/config.json:1:39: error: mode_schedules: this names no mode");
}

#[test]
fn missing_templates_and_code() {
    let site = Site::new();
    site.template("web-app", "1");
    site.write("workspaces/a/config.json", r#"{"template": "web-ap"}"#);
    site.write("workspaces/b/config.json", r#"{"template": "database"}"#);
    site.write("workspaces/c/config.json", "{}");
    site.write("workspaces/d/main.tf", "");
    let (catalog, diagnostics) = site.load();
    insta::assert_snapshot!(shown(&diagnostics), @r#"
    workspaces/a/config.json:1:14: error: template: there is no template `web-ap`
      hint: did you mean `web-app`?
    workspaces/b/config.json:1:14: error: template: there is no template `database`
      hint: register it: `piton template add database URL`
    workspaces/c/config.json: error: the workspace has no code: there is no *.tf file beside config.json and no `template`
      hint: add a main.tf to the directory, or name a registered template
    workspaces/d: warning: the directory holds code but no config.json, so it is not a workspace
      hint: add a config.json; `{}` declares a workspace that is deployed by hand
    "#);
    assert!(catalog.workspaces.is_empty());

    site.remove(".piton/templates/web-app").write("workspaces/a/config.json", r#"{"template": "web-app"}"#);
    let (_, diagnostics) = site.load();
    insta::assert_snapshot!(shown(&diagnostics[..1]), @r#"
    workspaces/a/config.json:1:14: error: template: the template `web-app` is registered, but its files are missing
      hint: fetch them again: `piton template update web-app`
    "#);
}

#[test]
fn names() {
    let site = Site::new();
    site.workspace("_standalone_", "{}");
    site.workspace("with space", "{}");
    site.workspace("fine", r#"{"template": "../x", "jobs": [{"name": "../x", "type": "command", "command": "true"}]}"#);
    site.workspace(".hidden", "nonsense");
    let (catalog, diagnostics) = site.load();
    insta::assert_snapshot!(shown(&diagnostics), @r#"
    workspaces/_standalone_: error: `_standalone_` is reserved and cannot be the name of a workspace
      hint: rename the directory
    workspaces/fine/config.json:1:14: error: template: `../x` is not a valid name: it contains a path separator
      hint: a name has 1 to 100 of the characters A-Z a-z 0-9 . _ - and starts with a letter, a digit or `_`
    workspaces/fine/config.json:1:40: error: jobs[0].name: `../x` is not a valid name: it contains a path separator
      hint: a name has 1 to 100 of the characters A-Z a-z 0-9 . _ - and starts with a letter, a digit or `_`
    workspaces/with space: error: `with space` is not a valid name: only letters, digits, `.`, `_` and `-` are allowed
      hint: rename the directory
    "#);
    assert!(catalog.workspaces.is_empty());
}

#[test]
fn jobs() {
    insta::assert_snapshot!(told(r#"{"jobs": [
  {"name": "a"},
  {"name": "b", "type": "script", "command": "true"},
  {"name": "c", "type": "shell"},
  {"name": "d", "type": "command", "command": " "},
  {"type": "command", "command": "true"},
  {"name": "e", "type": "command", "command": "true", "script": "x", "timeout": "1d", "skedule": "@hourly"},
  {"name": "f", "type": "command", "command": "true"},
  {"name": "f", "type": "command", "command": "true"},
  "g"
]}"#), @r#"
    workspaces/web/config.json:2:3: error: jobs[0]: a job needs a `type`: script, command or template
      hint: add `"type": "command"`
    workspaces/web/config.json:3:25: error: jobs[1].type: a job of type `script` needs a `script`
    workspaces/web/config.json:3:46: warning: jobs[1].command: a job of type `script` does not use this
    workspaces/web/config.json:4:25: error: jobs[2].type: `shell` is not one of script, command, template
    workspaces/web/config.json:5:47: error: jobs[3].command: this must not be empty
    workspaces/web/config.json:6:3: error: jobs[4]: a job needs a `name`
    workspaces/web/config.json:7:65: warning: jobs[5].script: a job of type `command` does not use this
    workspaces/web/config.json:7:81: error: jobs[5].timeout: `1d` is not a duration: the units are h, m, s, ms, us and ns
      hint: write a number and a unit (h, m, s), for example `60m`, `90s` or `1h30m`
    workspaces/web/config.json:7:87: warning: jobs[5]: unknown field `skedule`
      hint: did you mean `schedule`?
    workspaces/web/config.json:9:12: error: jobs[7].name: there is another job with the name `f`
    workspaces/web/config.json:10:3: error: jobs[8]: expected a table, found text
    "#);
    insta::assert_snapshot!(told(r#"{"jobs": [{"name": "a", "type": "command", "command": "true",
  "environment": {"W": "{{workspace_name}}/{{job_name}}", "X": "{{date}}"}}]}"#), @r#"
    workspaces/web/config.json:2:18: warning: jobs[0].environment: `X` holds the unknown placeholder `{{date}}`
      hint: `{{workspace_name}}` and `{{job_name}}` are filled in; anything else stays as it is
    "#);
}

#[test]
fn dependencies() {
    insta::assert_snapshot!(told(r#"{"jobs": [
  {"name": "a", "type": "command", "command": "true", "depends_on": ["c"]},
  {"name": "b", "type": "command", "command": "true", "depends_on": ["a"]},
  {"name": "c", "type": "command", "command": "true", "depends_on": ["b"]},
  {"name": "d", "type": "command", "command": "true", "depends_on": ["d"]},
  {"name": "e", "type": "command", "command": "true", "depends_on": ["a", "nobody"]}
]}"#), @r#"
    workspaces/web/config.json:2:70: error: jobs[0].depends_on[0]: jobs depend on each other in a circle: a → c → b → a
      hint: remove one of these dependencies
    workspaces/web/config.json:3:70: error: jobs[1].depends_on[0]: jobs depend on each other in a circle: b → a → c → b
      hint: remove one of these dependencies
    workspaces/web/config.json:4:70: error: jobs[2].depends_on[0]: jobs depend on each other in a circle: c → b → a → c
      hint: remove one of these dependencies
    workspaces/web/config.json:5:70: error: jobs[3].depends_on[0]: jobs depend on each other in a circle: d → d
      hint: remove one of these dependencies
    workspaces/web/config.json:6:75: error: jobs[4].depends_on[1]: there is no job `nobody` to depend on
      hint: a job depends on jobs of the same workspace, a standalone job on standalone ones
    "#);
}

#[test]
fn dependencies_of_standalone_jobs() {
    let job = |depends_on: &str| format!(r#"{{"type": "command", "command": "true", "depends_on": [{depends_on}]}}"#);
    let site = Site::new();
    site.write("jobs/a.json", job("")).write("jobs/b.json", job(r#""a""#)).write("jobs/c.json", job(r#""b""#));
    let good = site.load_clean();
    assert_eq!(good.jobs.len(), 3);

    site.write("jobs/a.json", job(r#""c""#)).write("jobs/d.json", job(r#""gone""#));
    let (catalog, diagnostics) = site.reload(&good);
    insta::assert_snapshot!(shown(&diagnostics), @r#"
    jobs/a.json:1:55: error: depends_on[0]: jobs depend on each other in a circle: a → c → b → a
      hint: remove one of these dependencies
    jobs/b.json:1:55: error: depends_on[0]: jobs depend on each other in a circle: b → a → c → b
      hint: remove one of these dependencies
    jobs/c.json:1:55: error: depends_on[0]: jobs depend on each other in a circle: c → b → a → c
      hint: remove one of these dependencies
    jobs/d.json:1:55: error: depends_on[0]: there is no job `gone` to depend on
      hint: a job depends on jobs of the same workspace, a standalone job on standalone ones
    "#);
    // What was good before stays in force; `d` never was.
    assert_eq!(catalog.jobs, good.jobs);

    let (catalog, _) = site.load();
    assert!(catalog.jobs.is_empty(), "a circle without an earlier version leaves nothing");
}

#[test]
fn two_files_for_one_job() {
    let site = Site::new();
    let job = r#"{"name": "cleanup", "type": "command", "command": "true"}"#;
    site.write("jobs/a.json", job).write("jobs/b.json", job);
    site.write("jobs/events.toml", "type = 'command'\ncommand = 'true'\nschedule = ['@reboot', '@deployment']\n");
    let (catalog, diagnostics) = site.load();
    insta::assert_snapshot!(shown(&diagnostics), @r#"
    jobs/b.json:1:10: error: name: there is another job with the name `cleanup`, in jobs/a.json
      hint: rename one of them
    jobs/events.toml:3:12: warning: schedule: `@deployment` never happens to a standalone job, which has no deployment
      hint: declare the job in a workspace's config.json
    "#);
    assert_eq!(catalog.jobs.len(), 2);
}

#[test]
fn the_last_good_version_stays_until_the_file_is_gone() {
    let site = Site::new();
    site.template("app", "1");
    site.workspace(
        "web",
        r#"{"deploy_schedule": "0 9 * * *",
        "jobs": [{"name": "a", "type": "command", "command": "true"}]}"#,
    );
    site.write("workspaces/made/config.json", r#"{"template": "app"}"#);
    site.workspace("other", "{}");
    site.write("jobs/x.json", r#"{"type": "command", "command": "true"}"#);
    let good = site.load_clean();

    // Everything broken at once, in as many ways; `other` changes meanwhile.
    site.write("workspaces/web/config.json", "{\"deploy_sch");
    site.write("workspaces/made/config.json", r#"{"template": "ap"}"#);
    site.write("jobs/x.json", r#"{"type": "comand"}"#);
    site.write(".piton/templates/registry.json", "{");
    site.write("workspaces/other/config.json", r#"{"description": "changed"}"#);
    let (broken, diagnostics) = site.reload(&good);
    assert_eq!(diagnostics.len(), 4, "{}", shown(&diagnostics));
    assert!(diagnostics.iter().all(|diagnostic| diagnostic.is_error()));
    for kept in ["web", "made"] {
        assert_eq!(broken.workspaces[&name(kept)], good.workspaces[&name(kept)]);
    }
    assert_eq!(broken.jobs, good.jobs);
    assert_eq!(broken.templates, good.templates);
    assert_eq!(broken.workspaces[&name("other")].description.as_deref(), Some("changed"));

    // A third load with the second as its past, as the daemon does it.
    let (still, _) = site.reload(&broken);
    assert_eq!(still.workspaces, broken.workspaces);

    site.remove("workspaces/web").remove("jobs/x.json");
    let (gone, _) = site.reload(&still);
    assert!(!gone.workspaces.contains_key(&name("web")));
    assert_eq!(gone.jobs.len(), 0);
    let made = &gone.workspaces[&name("made")];
    assert!(matches!(&made.source, Source::Template { name, .. } if name.as_str() == "app"));
}

#[test]
fn a_missing_template_takes_its_job_but_not_the_workspace() {
    let site = Site::new();
    site.workspace("web", r#"{"jobs": [{"name": "a", "type": "template", "template": "app"}]}"#);
    let (catalog, diagnostics) = site.load();
    insta::assert_snapshot!(shown(&diagnostics), @r#"
    workspaces/web/config.json:1:57: error: jobs[0].template: there is no template `app`
      hint: register it: `piton template add app URL`
    "#);
    assert!(catalog.workspaces.contains_key(&name("web")));
    assert!(catalog.jobs.is_empty());
    site.template("app", "1");
    let (catalog, diagnostics) = site.reload(&catalog);
    assert_eq!(shown(&diagnostics), "");
    let job = &catalog.jobs[&Subject::Job { workspace: Some(name("web")), name: name("a") }];
    assert_eq!(job.deployment().as_str(), "_job_web_a");
}
