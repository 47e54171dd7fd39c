//! `plan`, and what it would change. A gate may follow.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use piton_logs::RunLog;
use piton_model::{ApprovalPolicy, Digest, Failure, Gate, Iac, Operation, PlanSummary, Report};

use super::outputs;
use super::tool::Workbench;
use crate::pass::{Pass, log_failure};
use crate::plain::open_plain;
use crate::run_files::{Waiting, file_digest};
use crate::step::Passed;
use crate::verdict::{self, Doing};
use crate::{failing, plan as reading};

/// What a plan came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Planned {
    /// Nothing would change.
    Nothing(PlanSummary),
    /// Something would.
    Something(PlanSummary),
    /// A command of the user's planned, and left no plan file: all that is known is what it printed.
    Unknown {
        /// Digest of the output.
        digest: Digest,
    },
}

impl Planned {
    pub(super) fn digest(&self) -> &Digest {
        match self {
            Planned::Nothing(summary) | Planned::Something(summary) => &summary.digest,
            Planned::Unknown { digest } => digest,
        }
    }

    pub(super) fn summary(&self) -> Option<&PlanSummary> {
        match self {
            Planned::Nothing(summary) | Planned::Something(summary) => Some(summary),
            Planned::Unknown { .. } => None,
        }
    }
}

pub(super) async fn plan(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    if let (ApprovalPolicy::Manual { timeout }, Some(waiting)) = (iac.approval, pass.files.waiting(pass.input.attempt)?)
    {
        forget_output(pass).await?;
        return Ok(Passed::Gate { gate: waiting.gate, expires_in: timeout, report: waiting.report });
    }
    let bench = Workbench::open(pass, iac).await?;
    let log = bench.log().await?;
    let planned = run(&bench, &log, &pass.files.plan()).await?;
    let report = Report { plan: planned.summary().cloned(), ..Report::default() };
    if matches!(iac.operation, Operation::Plan { .. }) {
        return Ok(Passed::Done(report));
    }
    // A command in place of `apply` may do more than the plan says, so it is run in any case.
    if let (Planned::Nothing(_), None) = (&planned, &iac.commands.apply) {
        let outputs = outputs::after_success(&bench).await?;
        return Ok(Passed::Done(Report { outputs, ..report }));
    }
    let passed = gate(iac, &planned, report);
    put_away(pass, &planned, &passed).await?;
    Ok(passed)
}

/// Where somebody has to decide, which may take days, nothing lies there in clear meanwhile. What a command printed that
/// left no plan file is all that is known of its plan, and stays.
pub(super) async fn put_away(pass: &Pass<'_>, planned: &Planned, passed: &Passed) -> Result<(), Failure> {
    let (Passed::Gate { gate, report, .. }, Some(_)) = (passed, planned.summary()) else { return Ok(()) };
    let waiting = Waiting { gate: gate.clone(), report: report.clone() };
    let (files, attempt) = (pass.files.clone(), pass.input.attempt);
    let putting = tokio::task::spawn_blocking(move || files.put_away(attempt, &waiting));
    if putting.await.map_err(|error| failing::task(&error))?? {
        forget_output(pass).await?;
    }
    Ok(())
}

/// What the tools printed is in the log by now, without secrets, or was read; as they printed it, it would lie there for
/// as long as somebody takes to decide.
async fn forget_output(pass: &Pass<'_>) -> Result<(), Failure> {
    pass.world.logs.discard_raw(pass.input.run.id).await.map_err(|error| log_failure(&error))
}

/// A gate where the declaration asks for one.
pub(super) fn gate(iac: &Iac, planned: &Planned, report: Report) -> Passed {
    match iac.approval {
        ApprovalPolicy::None => Passed::Next(report),
        ApprovalPolicy::Manual { timeout } => {
            let gate = Gate { digest: planned.digest().clone(), question: question(iac, planned) };
            Passed::Gate { gate, expires_in: timeout, report }
        }
    }
}

fn question(iac: &Iac, planned: &Planned) -> String {
    let mode = iac.operation.mode().map(|mode| format!(" in mode {mode}")).unwrap_or_default();
    let what = match planned.summary() {
        Some(summary) => summary.sentence(),
        None => "see the log for what the plan command printed".to_owned(),
    };
    format!("{} {}{mode}? {what}", iac.operation.verb(), iac.workspace_name.as_ref().unwrap_or(&iac.deployment))
}

/// Makes a plan and reads it. Also for an apply on a node that has no plan file.
pub(super) async fn run(bench: &Workbench<'_>, log: &RunLog, file: &Path) -> Result<Planned, Failure> {
    let pass = bench.pass;
    let child = match &bench.iac.commands.plan {
        Some(line) => bench.custom("plan", Doing::Plan, line, file)?,
        None => bench.tool("plan", Doing::Plan, arguments(bench, file)?)?,
    };
    let finished = pass.child(log, &child).await?;
    let Some(file_digest) = file_digest(file)? else {
        if !child.custom {
            let message = "the tool said that it made a plan, but there is no plan file";
            return Err(failing::permanent("plan_unreadable", message));
        }
        let raw = pass.world.logs.raw_path(pass.input.run.id, &pass.token(child.what));
        let printed = std::fs::read(&raw).map_err(|error| failing::io("read", &raw, &error))?;
        return Ok(Planned::Unknown { digest: Digest::of(&printed) });
    };
    // It holds secrets in clear.
    open_plain(file)
        .and_then(|plan| plan.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|error| failing::io("set the permissions of", file, &error))?;

    let args = vec!["show".to_owned(), "-json".to_owned(), file.display().to_string()];
    let shown = pass.capture(log, &bench.tool("show", Doing::Show, args)?).await?;
    let reading = tokio::task::spawn_blocking(move || reading::read(&shown, file_digest))
        .await
        .map_err(|error| failing::task(&error))?
        .map_err(|error| failing::permanent("plan_unreadable", error.to_string()))?;
    pass.files.keep_secrets(&reading.secrets)?;
    let mut summary = reading.summary;
    // The key of an instance may be a secret.
    for change in &mut summary.changes {
        change.address = log.redactor().redact(&change.address);
    }
    // A custom command's exit code says nothing about changes; the tool's says more than the counts, which know nothing of
    // moved or forgotten resources.
    let nothing = match (child.custom, finished.passed) {
        (false, verdict::Passed::Well) => true,
        (false, verdict::Passed::WithChanges) => false,
        (true, _) => summary.is_empty() && summary.changes.is_empty(),
    };
    Ok(if nothing { Planned::Nothing(summary) } else { Planned::Something(summary) })
}

fn arguments(bench: &Workbench<'_>, file: &Path) -> Result<Vec<String>, Failure> {
    let mut args = vec!["plan".to_owned(), "-input=false".to_owned(), bench.lock_timeout()];
    args.push("-detailed-exitcode".to_owned());
    if bench.iac.operation == Operation::Destroy {
        args.push("-destroy".to_owned());
    }
    args.push(format!("-out={}", file.display()));
    args.extend(bench.variable_arguments()?);
    // Last, because of several values for a variable the tools take the last: what is asked for by a flag stands above
    // what variable files say.
    args.extend(bench.iac.plan_flags.iter().cloned());
    Ok(args)
}
