//! The model as it travels. Pure.

use std::path::Path;
use std::time::Duration;

use piton_api as api;
use piton_model::{
    Answer, By, Exchange, JobState, LedgerEntry, Name, Origin, OutputValue, PlanSummary, Record, Run, RunState,
    SubjectKind, WorkspaceState,
};
use piton_spec::{Diagnostic, Effect, Job, Workspace};

pub(crate) fn workspace(workspace: &Workspace, state: &WorkspaceState) -> api::Workspace {
    let phase = state.phase();
    api::Workspace {
        name: workspace.name.to_string(),
        enabled: workspace.enabled,
        declared: true,
        status: phase.as_str().to_owned(),
        mode: phase.mode().map(ToString::to_string),
        description: workspace.description.clone(),
        template: workspace.template().map(ToString::to_string),
        schedule: workspace.lines.iter().map(line).collect(),
        time_zone: zone(&workspace.time_zone),
        modes: workspace.modes.iter().map(ToString::to_string).collect(),
        jobs: workspace.jobs.iter().map(ToString::to_string).collect(),
        tags: workspace.tags.iter().cloned().collect(),
        last_deployed: state.last_deployed,
        last_destroyed: state.last_destroyed,
        last_deploy_error: state.last_deploy_error.clone(),
        last_destroy_error: state.last_destroy_error.clone(),
        waits: waits(workspace, state),
        active_run: state.active.as_ref().map(|(run, _)| run.to_string()),
        last_run: state.last_run.map(|run| run.to_string()),
        next: None,
        log_file: None,
        skipped: vec![],
        directory: workspace.dir.display().to_string(),
    }
}

/// What keeps the schedule from deploying it, and what to do about that: a deployment that failed, in whichever mode.
fn waits(workspace: &Workspace, state: &WorkspaceState) -> Option<String> {
    let is_scheduled = workspace.lines.iter().any(|line| matches!(line.effect, Effect::Deploy(_)));
    let unchanged = state.attempted.as_ref() == Some(&workspace.digest);
    if !is_scheduled || !unchanged || !state.deploy_failed() || state.active.is_some() {
        return None;
    }
    let (failed, nothing, mode) = match &state.failed_mode {
        Some(mode) => (format!("the deployment in mode '{mode}' failed"), "no other mode either", format!(" {mode}")),
        None if workspace.modes.is_empty() => ("the last deployment failed".to_owned(), "nothing", String::new()),
        None => ("the last deployment failed".to_owned(), "no mode", " MODE".to_owned()),
    };
    Some(format!(
        "{failed}, so the schedule deploys {nothing} until the configuration, code or template changes, or somebody \
         deploys: piton workspace deploy {}{mode}",
        workspace.name
    ))
}

/// A workspace that is deployed although nothing declares it.
pub(crate) fn leftover(name: &Name, state: &WorkspaceState, directory: &Path) -> api::Workspace {
    let phase = state.phase();
    api::Workspace {
        name: name.to_string(),
        enabled: false,
        declared: false,
        status: phase.as_str().to_owned(),
        mode: phase.mode().map(ToString::to_string),
        description: None,
        template: None,
        schedule: vec![],
        time_zone: zone(&jiff::tz::TimeZone::UTC),
        modes: vec![],
        jobs: vec![],
        tags: vec![],
        last_deployed: state.last_deployed,
        last_destroyed: state.last_destroyed,
        last_deploy_error: state.last_deploy_error.clone(),
        last_destroy_error: state.last_destroy_error.clone(),
        waits: None,
        active_run: state.active.as_ref().map(|(run, _)| run.to_string()),
        last_run: state.last_run.map(|run| run.to_string()),
        next: None,
        log_file: None,
        skipped: vec![],
        directory: directory.display().to_string(),
    }
}

/// What is said about it.
pub(crate) fn not_declared(name: &Name, directory: &Path, is_there: bool) -> api::Diagnostic {
    let why = if is_there { "its declaration is not valid" } else { "its directory is gone" };
    api::Diagnostic {
        severity: piton_spec::Severity::Warning.as_str().to_owned(),
        file: directory.display().to_string(),
        line: None,
        column: None,
        field: None,
        message: format!("workspace '{name}' is deployed, but {why}"),
        hint: Some(format!("make it good, or destroy what it deployed: piton workspace destroy {name}")),
        code: "not_declared".to_owned(),
    }
}

