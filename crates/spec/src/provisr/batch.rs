//! Tables become jobs of tasks: a Job, or a CronJob with the template of one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use piton_cron::cronjob::ConcurrencyPolicy;
use piton_model::{Batch, CompletionMode, Digest, Hooks, Name, Subject, TaskRestart};

use super::confinement::read_confinement;
use super::hooks::{check, read_hooks};
use super::items::{Form, Reading, command, count, either, environment, seconds};
use super::policy::{read_failure_policy, read_success_policy};
use super::process::{optional_path, required_name};
use crate::diagnostic::Severity;
use crate::document::Value;
use crate::duration::LONGEST;
use crate::fields::{Fields, Item};
use crate::read_job::{JobDraft, Named};
use crate::schedule::{read_time_zone, read_triggers};
use crate::{CatchUp, Extras, Job, JobTrigger, JobWork, RunRules};

/// Kubernetes' limits of what one job may be.
const MOST_TASKS: u32 = 100_000;
const MOST_AT_ONCE: u32 = 10_000;
const NO_LIMIT: u32 = i32::MAX as u32;

/// Reads the table of a job that runs once for its declaration.
pub(crate) fn read_job(mut fields: Fields<'_, '_>, file: &Arc<Path>, reading: Reading<'_>) -> Option<JobDraft> {
    let whole = fields.item.clone();
    let before = whole.errors_so_far();
    let name_item = fields.get("name");
    let name = required_name(&whole, name_item.as_ref(), "job");
    let suspended = fields.get("suspend").and_then(|item| item.flag()).unwrap_or(false);
    let batch = read_batch(&mut fields, reading);
    let mut said = whole.node.value.to_json();
    if let Some(members) = said.as_object_mut() {
        // Who suspends a job, or lets it go on, does not declare another one.
        members.remove("suspend");
    }
    let digest = Digest::of(said.to_string().as_bytes());
    fields.finish(Severity::Error);
    let (name, batch) = (name?, batch?);
    let rules = RunRules { suspended, concurrency: ConcurrencyPolicy::Forbid, ..RunRules::default() };
    let job = job(name, file, batch, vec![JobTrigger::Declared(digest)], rules, reading);
    let named = Named::of(name_item.as_ref().unwrap_or(&whole));
    (whole.errors_so_far() == before).then(|| JobDraft::alone(job, named))
}

const POLICIES: [(&str, ConcurrencyPolicy); 3] = [
    ("Allow", ConcurrencyPolicy::Allow),
    ("Forbid", ConcurrencyPolicy::Forbid),
    ("Replace", ConcurrencyPolicy::Replace),
];

/// Reads the table of a job that is run on a schedule.
pub(crate) fn read_cronjob(mut fields: Fields<'_, '_>, file: &Arc<Path>, reading: Reading<'_>) -> Option<JobDraft> {
    let whole = fields.item.clone();
    let before = whole.errors_so_far();
    let name_item = fields.get("name");
    let name = required_name(&whole, name_item.as_ref(), "cronjob");
    let triggers = match fields.get("schedule") {
        Some(item) => {
            let triggers = read_triggers(&item);
            crate::read_job::warn_of_dead_triggers(Some(&item), &triggers);
            if triggers.is_empty() && whole.errors_so_far() == before {
                item.report(item.error("empty", "this names no time"));
            }
            triggers
        }
        None => {
            let error = whole.error("missing_field", "a cronjob needs a `schedule`");
            whole.report(error.hint("for example `0 2 * * *` or `@every 5m`"));
            Vec::new()
        }
    };
    // Programs write empty text for what nobody said.
    let said = |item: &Item<'_, '_>| {
        reading.form == Form::File || !matches!(&item.node.value, Value::Text(text) if text.is_empty())
    };
    let time_zone = fields.get("time_zone").filter(said).and_then(|item| read_time_zone(&item));
    let time_zone = time_zone.unwrap_or(TimeZone::UTC);
    let concurrency = fields.get("concurrency_policy").and_then(|item| item.choice(&POLICIES)).unwrap_or_default();
    let rules = RunRules {
        concurrency,
        suspended: fields.get("suspend").and_then(|item| item.flag()).unwrap_or(false),
        successful_history: Some(limit(&mut fields, "successful_jobs_history_limit", 3)),
        failed_history: Some(limit(&mut fields, "failed_jobs_history_limit", 1)),
        starting_deadline: fields.get("starting_deadline_seconds").and_then(|item| seconds(&item, 0)),
    };
    let catch_up = fields.get("catch_up").and_then(|item| item.choice(&CatchUp::CHOICES));
    let template = match fields.get("job_template") {
        Some(item) => item.table().and_then(|mut fields| {
            fields.get("name").and_then(|item| item.name());
            let batch = read_batch(&mut fields, reading);
            fields.finish(Severity::Error);
            batch
        }),
        None => {
            whole.report(whole.error("missing_field", "a cronjob needs a `job_template`"));
            None
        }
    };
    let template = template.map(|batch| around(&mut fields, batch, reading));
    fields.finish(Severity::Error);
    let (name, batch) = (name?, template?);
    let mut job = job(name, file, batch, triggers, rules, reading);
    job.time_zone = time_zone;
    job.catch_up = catch_up.unwrap_or(CatchUp::Latest);
    let named = Named::of(name_item.as_ref().unwrap_or(&whole));
    (whole.errors_so_far() == before).then(|| JobDraft::alone(job, named))
}

