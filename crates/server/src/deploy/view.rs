//! A run as the runner's clients know it: one status word, one phase word, a log for each stage. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use piton_api as api;
use piton_model::{
    Approval, ApprovalPolicy, GitSource, IacStep, Operation, Outcome, OutputValue, PlanSummary, Resume, Run, RunState,
    Source, Step,
};
use serde_json::json;

use crate::view;

/// The word for how a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    AwaitingApproval,
    Success,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Status; 5] =
        [Status::Running, Status::AwaitingApproval, Status::Success, Status::Failed, Status::Cancelled];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::AwaitingApproval => "awaiting_approval",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of(run: &Run) -> Status {
        match &run.state {
            RunState::Pending { .. } | RunState::Running { .. } => Status::Running,
            RunState::Gated { .. } => Status::AwaitingApproval,
            RunState::Ended { outcome, .. } => Status::of_outcome(outcome),
        }
    }

    /// Who lets an approval lapse cancels; what nobody saw end did not succeed.
    pub(crate) fn of_outcome(outcome: &Outcome) -> Status {
        match outcome {
            Outcome::Succeeded => Status::Success,
            Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Indeterminate { .. } => Status::Failed,
            Outcome::Cancelled { .. } | Outcome::Rejected { .. } | Outcome::Expired | Outcome::Superseded { .. } => {
                Status::Cancelled
            }
        }
    }
}

fn phase(run: &Run) -> &'static str {
    match &run.state {
        RunState::Pending { resume: Resume::Approved { .. }, .. } => "apply",
        RunState::Pending { .. } => "initializing",
        RunState::Running { step, .. } => match step {
            Step::Iac(IacStep::Prepare)
            | Step::Command(_)
            | Step::Batch(_)
            | Step::Provision(_)
            | Step::Scaffold(_)
            | Step::Remote(_) => "initializing",
            Step::Iac(IacStep::Checkout) => "cloning",
            Step::Iac(IacStep::Init) => "init",
            Step::Iac(IacStep::Plan) => "plan",
            Step::Iac(IacStep::Apply | IacStep::Outputs) => "apply",
        },
        // The phases of the runner have no word for it; its status has.
        RunState::Gated { .. } => "plan",
        RunState::Ended { .. } => "completed",
    }
}

/// The three logs of a deployment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct StageLogs {
    pub(super) init: String,
    pub(super) plan: String,
    pub(super) apply: String,
}

/// The stages that have a log each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Init,
    Plan,
    Apply,
}

impl Stage {
    /// By the word of a step.
    pub(super) fn of_word(step: &str) -> Option<Stage> {
        match step {
            "prepare" | "checkout" | "init" => Some(Stage::Init),
            "plan" => Some(Stage::Plan),
            "apply" | "outputs" => Some(Stage::Apply),
            _ => None,
        }
    }
}

impl StageLogs {
    pub(super) fn of(&mut self, stage: Stage) -> &mut String {
        match stage {
            Stage::Init => &mut self.init,
            Stage::Plan => &mut self.plan,
            Stage::Apply => &mut self.apply,
        }
    }
}

/// What a list shows of a deployment. `approved` is the approval that the ledger has, where the run itself no longer holds
/// it.
pub(super) fn summary(run: &Run, position: Option<u64>, approved: Option<String>) -> api::DeploymentSummary {
    let (iac, git) = (run.action.iac(), git(run));
    let seen = view::run(run);
    let ended_at = match &run.state {
        RunState::Ended { at, .. } => Some(*at),
        RunState::Pending { .. } | RunState::Running { .. } | RunState::Gated { .. } => None,
    };
    let unhappy = run.outcome().filter(|outcome| **outcome != Outcome::Succeeded);
    api::DeploymentSummary {
        deployment_id: run.id.to_string(),
        status: Status::of(run).as_str().to_owned(),
        phase: phase(run).to_owned(),
        queued: matches!(run.state, RunState::Pending { .. }),
        position,
        started_at: run.started_at.unwrap_or(run.submitted_at),
        submitted_at: run.submitted_at,
        ended_at,
        error: unhappy.map(Outcome::sentence).unwrap_or_default(),
        outcome: run.outcome().map(|outcome| outcome.kind().as_str().to_owned()),
        operation: iac.map_or("deploy", |iac| iac.operation.verb()).to_owned(),
        git_url: git.map(|git| git.url.clone()).unwrap_or_default(),
        git_ref: git.map(|git| git.reference.clone()).unwrap_or_default(),
        path: git.map(|git| git.path.display().to_string()).unwrap_or_default(),
        commit: run.report.commit.clone(),
        submitted_by: run.origin.by().to_string(),
        approval: seen.gate,
        approved_by: approval(run).map(|approval| approval.by.to_string()).or(approved),
        cancelling: seen.cancelling,
        tool: seen.tool,
        error_code: seen.failure.as_ref().map(|failure| failure.code.clone()),
        hint: seen.failure.and_then(|failure| failure.hint),
    }
}

