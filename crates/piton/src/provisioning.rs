//! Carries out scheduled provisions: the executor's part, put together from `[provisioning]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Passed, ProvisionRules, Task};
use piton_exec::guard::Guard;
use piton_model::{Failure, FailureClass, Provision, Report, Secret};
use piton_provision::{GoogleSettings, MicrosoftSettings, Provisioner, Rate, Request, Settings, Sleeping, Targets};
use piton_spec::Provisioning as Config;

use crate::error::{CommandError, Exit};

/// How long before it is due a row is taken: longer than the transaction takes that does it.
const AHEAD: Duration = Duration::from_millis(25);

/// Carries out scheduled provisions.
#[derive(Debug)]
pub struct Provisioning {
    /// None where nothing says whom to call.
    provisioner: Option<Provisioner>,
}

impl Provisioning {
    /// Calls nobody yet.
    pub fn new(config: &Config, guard: Guard, clock: &Clock) -> Result<Provisioning, CommandError> {
        if !is_configured(config) {
            return Ok(Provisioning { provisioner: None });
        }
        let invalid =
            |error: &dyn std::fmt::Display| CommandError::new(Exit::BadConfig, format!("provisioning: {error}"));
        let targets = Targets::new(settings(config, guard)?).map_err(|error| invalid(&error))?;
        let clock = Arc::new(EngineClock(clock.clone()));
        let provisioner = Provisioner::new(targets, clock).map_err(|error| invalid(&error))?;
        Ok(Provisioning { provisioner: Some(provisioner) })
    }

    /// Makes one call.
    pub async fn call(&self, task: &Task, provision: &Provision) -> Result<Passed, Failure> {
        let Some(provisioner) = &self.provisioner else {
            let message = "nothing says whom to call for this";
            return Err(Failure::new(FailureClass::Permanent, "no_target", message).hint("set `provisioning.api_url`"));
        };
        let request = Request {
            id: provision.schedule.to_string(),
            key: provision.key.to_string(),
            job_type: provision.job_type,
            body: provision.request.expose().clone(),
            attempt: provision.retries.saturating_add(1),
            due: due(task),
        };
        match provisioner.carry_out(&request, &task.stop).await {
            Ok(answer) => Ok(Passed::Done(Report { answer: Some(answer), ..Report::default() })),
            Err(failed) => {
                if failed.answer.is_some() {
                    task.progress.send_replace(Some(Report { answer: failed.answer, ..Report::default() }));
                }
                Err(Failure { retry_after: failed.retry_after, ..failed.failure })
            }
        }
    }
}

/// How rows become runs. Where nobody can be called, rows wait: another daemon of the same database may know whom.
pub fn rules(config: &Config) -> ProvisionRules {
    let max_concurrent = if is_configured(config) { config.max_concurrent } else { 0 };
    ProvisionRules { max_concurrent, retry: config.retry(), ahead: AHEAD }
}

fn is_configured(config: &Config) -> bool {
    config.api_url.is_some() || !config.webhooks.is_empty() || config.google.is_some() || config.microsoft.is_some()
}

fn settings(config: &Config, guard: Guard) -> Result<Settings, CommandError> {
    let google = config.google.as_ref().map(|google| -> Result<GoogleSettings, CommandError> {
        Ok(GoogleSettings {
            credentials: read(&google.credentials)?,
            admin: google.admin.clone(),
            domain: google.domain.clone(),
            customer: google.customer.clone(),
            api_url: google.api_url.clone(),
            token_url: google.token_url.clone(),
        })
    });
    let microsoft = config.microsoft.as_ref().map(|microsoft| MicrosoftSettings {
        tenant_id: microsoft.tenant_id.clone(),
        client_id: microsoft.client_id.clone(),
        client_secret: microsoft.client_secret.clone(),
        usage_location: microsoft.usage_location.clone(),
        api_url: microsoft.api_url.clone(),
        token_url: microsoft.token_url.clone(),
    });
    Ok(Settings {
        api_url: config.api_url.clone(),
        webhooks: config.webhooks.clone(),
        headers: config.headers.clone(),
        secret: config.secret.clone(),
        timeout: config.timeout,
        concurrency: config.concurrency,
        rate: config.rate.and_then(|calls| Rate::new(calls.get(), Duration::from_secs(1)).ok()),
        guard,
        google: google.transpose()?,
        microsoft,
        ..Settings::default()
    })
}

fn read(path: &Path) -> Result<Secret<String>, CommandError> {
    std::fs::read_to_string(path).map(Secret::new).map_err(|error| {
        let path = path.display();
        CommandError::new(Exit::BadConfig, format!("provisioning.providers.google.credentials: {path}: {error}"))
    })
}

fn due(task: &Task) -> Timestamp {
    match task.run.origin {
        piton_model::Origin::At { due } => due,
        _ => task.run.submitted_at,
    }
}

/// The engine's clock, as the provisioner wants it.
#[derive(Debug)]
struct EngineClock(Clock);

impl piton_provision::Clock for EngineClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn uptime(&self) -> Duration {
        self.0.moment().uptime()
    }

    fn sleep_until(&self, at: Duration) -> Sleeping<'_> {
        let left = at.saturating_sub(self.0.moment().uptime());
        Box::pin(self.0.sleep(left))
    }
}
