//! `piton job …`

use std::io::Read;
use std::path::Path;

use piton_api::{Job, JobDraft, LogStart, Page, Run};
use serde_json::json;

use super::batch_job;
use super::logs::{self, Part};
use crate::args::{JobArgs, JobCommand};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::output::Voice;
use crate::render::job::Scope;
use crate::session::{Purpose, Session};
use crate::watch::{self, Seen};
use crate::{render, routes};

/// Does what was asked.
pub async fn run(context: &Context, args: JobArgs) -> Result<Exit, Failure> {
    let workspace = args.workspace.as_deref();
    let scope = match (workspace, context.out.voice) {
        (Some(workspace), _) => Scope::Workspace(workspace),
        (None, Voice::Scheduler) => Scope::Standalone,
        (None, Voice::Piton) => Scope::All,
    };
    match args.command {
        JobCommand::List => list(context, scope).await,
        JobCommand::Status { name: None } => statuses(context, scope).await,
        JobCommand::Status { name: Some(name) } => status(context, workspace, &name).await,
        JobCommand::Run { name, detach } => start(context, workspace, &name, detach).await,
        JobCommand::Kill { name } => kill(context, workspace, &name).await,
        JobCommand::Logs { name, follow, tail } => log(context, workspace, &name, Part { follow, tail }).await,
        JobCommand::Create { file } => create(context, &file).await,
        JobCommand::Delete { name } => delete(context, workspace, &name).await,
        JobCommand::Suspend { name } => switch(context, workspace, &name, "suspend").await,
        JobCommand::Resume { name } => switch(context, workspace, &name, "resume").await,
        JobCommand::History { name, limit } => history(context, workspace, &name, limit).await,
    }
}

fn path(workspace: Option<&str>, name: &str) -> String {
    format!("/cronjobs/{}", routes::job_name(workspace, name))
}

async fn all(session: &Session, scope: Scope<'_>) -> Result<Vec<Job>, Failure> {
    let path = match scope {
        Scope::All => "/cronjobs".to_owned(),
        Scope::Standalone => "/cronjobs?standalone=true".to_owned(),
        Scope::Workspace(name) => routes::with_query("/cronjobs", &[("workspace", Some(name.to_owned()))]),
    };
    let page: Page<Job> = session.client().get(&path).await?;
    let mut jobs = page.items;
    if !matches!(scope, Scope::Workspace(_)) {
        batch_job::add_made(session, &mut jobs).await?;
    }
    Ok(jobs)
}

