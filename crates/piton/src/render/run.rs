//! Runs.

use std::fmt::Write as _;

use piton_api::{Explanation, Plan, ProvisionAnswer, Run};

use super::workspace::outputs;
use crate::clock::{Clock, length};
use crate::ids::short;
use crate::table::{Cell, Fields, Table};

/// The latest runs.
pub fn list(runs: &[Run], clock: &Clock) -> String {
    if runs.is_empty() {
        return "No runs\n".to_owned();
    }
    let mut table = Table::new(&["RUN", "SUBJECT", "ACTION", "STATE", "SUBMITTED", "TOOK", "WHY"]);
    for run in runs {
        table.row([
            Cell::from(short(&run.id)),
            (&run.subject).into(),
            action(run).into(),
            Cell::state(state(run)),
            clock.minute(run.submitted_at).into(),
            took(run, clock).unwrap_or_else(|| "-".to_owned()).into(),
            (&run.origin.text).into(),
        ]);
    }
    table.render()
}

/// One run in full.
pub fn show(run: &Run, clock: &Clock, piton: &str) -> String {
    let mut fields = Fields::default();
    let time = |at: Option<jiff::Timestamp>| at.map(|at| clock.second(at));
    fields
        .field("Run", &run.id)
        .field("Subject", &run.subject)
        .field("Action", action(run))
        .field("State", Cell::state(state(run)))
        .maybe("Message", run.message.as_ref().filter(|message| *message != state(run)))
        .maybe("Step", run.step.as_ref())
        .maybe("Stopping", run.cancelling.then_some("asked to stop"))
        .field("Why", &run.origin.text)
        .maybe("Due", time(run.origin.fire))
        .field("Submitted", clock.second(run.submitted_at))
        .maybe("Begins", time(run.due_at.filter(|due| *due > run.submitted_at)))
        .maybe("Started", time(run.started_at))
        .maybe("Ended", time(run.ended_at))
        .maybe("Took", took(run, clock))
        .field("Attempts", run.attempts.to_string())
        .maybe("Worker", run.worker.as_ref())
        .maybe("Tool", run.tool.as_ref().map(|tool| format!("{} {} ({})", tool.name, tool.version, tool.path)))
        .maybe("Exit Code", run.exit_code.map(|code| code.to_string()))
        .maybe("Not Logged", run.unwritten.as_ref())
        .maybe("Retry Of", run.retry_of.as_ref());
    if let Some(failure) = &run.failure {
        fields.field("Failure", &failure.code).maybe("Hint", failure.hint.as_ref());
    }
    let mut text = fields.render();
    if let Some(found) = &run.plan {
        text.push_str(&plan(found));
    }
    if let Some(values) = run.outputs.as_ref().filter(|values| !values.is_empty()) {
        text.push_str("\nOutputs:\n");
        for line in outputs(values).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    if let Some(answer) = &run.answer {
        text.push_str(&calls(answer));
    }
    if let Some(gate) = &run.gate {
        let _ = writeln!(text, "\n{} (until {})", gate.question, clock.second(gate.expires_at));
        text.push_str(&how_to_approve(run, piton));
    }
    text
}

/// What a plan would change, destroys first.
pub fn plan(plan: &Plan) -> String {
    let mut text = format!("\nPlan: {}\n", counts(plan));
    for change in &plan.changes {
        let (sign, colour) = match change.action.as_str() {
            "create" => ("+", "32"),
            "update" => ("~", "33"),
            "replace" => ("-/+", "31"),
            "delete" => ("-", "31"),
            "forget" => (".", "31"),
            _ => ("<=", "36"),
        };
        let reason = change.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(text, "  \x1b[{colour}m{sign:>3}\x1b[0m {}{reason}", change.address);
    }
    text
}

/// What provisioning APIs were asked (`>`) and answered (`<`).
fn calls(answer: &ProvisionAnswer) -> String {
    let mut text = String::from("\nCalls:\n");
    for call in &answer.exchanges {
        let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let _ = writeln!(text, "  {} {}: {status} after {} ms", call.method, call.url, call.took_ms);
        for (sign, body) in [('>', call.request.as_deref().unwrap_or_default()), ('<', &call.response)] {
            for line in body.lines() {
                let _ = writeln!(text, "    {sign} {line}");
            }
        }
    }
    for (name, value) in &answer.headers {
        let _ = writeln!(text, "  {name}: {value}");
    }
    text
}

/// `3 to add, 1 to change, 0 to replace, 2 to destroy`
pub fn counts(plan: &Plan) -> String {
    let mut text = format!(
        "{} to add, {} to change, {} to replace, {} to destroy",
        plan.add, plan.change, plan.replace, plan.destroy
    );
    match plan.output_changes {
        0 => {}
        1 => text.push_str(", 1 output changes"),
        more => {
            let _ = write!(text, ", {more} outputs change");
        }
    }
    text
}

/// The commands that decide about a run that waits; they begin with `piton`.
pub fn how_to_approve(run: &Run, piton: &str) -> String {
    let digest = run.gate.as_ref().map(|gate| format!(" --digest {}", gate.digest)).unwrap_or_default();
    let noun = if run.subject.starts_with("deployment/") { "deploy" } else { "run" };
    format!("To approve: {piton} {noun} approve {id}{digest}\nTo reject:  {piton} {noun} reject {id}\n", id = run.id)
}

/// How a run came out, in a line.
pub fn result(run: &Run, clock: &Clock) -> String {
    let what = format!("{} of {}", action(run), run.subject);
    let after = took(run, clock).map(|took| format!(" after {took}")).unwrap_or_default();
    let word = Cell::state(state(run));
    let mut line = Fields::default();
    line.field(&what, word);
    let mut text = line.render().trim_end().to_owned();
    text.push_str(&after);
    if let Some(plan) = run.plan.as_ref().filter(|_| run.outcome.as_deref() == Some("succeeded")) {
        let _ = match run.action.as_str() {
            "plan" => write!(text, " ({})", counts(plan)),
            _ => {
                let Plan { add, change, replace, destroy, .. } = plan;
                write!(text, " ({add} added, {change} changed, {replace} replaced, {destroy} destroyed)")
            }
        };
    }
    text.push('\n');
    text
}

/// Why a run stands where it stands.
pub fn explain(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.summary);
    for reason in &explanation.reasons {
        let _ = writeln!(text, "  - {reason}");
    }
    if !explanation.hints.is_empty() {
        text.push_str("\nWhat can be done:\n");
        for hint in &explanation.hints {
            let _ = writeln!(text, "  - {hint}");
        }
    }
    text
}

