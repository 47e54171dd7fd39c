//! `[provisioning]`: who carries out scheduled provisions, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_model::{Backoff, JobType, Secret};
use serde_json::Value;

use super::settings::Settings;
use crate::diagnostic::Diagnostic;

/// `[provisioning]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    /// The target of every type that has none of its own.
    pub api_url: Option<String>,
    /// Targets of single types.
    pub webhooks: BTreeMap<JobType, String>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How often a failed call is made again.
    pub retry_attempts: u32,
    /// Time before the first further call.
    pub retry_delay: Duration,
    /// No delay is longer.
    pub retry_max_delay: Duration,
    /// Headers of every call.
    pub headers: BTreeMap<String, Secret<String>>,
    /// Signs calls.
    pub secret: Option<Secret<String>>,
    /// How many provisions may be under way at once.
    pub max_concurrent: usize,
    /// How many calls to one host may be under way at once.
    pub concurrency: u32,
    /// How many calls to one host may begin in a second; none for any number.
    pub rate: Option<NonZeroU32>,
    /// Whether a time that has passed may be asked for.
    pub allow_past: bool,
    /// What nobody may have done without somebody who agrees.
    pub approval_required: BTreeSet<JobType>,
    /// `[provisioning.providers.google]`
    pub google: Option<GoogleProvider>,
    /// `[provisioning.providers.microsoft]`
    pub microsoft: Option<MicrosoftProvider>,
}

/// `[provisioning.providers.google]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleProvider {
    /// The file of the service account.
    pub credentials: PathBuf,
    /// The administrator for whom it acts.
    pub admin: String,
    /// The only domain whose accounts are touched.
    pub domain: Option<String>,
    /// The customer's id.
    pub customer: Option<String>,
    /// In place of the APIs' own addresses.
    pub api_url: Option<String>,
    /// In place of the address in the file.
    pub token_url: Option<String>,
}

/// `[provisioning.providers.microsoft]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicrosoftProvider {
    /// The directory's id, or one of its domains.
    pub tenant_id: String,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: Secret<String>,
    /// Where people are that are not told to be elsewhere.
    pub usage_location: Option<String>,
    /// In place of Graph's own address.
    pub api_url: Option<String>,
    /// In place of the address that gives tokens.
    pub token_url: Option<String>,
}

/// The key of each type's own target.
const WEBHOOKS: [(JobType, &str); JobType::ALL.len()] = [
    (JobType::Provision, "provisioning.webhooks.provision"),
    (JobType::Terminate, "provisioning.webhooks.terminate"),
    (JobType::Suspend, "provisioning.webhooks.suspend"),
    (JobType::Reactivate, "provisioning.webhooks.reactivate"),
    (JobType::ModifyGroups, "provisioning.webhooks.modify_groups"),
    (JobType::ModifyLicense, "provisioning.webhooks.modify_license"),
    (JobType::ModifyRole, "provisioning.webhooks.modify_role"),
    (JobType::PasswordReset, "provisioning.webhooks.password_reset"),
    (JobType::TransferOwnership, "provisioning.webhooks.transfer_ownership"),
];

impl Provisioning {
    /// How often, and after how long, a call that failed is made again.
    pub fn retry(&self) -> Backoff {
        Backoff {
            max_attempts: self.retry_attempts.saturating_add(1),
            first: self.retry_delay,
            cap: self.retry_max_delay,
        }
    }

