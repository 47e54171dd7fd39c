//! Where requests go, validated once: whatever is wrong is told with the key that says it.

use std::collections::BTreeMap;
use std::time::Duration;

use piton_model::Secret;
use piton_model::guard::{Blocked, Guard};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::google::{Google, GoogleSettings, InvalidCredentials};
use crate::microsoft::{Microsoft, MicrosoftSettings};
use crate::pace::{BreakerRules, InvalidRules, Rate};
use piton_model::JobType;

/// The configuration as it was read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `api_url`: the HTTP target of all types of requests.
    pub api_url: Option<String>,
    /// `webhooks`: another HTTP target for one type.
    pub webhooks: BTreeMap<JobType, String>,
    /// `headers` of requests to HTTP targets.
    pub headers: BTreeMap<String, Secret<String>>,
    /// `secret`: signs requests to HTTP targets.
    pub secret: Option<Secret<String>>,
    /// `timeout` of one call, whoever is called.
    pub timeout: Duration,
    /// `concurrency`: how many calls of one host may be under way.
    pub concurrency: u32,
    /// `rate`: how many calls of one host may begin in a while.
    pub rate: Option<Rate>,
    /// `breaker`: when a host that fails is left alone.
    pub breaker: BreakerRules,
    /// Which addresses may be called.
    pub guard: Guard,
    /// `providers.google`.
    pub google: Option<GoogleSettings>,
    /// `providers.microsoft`.
    pub microsoft: Option<MicrosoftSettings>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            api_url: None,
            webhooks: BTreeMap::new(),
            headers: BTreeMap::new(),
            secret: None,
            timeout: Duration::from_secs(300),
            concurrency: 16,
            rate: None,
            breaker: BreakerRules::default(),
            guard: Guard::default(),
            google: None,
            microsoft: None,
        }
    }
}

