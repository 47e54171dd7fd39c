//! Scheduled jobs.

use piton_api::Job;

use super::{first_line, minute_or_never, second_or_never, skip};
use crate::clock::Clock;
use crate::output::Voice;
use crate::table::{Cell, Fields, Table};

/// How long the workspace scheduler lets a description be in a table.
const SCHEDULER_DESCRIPTION_WIDTH: usize = 30;

/// Which jobs a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Every job.
    All,
    /// Those of no workspace.
    Standalone,
    /// Those of this workspace.
    Workspace(&'a str),
}

impl Scope<'_> {
    fn nothing(self) -> String {
        match self {
            Scope::All => "No jobs configured\n".to_owned(),
            Scope::Standalone => "No standalone jobs configured\n".to_owned(),
            Scope::Workspace(name) => format!("No jobs defined for workspace '{name}'\n"),
        }
    }

    fn heading(self) -> String {
        match self {
            Scope::All => "Jobs:\n\n".to_owned(),
            Scope::Standalone => "Standalone jobs:\n\n".to_owned(),
            Scope::Workspace(name) => format!("Jobs in workspace '{name}':\n\n"),
        }
    }
}

/// What is declared.
pub fn list(jobs: &[Job], scope: Scope<'_>, voice: Voice, width: Option<usize>) -> String {
    if jobs.is_empty() {
        return scope.nothing();
    }
    match voice {
        Voice::Scheduler => {
            let mut table =
                Table::ruled(&[("JOB NAME", 20, 8), ("TYPE", 10, 4), ("ENABLED", 15, 7), ("DESCRIPTION", 0, 11)]);
            for job in jobs {
                let description = job.description.as_deref().unwrap_or_default();
                table.row([
                    Cell::from(&job.name),
                    (&job.kind).into(),
                    job.enabled.to_string().into(),
                    first_line(description, SCHEDULER_DESCRIPTION_WIDTH).into(),
                ]);
            }
            table.render()
        }
        Voice::Piton => {
            let titles = ["JOB NAME", "WORKSPACE", "TYPE", "ENABLED", "SCHEDULE", "DESCRIPTION"];
            let mut table = Table::new(&titles);
            for job in jobs {
                let enabled = match (job.enabled, job.suspended) {
                    (true, true) => Cell::state("suspended"),
                    (enabled, _) => super::yes_or_no(enabled).into(),
                };
                table.row([
                    Cell::from(&job.name),
                    job.workspace.as_deref().unwrap_or("-").into(),
                    (&job.kind).into(),
                    enabled,
                    if job.schedule.is_empty() { "-".into() } else { job.schedule.join(", ").into() },
                    job.description.as_deref().unwrap_or_default().into(),
                ]);
            }
            table.render_within(width)
        }
    }
}

/// How each of them is doing.
pub fn statuses(jobs: &[Job], scope: Scope<'_>, clock: &Clock, voice: Voice) -> String {
    if jobs.is_empty() {
        return scope.nothing();
    }
    match voice {
        Voice::Scheduler => {
            let mut table = Table::ruled(&[
                ("JOB NAME", 20, 8),
                ("STATUS", 12, 6),
                ("SUCCESS", 8, 7),
                ("FAILED", 8, 6),
                ("LAST RUN", 0, 8),
            ]);
            for job in jobs {
                table.row([
                    Cell::from(&job.name),
                    Cell::state(&job.status),
                    job.success_count.to_string().into(),
                    job.failure_count.to_string().into(),
                    minute_or_never(clock, job.last_run).into(),
                ]);
            }
            scope.heading() + &table.render()
        }
        Voice::Piton => {
            let titles = ["JOB NAME", "WORKSPACE", "STATUS", "SUCCESS", "FAILED", "LAST RUN", "NEXT RUN"];
            let mut table = Table::new(&titles);
            for job in jobs {
                let next = match job.next_run {
                    Some(at) => clock.minute(at).into(),
                    None if job.suspended => Cell::state("suspended"),
                    None => "-".into(),
                };
                table.row([
                    Cell::from(&job.name),
                    job.workspace.as_deref().unwrap_or("-").into(),
                    Cell::state(&job.status),
                    job.success_count.to_string().into(),
                    job.failure_count.to_string().into(),
                    minute_or_never(clock, job.last_run).into(),
                    next,
                ]);
            }
            table.render()
        }
    }
}