    pub(super) fn read(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Provisioning {
        let number = |key: &str| settings.integer(key).and_then(|number| u32::try_from(number).ok());
        let webhook = |(job_type, key): (JobType, &str)| Some((job_type, settings.text(key)?.to_owned()));
        Provisioning {
            api_url: settings.text("provisioning.api_url").map(str::to_owned),
            webhooks: WEBHOOKS.into_iter().filter_map(webhook).collect(),
            timeout: settings.duration("provisioning.timeout"),
            retry_attempts: number("provisioning.retry_attempts").unwrap_or(3),
            retry_delay: settings.duration("provisioning.retry_delay"),
            retry_max_delay: settings.duration("provisioning.retry_max_delay"),
            headers: headers(settings, found),
            secret: settings.text("provisioning.secret").map(|secret| Secret::new(secret.to_owned())),
            max_concurrent: number("provisioning.max_concurrent").map_or(256, |number| number as usize),
            concurrency: number("provisioning.concurrency").unwrap_or(16),
            rate: number("provisioning.rate").and_then(NonZeroU32::new),
            allow_past: settings.flag("provisioning.allow_past"),
            approval_required: approval_required(settings, found),
            google: google(settings, root, found),
            microsoft: microsoft(settings, found),
        }
    }
}

fn headers(settings: &Settings, found: &mut Vec<Diagnostic>) -> BTreeMap<String, Secret<String>> {
    let given = settings.json("provisioning.headers").and_then(Value::as_object);
    let mut headers = BTreeMap::new();
    for (name, value) in given.into_iter().flatten() {
        match value.as_str() {
            Some(value) => drop(headers.insert(name.clone(), Secret::new(value.to_owned()))),
            None => found.push(settings.error(
                "provisioning.headers",
                &format!("the value of the header `{}` must be text", name.escape_debug()),
            )),
        }
    }
    headers
}

fn approval_required(settings: &Settings, found: &mut Vec<Diagnostic>) -> BTreeSet<JobType> {
    let mut types = BTreeSet::new();
    for word in settings.texts("provisioning.approval_required") {
        match word.parse() {
            Ok(job_type) => drop(types.insert(job_type)),
            Err(unknown) => {
                let unknown: piton_model::UnknownWord = unknown;
                found.push(settings.error("provisioning.approval_required", &unknown.to_string()));
            }
        }
    }
    types
}

/// A provider is there as soon as one of its keys is; then all that it needs must be.
fn needed<const N: usize>(
    settings: &Settings,
    found: &mut Vec<Diagnostic>,
    section: &str,
    needed: [&'static str; N],
) -> Option<[String; N]> {
    let given = settings.given_below(section)?;
    let texts = needed.map(|key| settings.text(key).map(str::to_owned));
    for (key, _) in needed.iter().zip(&texts).filter(|(_, text)| text.is_none()) {
        let mut missing = settings.error(given, &format!("`{key}` is missing"));
        missing.code = "missing_value";
        found.push(missing);
    }
    texts.iter().all(Option::is_some).then(|| texts.map(Option::unwrap_or_default))
}

fn google(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Option<GoogleProvider> {
    let keys = ["provisioning.providers.google.credentials", "provisioning.providers.google.admin"];
    let [_, admin] = needed(settings, found, "provisioning.providers.google.", keys)?;
    let text = |key: &str| settings.text(key).map(str::to_owned);
    Some(GoogleProvider {
        credentials: settings.path("provisioning.providers.google.credentials", root)?,
        admin,
        domain: text("provisioning.providers.google.domain"),
        customer: text("provisioning.providers.google.customer"),
        api_url: text("provisioning.providers.google.api_url"),
        token_url: text("provisioning.providers.google.token_url"),
    })
}

fn microsoft(settings: &Settings, found: &mut Vec<Diagnostic>) -> Option<MicrosoftProvider> {
    let keys = [
        "provisioning.providers.microsoft.tenant_id",
        "provisioning.providers.microsoft.client_id",
        "provisioning.providers.microsoft.client_secret",
    ];
    let [tenant_id, client_id, client_secret] = needed(settings, found, "provisioning.providers.microsoft.", keys)?;
    let text = |key: &str| settings.text(key).map(str::to_owned);
    Some(MicrosoftProvider {
        tenant_id,
        client_id,
        client_secret: Secret::new(client_secret),
        usage_location: text("provisioning.providers.microsoft.usage_location"),
        api_url: text("provisioning.providers.microsoft.api_url"),
        token_url: text("provisioning.providers.microsoft.token_url"),
    })
}
