//! Workspaces.

use std::collections::BTreeMap;

use piton_api::{Output, ScheduleLine, Upcoming, Workspace};

use super::{minute_or_never, second_or_never, skip, yes_or_no};
use crate::clock::Clock;
use crate::output::Voice;
use crate::table::{Cell, Fields, Table};

/// In place of when a workspace is due next.
const NOT_DECLARED: &str = "not declared";

/// What is declared.
pub fn list(workspaces: &[Workspace], voice: Voice, width: Option<usize>) -> String {
    if workspaces.is_empty() {
        return "No workspaces configured\n".to_owned();
    }
    let mut table =
        Table::new(&["WORKSPACE", "ENABLED", "DEPLOY SCHEDULE", "DESTROY SCHEDULE", "TEMPLATE", "DESCRIPTION"]);
    for workspace in workspaces {
        let deploys = match modes(&workspace.schedule) {
            modes if modes.is_empty() => lines(&workspace.schedule, "deploy"),
            modes => modes,
        };
        let enabled = match voice {
            Voice::Piton if !workspace.declared => NOT_DECLARED.to_owned(),
            Voice::Piton => yes_or_no(workspace.enabled).to_owned(),
            Voice::Scheduler => workspace.enabled.to_string(),
        };
        table.row([
            Cell::from(&workspace.name),
            enabled.into(),
            or_dash(deploys).into(),
            or_dash(lines(&workspace.schedule, "destroy")).into(),
            workspace.template.as_deref().unwrap_or("-").into(),
            workspace.description.as_deref().unwrap_or_default().into(),
        ]);
    }
    table.render_within(width)
}

/// Where each of them stands.
pub fn statuses(workspaces: &[Workspace], clock: &Clock, voice: Voice, width: Option<usize>) -> String {
    if workspaces.is_empty() {
        return "No workspaces configured\n".to_owned();
    }
    match voice {
        Voice::Scheduler => {
            let mut table = Table::ruled(&[
                ("WORKSPACE", 15, 11),
                ("STATUS", 12, 6),
                ("LAST DEPLOYED", 20, 13),
                ("LAST DESTROYED", 20, 14),
                ("ERRORS", 0, 6),
            ]);
            for workspace in workspaces {
                table.row([
                    Cell::from(&workspace.name),
                    Cell::state(&workspace.status),
                    minute_or_never(clock, workspace.last_deployed).into(),
                    minute_or_never(clock, workspace.last_destroyed).into(),
                    errors(workspace).unwrap_or_else(|| "None".to_owned()).into(),
                ]);
            }
            table.render_within(width)
        }
        Voice::Piton => {
            let titles = ["WORKSPACE", "STATUS", "MODE", "LAST DEPLOYED", "LAST DESTROYED", "NEXT", "ERRORS"];
            let mut table = Table::new(&titles);
            for workspace in workspaces {
                let next = workspace.next.as_ref().filter(|_| workspace.enabled);
                table.row([
                    Cell::from(&workspace.name),
                    Cell::state(&workspace.status),
                    workspace.mode.as_deref().unwrap_or("-").into(),
                    minute_or_never(clock, workspace.last_deployed).into(),
                    minute_or_never(clock, workspace.last_destroyed).into(),
                    match next {
                        Some(next) => format!("{} {}", effect(next), clock.minute(next.at)).into(),
                        None if !workspace.declared => NOT_DECLARED.into(),
                        None if workspace.enabled => "-".into(),
                        None => Cell::state("disabled"),
                    },
                    errors(workspace).unwrap_or_else(|| "None".to_owned()).into(),
                ]);
            }
            table.render_within(width)
        }
    }
}

