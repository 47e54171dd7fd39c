//! The handle.

use std::fs::File;
use std::sync::Arc;

use piton_engine::{Clock, CronJob, CronJobRun, Engine, JobObject, Loaded, Shutdown};
use piton_exec::{Exec, Git, Templates};
use piton_logs::LogStore;
use piton_model::{Batch, By, Name, Run, RunId, Seq, Subject, WorkerId};
use piton_process::{Environment, Runner};
use piton_spec::{Catalog, Job, provisr};
use piton_store::{Options, Store};
use piton_tools::Manager;
use piton_vault::Vault;
use serde_json::Value;
use tokio::sync::watch;

use crate::executor::Tasks;
use crate::place::lock;
use crate::{Error, Settings};

/// So much of a log is read at once.
const PIECE: usize = 64 * 1024;

/// Jobs and cronjobs of a directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    declared: watch::Sender<Arc<Loaded>>,
    runner: Runner,
    logs: LogStore,
    _lock: File,
}

impl Jobs {
    /// Takes the directory, and goes on with what was under way in it. `cron_jobs` are declared from the beginning, each
    /// as [`Jobs::schedule`] takes it.
    pub async fn open(settings: Settings, cron_jobs: &[Value]) -> Result<Jobs, Error> {
        let Settings { dir, keeper_argv, work_dir, environment, max_concurrent } = settings;
        let lock = lock(&dir)?;
        let vault = Vault::new(Vault::from_file_or_new(&dir.join("vault.key"))?);
        let url = format!("sqlite:{}", dir.join("jobs.db").display());
        let store = Store::open(&url, Options { vault, ..Options::default() }).await?;
        let mut catalog = Catalog::default();
        for spec in cron_jobs {
            let job = cron_job(spec)?;
            catalog.jobs.insert(job.subject.clone(), Arc::new(job));
        }
        let declared = watch::Sender::new(Arc::new(Loaded { catalog, diagnostics: vec![] }));

        let logs = LogStore::new(dir.join("runs"));
        let runner = Runner::new(dir.clone(), keeper_argv, logs.clone());
        let inherited = Environment::inherit(environment.clone(), &[]);
        let templates = Templates::new(dir.join("templates"), Git::new(inherited.clone()));
        let tools = Manager::new(piton_tools::Config::new(dir.join("tools")));
        let config = piton_exec::Config {
            whole_environment: Environment::inherit(environment, &["*"]),
            work_dir,
            ..piton_exec::Config::new(dir, inherited)
        };
        let exec = Exec::new(config, runner.clone(), logs.clone(), tools, templates);

        // The directory has one program at a time, and its own database.
        let mut config = piton_engine::Config::new(WorkerId::new("embedded"));
        config.max_concurrent_runs = max_concurrent.max(1);
        config.boot_id = piton_keeper::BootId::current().map(|id| id.as_str().to_owned());
        let executor = Arc::new(Tasks { exec, runner: runner.clone(), logs: logs.clone() });
        let engine = Engine::new(config, store, Clock::system(), executor, declared.subscribe());
        engine.start().await?;
        Ok(Jobs { inner: Arc::new(Inner { engine, declared, runner, logs, _lock: lock }) })
    }

    /// Makes a job, which begins at once. There must be none of this name; one that has ended is there until it is deleted
    /// or its time is over.
    pub async fn create(&self, name: Name, batch: Batch) -> Result<JobObject, Error> {
        let known = name.to_string();
        self.inner.engine.create_job(name, batch, By::System).await?;
        self.job(&known).await
    }

    /// The same, from what is the `spec` of a file of `type = "job"`.
    pub async fn create_from(&self, spec: &Value) -> Result<JobObject, Error> {
        let catalog = Catalog::default();
        let (job, _) = provisr::parse_job(spec, catalog.surroundings()).map_err(Error::Invalid)?;
        let Some(batch) = job.batch() else { return Err(Error::Invalid(vec![])) };
        let (name, batch) = (job.name.clone(), batch.as_ref().clone());
        if job.rules.suspended {
            self.inner.engine.create_held_job(name, batch, By::System).await?;
        } else {
            self.inner.engine.create_job(name, batch, By::System).await?;
        }
        self.job(job.name.as_str()).await
    }

    /// A job, also one that a cronjob made.
    pub async fn job(&self, name: &str) -> Result<JobObject, Error> {
        Ok(self.inner.engine.job_object(name).await?)
    }