async fn list(context: &Context, scope: Scope<'_>) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let jobs = all(session, scope).await?;
            context.out.show(&jobs, || render::job::list(&jobs, scope, context.out.voice, context.out.width()))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn statuses(context: &Context, scope: Scope<'_>) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let jobs = all(session, scope).await?;
            context.out.show(&jobs, || render::job::statuses(&jobs, scope, &context.clock, context.out.voice))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn status(context: &Context, workspace: Option<&str>, name: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            if let Some(job) = batch_job::find(session, workspace, name).await? {
                batch_job::show(context, &job)?;
                return Ok(Exit::Ok);
            }
            let job: Job = session.client().get(&path(workspace, name)).await?;
            context.out.show(&job, || render::job::status(&job, &context.clock, context.out.voice))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn start(context: &Context, workspace: Option<&str>, name: &str, detach: bool) -> Result<Exit, Failure> {
    let trigger = format!("{}/trigger", path(workspace, name));
    context
        .with_session(Purpose::Act, async |session| {
            if let Some(job) = batch_job::find_made(session, workspace, name).await? {
                let job = batch_job::again(session, &job).await?;
                let run = job.run.clone().unwrap_or_default();
                if detach {
                    return watch::leave(context, session, &job, &run);
                }
                return watch::to_the_end(context, session, &run, LogStart::At(0)).await;
            }
            if context.out.voice == Voice::Piton {
                return watch::submit(context, session, &trigger, &json!({}), detach).await;
            }
            let (begins, what) = match workspace {
                None => (format!("standalone job '{name}'"), format!("Standalone job '{name}'")),
                Some(workspace) => (format!("job '{name}' in workspace '{workspace}'"), format!("Job '{name}'")),
            };
            let submitted: piton_api::Submitted = session.client().create(&trigger, &json!({})).await?;
            context.out.text(&format!("Running {begins}...\n"))?;
            match watch::follow(context, session, &submitted.run, LogStart::At(0)).await? {
                Seen::Left => Ok(Exit::Interrupted),
                Seen::Settled(run) if run.outcome.as_deref() == Some("succeeded") => {
                    context.out.text(&format!("{what} completed successfully\n"))?;
                    Ok(Exit::Ok)
                }
                Seen::Settled(run) => {
                    let why = run.message.unwrap_or_else(|| "it did not succeed".to_owned());
                    let kind = if workspace.is_some() { "job" } else { "standalone job" };
                    Err(failed(format!("failed to execute {kind}: {why}")))
                }
            }
        })
        .await
}

async fn kill(context: &Context, workspace: Option<&str>, name: &str) -> Result<Exit, Failure> {
    let path = format!("/jobs/{}/kill", routes::job_name(workspace, name));
    let (standalone, place) = match workspace {
        None => ("standalone job", String::new()),
        Some(workspace) => ("job", format!(" in workspace '{workspace}'")),
    };
    context
        .with_session(Purpose::Act, async |session| {
            let stopped: Vec<String> = session.client().post(&path, &json!({})).await?;
            if context.out.voice == Voice::Scheduler {
                context.out.text(&format!("Killing {standalone} '{name}'{place}...\n"))?;
                let what = if workspace.is_some() { "Job" } else { "Standalone job" };
                context.out.text(&format!("{what} '{name}' killed successfully\n"))?;
                return Ok(Exit::Ok);
            }
            context.out.show(&stopped, || stopped.join("\n") + "\n")?;
            context.out.say(&format!("{standalone} '{name}'{place} was asked to stop"));
            Ok(Exit::Ok)
        })
        .await
}

async fn log(context: &Context, workspace: Option<&str>, name: &str, part: Part) -> Result<Exit, Failure> {
    context
        .with_session(part.purpose(), async |session| {
            let run = match batch_job::find(session, workspace, name).await? {
                Some(job) => job.run,
                None => session.client().get::<Job>(&path(workspace, name)).await?.last_run_id,
            };
            let Some(run) = &run else {
                let error = CommandError::new(Exit::NotFound, format!("job '{name}' has no runs yet"));
                return Err(error.into());
            };
            logs::print(context, session, run, part).await
        })
        .await
}

async fn create(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let draft = draft(file)?;
    if let Some((kind, spec)) = batch_job::declared(&draft)? {
        return batch_job::create(context, kind, &spec).await;
    }
    context
        .with_session(Purpose::Look, async |session| {
            let job: Job = session.client().create("/cronjobs", &draft).await?;
            context.out.show(&job, || render::job::status(&job, &context.clock, context.out.voice))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Reads the file here, so that it is the caller's rights that count.
fn draft(file: &Path) -> Result<JobDraft, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| failed(format!("cannot read standard input: {error}")))?;
        return Ok(JobDraft { file: file_name(&text)?, text });
    }
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
        return Err(usage(format!("{}: this is not the name of a file", file.display())));
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        CommandError::new(exit, format!("cannot read {}: {error}", file.display()))
    })?;
    Ok(JobDraft { file: name.to_owned(), text })
}

/// The name for the file of a job that comes without one.
fn file_name(text: &str) -> Result<String, Failure> {
    let document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| usage(format!("standard input: {error}")))?;
    match document["name"].as_str().or_else(|| document["spec"]["name"].as_str()) {
        Some(name) => Ok(format!("{name}.json")),
        None => Err(usage("standard input: a job needs a \"name\"")),
    }
}

async fn delete(context: &Context, workspace: Option<&str>, name: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            if batch_job::find(session, workspace, name).await?.is_some() {
                return batch_job::delete(context, session, name).await;
            }
            let job: Job = session.client().delete(&path(workspace, name)).await?;
            context.out.show(&job, || format!("Job '{}' deleted\n", job.name))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn switch(context: &Context, workspace: Option<&str>, name: &str, verb: &str) -> Result<Exit, Failure> {
    let path = format!("{}/{verb}", path(workspace, name));
    context
        .with_session(Purpose::Look, async |session| {
            if batch_job::find(session, workspace, name).await?.is_some() {
                return batch_job::switch(context, session, name, verb).await;
            }
            let job: Job = session.client().post(&path, &json!({})).await?;
            let state = if job.suspended { "suspended" } else { "resumed" };
            context.out.show(&job, || format!("Job '{}' {state}\n", job.name))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn history(context: &Context, workspace: Option<&str>, name: &str, limit: usize) -> Result<Exit, Failure> {
    let path = format!("{}/history?limit={limit}", path(workspace, name));
    context
        .with_session(Purpose::Look, async |session| {
            let made = batch_job::find(session, workspace, name).await?.is_some_and(|job| !job.scheduled);
            let of_subject = [("subject", Some(format!("job/{name}"))), ("limit", Some(limit.to_string()))];
            let path = if made { routes::with_query("/runs", &of_subject) } else { path };
            let page: Page<Run> = session.client().get(&path).await?;
            context.out.show(&page.items, || render::run::list(&page.items, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_here() {
        let missing = draft(Path::new("no-such-directory/job.json")).unwrap_err();
        assert_eq!(missing.exit(), Exit::NotFound);
        assert_eq!(draft(Path::new("..")).unwrap_err().exit(), Exit::Usage);
        assert_eq!(file_name("{\"name\": \"backup\"}").unwrap(), "backup.json");
        assert_eq!(file_name("{}").unwrap_err().exit(), Exit::Usage);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("job.yaml");
        std::fs::write(&file, "name: x\n").unwrap();
        let read = draft(&file).unwrap();
        assert_eq!((read.file.as_str(), read.text.as_str()), ("job.yaml", "name: x\n"));
    }
}
