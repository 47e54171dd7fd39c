//! `init`: providers, modules, backend.

use std::path::Path;

use piton_logs::RunLog;
use piton_model::{Failure, Iac, Report};

use super::tool::Workbench;
use crate::pass::{Pass, Refused};
use crate::step::Passed;
use crate::tree;
use crate::verdict::Doing;

const LOCK_FILE: &str = ".terraform.lock.hcl";

pub(super) async fn init(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    let bench = Workbench::open(pass, iac).await?;
    let log = bench.log().await?;
    run(&bench, &log).await?;
    Ok(Passed::Next(Report::default()))
}

/// Also for an apply on a node that has never seen the run.
pub(super) async fn run(bench: &Workbench<'_>, log: &RunLog) -> Result<(), Failure> {
    if let Some(line) = &bench.iac.commands.init {
        let child = bench.custom("init", Doing::Init, line, &bench.pass.files.plan())?;
        bench.pass.child(log, &child).await?;
        return Ok(());
    }
    let _turn = turn(bench).await?;
    let child = bench.tool("init", Doing::Init, arguments(bench, &[]))?;
    match bench.pass.child(log, &child).await {
        Ok(_) => Ok(()),
        Err(refused) if may_upgrade(bench, &refused) => {
            // The lock file is what an earlier `init` in this directory wrote: nobody chose these versions.
            bench.pass.note(log, "upgrade", "the code asks for other provider versions than before").await?;
            let child = bench.tool("init-upgrade", Doing::Init, arguments(bench, &["-upgrade"]))?;
            bench.pass.child(log, &child).await?;
            Ok(())
        }
        Err(refused) => Err(refused.failure),
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