    /// All jobs, by name.
    pub async fn list(&self) -> Result<Vec<JobObject>, Error> {
        Ok(self.inner.engine.jobs().await?)
    }

    /// Waits until a job has ended; gives what became of it.
    pub async fn finished(&self, name: &str) -> Result<JobObject, Error> {
        let mut job = self.job(name).await?;
        let run = self.inner.engine.ended(run_of(&job)?).await?;
        job.run = Some(run);
        Ok(job)
    }

    /// Stops a job.
    pub async fn stop(&self, name: &str) -> Result<Run, Error> {
        Ok(self.inner.engine.stop_job(name, By::System).await?)
    }

    /// Stops a job if it is active, and removes it.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.engine.delete_job(name, By::System).await?)
    }

    /// Holds a job back: its tasks are stopped, and its deadline stands still.
    pub async fn hold(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.engine.hold_job(name, By::System).await?)
    }

    /// Lets a job go on that was held back.
    pub async fn release(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.engine.release_job(name).await?)
    }

    /// What the tasks of a job printed so far.
    pub async fn log(&self, name: &str) -> Result<String, Error> {
        let run = run_of(&self.job(name).await?)?;
        let mut bytes = vec![];
        loop {
            let piece = self.inner.logs.read(run, bytes.len() as u64, PIECE).await?;
            let is_last = piece.bytes.is_empty() || piece.next() >= piece.end;
            bytes.extend(piece.bytes);
            if is_last {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }

    /// Declares a cronjob, from what is the `spec` of a file of `type = "cronjob"`, in place of the one of this name.
    pub fn schedule(&self, spec: &Value) -> Result<Name, Error> {
        let job = cron_job(spec)?;
        let name = job.name.clone();
        self.declare(|catalog| drop(catalog.jobs.insert(job.subject.clone(), Arc::new(job))));
        Ok(name)
    }

    /// Takes a cronjob back. Jobs that it has made go on.
    pub fn unschedule(&self, name: &Name) {
        let subject = Subject::Job { workspace: None, name: name.clone() };
        self.declare(|catalog| drop(catalog.jobs.remove(&subject)));
    }

    /// A cronjob.
    pub async fn cron_job(&self, name: &str) -> Result<CronJob, Error> {
        Ok(self.inner.engine.cron_job(None, name).await?)
    }

    /// The jobs that a cronjob made and that are kept, the newest first.
    pub async fn history(&self, name: &str) -> Result<Vec<CronJobRun>, Error> {
        Ok(self.inner.engine.cron_history(None, name).await?)
    }

    /// Has a cronjob make a job now.
    pub async fn trigger(&self, name: &str) -> Result<Run, Error> {
        Ok(self.inner.engine.run_job(None, name, By::System).await?)
    }

    /// Has a cronjob make no jobs, until it is resumed.
    pub async fn suspend(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.engine.suspend_job(None, name, By::System).await?)
    }

    /// Lets a cronjob go on.
    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        Ok(self.inner.engine.resume_job(None, name).await?)
    }

    /// Changes whenever anything happened to a job: how far the ledger is.
    pub fn changes(&self) -> watch::Receiver<Seq> {
        self.inner.engine.store().changes()
    }

    /// Ends: with [`Shutdown::Drain`] once all jobs have ended or are suspended, with [`Shutdown::Detach`] at once; tasks that run go on,
    /// and the next [`Jobs::open`] takes them back.
    pub async fn close(&self, how: Shutdown) {
        self.inner.engine.shutdown(how).await;
        // One that holds something refuses.
        if let Err(error) = self.inner.runner.stop_if_idle().await {
            tracing::debug!(%error, "the keeper stays");
        }
        self.inner.engine.store().clone().close().await;
    }

    fn declare(&self, change: impl FnOnce(&mut Catalog)) {
        self.inner.declared.send_modify(|loaded| {
            let mut catalog = loaded.catalog.clone();
            change(&mut catalog);
            *loaded = Arc::new(Loaded { catalog, diagnostics: vec![] });
        });
    }
}

fn cron_job(spec: &Value) -> Result<Job, Error> {
    let catalog = Catalog::default();
    provisr::parse_cronjob(spec, catalog.surroundings()).map(|(job, _)| job).map_err(Error::Invalid)
}

fn run_of(job: &JobObject) -> Result<RunId, Error> {
    job.run.as_ref().map(|run| run.id).ok_or_else(|| Error::NotBegun(job.name.clone()))
}