fn line(line: &piton_spec::ScheduleLine) -> api::ScheduleLine {
    let (effect, mode) = match &line.effect {
        Effect::Deploy(mode) => ("deploy", mode.as_ref().map(ToString::to_string)),
        Effect::Destroy => ("destroy", None),
    };
    api::ScheduleLine { line: line.text.clone(), effect: effect.to_owned(), mode }
}

fn zone(zone: &jiff::tz::TimeZone) -> String {
    zone.iana_name().unwrap_or("local").to_owned()
}

pub(crate) fn upcoming(upcoming: piton_engine::Upcoming) -> api::Upcoming {
    api::Upcoming {
        at: upcoming.at,
        effect: upcoming.effect.to_owned(),
        mode: upcoming.mode.map(|mode| mode.to_string()),
        line: upcoming.line,
    }
}

pub(crate) fn job(job: &Job, state: &JobState, enabled: bool, suspended: bool) -> api::Job {
    let never_ran = state.status == piton_model::JobStatus::Pending;
    api::Job {
        name: job.name.to_string(),
        workspace: job.workspace().map(ToString::to_string),
        kind: job.work.type_word().to_owned(),
        enabled: job.enabled,
        suspended,
        description: job.extras.description.clone(),
        schedule: job.triggers.iter().map(|trigger| trigger.text().to_owned()).collect(),
        depends_on: job.extras.depends_on.iter().map(ToString::to_string).collect(),
        tags: job.extras.tags.iter().cloned().collect(),
        status: if never_ran && !enabled { "disabled" } else { state.status.as_str() }.to_owned(),
        run_count: state.run_count,
        success_count: state.success_count,
        failure_count: state.failure_count,
        last_run: state.last_run,
        last_success: state.last_success,
        last_failure: state.last_failure,
        last_error: state.last_error.clone(),
        last_exit_code: state.last_exit_code,
        last_run_id: state.last_run_id.map(|run| run.to_string()),
        next_run: None,
        skipped: vec![],
    }
}

pub(crate) fn run(run: &Run) -> api::Run {
    let kind = match run.subject.kind() {
        SubjectKind::Workspace => "workspace",
        SubjectKind::Job => "job",
        SubjectKind::Deployment => "deployment",
        SubjectKind::Provision => "provision",
        SubjectKind::Scaffold => "scaffold",
    };
    let mode = run.action.iac().and_then(|iac| iac.operation.mode()).map(ToString::to_string);
    let (due_at, gate, ended_at) = match &run.state {
        RunState::Pending { due, .. } => (Some(*due), None, None),
        RunState::Running { .. } => (None, None, None),
        RunState::Gated { gate, expires } => {
            let digest = gate.digest.to_string();
            let gate = api::Gate { digest, question: gate.question.clone(), expires_at: *expires };
            (None, Some(gate), None)
        }
        RunState::Ended { at, .. } => (None, None, Some(*at)),
    };
    let outcome = run.outcome();
    let news = run.report.remote.as_ref();
    let failure = outcome.and_then(|outcome| outcome.failure()).map(|failure| api::Failure {
        code: failure.code.clone(),
        message: failure.message.clone(),
        hint: failure.hint.clone(),
    });
    api::Run {
        id: run.id.to_string(),
        subject: run.subject.to_string(),
        kind: kind.to_owned(),
        action: run.action.verb().to_owned(),
        mode,
        state: run.phase().as_str().to_owned(),
        outcome: outcome.map(|outcome| outcome.kind().as_str().to_owned()),
        message: outcome.map(piton_model::Outcome::sentence),
        step: run.step().or(run.reached).map(|step| step.as_str().to_owned()),
        cancelling: matches!(&run.state, RunState::Running { cancel: Some(_), .. }),
        attempts: news.map_or(run.attempts, |news| news.attempt),
        worker: news.map(|news| news.worker.clone()).or_else(|| run.lease().map(|lease| lease.worker.to_string())),
        origin: origin(&run.origin),
        submitted_at: run.submitted_at,
        due_at,
        started_at: run.started_at,
        ended_at,
        gate,
        plan: run.report.plan.as_ref().map(plan),
        outputs: run
            .report
            .outputs
            .as_ref()
            .map(|outputs| outputs.iter().map(|(name, value)| (name.clone(), output(value))).collect()),
        tool: run.report.tool.as_ref().map(|tool| api::Tool {
            name: tool.name.clone(),
            version: tool.version.clone(),
            path: tool.path.clone(),
        }),
        exit_code: run.report.exit_code,
        unwritten: run.report.unwritten.clone(),
        repository: run.report.repository.as_ref().map(|repository| api::ScaffoldedRepository {
            url: repository.url.clone(),
            name: repository.name.clone(),
            branch: repository.branch.clone(),
            commit: repository.commit.clone(),
            files: repository.files,
        }),
        answer: None,
        failure,
        retry_of: run.retry_of.map(|run| run.to_string()),
    }
}

