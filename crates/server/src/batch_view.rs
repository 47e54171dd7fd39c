//! Jobs and CronJobs as they travel: in the words of provisr. Pure.

use std::collections::BTreeMap;

use piton_api as api;
use piton_engine::{CronJob, CronJobRun, JobObject};
use piton_model::{BatchReason, Outcome, Run, RunState};
use piton_spec::provisr::{self, Secrets, Surroundings};
use piton_spec::{Catalog, Job};
use serde_json::{Map, Value};

use crate::view;

/// A job.
pub(crate) fn job(job: &JobObject, catalog: &Catalog, secrets: Secrets) -> api::BatchJob {
    let mut members = members(provisr::batch_to_json(&job.name, &job.batch, catalog.surroundings(), secrets));
    members.remove("name");
    api::BatchJob {
        name: job.name.clone(),
        status: status(job),
        run: job.run.as_ref().map(|run| run.id.to_string()),
        suspended: job.suspended,
        scheduled: job.scheduled,
        provisioned: catalog.jobs.get(&job.subject).is_some_and(|declared| declared.inline),
        members,
    }
}

fn status(job: &JobObject) -> api::JobStatus {
    let progress = job.progress();
    let condition = |condition: piton_engine::JobCondition| api::JobCondition {
        kind: condition.kind.to_owned(),
        status: if condition.holds { "True" } else { "False" }.to_owned(),
        reason: reason_word(condition.reason),
        message: condition.message,
        last_probe_time: condition.at,
        last_transition_time: condition.at,
    };
    api::JobStatus {
        phase: job.phase().as_str().to_owned(),
        start_time: job.active_since(),
        completion_time: job.completed_at(),
        active: progress.counts.active.into(),
        succeeded: progress.counts.succeeded.into(),
        failed: progress.counts.failed.into(),
        completed_indexes: progress.completed_indexes,
        failed_indexes: progress.failed_indexes,
        conditions: job.conditions().into_iter().map(condition).collect(),
    }
}

/// provisr has a word of its own for the plain success.
fn reason_word(reason: String) -> String {
    if reason == BatchReason::CompletionsReached.as_str() { "JobCompleted".to_owned() } else { reason }
}

/// A CronJob: what is told of every scheduled job, with the members of provisr over it.
pub(crate) fn cron_job(
    job: &Job,
    told: api::Job,
    cron: &CronJob,
    around: &Surroundings,
    secrets: Secrets,
) -> api::Scheduled {
    let mut all = serde_json::to_value(&told).map(members).unwrap_or_default();
    all.extend(members(provisr::cronjob_to_json(job, around, secrets)));
    all.insert("suspend".to_owned(), told.suspended.into());
    for own in ["name", "schedule", "status"] {
        all.remove(own);
    }
    let active = cron.active.iter();
    let status = api::CronJobStatus {
        state: told.status,
        active: active.map(|(name, run)| api::ActiveJob { name: name.clone(), uid: run.to_string() }).collect(),
        last_schedule_time: cron.last_schedule,
        last_successful_time: cron.last_successful,
    };
    let schedule = match told.schedule.as_slice() {
        [line] => api::OneOrMany::One(line.clone()),
        _ => api::OneOrMany::Many(told.schedule),
    };
    let next_schedule = told.next_run;
    let provisioned = job.inline;
    let cron = api::CronJob { name: told.name, schedule, status, next_schedule, provisioned, members: all };
    api::Scheduled::CronJob(Box::new(cron))
}

/// A run of a scheduled job.
pub(crate) fn history(row: &CronJobRun) -> api::CronJobRun {
    cron_run(&row.run, row.name.clone())
}

