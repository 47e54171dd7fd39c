//! What people ask for: deploy, destroy, plan, run a job, kill it, suspend it.

use std::path::Path;
use std::sync::Arc;

use piton_model::{Action, By, Mode, Name, NewRun, Operation, Origin, Phase, Run, RunId, Subject};
use piton_spec::{ConcurrencyPolicy, Diagnostic, Job, Workspace};
use piton_store::Submitted;

use crate::{Call, Engine, Error, Shared};

impl Shared {
    /// What a run does to a workspace, which must find the state that its last one left.
    pub(crate) async fn action(&self, workspace: &Workspace, operation: Operation) -> Result<Action, Error> {
        let state = self.workspace_state(&workspace.subject()).await?;
        let mut action = workspace.action(operation);
        if let Action::Iac(iac) = &mut action {
            iac.state_at = state.state_at;
        }
        Ok(action)
    }
}

impl Engine {
    /// Deploys a workspace now, in `mode` where it has modes.
    pub async fn deploy(&self, name: &str, mode: Option<&str>, by: By) -> Result<Run, Error> {
        let workspace = self.enabled_workspace(name).await?;
        let mode = mode_of(&workspace, mode)?;
        let action = self.0.action(&workspace, Operation::Deploy { mode }).await?;
        self.change(workspace.subject(), action, by).await
    }

    /// Destroys a workspace now, also what is left of one that is not declared any more.
    pub async fn destroy(&self, name: &str, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        match self.enabled_workspace(name).await {
            Ok(workspace) => {
                let action = self.0.action(&workspace, Operation::Destroy).await?;
                self.change(workspace.subject(), action, by).await
            }
            Err(Error::NotDeclared { workspace, .. }) => self.destroy_leftover(workspace, by).await,
            Err(error) => Err(error),
        }
    }

    /// Plans a deployment, and stops there.
    pub async fn plan(&self, name: &str, mode: Option<&str>, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let workspace = self.enabled_workspace(name).await?;
        let now = self.0.workspace_state(&workspace.subject()).await?.phase().mode().cloned();
        let mode = match (mode, now) {
            (None, Some(now)) if workspace.modes.contains(&now) => Some(now),
            (mode, _) => mode_of(&workspace, mode)?,
        };
        let action = self.0.action(&workspace, Operation::Plan { mode }).await?;
        self.call(workspace.subject(), action, by).await
    }

    /// Runs a job now.
    pub async fn run_job(&self, workspace: Option<&str>, name: &str, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let job = self.job(workspace, name)?;
        if !job.enabled {
            return Err(Error::Disabled(job.subject.clone()));
        }
        let live = self.0.store.active_of(&job.subject).await?;
        if let (Some(run), ConcurrencyPolicy::Forbid) = (live.first(), job.rules.concurrency) {
            return Err(Error::Busy { subject: job.subject.clone(), doing: "running", run: run.id });
        }
        let origin = Origin::Call { by, of_schedule: job.is_scheduled() };
        let run = self.0.new_job_run(&job, &self.loaded().catalog, origin, self.0.clock.now());
        let run = self.submit_one(run).await?;
        if job.rules.concurrency == ConcurrencyPolicy::Replace {
            for old in live {
                self.supersede(old.id, run.id).await?;
            }
        }
        Ok(run)
    }

    /// Stops all runs of a job that have not ended.
    pub async fn kill_job(&self, workspace: Option<&str>, name: &str, by: By) -> Result<Vec<RunId>, Error> {
        let job = self.job(workspace, name)?;
        let live = self.0.store.active_of(&job.subject).await?;
        if live.is_empty() {
            return Err(Error::NotRunning(job.subject.clone()));
        }
        let mut stopped = vec![];
        for run in live {
            stopped.push(self.cancel(run.id, by.clone(), None).await?.id);
        }
        Ok(stopped)
    }

    /// Stops what still runs of a job that is declared no more, by the name that it had: `NAME` or `WORKSPACE.NAME`.
    pub async fn kill_undeclared_job(&self, name: &str, by: By) -> Result<Vec<RunId>, Error> {
        let mut found = vec![];
        for subject in Subject::jobs_called(name) {
            let active = self.0.store.active_of(&subject).await?;
            if !active.is_empty() {
                found.push((subject, active));
            }
        }
        if found.len() > 1 {
            let meant = found.into_iter().map(|(subject, _)| subject).collect();
            return Err(Error::AmbiguousName { name: name.to_owned(), meant });
        }
        let mut stopped = vec![];
        for run in found.into_iter().flat_map(|(_, active)| active) {
            stopped.push(self.cancel(run.id, by.clone(), None).await?.id);
        }
        Ok(stopped)
    }

    /// Keeps the schedule of a job from starting it.
    pub async fn suspend_job(&self, workspace: Option<&str>, name: &str, by: By) -> Result<(), Error> {
        let job = self.job(workspace, name)?;
        self.0.store.suspend(&job.subject, &by, self.0.clock.now()).await?;
        self.0.tell_suspended().await
    }

