//! `POST /deploy` until the deployment has ended, beside the same commands by hand, in turns.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use http_body_util::BodyExt as _;
use piton_testkit::hosting::Hosting;
use piton_testkit::repository::{git, repository};
use serde_json::json;

use crate::client::{Ask, Client};
use crate::daemon::{Daemon, Place, program};
use crate::deploy::{CODE, Hand, Tool};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Overhead that is allowed: whichever is larger.
const SHARE: f64 = 0.10;
const MILLISECONDS: f64 = 50.0;

pub async fn measure(binaries: &Path, rounds: usize, table: &mut Table) -> anyhow::Result<()> {
    say("deployments: from git over HTTP");
    let program = program(binaries)?;
    let place = Place::new()?;
    let Tool { name, program: tool, path } = Tool::find(&place)?;
    let root = tempfile::tempdir()?;
    repository(root.path(), "open/code.git", &[&[("main.tf", CODE)]])?;
    let hosting = Hosting::start(root.path())?;
    let url = hosting.url("open/code.git");
    let daemon = Daemon::start_with_path(&program, &place, &path)?;
    let address = place.address(&program)?;
    let new = json!({
        "tool": name, "git_url": url, "git_ref": "main", "auto_approve": true,
        "env_vars": { "TF_VAR_workspace_name": "bench" },
    });
    let (mut piton, mut bare) = (vec![], vec![]);
    for round in 0..=rounds {
        let ours = deploy(&address, &new).await?;
        let theirs = by_hand(&url, tool.clone(), path.clone())?;
        // The first round warms everything.
        if round > 0 {
            piton.push(ours);
            bare.push(theirs);
        }
    }
    daemon.end()?;
    let (piton, bare) = (Spread::of(piton), Spread::of(bare));
    let milliseconds = |value| Figure { value, unit: "ms" };
    let note =
        |spread: &Spread| format!(" ({} to {}, {} rounds)", shown(spread.min()), shown(spread.max()), spread.len());
    table.add(
        &format!("POST /deploy until its end, {name}"),
        milliseconds(piton.median()),
        &note(&piton),
        Goal::None,
        "",
    );
    let what = format!("fetch, init, plan, show, apply, output by hand, {name}");
    table.add(&what, milliseconds(bare.median()), &note(&bare), Goal::None, "");
    let overhead = piton.median() - bare.median();
    let share = format!(" ({} %)", shown(100.0 * overhead / bare.median()));
    let goal = Goal::AtMost((bare.median() * SHARE).max(MILLISECONDS));
    table.add("- overhead of POST /deploy", milliseconds(overhead), &share, goal, "");
    Ok(())
}

/// Milliseconds from the request until the stream of the log ends.
async fn deploy(address: &str, new: &serde_json::Value) -> anyhow::Result<f64> {
    let mut client = Client::connect(address).await?;
    let begun = Instant::now();
    let started = client.json(&Ask::post("/deploy", new)).await?;
    let id = started["deployment_id"].as_str().context("no id")?;
    let log = client.begin(&Ask::get(format!("/deploy/{id}/logs")), "text/event-stream").await?;
    log.into_body().collect().await?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let mut client = Client::connect(address).await?;
    let status = client.json(&Ask::get(format!("/deploy/{id}/status"))).await?;
    ensure!(status["status"] == "success", "the deployment ended with {status:#}");
    Ok(took)
}

/// Milliseconds for a checkout of the one commit, and for what the daemon calls the tool for.
fn by_hand(url: &str, tool: std::path::PathBuf, path: String) -> anyhow::Result<f64> {
    let mut hand = Hand::new(tool, path)?;
    hand.set("TF_VAR_workspace_name", "bench");
    let code = hand.code();
    let begun = Instant::now();
    std::fs::create_dir(&code)?;
    git(&code, ["init", "-q"])?;
    git(&code, ["fetch", "-q", "--depth=1", "--no-tags", url, "main"])?;
    git(&code, ["checkout", "-q", "--detach", "FETCH_HEAD"])?;
    let fetched = begun.elapsed().as_secs_f64() * 1e3;
    Ok(fetched + hand.deploy()?)
}
