//! Short commands that are asked for an answer: probes and detectors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use piton_keeper::{Child, Limits, Output, ProcessIdentity, Remembered, Spec, Token};
use piton_model::Program;
use piton_process::{Error, Keeping, StopSequence};
use tokio_util::sync::CancellationToken;

use crate::real_time::pause;

/// For environments without one.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Between the prefix of a token and its number. Nobody comes back for these commands: what a supervisor left behind is
/// not asked again.
const ASKED: &str = "/asked/";

/// Around what a command is asked.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What the tokens of commands begin with.
    pub token_prefix: String,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub work_dir: PathBuf,
}

/// Runs a command, which is killed with all it started after `timeout` or once `stop` is cancelled. `Ok` if it succeeds.
pub(crate) async fn ask(
    keeping: &Keeping,
    around: &Surroundings,
    program: &Program,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<(), String> {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let token = format!("{}{ASKED}{}-{number}", around.token_prefix, supervisor());
    let token: Token = token.parse().map_err(|error: piton_keeper::TokenError| error.to_string())?;
    let spec = spec(around, program)?;
    let child = match keeping.start(&token, &spec).await {
        Ok(child) => child,
        Err(error) => {
            let _ = keeping.forget(&token).await;
            return Err(error.to_string());
        }
    };
    // A child of the given token, so that the one stops with the other and the timeout stops this one alone.
    let over = stop.child_token();
    let sequence = StopSequence::kill();
    let attending = keeping.attend(&child, &sequence, &over);
    tokio::pin!(attending);
    let end = tokio::select! {
        biased;
        end = &mut attending => end,
        () = pause(timeout) => {
            over.cancel();
            attending.await
        }
    };
    let _ = keeping.forget(&token).await;
    match end {
        Ok(exit) if exit.success() => Ok(()),
        Ok(exit) if exit.killed => Err(format!("it took longer than {timeout:?} and was killed")),
        Ok(exit) => Err(exit.status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Kills and forgets the commands that another supervisor, which is gone, has left with the keeper. `held` is what
/// [`Keeping::held`] says.
pub async fn clear_asked(keeping: &Keeping, held: &[Child]) -> Result<(), Error> {
    let ours = format!("{ASKED}{}-", supervisor());
    for child in held {
        let token = child.token.as_str();
        if token.contains(ASKED) && !token.contains(&ours) {
            keeping.abandon_child(&child.token).await?;
        }
    }
    Ok(())
}

fn spec(around: &Surroundings, program: &Program) -> Result<Spec, String> {
    let mut env = around.env.clone();
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    Ok(Spec {
        argv: argv(program)?.into_iter().map(Into::into).collect(),
        env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        cwd: around.work_dir.clone(),
        stdout: Output::Null,
        stderr: Output::Null,
        limits: Limits::default(),
        remembered: Remembered::WithinThisBoot,
    })
}

/// The command line of a program.
pub(crate) fn argv(program: &Program) -> Result<Vec<String>, String> {
    let shell = |line: &str| ["/bin/sh", "-c", line].map(str::to_owned).into();
    match program {
        Program::Exec { argv } if argv.first().is_none_or(String::is_empty) => Err("the command is empty".to_owned()),
        Program::Exec { argv } => Ok(argv.clone()),
        Program::Shell { line } => Ok(shell(line)),
        Program::Script { text } if text.starts_with("#!") => {
            Err("a script with an interpreter of its own has to be put into a file".to_owned())
        }
        Program::Script { text } => Ok(shell(text)),
    }
}

/// This supervisor, as no other is called while its commands are remembered.
fn supervisor() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| match ProcessIdentity::of(std::process::id()) {
        Some(me) => {
            let boot: String = me.boot_id.as_str().chars().filter(char::is_ascii_hexdigit).take(8).collect();
            format!("{boot}-{}-{}", me.pid, me.start_ticks)
        }
        None => format!("unknown-{}", std::process::id()),
    })
}