/// Whether somebody may have approved a deployment.
pub(super) fn asks(run: &Run) -> bool {
    run.action.iac().is_some_and(|iac| iac.approval != ApprovalPolicy::None)
}

/// All that is told of one deployment.
pub(super) fn status(
    run: &Run,
    logs: StageLogs,
    position: Option<u64>,
    approved: Option<String>,
) -> api::DeploymentStatus {
    let seen = view::run(run);
    let StageLogs { init, plan, apply } = with_error(run, logs);
    let destroys = run.action.iac().is_some_and(|iac| iac.operation == Operation::Destroy);
    api::DeploymentStatus {
        summary: summary(run, position, approved),
        init_log: init,
        plan_log: plan,
        plan_output: run.report.plan.as_ref().map(|plan| plan_text(plan, destroys)).unwrap_or_default(),
        apply_log: apply,
        apply_output: run.report.outputs.as_ref().map(outputs_text).unwrap_or_default(),
        plan: seen.plan,
        outputs: seen.outputs,
    }
}

/// Who looks for the reason looks into the log of the stage that failed.
fn with_error(run: &Run, mut logs: StageLogs) -> StageLogs {
    let failure = run.outcome().and_then(Outcome::failure);
    let stage = run.reached.and_then(|step| Stage::of_word(step.as_str()));
    if let (Some(failure), Some(stage)) = (failure, stage) {
        let log = logs.of(stage);
        if !log.is_empty() && !log.ends_with('\n') {
            log.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(log, "piton: {}", failure.message);
    }
    logs
}

fn git(run: &Run) -> Option<&GitSource> {
    match &run.action.iac()?.source {
        Source::Git(git) => Some(git),
        Source::Directory { .. } | Source::Template { .. } => None,
    }
}

fn approval(run: &Run) -> Option<&Approval> {
    match &run.state {
        RunState::Pending { resume: Resume::Approved { approval }, .. } => Some(approval),
        RunState::Running { approval, .. } => approval.as_ref(),
        RunState::Pending { .. } | RunState::Gated { .. } | RunState::Ended { .. } => None,
    }
}

/// The changes, and the sentence that both tools close a plan with.
fn plan_text(plan: &PlanSummary, destroys: bool) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let sign = match change.action.as_str() {
            "create" => "+",
            "update" => "~",
            "replace" => "-/+",
            "delete" => "-",
            "read" => "<=",
            _ => "#",
        };
        let because = change.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(text, "{sign:>3} {}{because}", change.address);
    }
    if plan.is_empty() && plan.changes.is_empty() {
        text.push_str(if destroys {
            "No changes. There is nothing to destroy.\n"
        } else {
            "No changes. Your infrastructure matches the configuration.\n"
        });
    } else {
        let (add, destroy) = (plan.add + plan.replace, plan.destroy + plan.replace);
        let _ = writeln!(text, "Plan: {add} to add, {} to change, {destroy} to destroy.", plan.change);
    }
    text
}

fn outputs_text(outputs: &BTreeMap<String, OutputValue>) -> String {
    let shown: serde_json::Map<String, serde_json::Value> = outputs
        .iter()
        .map(|(name, output)| (name.clone(), json!({ "sensitive": output.sensitive, "value": output.value })))
        .collect();
    serde_json::to_string_pretty(&shown).unwrap_or_default()
}

#[cfg(test)]
mod tests;
