//! Jobs of several tasks on the command line: those that have no schedule of their own.

use std::path::Path;

use piton_api::{BatchJob, Job, JobDraft, JobStatus, Scheduled};
use piton_spec::provisr::{self, Kind};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Exit, Failure, usage};
use crate::session::{Purpose, Session};
use crate::{render, routes};

/// The way to a job.
pub fn path(name: &str) -> String {
    format!("/jobs/{}", routes::segment(name))
}

/// The job of a name; nothing where that names a schedule, or a job of another kind.
pub async fn find(session: &Session, workspace: Option<&str>, name: &str) -> Result<Option<BatchJob>, Failure> {
    if workspace.is_some() {
        return Ok(None);
    }
    match session.client().get(&path(name)).await.map_err(Failure::from) {
        Ok(job) => Ok(Some(job)),
        Err(Failure::Problem(problem)) if problem.status == 404 => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The job of a name where somebody made it: no file declares it, and no schedule.
pub async fn find_made(session: &Session, workspace: Option<&str>, name: &str) -> Result<Option<BatchJob>, Failure> {
    let Some(job) = find(session, workspace, name).await?.filter(|job| !job.scheduled) else { return Ok(None) };
    let declared = session.client().get::<Job>(&format!("/cronjobs/{}", routes::segment(name))).await;
    match declared.map_err(Failure::from) {
        Ok(_) => Ok(None),
        Err(Failure::Problem(problem)) if problem.status == 404 => Ok(Some(job)),
        Err(failure) => Err(failure),
    }
}

/// Adds jobs to a list that no file declares.
pub async fn add_made(session: &Session, jobs: &mut Vec<Job>) -> Result<(), Failure> {
    let made: Vec<BatchJob> = session.client().get("/jobs").await?;
    let is_new =
        |made: &BatchJob| !made.scheduled && !jobs.iter().any(|job| job.workspace.is_none() && job.name == made.name);
    let new: Vec<Job> = made.into_iter().filter(is_new).map(as_listed).collect();
    jobs.extend(new);
    Ok(())
}

/// A job in the words of the list.
fn as_listed(job: BatchJob) -> Job {
    let JobStatus { phase, start_time, completion_time, conditions, .. } = job.status;
    let (status, succeeded, failed) = match phase.as_str() {
        "Succeeded" => ("success", 1, 0),
        "Failed" => ("failed", 0, 1),
        "Running" => ("running", 0, 0),
        _ => ("pending", 0, 0),
    };
    let why = conditions.into_iter().next().filter(|_| failed > 0).map(|condition| condition.message);
    Job {
        name: job.name,
        workspace: None,
        kind: "batch".to_owned(),
        enabled: true,
        suspended: job.suspended,
        description: None,
        schedule: vec![],
        depends_on: vec![],
        tags: vec![],
        status: status.to_owned(),
        // While it is held back there is no time of its start, and one that was stopped before it began has none ever.
        run_count: u64::from(start_time.is_some() || phase == "Running"),
        success_count: succeeded,
        failure_count: failed,
        last_run: start_time,
        last_success: completion_time.filter(|_| succeeded > 0),
        last_failure: completion_time.filter(|_| failed > 0),
        last_error: why,
        last_exit_code: None,
        last_run_id: job.run,
        next_run: None,
        skipped: vec![],
    }
}

/// Shows a job.
pub fn show(context: &Context, job: &BatchJob) -> Result<(), Failure> {
    context.out.show(job, || render::batch_job::status(job, &context.clock))
}

/// Holds a job back, or lets it go on.
pub async fn switch(context: &Context, session: &Session, name: &str, verb: &str) -> Result<Exit, Failure> {
    let job: BatchJob = session.client().post(&format!("{}/{verb}", path(name)), &json!({})).await?;
    let state = if job.suspended { "suspended" } else { "resumed" };
    context.out.show(&job, || format!("Job '{}' {state}\n", job.name))?;
    Ok(Exit::Ok)
}

/// Stops a job, and removes all of it.
pub async fn delete(context: &Context, session: &Session, name: &str) -> Result<Exit, Failure> {
    let job: BatchJob = session.patient_client().delete(&path(name)).await?;
    context.out.show(&job, || format!("Job '{}' deleted\n", job.name))?;
    Ok(Exit::Ok)
}

/// Makes a job that was made before, anew.
pub async fn again(session: &Session, job: &BatchJob) -> Result<BatchJob, Failure> {
    Ok(session.patient_client().post(&path(&job.name), job).await?)
}

/// What a file declares where it is one of provisr: `type` and `spec`, or the `spec` alone. Whatever else it is, the
/// server says what is wrong with it.
pub fn declared(draft: &JobDraft) -> Result<Option<(Kind, Value)>, Failure> {
    let file = Path::new(&draft.file);
    match provisr::read_declaration(file, draft.text.clone().into_bytes()) {
        Ok((Some(Kind::Process), _)) => Err(usage(format!("{}: this declares a process, not a job", draft.file))),
        Ok((Some(kind), spec)) => Ok(Some((kind, spec))),
        Ok((None, spec)) if spec.get("job_template").is_some() => Ok(Some((Kind::CronJob, spec))),
        Ok((None, spec)) => {
            let is_job = spec.get("type").is_none() && (spec.get("command").or_else(|| spec.get("args"))).is_some();
            // The schedule of one without a type is that of another kind of job.
            Ok(Some((Kind::Job, spec)).filter(|(_, spec)| is_job && spec.get("schedule").is_none()))
        }
        Err(_) => Ok(None),
    }
}

/// Makes what such a file declares: a CronJob is declared, a job runs at once.
pub async fn create(context: &Context, kind: Kind, spec: &Value) -> Result<Exit, Failure> {
    let purpose = if kind == Kind::Job { Purpose::Act } else { Purpose::Look };
    context
        .with_session(purpose, async |session| {
            if kind == Kind::CronJob {
                let made: Scheduled = session.client().create("/cronjobs", spec).await?;
                let name = spec["name"].as_str().unwrap_or_default();
                context.out.show(&made, || format!("CronJob '{name}' created\n"))?;
                return Ok(Exit::Ok);
            }
            let job: BatchJob = session.client().create("/jobs", spec).await?;
            show(context, &job)?;
            if session.is_local() {
                context
                    .out
                    .say("no daemon is running, so this command does the work itself and stays until it is done");
            }
            Ok(Exit::Ok)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_once_it_was_begun() {
        let begun = Some("2026-01-01T00:00:00Z");
        for (phase, start, counts) in [
            ("Pending", None, (0, 0, 0)),
            ("Running", begun, (1, 0, 0)),
            ("Running", None, (1, 0, 0)),
            ("Succeeded", begun, (1, 1, 0)),
            ("Failed", begun, (1, 0, 1)),
            ("Failed", None, (0, 0, 1)),
        ] {
            let status = json!({ "phase": phase, "start_time": start, "active": 0, "succeeded": 0, "failed": 0 });
            let listed = as_listed(serde_json::from_value(json!({ "name": "x", "status": status })).unwrap());
            assert_eq!((listed.run_count, listed.success_count, listed.failure_count), counts, "{phase} {start:?}");
        }
    }

    #[test]
    fn files_of_provisr_are_told_from_others() {
        let kind = |file: &str, text: &str| {
            let draft = JobDraft { file: file.to_owned(), text: text.to_owned() };
            declared(&draft).map(|found| found.map(|(kind, spec)| (kind, spec["name"].as_str().unwrap().to_owned())))
        };
        let table = [
            ("a.toml", "type = \"job\"\n[spec]\nname = \"x\"\ncommand = \"true\"\n", Some(Kind::Job)),
            ("a.yaml", "type: cron\nspec:\n  name: x\n  schedule: '@daily'\n", Some(Kind::CronJob)),
            ("a.json", r#"{"name": "x", "command": "true", "completions": 2}"#, Some(Kind::Job)),
            ("a.json", r#"{"name": "x", "schedule": "@daily", "job_template": {}}"#, Some(Kind::CronJob)),
            ("a.json", r#"{"name": "x", "type": "command", "command": "true"}"#, None),
            ("a.json", r#"{"name": "x", "schedule": "@daily", "command": "true"}"#, None),
            ("a.json", "{", None),
        ];
        for (file, text, wanted) in table {
            let found = kind(file, text).unwrap();
            assert_eq!(found, wanted.map(|kind| (kind, "x".to_owned())), "{text}");
        }
        let process = kind("a.json", r#"{"type": "process", "spec": {"name": "x", "command": "true"}}"#);
        assert_eq!(process.unwrap_err().exit(), Exit::Usage);
    }
}