/// A run of a job, as a row of provisr's history.
pub(crate) fn cron_run(run: &Run, job: String) -> api::CronJobRun {
    let (status, reason) = match &run.state {
        RunState::Pending { .. } => ("Pending", String::new()),
        RunState::Running { .. } | RunState::Gated { .. } => ("Running", String::new()),
        RunState::Ended { outcome: Outcome::Succeeded, .. } => ("Succeeded", "JobCompleted".to_owned()),
        RunState::Ended { outcome, .. } => (
            "Failed",
            match outcome.failure() {
                Some(failure) => BatchReason::of_code(&failure.code)
                    .map_or_else(|| failure.code.clone(), |reason| reason.to_string()),
                None => "JobStopped".to_owned(),
            },
        ),
    };
    let told = view::run(run);
    api::CronJobRun {
        job,
        start_time: told.started_at,
        completion_time: told.ended_at,
        status: status.to_owned(),
        reason,
        run: told,
    }
}

fn members(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(members) => members.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// Takes what only answers have out of a declaration, so that what was read can be changed and sent back.
pub(crate) fn without_answer(spec: &mut Map<String, Value>) {
    const ANSWER: [&str; 24] = [
        "status",
        "run",
        "suspended",
        "scheduled",
        "provisioned",
        "next_schedule",
        "workspace",
        "type",
        "enabled",
        "description",
        "depends_on",
        "tags",
        "run_count",
        "success_count",
        "failure_count",
        "last_run",
        "last_success",
        "last_failure",
        "last_error",
        "last_exit_code",
        "last_run_id",
        "next_run",
        "skipped",
        "ok",
    ];
    for member in ANSWER {
        spec.remove(member);
    }
}

#[cfg(test)]
mod tests {
    use piton_model::{JobState, Subject};
    use piton_spec::Layout;

    use super::*;

    /// Whatever an answer has beside the declaration is taken out again: what is left declares the same.
    #[test]
    fn what_was_answered_can_be_sent_back() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), &directory.path().join(".piton"));
        std::fs::create_dir_all(&layout.programs).unwrap();
        let write = |file: &str, text: &str| std::fs::write(layout.programs.join(file), text).unwrap();
        write("load.json", r#"{"type": "job", "spec": {"name": "load", "command": "true", "env": ["A=1"]}}"#);
        write(
            "tick.json",
            r#"{"type": "cronjob", "spec": {"name": "tick", "schedule": "@daily", "job_template": {"command": "true"}}}"#,
        );
        let (catalog, found) = piton_spec::load(&layout, None);
        assert_eq!(found, []);
        let around = catalog.surroundings();
        let declared = |name: &str| {
            let name = piton_model::Name::parse(name).unwrap();
            catalog.jobs[&Subject::Job { workspace: None, name }].clone()
        };
        let stripped = |answer: Value| {
            let Value::Object(mut body) = answer else { panic!("{answer}") };
            without_answer(&mut body);
            Value::Object(body)
        };

        let load = declared("load");
        let object = JobObject {
            name: "load".to_owned(),
            subject: load.subject.clone(),
            batch: load.batch().unwrap().as_ref().clone(),
            run: None,
            suspended: false,
            scheduled: false,
            held_by_file: None,
        };
        let body = stripped(serde_json::to_value(job(&object, &catalog, Secrets::Shown)).unwrap());
        let again = provisr::parse_job(&body, around).unwrap_or_else(|found| panic!("{body}: {found:?}")).0;
        assert_eq!(again.batch(), load.batch());

        let tick = declared("tick");
        let told = view::job(&tick, &JobState::default(), true, false);
        let cron = CronJob {
            job: tick.clone(),
            suspended: false,
            last_schedule: None,
            last_successful: None,
            next: None,
            active: vec![],
        };
        let body = stripped(serde_json::to_value(cron_job(&tick, told, &cron, around, Secrets::Shown)).unwrap());
        let again = provisr::parse_cronjob(&body, around).unwrap_or_else(|found| panic!("{body}: {found:?}")).0;
        assert_eq!((again.batch(), &again.triggers, &again.rules), (tick.batch(), &tick.triggers, &tick.rules));
    }
}
