//! How the tool, and what stands in for it, is called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use piton_logs::RunLog;
use piton_model::{Failure, Iac, Operation, Source, ToolUsed};
use piton_process::Policy;
use piton_tools::{Installed, Version};

use super::code::Variables;
use super::{checkout, metadata, prepare};
use crate::command::{first_line, quoted};
use crate::pass::{Child, Pass};
use crate::verdict::Doing;
use crate::{durable, environment, failing, run_files};

pub(super) fn used(installed: &Installed) -> ToolUsed {
    ToolUsed {
        name: installed.tool.program().to_owned(),
        version: installed.version.to_string(),
        path: installed.path.display().to_string(),
    }
}

/// A tool at work in one deployment directory.
pub(super) struct Workbench<'a> {
    pub(super) pass: &'a Pass<'a>,
    pub(super) iac: &'a Iac,
    pub(super) dir: PathBuf,
    pub(super) used: ToolUsed,
    pub(super) variables: Variables,
}

impl<'a> Workbench<'a> {
    /// With the tool that the run recorded. Where it is not on this node, source and tool are prepared again.
    pub(super) async fn open(pass: &'a Pass<'a>, iac: &'a Iac) -> Result<Workbench<'a>, Failure> {
        let dir = pass.world.config.deployment_dir(&iac.deployment);
        let dir = match &iac.source {
            Source::Git(source) => checkout::root_module(&dir, source),
            Source::Directory { .. } | Source::Template { .. } => dir,
        };
        let used = match &pass.input.run.report.tool {
            Some(used) if Path::new(&used.path).is_file() && dir.is_dir() => used.clone(),
            _ => prepare::lay_out_and_choose(pass, iac).await?,
        };
        if let Source::Git(source) = &iac.source {
            checkout::check_path(&pass.world.config.deployment_dir(&iac.deployment), source)?;
        }
        let at = dir.clone();
        let variables =
            tokio::task::spawn_blocking(move || Variables::read(&at)).await.map_err(|error| failing::task(&error))?;
        Ok(Workbench { pass, iac, dir, used, variables })
    }

    /// The log, masking what is secret by declaration.
    pub(super) async fn log(&self) -> Result<RunLog, Failure> {
        self.pass.log(self.declared_secrets()).await
    }

    /// The log, masking also what the plan called sensitive. Not for the sections of a plan: those begin before it is
    /// known, and a section's masks must stay the same.
    pub(super) async fn log_after_plan(&self) -> Result<RunLog, Failure> {
        let kept = self.pass.files.kept_secrets()?;
        self.pass.log(self.declared_secrets().into_iter().chain(kept)).await
    }

    pub(super) fn declared_secrets(&self) -> Vec<String> {
        let mut sensitive = BTreeSet::new();
        for (name, value) in &self.iac.vars {
            if self.variables.is_sensitive(name) {
                crate::plan::texts(value, &mut sensitive);
            }
        }
        environment::secrets(&self.pass.world.config.environment, &self.iac.env).chain(sensitive).collect()
    }

    /// The tool with these arguments.
    pub(super) fn tool(&self, what: &'static str, doing: Doing, args: Vec<String>) -> Result<Child, Failure> {
        let header = format!("$ {} {}", self.used.name, quoted(&args));
        let argv = std::iter::once(self.used.path.clone()).chain(args).collect();
        Ok(Child { what, doing, custom: false, argv, env: self.environment()?, cwd: self.dir.clone(), header })
    }

    /// A command of the user's in the tool's place.
    pub(super) fn custom(
        &self,
        what: &'static str,
        doing: Doing,
        line: &str,
        plan_file: &Path,
    ) -> Result<Child, Failure> {
        let mut env = self.environment()?;
        // So that `tofu` in the command is the tool that the run uses.
        if let Some(dir) = Path::new(&self.used.path).parent() {
            let path =
                env.get("PATH").map_or_else(|| dir.display().to_string(), |path| format!("{}:{path}", dir.display()));
            env.insert("PATH".to_owned(), path);
        }
        let mode = self.mode();
        for (name, value) in [
            ("WORKSPACE_NAME", self.iac.workspace_name.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("PITON_RUN_ID", self.pass.input.run.id.to_string()),
            ("PITON_PLAN_FILE", plan_file.display().to_string()),
        ] {
            env.insert(name.to_owned(), value);
        }
        env.insert("DEPLOYMENT_MODE".to_owned(), mode.unwrap_or_default());
        Ok(Child {
            what,
            doing,
            custom: true,
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()],
            env,
            cwd: self.dir.clone(),
            header: format!("$ {}", first_line(line)),
        })
    }

    /// The mode of the operation; for a destroy that of the deployment that it ends.
    fn mode(&self) -> Option<String> {
        match &self.iac.operation {
            Operation::Destroy => metadata::read(&self.dir)?.deployment_mode.map(|mode| mode.to_string()),
            operation => operation.mode().map(ToString::to_string),
        }
    }

    /// What the tool gets to see.
    pub(super) fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        let config = &self.pass.world.config;
        let declared = environment::declare(&config.environment, &self.iac.env, Policy::Infrastructure)?;
        let mut env = declared.into_variables();
        for (name, value) in environment::AUTOMATION {
            env.insert(name.to_owned(), value.to_owned());
        }
        let settings = config.cli_config();
        if !settings.exists() {
            // A file of our own: without one, the tools complain about a missing ~/.terraformrc, or obey one that nobody
            // remembers.
            let text = b"# Written by Piton, once. Settings for OpenTofu and Terraform in all runs.\ndisable_checkpoint = true\n";
            durable::write(&settings, text, 0o600).map_err(|error| failing::io("write", &settings, &error))?;
        }
        env.insert("TF_CLI_CONFIG_FILE".to_owned(), settings.display().to_string());
        if config.plugin_cache {
            let dir = config.plugin_cache_dir(&self.used.name);
            std::fs::create_dir_all(&dir).map_err(|error| failing::io("create", &dir, &error))?;
            env.insert("TF_PLUGIN_CACHE_DIR".to_owned(), dir.display().to_string());
        }
        Ok(env)
    }