fn action(run: &Run) -> String {
    match &run.mode {
        Some(mode) => format!("{} {mode}", run.action),
        None => run.action.clone(),
    }
}

/// How it ended, else where it is.
fn state(run: &Run) -> &str {
    run.outcome.as_deref().unwrap_or(&run.state)
}

fn took(run: &Run, clock: &Clock) -> Option<String> {
    let until = match (run.ended_at, run.state.as_str()) {
        (Some(ended), _) => ended,
        (None, "running") => clock.now,
        (None, _) => return None,
    };
    Some(length(run.started_at?, until))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::{clock, run};
    use super::*;

    fn plain(text: String) -> String {
        crate::terminal::clean(&text, crate::terminal::Target::Plain)
    }

    fn planned() -> serde_json::Value {
        json!({
            "digest": "d1",
            "add": 1,
            "change": 0,
            "replace": 0,
            "destroy": 1,
            "output_changes": 1,
            "changes": [
                { "address": "terraform_data.old", "action": "delete", "reason": "no longer in the code" },
                { "address": "terraform_data.new", "action": "create" },
            ],
        })
    }

    #[test]
    fn a_list_shows_what_can_be_typed() {
        let running = run(json!({
            "state": "running", "outcome": null, "ended_at": null, "mode": "busy",
            "started_at": "2025-09-19T11:58:53Z",
        }));
        let wanted = "\
RUN           SUBJECT        ACTION       STATE      SUBMITTED         TOOK      WHY
a1b2c3d4e5f6  workspace/web  deploy       succeeded  2025-09-19 12:04  32 s      asked for by ada
a1b2c3d4e5f6  workspace/web  deploy busy  running    2025-09-19 12:04  1 min 7 s asked for by ada
";
        let squeeze = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(squeeze(&plain(list(&[run(json!({})), running], &clock()))), squeeze(wanted));
        assert_eq!(list(&[], &clock()), "No runs\n");
    }

    #[test]
    fn a_run_in_full() {
        let gated = run(json!({
            "state": "gated", "outcome": null, "ended_at": null, "step": "plan",
            "plan": planned(),
            "gate": { "digest": "d1", "question": "Apply this plan?", "expires_at": "2025-09-20T10:04:00Z" },
        }));
        let wanted = "\
Run: 019a3f2e-0000-7000-8000-a1b2c3d4e5f6
Subject: workspace/web
Action: deploy
State: gated
Step: plan
Why: asked for by ada
Submitted: 2025-09-19 12:04:00
Started: 2025-09-19 12:04:01
Attempts: 1

Plan: 1 to add, 0 to change, 0 to replace, 1 to destroy, 1 output changes
    - terraform_data.old (no longer in the code)
    + terraform_data.new

Apply this plan? (until 2025-09-20 12:04:00)
To approve: piton run approve 019a3f2e-0000-7000-8000-a1b2c3d4e5f6 --digest d1
To reject:  piton run reject 019a3f2e-0000-7000-8000-a1b2c3d4e5f6
";
        assert_eq!(plain(show(&gated, &clock(), "piton")), wanted);
    }

    #[test]
    fn what_provisioning_apis_were_asked_and_answered() {
        let answered = run(json!({ "kind": "provision", "action": "provision", "answer": {
            "status": 422, "body": "{}", "headers": { "x-request-id": "r1" }, "took_ms": 31,
            "exchanges": [
                { "method": "POST", "url": "https://h/x", "request": "{\n}", "status": 422, "response": "no", "took_ms": 12 },
                { "method": "GET", "url": "https://h/y", "status": null, "response": "", "took_ms": 19 },
            ],
        } }));
        let wanted = "
Calls:
  POST https://h/x: 422 after 12 ms
    > {
    > }
    < no
  GET https://h/y: no answer after 19 ms
  x-request-id: r1
";
        let shown = plain(show(&answered, &clock(), "piton"));
        assert!(shown.ends_with(wanted), "{shown}");
        assert!(!plain(show(&run(json!({})), &clock(), "piton")).contains("Calls"));
    }

    #[test]
    fn a_result_in_a_line() {
        let text = plain(result(&run(json!({ "plan": planned() })), &clock()));
        assert_eq!(
            text,
            "deploy of workspace/web: succeeded after 32 s (1 added, 0 changed, 0 replaced, 1 destroyed)\n"
        );
        let text = plain(result(&run(json!({ "outcome": "failed", "plan": planned() })), &clock()));
        assert_eq!(text, "deploy of workspace/web: failed after 32 s\n");
    }
}