/// Why the configuration is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTargets {
    /// An address is none, or not one of the web.
    #[error("`{key}` is no address of a target: {reason}")]
    Address {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An address that must not be called.
    #[error("`{key}`: {blocked}")]
    Blocked {
        /// The key.
        key: String,
        /// Why not.
        blocked: Blocked,
    },
    /// A header cannot be sent, or is set by Piton itself.
    #[error("`headers.{name}` {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something that must not be empty, or zero.
    #[error("`{0}` must not be empty or zero")]
    Empty(&'static str),
    /// The breaker's rules.
    #[error("`breaker`: {0}")]
    Breaker(#[from] InvalidRules),
    /// The file with Google's service account.
    #[error("`providers.google.credentials`: {0}")]
    Credentials(#[from] InvalidCredentials),
}

/// Where requests go.
#[derive(Debug)]
pub struct Targets {
    pub(crate) api_url: Option<Url>,
    pub(crate) webhooks: BTreeMap<JobType, Url>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) header_values: Vec<Secret<String>>,
    pub(crate) secret: Option<Secret<String>>,
    pub(crate) timeout: Duration,
    pub(crate) concurrency: u32,
    pub(crate) rate: Option<Rate>,
    pub(crate) breaker: BreakerRules,
    pub(crate) guard: Guard,
    pub(crate) google: Option<Google>,
    pub(crate) microsoft: Option<Microsoft>,
}

/// Headers that are Piton's own, or the connection's.
const OWN_HEADERS: [&str; 12] = [
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "idempotency-key",
    "x-piton-schedule",
    "x-piton-job-type",
    "x-piton-attempt",
    "x-piton-due",
    crate::sign::TIMED,
    crate::sign::PLAIN,
];

impl Targets {
    /// Checks the configuration.
    pub fn new(settings: Settings) -> Result<Targets, InvalidTargets> {
        let guard = settings.guard;
        let api_url = settings.api_url.map(|text| address("api_url", &text, &guard)).transpose()?;
        let mut webhooks = BTreeMap::new();
        for (job_type, text) in settings.webhooks {
            webhooks.insert(job_type, address(&format!("webhooks.{job_type}"), &text, &guard)?);
        }
        let mut headers = Vec::new();
        let mut header_values = Vec::new();
        for (name, value) in settings.headers {
            headers.push(header(&name, &value)?);
            header_values.push(value);
        }
        if settings.secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            return Err(InvalidTargets::Empty("secret"));
        }
        if settings.timeout.is_zero() {
            return Err(InvalidTargets::Empty("timeout"));
        }
        if settings.concurrency == 0 {
            return Err(InvalidTargets::Empty("concurrency"));
        }
        settings.breaker.check()?;
        Ok(Targets {
            api_url,
            webhooks,
            headers,
            header_values,
            secret: settings.secret,
            timeout: settings.timeout,
            concurrency: settings.concurrency,
            rate: settings.rate,
            breaker: settings.breaker,
            google: settings.google.map(|google| Google::new(google, &guard)).transpose()?,
            microsoft: settings.microsoft.map(|microsoft| Microsoft::new(microsoft, &guard)).transpose()?,
            guard,
        })
    }

    /// The HTTP target of a type of requests.
    pub(crate) fn url(&self, job_type: JobType) -> Option<&Url> {
        self.webhooks.get(&job_type).or(self.api_url.as_ref())
    }
}

/// Reads the address of something to be called.
pub(crate) fn address(key: &str, text: &str, guard: &Guard) -> Result<Url, InvalidTargets> {
    let invalid = |reason| InvalidTargets::Address { key: key.to_owned(), reason };
    let url = Url::parse(text.trim()).map_err(|_| invalid("it is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("only http and https are allowed"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("no user and no password belong in it: use `headers`"));
    }
    let host = url.host_str().ok_or_else(|| invalid("it names no host"))?;
    guard.check_host(host).map_err(|blocked| InvalidTargets::Blocked { key: key.to_owned(), blocked })?;
    Ok(url)
}

fn header(name: &str, value: &Secret<String>) -> Result<(HeaderName, HeaderValue), InvalidTargets> {
    let invalid = |reason| InvalidTargets::Header { name: name.to_owned(), reason };
    let parsed: HeaderName = name.parse().map_err(|_| invalid("is not the name of a header"))?;
    if OWN_HEADERS.contains(&parsed.as_str()) {
        return Err(invalid("is set by Piton"));
    }
    let mut value: HeaderValue = value.expose().parse().map_err(|_| invalid("has a value that no header can have"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        Targets::new(settings).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        for (text, told) in [
            ("nowhere", "`api_url` is no address of a target: it is not a URL"),
            ("ftp://h/", "only http and https"),
            ("https://u:p4ssw0rd@h/", "use `headers`"),
            ("http://169.254.169.254/latest", "link-local and metadata"),
            ("http://0xa9fea9fe/", "link-local and metadata"),
        ] {
            let error = error(|settings| settings.api_url = Some(text.to_owned()));
            assert!(error.contains(told) && !error.contains("p4ssw0rd"), "{error}");
        }
        let webhook = error(|settings| {
            settings.webhooks.insert(JobType::Suspend, "x".to_owned());
        });
        assert!(webhook.starts_with("`webhooks.suspend`"), "{webhook}");
        for (name, value, told) in [
            ("Idempotency-Key", "x", "is set by Piton"),
            ("X-Piton-Attempt", "1", "is set by Piton"),
            ("no name", "x", "is not the name of a header"),
            ("Authorization", "hunter22\n", "has a value that no header can have"),
        ] {
            let error = error(|settings| {
                settings.headers.insert(name.to_owned(), Secret::new(value.to_owned()));
            });
            assert!(error.contains(told) && !error.contains("hunter22"), "{error}");
        }
        assert_eq!(error(|settings| settings.timeout = Duration::ZERO), "`timeout` must not be empty or zero");
        assert_eq!(error(|settings| settings.concurrency = 0), "`concurrency` must not be empty or zero");
        assert!(error(|settings| settings.breaker.failures = 0).starts_with("`breaker`"));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let settings = Settings {
            api_url: Some("https://h/".to_owned()),
            headers: [("Authorization".to_owned(), Secret::new("Bearer hunter22".to_owned()))].into(),
            secret: Some(Secret::new("hunter23".to_owned())),
            ..Settings::default()
        };
        let targets = Targets::new(settings.clone()).unwrap();
        let printed = format!("{settings:?} {targets:?}");
        assert!(!printed.contains("hunter"), "{printed}");
    }
}