/// Puts the hooks of a cronjob around those of its template.
fn around(fields: &mut Fields<'_, '_>, batch: Batch, reading: Reading<'_>) -> Batch {
    let Some(item) = fields.get("lifecycle") else { return batch };
    let before = item.errors_so_far();
    let outer: Hooks = read_hooks(&item, &batch.env, reading);
    let hooks = outer.around(&batch.hooks);
    if item.errors_so_far() == before {
        check(&hooks, &item);
    }
    Batch { hooks, ..batch }
}

fn limit(fields: &mut Fields<'_, '_>, key: &'static str, usual: u32) -> u32 {
    fields.get(key).and_then(|item| count(&item, 0, NO_LIMIT)).unwrap_or(usual)
}

fn job(
    name: Name,
    file: &Arc<Path>,
    batch: Batch,
    triggers: Vec<JobTrigger>,
    rules: RunRules,
    reading: Reading<'_>,
) -> Job {
    Job {
        subject: Subject::Job { workspace: None, name: name.clone() },
        name,
        file: Arc::clone(file),
        enabled: true,
        timeout: batch.active_deadline.unwrap_or(LONGEST),
        work: JobWork::Batch(Arc::new(batch)),
        triggers,
        time_zone: TimeZone::UTC,
        catch_up: CatchUp::Latest,
        extras: Extras::default().shared(),
        rules: Arc::new(rules),
        inline: reading.inline,
    }
}

/// Reads what a job and a template have in common.
fn read_batch(fields: &mut Fields<'_, '_>, reading: Reading<'_>) -> Option<Batch> {
    let program = command(fields);
    let env = environment(either(fields, &["env", "environment"]).as_ref(), reading);
    let work_dir = optional_path(fields, "work_dir", reading).map(|(_, path)| path);
    let parallelism = fields.get("parallelism").and_then(|item| count(&item, 1, MOST_AT_ONCE)).unwrap_or(1);
    let modes = [("NonIndexed", CompletionMode::NonIndexed), ("Indexed", CompletionMode::Indexed)];
    let mode_item = fields.get("completion_mode").filter(is_said);
    let completion_mode = mode_item.as_ref().and_then(|item| item.choice(&modes)).unwrap_or_default();
    let is_indexed = completion_mode == CompletionMode::Indexed;
    let completions_item = fields.get("completions");
    let completions = match &completions_item {
        Some(item) if item.node.value == Value::Text("any".to_owned()) => {
            if is_indexed {
                let message = "numbered tasks need a number of `completions`";
                item.report(item.error("conflicting_fields", message));
            }
            None
        }
        Some(item) => Some(count(item, 1, MOST_TASKS).unwrap_or(1)),
        None => Some(1),
    };
    let only_indexed = |item: &Item<'_, '_>| {
        if !is_indexed {
            let error = item.error("conflicting_fields", "this is for numbered tasks only");
            item.report(error.hint("add `completion_mode = \"Indexed\"`"));
        }
    };
    let per_index = fields.get("backoff_limit_per_index").and_then(|item| {
        only_indexed(&item);
        count(&item, 0, NO_LIMIT)
    });
    let max_failed_indexes = fields.get("max_failed_indexes").and_then(|item| {
        if per_index.is_none() {
            item.report(item.error("conflicting_fields", "this needs `backoff_limit_per_index`"));
        }
        count(&item, 0, completions.unwrap_or(MOST_TASKS))
    });
    let backoff_limit = fields.get("backoff_limit").and_then(|item| count(&item, 0, NO_LIMIT));
    let restarts = [("Never", TaskRestart::Never), ("OnFailure", TaskRestart::OnFailure)];
    let restart_item = fields.get("restart_policy").filter(is_said);
    let restart_policy = restart_item.as_ref().and_then(|item| item.choice(&restarts)).unwrap_or_default();
    let failure_policy = fields.get("pod_failure_policy").map(|item| {
        if restart_policy != TaskRestart::Never {
            let error = item.error("conflicting_fields", "this needs the restart policy `Never`");
            item.report(error.hint("a task that is restarted in its place has not failed yet"));
        }
        read_failure_policy(&item, per_index.is_some())
    });
    let success_policy = fields.get("success_policy").map(|item| {
        only_indexed(&item);
        read_success_policy(&item, completions.unwrap_or(1))
    });
    let active_deadline = fields.get("active_deadline_seconds").and_then(|item| seconds(&item, 1));
    let ttl = fields.get("ttl_seconds_after_finished").and_then(|item| seconds(&item, 0));
    let hooks = fields.get("lifecycle").map(|item| read_hooks(&item, &env, reading)).unwrap_or_default();
    let confinement = read_confinement(fields, reading);
    if let Some(item) = fields.get("log")
        && !matches!(&item.node.value, Value::Table(entries) if entries.is_empty())
    {
        let warning = item.warning("unused_field", "what the tasks of a job say is in the log of its run");
        item.report(warning.hint("remove `log`"));
    }
    Some(Batch {
        program: program?,
        env,
        inherit_env: reading.around.inherit_env,
        work_dir,
        parallelism,
        completions,
        completion_mode,
        backoff_limit: backoff_limit.unwrap_or(if per_index.is_some() { NO_LIMIT } else { 6 }),
        backoff_limit_per_index: per_index,
        max_failed_indexes,
        restart_policy,
        active_deadline: active_deadline.filter(|deadline| *deadline > Duration::ZERO),
        ttl_after_finished: ttl,
        failure_policy: failure_policy.unwrap_or_default(),
        success_policy: success_policy.unwrap_or_default(),
        hooks,
        confinement,
    })
}

/// Programs write empty text for what nobody said.
fn is_said(item: &Item<'_, '_>) -> bool {
    !matches!(&item.node.value, Value::Text(text) if text.is_empty())
}
