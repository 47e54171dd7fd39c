//! What an instance is started with: environment, files, limits.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use piton_keeper::{LogFile, Output, Remembered, Spec};
use piton_model::Process;
use piton_process::{Environment, Policy, User, limits_of};

use crate::Settings;
use crate::command::{Surroundings, argv};
use crate::incarnation::QUESTIONS;

/// One instance of a process, with what it takes from its supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) process: &'a Process,
    pub(crate) instance: &'a str,
    /// Its number among the instances, from 1.
    pub(crate) number: u32,
}

/// What tells a process about its supervisor, or belongs to the daemon alone.
const DAEMONS_OWN: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "MAINPID",
    "INVOCATION_ID",
];

impl Launch<'_> {
    /// All that the keeper has to know. Makes the directories of the output. The error says what is wrong in words.
    pub(crate) fn spec(&self) -> Result<Spec, String> {
        let (limits, user) = limits_of(&self.process.confinement).map_err(|error| error.to_string())?;
        let (stdout, stderr) = self.outputs();
        let (out_dir, err_dir) = (stdout.path().and_then(Path::parent), stderr.path().and_then(Path::parent));
        // Mostly one and the same.
        for dir in out_dir.into_iter().chain(err_dir.filter(|dir| Some(*dir) != out_dir)) {
            make_dir(dir)?;
        }
        let env = self.environment(user.as_ref())?;
        Ok(Spec {
            argv: argv(&self.process.program)?.into_iter().map(Into::into).collect(),
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            cwd: self.work_dir(),
            stdout,
            stderr,
            limits,
            // Whatever ran before a reboot is started anew, however it ended.
            remembered: Remembered::WithinThisBoot,
        })
    }

    /// The environment of the instance: what it may know of the daemon's, then who it is, then what is declared.
    pub(crate) fn environment(&self, user: Option<&User>) -> Result<BTreeMap<String, String>, String> {
        let all = if self.process.inherit_env { &["*"][..] } else { &[] };
        let daemons = |name: &str| name.starts_with("PITON_") || DAEMONS_OWN.contains(&name);
        let own = self.settings.environment.iter().filter(|(name, _)| !daemons(name));
        let mut environment = Environment::inherit(own.map(|(name, value)| (name.clone(), value.clone())), all);
        if let Some(user) = user {
            environment = environment
                .set("USER", &user.name)
                .set("LOGNAME", &user.name)
                .set("HOME", &user.home)
                .set("SHELL", &user.shell);
        }
        let declared = self.process.env.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
        let environment = environment.declare(declared, Policy::Job).map_err(|error| error.to_string())?;
        Ok(environment
            .set("PITON_PROCESS", self.process.name.as_str())
            .set("PITON_INSTANCE", self.instance)
            .set("PITON_INSTANCE_NUMBER", self.number.to_string())
            .into_variables())
    }

    /// Around what commands for the instance are run.
    pub(crate) fn surroundings(&self) -> Result<Surroundings, String> {
        let token_prefix = format!("{QUESTIONS}{}", self.instance);
        Ok(Surroundings { token_prefix, env: self.environment(None)?, work_dir: self.work_dir() })
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.process.work_dir.clone().unwrap_or_else(|| self.settings.work_dir.clone())
    }

    pub(crate) fn outputs(&self) -> (Output, Output) {
        let policy = &self.process.output;
        let log = |path| {
            let (max_size, max_backups, timestamps) = (policy.max_size, policy.max_backups, policy.timestamps);
            Output::Log(LogFile { path, max_size, max_backups, timestamps })
        };
        let (stdout, stderr) = self.log_files();
        (log(stdout), log(stderr))
    }

    /// The files for standard output and standard error.
    pub(crate) fn log_files(&self) -> (PathBuf, PathBuf) {
        let policy = &self.process.output;
        let dir = policy.dir.as_ref().unwrap_or(&self.settings.log_dir);
        let file = |named: &Option<PathBuf>, stream: &str| match named {
            Some(path) => self.numbered(path),
            None => dir.join(format!("{}.{stream}.log", self.instance)),
        };
        (file(&policy.stdout, "stdout"), file(&policy.stderr, "stderr"))
    }

    /// The file with the process id.
    pub(crate) fn pid_file(&self) -> PathBuf {
        match &self.process.pid_file {
            Some(path) => self.numbered(path),
            None => self.settings.pid_dir.join(format!("{}.pid", self.instance)),
        }
    }

    /// A file that is declared once, for one of several instances: `web.log` is `web-2.log` for the second.
    fn numbered(&self, path: &Path) -> PathBuf {
        if self.process.instances <= 1 {
            return path.to_owned();
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let end = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
        path.with_file_name(format!("{stem}-{}{end}", self.number))
    }
}

/// Makes a directory that others than its group have no business in.
pub(crate) fn make_dir(dir: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .map_err(|error| format!("cannot create the directory {}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use piton_model::{Name, Program, Secret};

    use super::*;

    fn settings() -> Settings {
        let environment = [("PATH", "/bin"), ("SECRET", "hunter2"), ("PITON_TOKEN", "x"), ("NOTIFY_SOCKET", "/s")];
        Settings {
            keeper_dir: "/k".into(),
            keeper_argv: Vec::new(),
            work_dir: "/work".into(),
            log_dir: "/logs".into(),
            pid_dir: "/pids".into(),
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            measure_every: None,
            measurements: 0,
            keep_logs_every: None,
        }
    }

    fn process() -> Process {
        Process::new(Name::parse("web").unwrap(), Program::Shell { line: "true".to_owned() })
    }

    #[test]
    fn the_daemons_own_environment_stays_its_own() {
        let settings = settings();
        let names = |process: &Process| {
            let launch = Launch { settings: &settings, process, instance: "web", number: 1 };
            launch.environment(None).unwrap().into_keys().collect::<Vec<_>>()
        };
        let mut process = process();
        assert_eq!(names(&process), ["PATH", "PITON_INSTANCE", "PITON_INSTANCE_NUMBER", "PITON_PROCESS"]);
        process.inherit_env = true;
        assert!(names(&process).contains(&"SECRET".to_owned()));
        assert!(!names(&process).iter().any(|name| name == "PITON_TOKEN" || name == "NOTIFY_SOCKET"));
        process.env.insert("PITON_TOKEN".to_owned(), Secret::new("x".to_owned()));
        let launch = Launch { settings: &settings, process: &process, instance: "web", number: 1 };
        assert!(launch.environment(None).unwrap_err().contains("PITON_TOKEN"));
    }

    #[test]
    fn several_instances_share_no_file() {
        let settings = settings();
        let mut process = process();
        process.output.stdout = Some("/var/log/web.log".into());
        process.pid_file = Some("/run/web".into());
        let files = |process: &Process, number| {
            let instance = process.instance_name(number);
            let launch = Launch { settings: &settings, process, instance: &instance, number };
            let (stdout, stderr) = launch.log_files();
            [stdout, stderr, launch.pid_file()].map(|path| path.to_string_lossy().into_owned())
        };
        assert_eq!(files(&process, 1), ["/var/log/web.log", "/logs/web.stderr.log", "/run/web"]);
        process.instances = 2;
        assert_eq!(files(&process, 2), ["/var/log/web-2.log", "/logs/web-2.stderr.log", "/run/web-2"]);
    }
}
