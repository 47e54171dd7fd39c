//! Jobs and CronJobs as they travel: in the words of provisr. Pure.

use std::collections::BTreeMap;

use piton_api as api;
use piton_auth::Role;
use piton_engine::{CronJob, CronJobRun, JobObject};
use piton_model::{BatchReason, Outcome, Run, RunState};
use piton_spec::provisr::{self, Secrets, Surroundings};
use piton_spec::{Catalog, Job};
use serde_json::{Map, Value};

use crate::view;

/// What is secret in a declaration is for those who may change it.
pub(crate) fn secrets_for(role: Role) -> Secrets {
    if role == Role::Admin { Secrets::Shown } else { Secrets::Masked }
}

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
        status: "True".to_owned(),
        reason: reason_word(condition.reason),
        message: condition.message,
        last_probe_time: condition.at,
        last_transition_time: condition.at,
    };
    api::JobStatus {
        phase: job.phase().as_str().to_owned(),
        start_time: job.run.as_ref().and_then(|run| run.started_at),
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
    cron: Option<&CronJob>,
    around: &Surroundings,
    secrets: Secrets,
) -> api::Scheduled {
    let mut all = serde_json::to_value(&told).map(members).unwrap_or_default();
    all.extend(members(provisr::cronjob_to_json(job, around, secrets)));
    all.insert("suspend".to_owned(), told.suspended.into());
    for own in ["name", "schedule", "status"] {
        all.remove(own);
    }
    let active = cron.iter().flat_map(|cron| &cron.active);
    let status = api::CronJobStatus {
        state: told.status,
        active: active.map(|(name, run)| api::ActiveJob { name: name.clone(), uid: run.to_string() }).collect(),
        last_schedule_time: cron.and_then(|cron| cron.last_schedule),
        last_successful_time: cron.map_or(told.last_success, |cron| cron.last_successful),
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