    /// Lets the schedule of a job start it again.
    pub async fn resume_job(&self, workspace: Option<&str>, name: &str) -> Result<(), Error> {
        let job = self.job(workspace, name)?;
        self.resume_subject(&job.subject).await
    }

    /// A declared workspace.
    pub fn workspace(&self, name: &str) -> Result<Arc<Workspace>, Error> {
        let loaded = self.loaded();
        let found = Name::parse(name).ok().and_then(|name| loaded.catalog.workspaces.get(&name).cloned());
        let names = || loaded.catalog.workspaces.keys().map(Name::as_str);
        found.ok_or_else(|| match broken(&loaded.diagnostics, name) {
            Some(problem) => Error::Broken { what: "workspace", name: name.to_owned(), problem },
            None => not_found("workspace", name, names()),
        })
    }

    /// A declared job.
    pub fn job(&self, workspace: Option<&str>, name: &str) -> Result<Arc<Job>, Error> {
        let loaded = self.loaded();
        let scope = workspace.map(|name| self.workspace(name)).transpose()?.map(|workspace| workspace.name.clone());
        let subject = |name| Subject::Job { workspace: scope.clone(), name };
        let found = Name::parse(name).ok().and_then(|name| loaded.catalog.jobs.get(&subject(name)).cloned());
        let what = if scope.is_some() { "job" } else { "standalone job" };
        let names = || loaded.catalog.jobs_of(scope.as_ref()).map(|job| job.name.as_str());
        found.ok_or_else(|| not_found(what, name, names()))
    }

    async fn enabled_workspace(&self, name: &str) -> Result<Arc<Workspace>, Error> {
        let workspace = match self.workspace(name) {
            Ok(workspace) => workspace,
            Err(error) => return Err(self.not_declared(name, error).await),
        };
        if workspace.enabled { Ok(workspace) } else { Err(Error::Disabled(workspace.subject())) }
    }

    /// Submits what changes a workspace, unless something does already.
    pub(crate) async fn change(&self, subject: Subject, action: Action, by: By) -> Result<Run, Error> {
        if let Some(run) = self.of_this_call().await? {
            return Ok(run);
        }
        let live = self.0.store.active_of(&subject).await?;
        if let Some((run, doing)) = live.iter().find_map(|run| Some((run.id, doing(run)?))) {
            return Err(Error::Busy { subject, doing, run });
        }
        self.call(subject, action, by).await
    }

    async fn call(&self, subject: Subject, action: Action, by: By) -> Result<Run, Error> {
        let run = self.0.new_run(subject, action, Origin::call(by), self.0.clock.now());
        self.submit_one(run).await
    }

    pub(crate) async fn submit_one(&self, run: NewRun) -> Result<Run, Error> {
        if !self.accepting() {
            return Err(Error::ShuttingDown);
        }
        let id = run.id;
        let run = Call::current().mark(run);
        match self.0.store.submit(vec![run], self.0.clock.now()).await?.pop() {
            Some(Submitted::New(run)) => Ok(run),
            Some(Submitted::Existing(id)) => self.run(id).await,
            None => self.run(id).await,
        }
    }
}

/// What a live run does to its workspace, in a word; none for a plan.
fn doing(run: &Run) -> Option<&'static str> {
    let Action::Iac(iac) = &*run.action else { return None };
    match (run.phase(), &iac.operation) {
        (_, Operation::Plan { .. }) => None,
        (Phase::Gated, _) => Some("waiting for approval"),
        (_, Operation::Deploy { .. }) => Some("deploying"),
        (_, Operation::Destroy) => Some("destroying"),
    }
}

fn mode_of(workspace: &Workspace, mode: Option<&str>) -> Result<Option<Mode>, Error> {
    let modes: Vec<Mode> = workspace.modes.iter().cloned().collect();
    let Some(mode) = mode else {
        if modes.is_empty() {
            return Ok(None);
        }
        return Err(Error::ModeRequired { workspace: workspace.name.to_string(), modes });
    };
    match Name::parse(mode).map(Mode) {
        Ok(wanted) if modes.contains(&wanted) => Ok(Some(wanted)),
        _ => Err(Error::UnknownMode { workspace: workspace.name.to_string(), mode: mode.to_owned(), modes }),
    }
}

/// What is wrong with the files of a workspace.
fn broken(diagnostics: &[Diagnostic], workspace: &str) -> Option<String> {
    let inside = |file: &Path| {
        let mut parts = file.parent()?.components().rev().map(|part| part.as_os_str());
        Some(parts.next()? == workspace && parts.next()? == "workspaces")
    };
    let found = diagnostics.iter().find(|found| found.is_error() && inside(&found.file) == Some(true));
    found.map(ToString::to_string)
}

fn not_found<'a>(what: &'static str, name: &str, names: impl Iterator<Item = &'a str>) -> Error {
    let near = names.map(|other| (strsim::jaro_winkler(name, other), other));
    let nearest = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.map(|(_, name)| name.to_owned());
    Error::NotFound { what, name: name.escape_debug().to_string(), nearest }
}