/// One of them in full.
pub fn status(job: &Job, clock: &Clock, voice: Voice) -> String {
    let mut fields = Fields::default();
    fields.field("Job", &job.name);
    match &job.workspace {
        Some(workspace) => fields.field("Workspace", workspace),
        None => fields.field("Type", "standalone"),
    };
    fields
        .field("Status", Cell::state(&job.status))
        .field("Run Count", job.run_count.to_string())
        .field("Success Count", job.success_count.to_string())
        .field("Failure Count", job.failure_count.to_string())
        .field("Last Run", second_or_never(clock, job.last_run))
        .field("Last Success", second_or_never(clock, job.last_success))
        .field("Last Failure", second_or_never(clock, job.last_failure))
        .maybe("Last Error", job.last_error.as_ref())
        .maybe("Next Run", job.next_run.map(|at| clock.second(at)));
    if voice == Voice::Piton {
        fields
            .field("Work", &job.kind)
            .field("Enabled", job.enabled.to_string())
            .maybe("Suspended", job.suspended.then_some("true"))
            .maybe("Schedule", (!job.schedule.is_empty()).then(|| job.schedule.join(", ")))
            .maybe("Depends On", (!job.depends_on.is_empty()).then(|| job.depends_on.join(", ")))
            .maybe("Tags", (!job.tags.is_empty()).then(|| job.tags.join(", ")))
            .maybe("Description", job.description.as_ref())
            .maybe("Last Exit Code", job.last_exit_code.map(|code| code.to_string()))
            .maybe("Last Run Id", job.last_run_id.as_ref());
        return fields.render() + &skip::latest(&job.skipped, clock);
    }
    fields.render()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::sample::{clock, document};
    use super::*;

    fn job(changes: Value) -> Job {
        let base = json!({
            "name": "system-health",
            "type": "script",
            "enabled": true,
            "description": "Looks at disks, memory and load, and complains",
            "schedule": ["0 */6 * * *"],
            "status": "success",
            "run_count": 15,
            "success_count": 14,
            "failure_count": 1,
            "last_run": "2025-09-27T10:00:01Z",
            "last_success": "2025-09-27T10:00:01Z",
            "last_failure": "2025-09-26T16:00:01Z",
            "last_error": "Command failed: exit status 1",
            "next_run": "2025-09-27T16:00:00Z",
        });
        document(base, changes)
    }

    fn fresh() -> Job {
        let base = json!({
            "name": "backup", "workspace": "web", "type": "command", "enabled": true, "suspended": true,
            "status": "pending", "run_count": 0, "success_count": 0, "failure_count": 0,
        });
        document(base, json!({}))
    }

    fn plain(text: String) -> String {
        crate::terminal::clean(&text, crate::terminal::Target::Plain)
    }

    #[test]
    fn the_schedulers_details() {
        let wanted = "\
Job: system-health
Type: standalone
Status: success
Run Count: 15
Success Count: 14
Failure Count: 1
Last Run: 2025-09-27 12:00:01
Last Success: 2025-09-27 12:00:01
Last Failure: 2025-09-26 18:00:01
Last Error: Command failed: exit status 1
Next Run: 2025-09-27 18:00:00
";
        assert_eq!(plain(status(&job(json!({})), &clock(), Voice::Scheduler)), wanted);
        let wanted = "\
Job: backup
Workspace: web
Status: pending
Run Count: 0
Success Count: 0
Failure Count: 0
Last Run: Never
Last Success: Never
Last Failure: Never
";
        assert_eq!(plain(status(&fresh(), &clock(), Voice::Scheduler)), wanted);
    }

    #[test]
    fn the_schedulers_tables() {
        let wanted = "\
JOB NAME             TYPE       ENABLED         DESCRIPTION
--------             ----       -------         -----------
system-health        script     true            Looks at disks, memory and...
";
        assert_eq!(list(&[job(json!({}))], Scope::Standalone, Voice::Scheduler, None), wanted);
        let wanted = "\
Standalone jobs:

JOB NAME             STATUS       SUCCESS  FAILED   LAST RUN
--------             ------       -------  ------   --------
system-health        success      14       1        2025-09-27 12:00
";
        assert_eq!(plain(statuses(&[job(json!({}))], Scope::Standalone, &clock(), Voice::Scheduler)), wanted);
        let text = statuses(&[fresh()], Scope::Workspace("web"), &clock(), Voice::Scheduler);
        assert!(text.starts_with("Jobs in workspace 'web':\n\nJOB NAME"), "{text}");
    }

    #[test]
    fn nothing_is_said_in_words() {
        assert_eq!(list(&[], Scope::Standalone, Voice::Scheduler, None), "No standalone jobs configured\n");
        assert_eq!(
            statuses(&[], Scope::Workspace("web"), &clock(), Voice::Piton),
            "No jobs defined for workspace 'web'\n"
        );
    }

    #[test]
    fn pitons_tables() {
        let wanted = "\
JOB NAME       WORKSPACE  STATUS   SUCCESS  FAILED  LAST RUN          NEXT RUN
system-health  -          success  14       1       2025-09-27 12:00  2025-09-27 18:00
backup         web        pending  0        0       Never             suspended
";
        assert_eq!(plain(statuses(&[job(json!({})), fresh()], Scope::All, &clock(), Voice::Piton)), wanted);
        let wanted = "\
JOB NAME  WORKSPACE  TYPE     ENABLED    SCHEDULE  DESCRIPTION
backup    web        command  suspended  -
";
        assert_eq!(plain(list(&[fresh()], Scope::All, Voice::Piton, None)), wanted);
    }
}
