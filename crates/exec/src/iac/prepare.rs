//! Lays out the deployment directory and chooses the tool.

use std::path::{Path, PathBuf};

use piton_model::{Failure, FailureClass, Iac, Operation, Report, RunState, Source, ToolChoice, ToolUsed};
use piton_process::Policy;
use piton_tools::{Place, Preference, Progress, Tool, Want};
use tokio::sync::mpsc;

use super::{checkout, code, layout, metadata, tool};
use crate::pass::Pass;
use crate::step::Passed;
use crate::{environment, failing, tree};

pub(super) async fn prepare(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    pass.go_on("prepare")?;
    environment::declare(&pass.world.config.environment, &iac.env, Policy::Infrastructure)?;
    if let Source::Git(_) = &iac.source {
        checkout::make_room(&pass.world.config.deployment_dir(&iac.deployment))?;
        return Ok(Passed::Next(Report::default()));
    }
    let used = lay_out_and_choose(pass, iac).await?;
    Ok(Passed::Next(Report { tool: Some(used), ..Report::default() }))
}

/// Also for an apply on a node that has never seen the run.
pub(super) async fn lay_out_and_choose(pass: &Pass<'_>, iac: &Iac) -> Result<ToolUsed, Failure> {
    let dir = pass.world.config.deployment_dir(&iac.deployment);
    if let Source::Git(source) = &iac.source {
        // The very commit that was planned, wherever its branch is by now.
        let commit = pass.input.run.report.commit.as_ref().unwrap_or(&source.reference);
        checkout::fetch(pass, iac, source, commit).await?;
        return choose(pass, iac, checkout::root_module(&dir, source)).await;
    }
    let (templates, source, target) = (pass.world.templates.clone(), iac.source.clone(), dir.clone());
    let custom = iac.commands.init.is_some() || iac.commands.plan.is_some();
    let change = metadata::Change {
        workspace: iac.workspace_name.clone().unwrap_or_else(|| iac.deployment.clone()),
        at: match &pass.input.run.state {
            RunState::Running { lease, .. } => lease.since,
            RunState::Pending { .. } | RunState::Gated { .. } | RunState::Ended { .. } => pass.input.run.submitted_at,
        },
        mode: match &iac.operation {
            Operation::Deploy { mode } => mode.clone(),
            Operation::Destroy | Operation::Plan { .. } => None,
        },
    };
    let destroys = matches!(iac.operation, Operation::Destroy);
    tokio::task::spawn_blocking(move || {
        let template = match layout::lay_out(&templates, &source, &target, custom) {
            // Code that is gone must not keep what was made from it from being destroyed.
            Err(failure) if destroys && layout::is_gone(&failure) && tree::was_laid_out(&target) => None,
            laid_out => laid_out?,
        };
        metadata::write(&target, change, template.as_ref())
    })
    .await
    .map_err(|error| failing::task(&error))??;
    check_state(pass, iac, &dir)?;
    layout::check_var_files(&dir, &iac.var_files)?;
    choose(pass, iac, dir).await
}

/// Several daemons may share a database; state that lies beside the code lies with one of them.
fn check_state(pass: &Pass<'_>, iac: &Iac, dir: &Path) -> Result<(), Failure> {
    let here = pass.input.run.lease().map(|lease| &lease.worker);
    let Some(holder) = iac.state_at.as_ref().filter(|holder| here.is_some_and(|here| here != *holder)) else {
        return Ok(());
    };
    if dir.join("terraform.tfstate").exists() || code::keeps_state_elsewhere(dir) {
        return Ok(());
    }
    let message = format!("the state of this deployment lies with worker {holder}, and not here");
    Err(Failure::new(FailureClass::Permanent, "state_elsewhere", message)
        .hint("where several daemons share a database, code needs a backend for its state, such as s3, pg or http"))
}

pub(super) async fn choose(pass: &Pass<'_>, iac: &Iac, dir: PathBuf) -> Result<ToolUsed, Failure> {
    let version = match &iac.version {
        Some(text) => Some(Want::parse(text, &Place::Configuration).map_err(|error| failure(&error))?),
        None => None,
    };
    let preference = Preference {
        tool: match iac.tool {
            ToolChoice::Auto => piton_tools::ToolChoice::Auto,
            ToolChoice::Tofu => piton_tools::ToolChoice::Exactly(Tool::OpenTofu),
            ToolChoice::Terraform => piton_tools::ToolChoice::Exactly(Tool::Terraform),
        },
        version,
        root: None,
    };
    let log = pass.log(environment::secrets(&pass.world.config.environment, &iac.env)).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut last = "";
    let resolving = pass.world.tools.resolve(&preference, &dir, move |progress| {
        if let Some((key, line)) = line_of(&progress)
            && key != last
        {
            last = key;
            // Nobody listens only when the step is over.
            let _ = tell.send((key, line));
        }
    });
    let mut resolving = std::pin::pin!(resolving);
    // A download may take minutes, and nothing is lost when it is dropped.
    let installed = loop {
        tokio::select! {
            biased;
            Some((key, line)) = told.recv() => pass.note(&log, key, &line).await?,
            installed = &mut resolving => break installed,
            () = pass.input.stop.cancelled() => return Err(failing::stopped_before("init")),
        }
    };
    let used = tool::used(&installed.map_err(|error| failure(&error))?);
    pass.note(&log, "tool", &format!("using {} {} ({})", used.name, used.version, used.path)).await?;
    Ok(used)
}

/// What is worth a line in the log, once of each kind.
fn line_of(progress: &Progress) -> Option<(&'static str, String)> {
    match progress {
        Progress::ReadingIndex(tool) => Some(("releases", format!("looking for releases of {}", tool.title()))),
        Progress::Waiting(tool, version) => {
            Some(("waiting", format!("waiting for the download of {} {version}", tool.title())))
        }
        Progress::Downloading { file, .. } => Some(("download", format!("downloading {file}"))),
        _ => None,
    }
}

fn failure(error: &piton_tools::Error) -> Failure {
    let class = if error.is_transient() { FailureClass::Transient } else { FailureClass::Permanent };
    let failure = Failure::new(class, format!("tool_{}", error.code()), error.to_string());
    match error.hint() {
        hint if hint.is_empty() => failure,
        hint => failure.hint(hint),
    }
}
