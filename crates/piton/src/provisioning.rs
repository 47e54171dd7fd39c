//! Carries out scheduled provisions: the executor's part, put together from `[provisioning]`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use piton_engine::{Clock, Passed, ProvisionRules, Task};
use piton_exec::guard::Guard;
use piton_model::{Failure, FailureClass, Provision, Report, Secret};
use piton_provision::{
    GoogleSettings, InvalidTargets, MayBegin, MicrosoftSettings, Provisioner, Rate, Request, Settings, Sleeping,
    Targets, asking,
};
use piton_spec::{Config, Diagnostic, Provisioning as Section};

use crate::access;
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
        if !is_configured(&config.provisioning) {
            return Ok(Provisioning { provisioner: None });
        }
        let targets = targets(config, guard).map_err(|found| {
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            CommandError::new(Exit::BadConfig, lines.join("\n"))
        })?;
        let clock = Arc::new(EngineClock(clock.clone()));
        let provisioner = Provisioner::new(targets, clock)
            .map_err(|error| CommandError::new(Exit::BadConfig, format!("provisioning: {error}")))?;
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
        let leave = task.leave.clone();
        let may_begin: MayBegin = Arc::new(move || {
            let leave = leave.clone();
            Box::pin(async move { leave.take().await })
        });
        match asking(may_begin, provisioner.carry_out(&request, &task.stop)).await {
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

/// What of the configuration keeps a daemon from starting, found before there is one.
pub fn check(config: &Config) -> Vec<Diagnostic> {
    match access::guard(config) {
        Ok(guard) if is_configured(&config.provisioning) => targets(config, guard).err().unwrap_or_default(),
        // Networks that are none were found when the configuration was read.
        Ok(_) | Err(_) => vec![],
    }
}

/// Whom to call, or what is wrong with the keys that say it.
fn targets(config: &Config, guard: Guard) -> Result<Targets, Vec<Diagnostic>> {
    let (settings, mut found) = settings(config, guard);
    match Targets::new(settings) {
        Ok(targets) if found.is_empty() => Ok(targets),
        Ok(_) => Err(found),
        Err(error) => {
            found.push(fault(config, &error));
            Err(found)
        }
    }
}

const CREDENTIALS: &str = "provisioning.providers.google.credentials";

/// What is wrong, at the key that says it.
fn fault(config: &Config, error: &InvalidTargets) -> Diagnostic {
    let at = |key: &str, message: String| {
        let key = match format!("provisioning.{key}") {
            // The file of the service account says it.
            key if key.starts_with("provisioning.providers.google.") && config.value(&key).is_none() => {
                CREDENTIALS.to_owned()
            }
            key => key,
        };
        config.fault(&key, "invalid_value", message)
    };
    match error {
        InvalidTargets::Address { key, reason } => {
            at(key, (*reason).to_owned()).hint("such as `https://provisioning.example.org/webhook`")
        }
        InvalidTargets::Blocked { key, blocked } => at(key, blocked.to_string()).hint("name another address"),
        InvalidTargets::Header { name, reason } => at("headers", format!("`{}` {reason}", name.escape_debug()))
            .hint("remove it, or give it another name or value"),
        InvalidTargets::Empty(key) => at(key, "it must not be empty or zero".to_owned()),
        InvalidTargets::Breaker(_) => at("breaker", error.to_string()),
        InvalidTargets::Credentials(invalid) => at("providers.google.credentials", invalid.to_string())
            .hint("name the JSON file with the key of a service account, as Google gives it"),
    }
}

/// How rows become runs. Where nobody can be called, rows wait: another daemon of the same database may know whom.
pub fn rules(config: &Section) -> ProvisionRules {
    let max_concurrent = if is_configured(config) { config.max_concurrent } else { 0 };
    ProvisionRules { max_concurrent, retry: config.retry(), ahead: AHEAD }
}

fn is_configured(config: &Section) -> bool {
    config.api_url.is_some() || !config.webhooks.is_empty() || config.google.is_some() || config.microsoft.is_some()
}

/// The configuration as the provisioner knows it, without what cannot be read.
fn settings(config: &Config, guard: Guard) -> (Settings, Vec<Diagnostic>) {
    let (mut found, whole, config) = (vec![], config, &config.provisioning);
    let google = config.google.as_ref().and_then(|google| match std::fs::read_to_string(&google.credentials) {
        Ok(text) => Some(GoogleSettings {
            credentials: Secret::new(text),
            admin: google.admin.clone(),
            domain: google.domain.clone(),
            customer: google.customer.clone(),
            api_url: google.api_url.clone(),
            token_url: google.token_url.clone(),
        }),
        Err(error) => {
            let message = format!("cannot read {}: {error}", google.credentials.display());
            let hint = "it must be there, and readable for the user that runs Piton";
            found.push(whole.fault(CREDENTIALS, "unreadable_file", message).hint(hint));
            None
        }
    });
    let microsoft = config.microsoft.as_ref().map(|microsoft| MicrosoftSettings {
        tenant_id: microsoft.tenant_id.clone(),
        client_id: microsoft.client_id.clone(),
        client_secret: microsoft.client_secret.clone(),
        usage_location: microsoft.usage_location.clone(),
        api_url: microsoft.api_url.clone(),
        token_url: microsoft.token_url.clone(),
    });
    let settings = Settings {
        api_url: config.api_url.clone(),
        webhooks: config.webhooks.clone(),
        headers: config.headers.clone(),
        secret: config.secret.clone(),
        timeout: config.timeout,
        concurrency: config.concurrency,
        rate: config.rate.and_then(|calls| Rate::new(calls.get(), Duration::from_secs(1)).ok()),
        guard,
        google,
        microsoft,
        ..Settings::default()
    };
    (settings, found)
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
