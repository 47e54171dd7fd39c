//! `apply` of exactly the plan that was shown.

use std::path::PathBuf;

use piton_logs::RunLog;
use piton_model::{Approval, ApprovalPolicy, Digest, Failure, FailureClass, Iac, Operation, Report, RunState};
use tokio_util::sync::CancellationToken;

use super::plan::{self, Planned};
use super::tool::Workbench;
use super::{init, outputs};
use crate::failing;
use crate::pass::{Child, Pass};
use crate::run_files::file_digest;
use crate::step::Passed;
use crate::verdict::Doing;

/// Where the tool puts a state that it could not save.
const ERRORED_STATE: &str = "errored.tfstate";

pub(super) async fn apply(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    let bench = Workbench::open(pass, iac).await?;
    // What is under way, or done, was checked before it was begun.
    if pass.knows("apply").await? {
        let plan_file = Some(pass.files.plan()).filter(|file| file.exists());
        let plan_file = plan_file.unwrap_or_else(|| pass.files.plan_again(pass.input.attempt));
        return finish(&bench, plan_file, Report::default()).await;
    }
    pass.go_on("apply")?;
    match choose(&bench).await? {
        Chosen::Plan(file, report) => finish(&bench, file, report).await,
        Chosen::Passed(passed) => Ok(passed),
    }
}

enum Chosen {
    /// Apply this file.
    Plan(PathBuf, Report),
    /// Do not, for now or at all.
    Passed(Passed),
}

/// Finds the plan to apply, and checks that it is the one that was shown.
async fn choose(bench: &Workbench<'_>) -> Result<Chosen, Failure> {
    let Workbench { pass, iac, .. } = bench;
    let approval = approval(pass, iac)?;
    let (files, file) = (pass.files.clone(), pass.files.plan());
    let taking = tokio::task::spawn_blocking(move || files.take_out_plan());
    taking.await.map_err(|error| failing::task(&error))??;
    let Some(planned) = &pass.input.run.report.plan else { return choose_unread(bench, approval).await };
    if let Some(approval) = approval
        && approval.digest != planned.digest
    {
        return Err(failing::permanent(
            "approval_mismatch",
            format!(
                "the approval is for the plan {}, and the plan of this run is {}",
                approval.digest.short(),
                planned.digest.short()
            ),
        )
        .hint("run it again and approve the new plan"));
    }
    match file_digest(&file)? {
        Some(found) if found == planned.file_digest => Ok(Chosen::Plan(file, Report::default())),
        Some(_) => Err(failing::permanent("plan_changed", "the plan file is not the one that was made by this run")
            .hint("run it again: a new plan will be made")),
        None => again(bench, &planned.digest).await,
    }
}

/// A plan of a custom command that left no plan file. The approval is for what it printed.
async fn choose_unread(bench: &Workbench<'_>, approval: Option<&Approval>) -> Result<Chosen, Failure> {
    match approval {
        None => Ok(Chosen::Plan(bench.pass.files.plan(), Report::default())),
        Some(approval) => match printed_digest(bench.pass) {
            Some(printed) if printed == approval.digest => Ok(Chosen::Plan(bench.pass.files.plan(), Report::default())),
            _ => again(bench, &approval.digest).await,
        },
    }
}

/// The digest of what the plan command printed, in whichever attempt that was.
fn printed_digest(pass: &Pass<'_>) -> Option<Digest> {
    let run = pass.input.run.id;
    (1..=pass.input.attempt.get()).rev().find_map(|attempt| {
        let raw = pass.world.logs.raw_path(run, &format!("{run}/{attempt}/plan/plan"));
        std::fs::read(raw).ok().map(|printed| Digest::of(&printed))
    })
}

/// The plan was made on another node: it is made again here, and is as good as the first if it would do the same.
async fn again(bench: &Workbench<'_>, wanted: &Digest) -> Result<Chosen, Failure> {
    let Workbench { pass, iac, .. } = bench;
    let log = bench.log().await?;
    pass.note(&log, "again", "the plan file is not on this node; planning again").await?;
    init::run(bench, &log).await?;
    let file = pass.files.plan_again(pass.input.attempt);
    let planned = plan::run(bench, &log, &file).await?;
    let report = Report { plan: planned.summary().cloned(), ..Report::default() };
    if let (Planned::Nothing(_), None) = (&planned, &iac.commands.apply) {
        let outputs = outputs::after_success(bench).await?;
        return Ok(Chosen::Passed(Passed::Done(Report { outputs, ..report })));
    }
    if planned.digest() == wanted {
        return Ok(Chosen::Plan(file, report));
    }
    match plan::gate(iac, &planned, report) {
        Passed::Next(report) => Ok(Chosen::Plan(file, report)),
        gate => {
            // The next attempt looks for the plan where every attempt does.
            let saved = pass.files.plan();
            if file.exists() {
                std::fs::rename(&file, &saved).map_err(|error| failing::io("rename", &file, &error))?;
            }
            plan::put_away(pass, &planned, &gate).await?;
            Ok(Chosen::Passed(gate))
        }
    }
}

