//! Declarations as provisr's API shows them. What is written here means the same when it is read again.

use std::collections::BTreeMap;
use std::time::Duration;

use piton_model::{
    Batch, Confinement, DependencyCondition, Detector, Hook, HookPhase, Hooks, OutputPolicy, Probe, ProbeCheck,
    Process, Program, RestartPolicy, RestartWhen, Secret, StopPolicy,
};
use serde_json::{Map, Value as Json, json};

use super::command::line_of;
use super::mask::MASK;
use super::surroundings::Surroundings;
use crate::duration::format_duration;
use crate::{CatchUp, ConcurrencyPolicy, Job};

/// Whether the values of the environment are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// As `***`.
    Masked,
    /// As they are.
    Shown,
}

/// A process. What holds for all processes is left out.
pub fn process_to_json(process: &Process, around: &Surroundings, secrets: Secrets) -> Json {
    let mut spec = Map::new();
    let mut put = |key: &str, value: Json| drop(spec.insert(key.to_owned(), value));
    put("name", process.name.as_str().into());
    let (key, command) = command(&process.program);
    put(key, command);
    if let Some(path) = &process.work_dir {
        put("work_dir", path.to_string_lossy().into());
    }
    let env = own_env(&process.env, around);
    if !env.is_empty() {
        put("env", env_list(env, secrets));
    }
    if let Some(path) = &process.pid_file {
        put("pid_file", path.to_string_lossy().into());
    }
    put("priority", process.priority.into());
    put("retry_count", process.start.retries.into());
    put("retry_interval", nanos(process.start.retry_interval));
    put("start_duration", if process.start.duration.is_zero() { 0.into() } else { nanos(process.start.duration) });
    // As with durations, a number that is zero says nothing.
    put("instances", if process.instances == 0 { "0".into() } else { process.instances.into() });
    put("detached", false.into());
    put("auto_start", process.auto_start.into());
    let dependency = |dependency: &piton_model::Dependency| match dependency.condition {
        DependencyCondition::Started => dependency.name.as_str().into(),
        condition => json!({"name": dependency.name, "condition": condition}),
    };
    if !process.depends_on.is_empty() {
        put("depends_on", process.depends_on.iter().map(dependency).collect());
    }
    let detector = |detector: &Detector| match detector {
        Detector::PidFile { path } => json!({"type": "pidfile", "path": path.to_string_lossy()}),
        Detector::Command { program } => json!({"type": "command", "command": command_value(program)}),
    };
    if !process.detectors.is_empty() {
        put("detectors", process.detectors.iter().map(detector).collect());
    }
    if process.output != around.output {
        put("log", log(&process.output));
    }
    if !process.hooks.is_empty() {
        put("lifecycle", hooks(&process.hooks, secrets));
    }
    let probes = [
        ("startup_probe", &process.probes.startup),
        ("readiness_probe", &process.probes.readiness),
        ("liveness_probe", &process.probes.liveness),
    ];
    for (key, one) in probes {
        if let Some(one) = one {
            put(key, probe(one));
        }
    }
    spec.extend(restart(&process.restart));
    spec.extend(stop(&process.stop));
    spec.extend(confinement(&process.confinement));
    Json::Object(spec)
}

/// A job that runs once.
pub fn job_to_json(job: &Job, around: &Surroundings, secrets: Secrets) -> Json {
    let mut spec = job.batch().map(|work| batch(work, around, secrets)).unwrap_or_default();
    spec.insert("name".to_owned(), job.name.as_str().into());
    if job.rules.suspended {
        spec.insert("suspend".to_owned(), true.into());
    }
    Json::Object(spec)
}

/// A job that no file declares, by its name.
pub fn batch_to_json(name: &str, work: &Batch, around: &Surroundings, secrets: Secrets) -> Json {
    let mut spec = batch(work, around, secrets);
    spec.insert("name".to_owned(), name.into());
    Json::Object(spec)
}

/// A job that runs on a schedule.
pub fn cronjob_to_json(job: &Job, around: &Surroundings, secrets: Secrets) -> Json {
    let mut template = job.batch().map(|work| batch(work, around, secrets)).unwrap_or_default();
    template.insert("name".to_owned(), job.name.as_str().into());
    let lines: Vec<&str> = job.triggers.iter().map(|trigger| trigger.text()).collect();
    let schedule = match lines.as_slice() {
        [line] => (*line).into(),
        lines => json!(lines),
    };
    let rules = &job.rules;
    let mut spec = Map::new();
    let mut put = |key: &str, value: Json| drop(spec.insert(key.to_owned(), value));
    put("name", job.name.as_str().into());
    put("schedule", schedule);
    put("time_zone", job.time_zone.iana_name().unwrap_or("UTC").into());
    let policy = match rules.concurrency {
        ConcurrencyPolicy::Allow => "Allow",
        ConcurrencyPolicy::Forbid => "Forbid",
        ConcurrencyPolicy::Replace => "Replace",
    };
    put("concurrency_policy", policy.into());
    put("suspend", rules.suspended.into());
    put("successful_jobs_history_limit", rules.successful_history.unwrap_or(3).into());
    put("failed_jobs_history_limit", rules.failed_history.unwrap_or(1).into());
    if let Some(deadline) = rules.starting_deadline {
        put("starting_deadline_seconds", seconds(deadline));
    }
    if job.catch_up == CatchUp::Skip {
        put("catch_up", "skip".into());
    }
    put("job_template", Json::Object(template));
    Json::Object(spec)
}

