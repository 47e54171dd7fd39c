//! `init`: providers, modules, backend.

use std::path::Path;

use piton_logs::RunLog;
use piton_model::{Failure, Iac, Report, Source};

use super::access::{self, Access};
use super::checkout;
use super::tool::Workbench;
use crate::confine::Confine;
use crate::pass::{Child, Pass, Refused};
use crate::request::flags;
use crate::step::Passed;
use crate::tree;
use crate::verdict::Doing;

const LOCK_FILE: &str = ".terraform.lock.hcl";

pub(super) async fn init(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    let bench = Workbench::open(pass, iac).await?;
    let log = bench.log().await?;
    if matches!(pass.world.config.confine, Confine::Unavailable) {
        let text = "this system cannot confine deployed code: it may read what this user may read (`iac.confine`)";
        pass.note(&log, "confine", text).await?;
    }
    run(&bench, &log).await?;
    Ok(Passed::Next(Report::default()))
}

/// Also for an apply on a node that has never seen the run.
pub(super) async fn run(bench: &Workbench<'_>, log: &RunLog) -> Result<(), Failure> {
    let Some(access) = Access::open(bench).await? else { return run_with(bench, log, |_| {}).await };
    let secrets = bench.declared_secrets().into_iter().chain([access.token().to_owned()]);
    let log = bench.pass.log(secrets).await?;
    let done = run_with(bench, &log, |child| access.give(child)).await;
    access::close(bench.pass)?;
    done
}

async fn run_with(bench: &Workbench<'_>, log: &RunLog, give: impl Fn(&mut Child)) -> Result<(), Failure> {
    if let Some(line) = &bench.iac.commands.init {
        let mut child = bench.custom("init", Doing::Init, line, &bench.pass.files.plan())?;
        give(&mut child);
        bench.pass.child(log, &child).await?;
        return Ok(());
    }
    if let Source::Git(source) = &bench.iac.source {
        let deployment = bench.pass.world.config.deployment_dir(&bench.iac.deployment);
        for file in flags::files(&bench.iac.init_flags) {
            checkout::check_file(&deployment, source, &file, "file of backend settings")?;
        }
    }
    if matches!(bench.iac.source, Source::Git(_)) {
        let product = if bench.used.name.as_str() == "terraform" { "Terraform" } else { "OpenTofu" };
        bench.pass.announce(log, "initializing", &format!("Initializing {product}...")).await?;
    }
    let _turn = turn(bench).await?;
    let mut child = bench.tool("init", Doing::Init, arguments(bench, &[]))?;
    give(&mut child);
    match bench.pass.child(log, &child).await {
        Ok(_) => Ok(()),
        Err(refused) if may_upgrade(bench, &refused) => {
            // The lock file is what an earlier `init` in this directory wrote: nobody chose these versions.
            bench.pass.note(log, "upgrade", "the code asks for other provider versions than before").await?;
            let mut child = bench.tool("init-upgrade", Doing::Init, arguments(bench, &["-upgrade"]))?;
            give(&mut child);
            bench.pass.child(log, &child).await?;
            Ok(())
        }
        Err(refused) => Err(refused.into()),
    }
}

fn arguments(bench: &Workbench<'_>, more: &[&str]) -> Vec<String> {
    let own = ["init", "-input=false"].into_iter().chain(more.iter().copied()).map(str::to_owned);
    own.chain(bench.iac.init_flags.iter().cloned()).collect()
}

fn may_upgrade(bench: &Workbench<'_>, refused: &Refused) -> bool {
    refused.failure.code == "init_failed"
        && refused.output.contains("init -upgrade")
        && !tree::was_placed(&bench.dir, Path::new(LOCK_FILE))
}

async fn turn(bench: &Workbench<'_>) -> Result<Option<super::plugin_cache::Turn>, Failure> {
    let world = bench.pass.world;
    if !world.config.plugin_cache || bench.locks_its_cache() || bench.pass.knows("init").await? {
        return Ok(None);
    }
    let dir = world.config.plugin_cache_dir(&bench.used.name);
    std::fs::create_dir_all(&dir).map_err(|error| crate::failing::io("create", &dir, &error))?;
    world.cache.turn(&dir, &bench.pass.input.stop).await.map(Some)
}