/// One of them in full.
pub fn status(workspace: &Workspace, clock: &Clock, voice: Voice) -> String {
    let mut fields = Fields::default();
    fields
        .field("Workspace", &workspace.name)
        .field("Status", Cell::state(&workspace.status))
        .field("Enabled", workspace.enabled.to_string());
    let modes = modes(&workspace.schedule);
    if workspace.modes.is_empty() {
        fields.field("Deploy Schedule", or_none(lines(&workspace.schedule, "deploy")));
    } else {
        fields.field("Mode", workspace.mode.as_deref().unwrap_or("None")).field("Mode Schedules", or_none(modes));
    }
    fields.field("Destroy Schedule", or_none(lines(&workspace.schedule, "destroy")));
    if voice == Voice::Piton {
        let lost = "no; make it good, or destroy what it deployed";
        fields.maybe("Declared", (!workspace.declared).then_some(lost));
        let others: Vec<&str> = workspace.modes.iter().map(String::as_str).collect();
        fields
            .field("Time Zone", &workspace.time_zone)
            .maybe("Next", workspace.next.as_ref().map(|next| format!("{} {}", effect(next), clock.second(next.at))))
            .maybe("Modes", (!others.is_empty()).then(|| others.join(", ")));
    }
    fields
        .maybe("Template", workspace.template.as_ref())
        .maybe("Description", workspace.description.as_ref())
        .field("Last Deployed", second_or_never(clock, workspace.last_deployed))
        .field("Last Destroyed", second_or_never(clock, workspace.last_destroyed))
        .maybe("Last Deploy Error", workspace.last_deploy_error.as_ref())
        .maybe("Last Destroy Error", workspace.last_destroy_error.as_ref());
    if voice == Voice::Piton {
        fields
            .maybe("Waits", workspace.waits.as_ref())
            .maybe("Jobs", (!workspace.jobs.is_empty()).then(|| workspace.jobs.join(", ")))
            .maybe("Tags", (!workspace.tags.is_empty()).then(|| workspace.tags.join(", ")))
            .maybe("Active Run", workspace.active_run.as_ref())
            .maybe("Last Run", workspace.last_run.as_ref())
            .field("Directory", &workspace.directory);
    }
    fields.field("Log File", workspace.log_file.as_deref().unwrap_or("None"));
    match voice {
        Voice::Scheduler => fields.render(),
        Voice::Piton => fields.render() + &skip::latest(&workspace.skipped, clock),
    }
}