/// `command` with a line, or `args` where no line is the same.
fn command(program: &Program) -> (&'static str, Json) {
    match line_of(program) {
        Some(line) => ("command", line.into()),
        None => ("args", command_value(program)),
    }
}

fn command_value(program: &Program) -> Json {
    match (line_of(program), program) {
        (Some(line), _) => line.into(),
        (None, Program::Exec { argv }) => json!(argv),
        (None, Program::Shell { line } | Program::Script { text: line }) => line.as_str().into(),
    }
}

/// A whole number; zero is written as text, since a number that is zero says nothing.
fn nanos(duration: Duration) -> Json {
    match u64::try_from(duration.as_nanos()) {
        Ok(0) => "0s".into(),
        Ok(nanos) => nanos.into(),
        Err(_) => format_duration(duration).into(),
    }
}

fn seconds(duration: Duration) -> Json {
    if duration.subsec_nanos() == 0 { duration.as_secs().into() } else { format_duration(duration).into() }
}

type Env<'a> = Vec<(&'a String, &'a Secret<String>)>;

/// The variables that are not those of everybody.
fn own_env<'a>(env: &'a BTreeMap<String, Secret<String>>, around: &Surroundings) -> Env<'a> {
    env.iter().filter(|(name, value)| around.global.get(*name) != Some(*value)).collect()
}

/// `$` before a brace is doubled, so that nothing is filled in a second time.
fn env_list(env: Env<'_>, secrets: Secrets) -> Json {
    let one = |(name, value): (&String, &Secret<String>)| match secrets {
        Secrets::Masked => format!("{name}={MASK}"),
        Secrets::Shown => format!("{name}={}", value.expose().replace("${", "$${")),
    };
    env.into_iter().map(one).collect()
}

fn log(output: &OutputPolicy) -> Json {
    let (mut log, mut file) = (Map::new(), Map::new());
    for (key, path) in [("dir", &output.dir), ("stdoutPath", &output.stdout), ("stderrPath", &output.stderr)] {
        if let Some(path) = path {
            file.insert(key.to_owned(), path.to_string_lossy().into());
        }
    }
    let days = output.max_age.as_secs() / 86_400;
    for (nested, flat, number) in [
        ("maxSizeMB", "max_size_mb", output.max_size >> 20),
        ("maxBackups", "max_backups", u64::from(output.max_backups)),
        ("maxAgeDays", "max_age_days", days),
    ] {
        if number == 0 {
            log.insert(flat.to_owned(), 0.into());
        } else {
            file.insert(nested.to_owned(), number.into());
        }
    }
    file.insert("compress".to_owned(), output.compress.into());
    log.insert("file".to_owned(), Json::Object(file));
    if output.timestamps {
        log.insert("timestamps".to_owned(), true.into());
    }
    Json::Object(log)
}

fn hooks(hooks: &Hooks, secrets: Secrets) -> Json {
    let one = |hook: &Hook| {
        let mut json = json!({
            "name": hook.name, "command": hook.command, "failure_mode": hook.failure_mode, "run_mode": hook.run_mode,
            "timeout": nanos(hook.timeout),
        });
        if !hook.env.is_empty() {
            json["env"] = env_list(hook.env.iter().collect(), secrets);
        }
        if let Some(path) = &hook.work_dir {
            json["work_dir"] = path.to_string_lossy().into();
        }
        json
    };
    let phases = HookPhase::ALL.into_iter().filter(|phase| !hooks.of(*phase).is_empty());
    phases.map(|phase| (phase.to_string(), hooks.of(phase).iter().map(one).collect::<Json>())).collect()
}

fn probe(probe: &Probe) -> Json {
    let (key, check): (_, Json) = match &probe.check {
        ProbeCheck::Exec { program } => ("exec", command_value(program)),
        ProbeCheck::Http { url } => ("http", url.as_str().into()),
        ProbeCheck::Tcp { address } => ("tcp", address.as_str().into()),
    };
    json!({
        key: check,
        "initial_delay": nanos(probe.initial_delay),
        "period": nanos(probe.period),
        "timeout": nanos(probe.timeout),
        "success_threshold": probe.success_threshold,
        "failure_threshold": probe.failure_threshold,
    })
}