fn approval<'a>(pass: &'a Pass<'_>, iac: &Iac) -> Result<Option<&'a Approval>, Failure> {
    let given = match &pass.input.run.state {
        RunState::Running { approval, .. } => approval.as_ref(),
        RunState::Pending { .. } | RunState::Gated { .. } | RunState::Ended { .. } => None,
    };
    match (iac.approval, given) {
        (ApprovalPolicy::Manual { .. }, None) => {
            Err(failing::permanent("not_approved", "the plan must be approved before it is applied"))
        }
        (_, given) => Ok(given),
    }
}

async fn finish(bench: &Workbench<'_>, plan_file: PathBuf, report: Report) -> Result<Passed, Failure> {
    let pass = bench.pass;
    let log = bench.log_after_plan().await?;
    let child = child(bench, &plan_file)?;
    pass.begin_effect(child.what, child.doing).await?;
    match pass.child(&log, &child).await {
        Ok(finished) => {
            let (exited_at, unwritten) = (Some(finished.ended_at), finished.unwritten);
            Ok(Passed::Next(Report { exited_at, unwritten, ..report }))
        }
        Err(refused) => Err(rescue_state(bench, &log, refused.into()).await),
    }
}

fn child(bench: &Workbench<'_>, plan_file: &std::path::Path) -> Result<Child, Failure> {
    let doing = match bench.iac.operation {
        Operation::Destroy => Doing::Destroy,
        Operation::Deploy { .. } | Operation::Plan { .. } => Doing::Apply,
    };
    if let Some(line) = &bench.iac.commands.apply {
        return bench.custom("apply", doing, line, plan_file);
    }
    let mut args = vec!["apply".to_owned(), "-input=false".to_owned(), bench.lock_timeout()];
    if bench.iac.commands.plan.is_some() && !plan_file.exists() {
        // The plan command left no file, so the tool plans once more by itself.
        args.push("-auto-approve".to_owned());
        if bench.iac.operation == Operation::Destroy {
            args.push("-destroy".to_owned());
        }
        args.extend(bench.variable_arguments()?);
    } else {
        args.push(plan_file.display().to_string());
    }
    bench.tool("apply", doing, args)
}

/// The tool could not save the state where it belongs and left it in a file: it is pushed from there. Nobody may stop
/// this, because without it what was just made is forgotten.
async fn rescue_state(bench: &Workbench<'_>, log: &RunLog, failure: Failure) -> Failure {
    let left = bench.dir.join(ERRORED_STATE);
    if !left.exists() || failure.class == FailureClass::Uncertain {
        return failure;
    }
    let args = vec!["state".to_owned(), "push".to_owned(), ERRORED_STATE.to_owned()];
    // The run goes on longer than the apply did.
    let failure = Failure { exited_at: None, ..failure };
    let pushed = match bench.tool("state-push", Doing::PushState, args) {
        Ok(child) => {
            let unstoppable = CancellationToken::new();
            bench.pass.child_until(log, &child, &unstoppable).await.map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    match pushed {
        Ok(_) => {
            let kept = bench.dir.join("errored.tfstate.pushed");
            let note = match std::fs::rename(&left, &kept) {
                Ok(()) => "the state that could not be saved was saved now".to_owned(),
                Err(error) => format!("the state was saved, but {} stays: {error}", left.display()),
            };
            if let Err(error) = bench.pass.note(log, "rescued", &note).await {
                tracing::warn!(error = %error.message, "cannot note that a state was saved");
            }
            failure.hint("the state could not be saved at first, and was saved afterwards; run it again")
        }
        Err(_) => failure.hint(format!(
            "the state could not be saved and is in {}; run `{} state push {ERRORED_STATE}` there",
            bench.dir.display(),
            bench.used.name
        )),
    }
}