/// One run that is asked for by its id. What a provisioning API was asked and answered is too long for lists.
pub(crate) fn run_in_full(run: &Run) -> api::Run {
    api::Run { answer: run.report.answer.as_ref().map(answer), ..self::run(run) }
}

fn answer(answer: &Answer) -> api::ProvisionAnswer {
    let exchange = |exchange: &Exchange| api::ProvisionExchange {
        method: exchange.method.clone(),
        url: exchange.url.clone(),
        request: exchange.request.clone(),
        status: exchange.status,
        response: exchange.response.clone(),
        took_ms: milliseconds(exchange.took),
    };
    api::ProvisionAnswer {
        status: answer.status,
        body: answer.body.clone(),
        headers: answer.headers.clone(),
        took_ms: milliseconds(answer.took),
        exchanges: answer.exchanges.iter().map(exchange).collect(),
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// A due time that made no run; nothing where the entry is about a run.
pub(crate) fn skip(entry: &LedgerEntry) -> Option<api::Skip> {
    let Record::Skipped { subject, due, line, reason, count } = &entry.record else { return None };
    Some(api::Skip {
        due: *due,
        subject: subject.to_string(),
        line: line.clone(),
        verdict: if reason.is_missed() { "missed" } else { "skipped" }.to_owned(),
        reason: reason.as_str().to_owned(),
        message: reason.sentence(),
        count: *count,
        recorded_at: entry.at,
    })
}

pub(crate) fn submitted(run: &Run) -> api::Submitted {
    api::Submitted { run: run.id.to_string(), subject: run.subject.to_string() }
}

pub(crate) fn output(output: &OutputValue) -> api::Output {
    api::Output { value: output.value.clone(), sensitive: output.sensitive }
}

pub(crate) fn plan(plan: &PlanSummary) -> api::Plan {
    let change = |change: &piton_model::ResourceChange| api::PlanChange {
        address: change.address.clone(),
        action: change.action.clone(),
        reason: change.reason.clone(),
    };
    api::Plan {
        digest: plan.digest.to_string(),
        add: plan.add,
        change: plan.change,
        replace: plan.replace,
        destroy: plan.destroy,
        output_changes: plan.output_changes,
        changes: plan.changes.iter().map(change).collect(),
    }
}

fn origin(origin: &Origin) -> api::Origin {
    let (trigger, fire) = match origin {
        Origin::Cron { fire, .. } => ("cron", Some(*fire)),
        Origin::Event { .. } => ("event", None),
        Origin::Boot { .. } => ("boot", None),
        Origin::At { due } => ("at", Some(*due)),
        Origin::Message { .. } => ("message", None),
        Origin::Report { .. } => ("report", None),
        Origin::Change { .. } => ("change", None),
        Origin::Call { .. } => ("call", None),
    };
    let by = match origin.by() {
        By::User(name) | By::Client(name) => Some(name),
        By::System => None,
    };
    api::Origin { trigger: trigger.to_owned(), text: origin.to_string(), fire, by }
}

pub(crate) fn diagnostic(diagnostic: &Diagnostic) -> api::Diagnostic {
    api::Diagnostic {
        severity: diagnostic.severity.as_str().to_owned(),
        file: diagnostic.file.display().to_string(),
        line: diagnostic.line,
        column: diagnostic.column,
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
        code: diagnostic.code.to_owned(),
    }
}