fn restart(policy: &RestartPolicy) -> Map<String, Json> {
    let usual = RestartPolicy::default();
    let mut keys = Map::new();
    let mut put = |key: &str, value: Json| drop(keys.insert(key.to_owned(), value));
    put("auto_restart", (policy.when != RestartWhen::Never).into());
    put("restart", json!(policy.when));
    put("restart_interval", nanos(policy.delay));
    if policy.success_codes != usual.success_codes {
        put("success_codes", json!(policy.success_codes));
    }
    if policy.growth_percent != usual.growth_percent {
        put("restart_backoff", (f64::from(policy.growth_percent) / 100.0).into());
    }
    if policy.delay_cap != usual.delay_cap.max(policy.delay) {
        put("restart_max_interval", nanos(policy.delay_cap));
    }
    if policy.reset_after != usual.reset_after {
        put("restart_reset_after", nanos(policy.reset_after));
    }
    if let Some(limit) = policy.flap_limit {
        put("max_restarts", limit.into());
    }
    if policy.flap_window != usual.flap_window {
        put("max_restarts_window", nanos(policy.flap_window));
    }
    keys
}

fn stop(policy: &StopPolicy) -> Map<String, Json> {
    let mut keys = Map::new();
    if let Some(program) = &policy.command {
        keys.insert("stop_command".to_owned(), command_value(program));
    }
    match policy.stages.as_slice() {
        [stage] => {
            keys.insert("stop_signal".to_owned(), stage.signal.as_str().into());
            keys.insert("stop_timeout".to_owned(), nanos(stage.wait));
        }
        stages => {
            let one = |stage: &piton_model::StopStage| json!({"signal": stage.signal, "wait": nanos(stage.wait)});
            keys.insert("stop_sequence".to_owned(), stages.iter().map(one).collect());
        }
    }
    keys
}

fn confinement(confinement: &Confinement) -> Map<String, Json> {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let limits: Map<String, Json> = confinement
        .rlimits
        .iter()
        .map(|(name, both)| (name.clone(), format!("{}:{}", limit(both.soft), limit(both.hard)).into()))
        .collect();
    let Confinement { user, group, umask, nice, oom_score_adj, no_new_privileges, stdin, .. } = confinement;
    let keys: [(&str, Option<Json>); 11] = [
        ("user", user.as_deref().map(Into::into)),
        ("group", group.as_deref().map(Into::into)),
        ("umask", umask.map(|umask| format!("{umask:04o}").into())),
        ("nice", nice.map(Into::into)),
        ("oom_score_adj", oom_score_adj.map(Into::into)),
        ("no_new_privileges", no_new_privileges.then(|| true.into())),
        ("stdin", stdin.as_ref().map(|path| path.to_string_lossy().into())),
        ("limits", (!limits.is_empty()).then_some(Json::Object(limits))),
        ("memory_max", confinement.memory_max.map(Into::into)),
        ("cpu", confinement.cpu_percent.map(|percent| format!("{percent}%").into())),
        ("pids_max", confinement.pids_max.map(Into::into)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn batch(batch: &Batch, around: &Surroundings, secrets: Secrets) -> Map<String, Json> {
    let mut spec = Map::new();
    let mut put = |key: &str, value: Json| drop(spec.insert(key.to_owned(), value));
    let (key, command) = command(&batch.program);
    put(key, command);
    if let Some(path) = &batch.work_dir {
        put("work_dir", path.to_string_lossy().into());
    }
    let env = own_env(&batch.env, around);
    if !env.is_empty() {
        put("env", env_list(env, secrets));
    }
    put("parallelism", batch.parallelism.into());
    put("completions", batch.completions.map_or_else(|| "any".into(), Into::into));
    put("backoff_limit", batch.backoff_limit.into());
    put("completion_mode", json!(batch.completion_mode));
    put("restart_policy", json!(batch.restart_policy));
    for (key, value) in [
        ("active_deadline_seconds", batch.active_deadline.map(seconds)),
        ("ttl_seconds_after_finished", batch.ttl_after_finished.map(seconds)),
        ("backoff_limit_per_index", batch.backoff_limit_per_index.map(Into::into)),
        ("max_failed_indexes", batch.max_failed_indexes.map(Into::into)),
    ] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    if !batch.failure_policy.is_empty() {
        let rule = |rule: &piton_model::FailureRule| match rule.conditions.as_slice() {
            [] => json!({"action": rule.action, "on_exit_codes": {"operator": rule.operator, "values": rule.values}}),
            conditions => json!({"action": rule.action, "on_pod_conditions": conditions}),
        };
        put("pod_failure_policy", json!({"rules": batch.failure_policy.iter().map(rule).collect::<Vec<_>>()}));
    }
    if !batch.success_policy.is_empty() {
        put("success_policy", json!({"rules": batch.success_policy}));
    }
    if !batch.hooks.is_empty() {
        put("lifecycle", hooks(&batch.hooks, secrets));
    }
    spec.extend(confinement(&batch.confinement));
    spec
}