/// Outputs of the latest deployment.
pub fn outputs(outputs: &BTreeMap<String, Output>) -> String {
    if outputs.is_empty() {
        return "No outputs\n".to_owned();
    }
    let mut text = String::new();
    for (name, output) in outputs {
        text.push_str(name);
        text.push_str(" = ");
        if output.sensitive {
            text.push_str("<sensitive>");
        } else {
            text.push_str(&serde_json::to_string_pretty(&output.value).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// What is due next.
pub fn next(upcoming: &[Upcoming], clock: &Clock) -> String {
    if upcoming.is_empty() {
        return "Nothing is due\n".to_owned();
    }
    let mut table = Table::new(&["WHEN", "WHAT", "MODE", "SCHEDULE"]);
    for next in upcoming {
        table.row([
            Cell::from(clock.second(next.at)),
            (&next.effect).into(),
            next.mode.as_deref().unwrap_or("-").into(),
            (&next.line).into(),
        ]);
    }
    table.render()
}

/// `deploy`, or `deploy busy`.
pub fn effect(next: &Upcoming) -> String {
    match &next.mode {
        Some(mode) => format!("{} {mode}", next.effect),
        None => next.effect.clone(),
    }
}

fn errors(workspace: &Workspace) -> Option<String> {
    let deploy = workspace.last_deploy_error.as_ref().map(|error| format!("Deploy: {error}"));
    let destroy = workspace.last_destroy_error.as_ref().map(|error| format!("Destroy: {error}"));
    deploy.or(destroy)
}

/// The lines without a mode that have this effect.
fn lines(schedule: &[ScheduleLine], effect: &str) -> String {
    let fitting = schedule.iter().filter(|line| line.effect == effect && line.mode.is_none());
    fitting.map(|line| line.line.as_str()).collect::<Vec<_>>().join(", ")
}

/// `busy: 0 8 * * 1-5, 0 13 * * 1-5; hibernation: 0 23 * * *`
fn modes(schedule: &[ScheduleLine]) -> String {
    let mut by_mode: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in schedule {
        if let Some(mode) = &line.mode {
            by_mode.entry(mode).or_default().push(&line.line);
        }
    }
    let modes = by_mode.iter().map(|(mode, lines)| format!("{mode}: {}", lines.join(", ")));
    modes.collect::<Vec<_>>().join("; ")
}

fn or_none(text: String) -> String {
    if text.is_empty() { "None".to_owned() } else { text }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::sample::{clock, document};
    use super::*;

    fn workspace(changes: Value) -> Workspace {
        let base = json!({
            "name": "my-app",
            "enabled": true,
            "status": "deployed",
            "time_zone": "UTC",
            "directory": "/srv/workspaces/my-app",
            "schedule": [
                { "line": "0 9 * * 1-5", "effect": "deploy" },
                { "line": "0 18 * * 1-5", "effect": "destroy" },
            ],
            "last_deployed": "2025-09-19T10:04:33Z",
            "log_file": "/var/log/my-app.log",
        });
        document(base, changes)
    }

    #[test]
    fn a_workspace_without_outputs_says_so() {
        assert_eq!(outputs(&BTreeMap::new()), "No outputs\n");
    }

    fn destroyed() -> Workspace {
        workspace(json!({
            "name": "test-workspace",
            "status": "destroyed",
            "last_deployed": null,
            "last_destroyed": "2025-09-19T09:30:00Z",
        }))
    }

    fn modal() -> Workspace {
        workspace(json!({
            "name": "web",
            "mode": "busy",
            "template": "web-app",
            "modes": ["busy", "hibernation"],
            "schedule": [
                { "line": "0 23 * * 1-5", "effect": "deploy", "mode": "hibernation" },
                { "line": "0 8 * * 1-5", "effect": "deploy", "mode": "busy" },
                { "line": "0 13 * * 1-5", "effect": "deploy", "mode": "busy" },
            ],
            "next": { "at": "2025-09-19T21:00:00Z", "effect": "deploy", "mode": "hibernation", "line": "0 23 * * 1-5" },
            "last_deploy_error": "plan failed\nwith details",
        }))
    }

    fn plain(text: String) -> String {
        crate::terminal::clean(&text, crate::terminal::Target::Plain)
    }

    #[test]
    fn the_schedulers_table() {
        let text = statuses(&[workspace(json!({})), destroyed()], &clock(), Voice::Scheduler, None);
        let wanted = "\
WORKSPACE       STATUS       LAST DEPLOYED        LAST DESTROYED       ERRORS
-----------     ------       -------------        --------------       ------
my-app          deployed     2025-09-19 12:04     Never                None
test-workspace  destroyed    Never                2025-09-19 11:30     None
";
        assert_eq!(plain(text), wanted);
    }

    #[test]
    fn the_schedulers_details() {
        let wanted = "\
Workspace: my-app
Status: deployed
Enabled: true
Deploy Schedule: 0 9 * * 1-5
Destroy Schedule: 0 18 * * 1-5
Last Deployed: 2025-09-19 12:04:33
Last Destroyed: Never
Log File: /var/log/my-app.log
";
        assert_eq!(plain(status(&workspace(json!({})), &clock(), Voice::Scheduler)), wanted);
        let wanted = "\
Workspace: web
Status: deployed
Enabled: true
Mode: busy
Mode Schedules: busy: 0 8 * * 1-5, 0 13 * * 1-5; hibernation: 0 23 * * 1-5
Destroy Schedule: None
Template: web-app
Last Deployed: 2025-09-19 12:04:33
Last Destroyed: Never
Last Deploy Error: plan failed with details
Log File: /var/log/my-app.log
";
        assert_eq!(plain(status(&modal(), &clock(), Voice::Scheduler)), wanted);
    }

    #[test]
    fn pitons_table_has_mode_and_next() {
        let disabled =
            workspace(json!({ "name": "off", "enabled": false, "status": "pending", "last_deployed": null }));
        let wanted = "\
WORKSPACE  STATUS    MODE  LAST DEPLOYED     LAST DESTROYED  NEXT                                 ERRORS
web        deployed  busy  2025-09-19 12:04  Never           deploy hibernation 2025-09-19 23:00  Deploy: plan failed with details
off        pending   -     Never             Never           disabled                             None
";
        assert_eq!(plain(statuses(&[modal(), disabled], &clock(), Voice::Piton, None)), wanted);
        let failed = workspace(json!({ "last_deploy_error": "plan failed: ".repeat(20) }));
        let shown = |width| plain(statuses(std::slice::from_ref(&failed), &clock(), Voice::Piton, width));
        assert!(shown(None).ends_with(&format!("Deploy: {}\n", "plan failed: ".repeat(20))), "{}", shown(None));
        assert!(shown(Some(120)).lines().all(|line| line.len() <= 120), "{}", shown(Some(120)));
    }

    #[test]
    fn a_list_says_what_is_declared() {
        let wanted = "\
WORKSPACE       ENABLED  DEPLOY SCHEDULE                                                DESTROY SCHEDULE  TEMPLATE  DESCRIPTION
my-app          yes      0 9 * * 1-5                                                    0 18 * * 1-5      -
web             yes      busy: 0 8 * * 1-5, 0 13 * * 1-5; hibernation: 0 23 * * 1-5     -                 web-app
";
        let text = list(&[workspace(json!({})), modal()], Voice::Piton, None);
        let squeeze = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(squeeze(&text), squeeze(wanted));
        assert_eq!(list(&[], Voice::Scheduler, None), "No workspaces configured\n");
    }

    #[test]
    fn sensitive_outputs_are_not_shown() {
        let values: BTreeMap<String, Output> = serde_json::from_value(json!({
            "address": { "value": "10.0.0.1", "sensitive": false },
            "password": { "value": null, "sensitive": true },
        }))
        .unwrap();
        assert_eq!(outputs(&values), "address = \"10.0.0.1\"\npassword = <sensitive>\n");
    }

    #[test]
    fn upcoming_times_are_listed() {
        let text = next(&[modal().next.unwrap()], &clock());
        assert_eq!(
            text,
            "WHEN                 WHAT    MODE         SCHEDULE\n2025-09-19 23:00:00  deploy  hibernation  0 23 * * 1-5\n"
        );
        assert_eq!(next(&[], &clock()), "Nothing is due\n");
    }
}