    /// `-input=false` for all, and how long to wait for the state's lock.
    pub(super) fn lock_timeout(&self) -> String {
        format!("-lock-timeout={}s", self.pass.world.config.lock_timeout.as_secs())
    }

    /// The arguments that give the code its variables. Values that may be secret go through a file.
    pub(super) fn variable_arguments(&self) -> Result<Vec<String>, Failure> {
        let mut args: Vec<String> =
            self.iac.var_files.iter().map(|file| format!("-var-file={}", file.display())).collect();
        if !self.iac.vars.is_empty() {
            let path = self.pass.files.variables();
            let text =
                serde_json::to_vec(&self.iac.vars).map_err(|error| failing::io("write", &path, &error.into()))?;
            run_files::write(&path, &text, 0o600)?;
            args.push(format!("-var-file={}", path.display()));
        }
        // What stands last wins: `vars` and `env` may set the name, but not the mode.
        if let Some(name) = &self.iac.workspace_name
            && self.variables.declares("workspace_name")
            && !self.iac.vars.contains_key("workspace_name")
            && !self.iac.env.contains_key("TF_VAR_workspace_name")
        {
            args.push("-var".to_owned());
            args.push(format!("workspace_name={name}"));
        }
        let asked_for = self.iac.operation.mode().is_some();
        if let Some(mode) = self.mode()
            && (asked_for || self.variables.declares("deployment_mode"))
        {
            args.push("-var".to_owned());
            args.push(format!("deployment_mode={mode}"));
        }
        Ok(args)
    }

    /// Whether the tool's own locking makes a shared plugin cache safe: OpenTofu from 1.10 on.
    pub(super) fn locks_its_cache(&self) -> bool {
        let safe = Version::new(1, 10, 0);
        self.used.name == "tofu" && self.used.version.parse::<Version>().is_ok_and(|version| version >= safe)
    }
}
