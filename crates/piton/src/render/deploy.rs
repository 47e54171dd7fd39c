//! Deployments of code from git.

use std::fmt::Write as _;

use piton_api::{DeploymentStatus, DeploymentSummary};

use super::workspace::outputs;
use crate::clock::{Clock, length};
use crate::ids::short;
use crate::table::{Cell, Fields, Table};

/// The latest deployments.
pub fn list(deployments: &[DeploymentSummary], clock: &Clock) -> String {
    if deployments.is_empty() {
        return "No deployments\n".to_owned();
    }
    let mut table = Table::new(&["DEPLOYMENT", "STATUS", "PHASE", "SUBMITTED", "TOOK", "REF", "REPOSITORY"]);
    for it in deployments {
        table.row([
            Cell::from(short(&it.deployment_id)),
            Cell::state(&it.status),
            phase(it).into(),
            clock.minute(it.submitted_at).into(),
            took(it).unwrap_or_else(|| "-".to_owned()).into(),
            (&it.git_ref).into(),
            (&it.git_url).into(),
        ]);
    }
    table.render()
}

fn phase(it: &DeploymentSummary) -> &str {
    if it.queued { "queued" } else { &it.phase }
}

fn took(it: &DeploymentSummary) -> Option<String> {
    Some(length(it.started_at, it.ended_at?))
}

/// One deployment, without its logs.
pub fn status(deployment: &DeploymentStatus, clock: &Clock, piton: &str) -> String {
    let it = &deployment.summary;
    let mut fields = Fields::default();
    fields
        .field("Deployment", &it.deployment_id)
        .field("Status", Cell::state(&it.status))
        .field("Phase", phase(it))
        .maybe("Before it", it.position.filter(|_| it.queued).map(|position| position.to_string()))
        .maybe("Stopping", it.cancelling.then_some("asked to stop"))
        .maybe("Outcome", it.outcome.as_ref())
        .maybe("Error", Some(&it.error).filter(|error| !error.is_empty()))
        .maybe("Hint", it.hint.as_ref())
        .field("Operation", &it.operation)
        .field("Repository", &it.git_url)
        .field("Ref", &it.git_ref)
        .maybe("Commit", it.commit.as_ref())
        .maybe("Directory", Some(&it.path).filter(|path| !path.is_empty()))
        .maybe("Tool", it.tool.as_ref().map(|tool| format!("{} {}", tool.name, tool.version)))
        .field("Submitted", format!("{} by {}", clock.second(it.submitted_at), it.submitted_by))
        .maybe("Approved by", it.approved_by.as_ref())
        .maybe("Ended", it.ended_at.map(|at| clock.second(at)))
        .maybe("Took", took(it));
    let mut text = fields.render();
    if !deployment.plan_output.trim().is_empty() {
        let _ = write!(text, "\n{}\n", deployment.plan_output.trim_end());
    }
    if let Some(values) = deployment.outputs.as_ref().filter(|values| !values.is_empty()) {
        text.push_str("\nOutputs:\n");
        for line in outputs(values).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    if let Some(gate) = &it.approval {
        let (id, digest) = (&it.deployment_id, &gate.digest);
        let _ = write!(
            text,
            "\n{} (until {})\nTo approve: {piton} deploy approve {id} --digest {digest}\nTo reject:  {piton} deploy reject {id}\n",
            gate.question,
            clock.second(gate.expires_at),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::terminal::{Target, clean};

    fn clock() -> Clock {
        Clock { now: "2026-01-02T00:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
    }

    fn deployment() -> DeploymentStatus {
        serde_json::from_value(serde_json::json!({
            "deployment_id": "019a3f2e-0000-7000-8000-a1b2c3d4e5f6", "status": "success", "phase": "completed",
            "started_at": "2026-01-01T10:00:00Z", "submitted_at": "2026-01-01T09:59:00Z",
            "ended_at": "2026-01-01T10:01:05Z", "error": "", "outcome": "succeeded", "operation": "deploy",
            "git_url": "https://git.example.org/x.git", "git_ref": "main", "path": "a", "commit": "c0ffee",
            "submitted_by": "ada", "init_log": "", "plan_log": "", "plan_output": "+ a.b\n", "apply_log": "",
            "apply_output": "",
        }))
        .unwrap()
    }

    #[test]
    fn a_list() {
        let text = list(&[deployment().summary], &clock());
        let text = clean(&text, Target::Plain);
        assert!(text.contains("a1b2c3d4e5f6"), "{text}");
        assert!(text.lines().last().unwrap().contains("completed  2026-01-01 09:59  1 min 5 s  main"), "{text}");
        assert_eq!(list(&[], &clock()), "No deployments\n");
    }

    #[test]
    fn one_in_full() {
        let text = clean(&status(&deployment(), &clock(), "piton"), Target::Plain);
        for part in ["Submitted:", "2026-01-01 09:59:00 by ada", "c0ffee", "\n+ a.b\n"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("Error"), "{text}");
    }
}
