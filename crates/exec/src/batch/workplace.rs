//! What all tasks and hooks of one job have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use piton_logs::RunLog;
use piton_model::batch::TaskId;
use piton_model::{Batch, CompletionMode, Failure, Name};
use piton_process::{AccountError, Environment, Invocation, Limits, Policy, StopSequence};

use crate::command::{DEFAULT_PATH, STANDALONE, program};
use crate::hooks::HookRunner;
use crate::pass::Pass;
use crate::{environment, failing};

pub(crate) struct Workplace<'a> {
    pub(crate) pass: &'a Pass<'a>,
    pub(crate) batch: &'a Batch,
    pub(crate) log: RunLog,
    environment: BTreeMap<String, String>,
    cwd: PathBuf,
    limits: Limits,
    argv: Vec<String>,
    /// The command, as the log shows it.
    header: String,
}

impl<'a> Workplace<'a> {
    pub(crate) async fn of(pass: &'a Pass<'a>, batch: &'a Batch) -> Result<Workplace<'a>, Failure> {
        let config = &pass.world.config;
        let base = if batch.inherit_env { &config.whole_environment } else { &config.environment };
        let nothing = Environment::default();
        let secrets = environment::secrets(base, &batch.env);
        let of_hooks = piton_model::HookPhase::ALL
            .iter()
            .flat_map(|phase| batch.hooks.of(*phase))
            .flat_map(|hook| environment::secrets(&nothing, &hook.env));
        let log = pass.log(secrets.chain(of_hooks)).await?;
        let (argv, header) = program(pass, &batch.program)?;
        let cwd = batch.work_dir.clone().unwrap_or_else(|| config.work_dir.clone());
        if !cwd.is_dir() {
            let message = format!("the working directory {} does not exist", cwd.display());
            return Err(failing::permanent("working_dir_missing", message));
        }
        let limits = limits_of(batch)?;
        Ok(Workplace { limits, pass, batch, log, environment: environment_of(pass, batch, base)?, cwd, argv, header })
    }

    pub(crate) fn hooks(&'a self) -> HookRunner<'a> {
        HookRunner {
            pass: self.pass,
            log: &self.log,
            hooks: &self.batch.hooks,
            environment: self.environment.clone(),
            limits: Limits { identity: self.limits.identity.clone(), umask: self.limits.umask, ..Limits::default() },
            cwd: self.cwd.clone(),
        }
    }

    /// How a task is started.
    pub(crate) fn invocation(&self, id: TaskId) -> Invocation {
        let mut env = self.environment.clone();
        if self.batch.completion_mode == CompletionMode::Indexed {
            env.insert("JOB_COMPLETION_INDEX".to_owned(), id.place.to_string());
        }
        Invocation {
            token: self.pass.token(&id.to_string()),
            argv: self.argv.clone(),
            env,
            cwd: self.cwd.clone(),
            header: format!("task {id}: {}", self.header),
            stop: StopSequence::job(),
            limits: self.limits.clone(),
        }
    }
}

fn limits_of(batch: &Batch) -> Result<Limits, Failure> {
    match piton_process::limits_of(&batch.confinement) {
        Ok((limits, _)) => Ok(limits),
        Err(AccountError::Unreadable { path, source }) => Err(failing::io("read", Path::new(path), &source)),
        Err(unknown) => Err(failing::permanent("spawn_failed", unknown.to_string())),
    }
}

fn environment_of(pass: &Pass<'_>, batch: &Batch, base: &Environment) -> Result<BTreeMap<String, String>, Failure> {
    let run = pass.input.run;
    let mut env = environment::declare(base, &batch.env, Policy::Job)?.into_variables();
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    for (name, value) in [
        ("WORKSPACE_ID", run.subject.workspace().map_or(STANDALONE, Name::as_str).to_owned()),
        ("JOB_NAME", run.origin.job_name(&run.subject)),
        ("PITON_RUN_ID", run.id.to_string()),
    ] {
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}
