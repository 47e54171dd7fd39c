//! `piton workspace deploy` beside the same commands by hand, in turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::daemon::{Daemon, Place, program};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Changed by every deployment, so that each has something to apply. Built into the tool: nothing is downloaded.
pub const CODE: &str = r#"
variable "workspace_name" {
  type = string
}

resource "terraform_data" "bench" {
  count = 3
  input = "${var.workspace_name} ${timestamp()}"
}

output "when" {
  value = terraform_data.bench[*].output
}
"#;

/// Overhead that is allowed: whichever is larger.
const SHARE: f64 = 0.05;
const MILLISECONDS: f64 = 20.0;

pub fn measure(binaries: &Path, rounds: usize, table: &mut Table) -> anyhow::Result<()> {
    say("deploy: a workspace");
    let program = program(binaries)?;
    let place = Place::new()?;
    let workspace = place.dir.path().join("workspaces/bench");
    std::fs::create_dir_all(&workspace)?;
    std::fs::write(workspace.join("main.tf"), CODE)?;
    std::fs::write(workspace.join("config.json"), r#"{"enabled": true, "deploy_schedule": "0 0 1 1 *"}"#)?;
    let Tool { name, program: tool, path } = Tool::find(&place)?;
    let daemon = Daemon::start_with_path(&program, &place, &path)?;
    let hand = Hand::new(tool, path.clone())?;
    std::fs::create_dir(hand.code())?;
    std::fs::write(hand.code().join("main.tf"), CODE)?;
    let (mut piton, mut bare) = (vec![], vec![]);
    for round in 0..=rounds {
        let (ours, theirs) = (deploy(&program, &place, &path)?, hand.deploy()?);
        // The first round warms everything, and creates what later ones change.
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
    table.add(&format!("piton workspace deploy, {name}"), milliseconds(piton.median()), &note(&piton), Goal::None, "");
    table.add(
        &format!("init, plan, show, apply, output by hand, {name}"),
        milliseconds(bare.median()),
        &note(&bare),
        Goal::None,
        "",
    );
    let overhead = piton.median() - bare.median();
    let share = format!(" ({} %)", shown(100.0 * overhead / bare.median()));
    let goal = Goal::AtMost((bare.median() * SHARE).max(MILLISECONDS));
    table.add("- overhead of piton", milliseconds(overhead), &share, goal, "");
    Ok(())
}

/// The only tool that the daemon finds, as the commands by hand do.
pub struct Tool {
    pub name: &'static str,
    pub program: PathBuf,
    /// A PATH with it and what the system has.
    pub path: String,
}

impl Tool {
    pub fn find(place: &Place) -> anyhow::Result<Tool> {
        let tool = find_tool().context("neither PITON_TEST_TOFU nor a `tofu` or `terraform` on PATH")?;
        say(&format!("  with {}", tool.display()));
        let tools = place.dir.path().join("tools");
        std::fs::create_dir_all(&tools)?;
        let is_terraform = tool.file_name().is_some_and(|name| name.to_string_lossy().contains("terraform"));
        let name = if is_terraform { "terraform" } else { "tofu" };
        let program = tools.join(name);
        std::os::unix::fs::symlink(&tool, &program)?;
        Ok(Tool { name, program, path: format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display()) })
    }
}

fn find_tool() -> Option<PathBuf> {
    let named = std::env::var_os("PITON_TEST_TOFU").map(PathBuf::from).filter(|path| path.is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || {
        ["tofu", "terraform"]
            .iter()
            .find_map(|name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file()))
    };
    named.or_else(on_path)
}

/// Milliseconds until the command that deploys has ended.
fn deploy(program: &Path, place: &Place, path: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let output = place.command(program, ["workspace", "deploy", "bench"]).env("PATH", path).output()?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(output.status.success(), "piton failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// The same by hand: the same files, commands, arguments and environment, output to a file.
pub struct Hand {
    dir: tempfile::TempDir,
    tool: PathBuf,
    env: BTreeMap<&'static str, String>,
}

impl Hand {
    pub fn new(tool: PathBuf, path: String) -> anyhow::Result<Hand> {
        let dir = tempfile::Builder::new().prefix("piton-hand-").tempdir()?;
        std::fs::create_dir(dir.path().join("plugin-cache"))?;
        let settings = dir.path().join("cli.tfrc");
        std::fs::write(&settings, "disable_checkpoint = true\n")?;
        let mut env = BTreeMap::from([
            ("PATH", path),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("TF_INPUT", "0".to_owned()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
            ("TF_CLI_CONFIG_FILE", settings.display().to_string()),
            ("TF_PLUGIN_CACHE_DIR", dir.path().join("plugin-cache").display().to_string()),
        ]);
        env.extend(std::env::var("HOME").map(|home| ("HOME", home)));
        Ok(Hand { dir, tool, env })
    }

    /// Where the code is to be put.
    pub fn code(&self) -> PathBuf {
        self.dir.path().join("bench")
    }

    /// Another variable of the environment.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.env.insert(name, value.to_owned());
    }

    /// Milliseconds that the commands take.
    pub fn deploy(&self) -> anyhow::Result<f64> {
        let plan = self.dir.path().join("plan");
        let plan = plan.to_string_lossy();
        let out = format!("-out={plan}");
        let begun = Instant::now();
        self.call(&["init", "-input=false"], 0)?;
        let variable = ["-var", "workspace_name=bench"];
        self.call(
            &["plan", "-input=false", "-lock-timeout=120s", "-detailed-exitcode", &out, variable[0], variable[1]],
            2,
        )?;
        self.call(&["show", "-json", &plan], 0)?;
        self.call(&["apply", "-input=false", "-lock-timeout=120s", &plan], 0)?;
        self.call(&["output", "-json"], 0)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    fn call(&self, arguments: &[&str], expected: i32) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log"))?;
        let mut command = Command::new(&self.tool);
        command.args(arguments).env_clear().envs(&self.env).current_dir(self.dir.path().join("bench"));
        let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
        ensure!(status.code() == Some(expected), "{} ended with {status}", arguments.join(" "));
        Ok(())
    }
}
