//! HTTP with limits: nothing in clear beyond this machine unasked, nothing longer than expected, no redirects.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use piton_model::guard::{Blocked, Guard};
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::reach::{Resolver, Unresolved};

/// An answer of an API has no more.
const MOST: usize = 4 << 20;
/// A message for people has no more.
const LONGEST_TEXT: usize = 500;
/// Nobody waits longer because a server said so.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How long a server may keep us waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes. Hooks of a server may think for a while; git says every five seconds that it still lives.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(15), idle: Duration::from_secs(60) }
    }
}

/// A client for one host. The connection is kept from one request to the next.
pub(crate) struct Web {
    reach: Guard,
    patience: Patience,
    is_local: bool,
    /// What must not be in any message.
    secrets: Vec<String>,
    /// Made when first needed: loading root certificates takes its time.
    client: OnceLock<Client>,
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Web {
    pub(crate) fn new(base: &Url, reach: Guard, patience: Patience, secrets: Vec<String>) -> Web {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= 4).collect();
        Web { reach, patience, is_local: is_loopback(base), secrets, client: OnceLock::new() }
    }

    pub(crate) fn request(&self, method: Method, url: Url, doing: &'static str) -> Result<RequestBuilder, Error> {
        let blocked = |blocked: Blocked| Error::Blocked { host: host(&url), reason: blocked.to_string() };
        url.host_str().map_or(Ok(()), |host| self.reach.check_host(host)).map_err(blocked)?;
        Ok(self.client(doing)?.request(method, url))
    }

    fn client(&self, doing: &'static str) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // reqwest panics where no provider was installed.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Error::NoTlsProvider);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience.connect)
            .read_timeout(self.patience.idle)
            // A redirect would lead credentials where nobody looked.
            .redirect(redirect::Policy::none())
            .dns_resolver(Resolver(self.reach.clone()));
        // A proxy in the environment is for the outside; asking it for this machine would reach another.
        if self.is_local {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| self.unreachable("this machine".to_owned(), &error, doing))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends a request of an API and reads its answer.
    pub(crate) async fn send(&self, request: RequestBuilder, doing: &'static str) -> Result<Answer, Error> {
        self.send_for(request, doing, MOST).await
    }

    /// Sends a request and reads an answer of at most so many bytes. A redirect is an error.
    pub(crate) async fn send_for(
        &self,
        request: RequestBuilder,
        doing: &'static str,
        most: usize,
    ) -> Result<Answer, Error> {
        let failed = |error: reqwest::Error| {
            let host = error.url().map_or_else(|| "the forge".to_owned(), host);
            self.unreachable(host, &error, doing)
        };
        let response = request.send().await.map_err(failed)?;
        let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
        if status.is_redirection() {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return Err(Error::Redirected { doing, address: bare(&url), to: self.clean(to) });
        }
        let body = read(response, most).await.map_err(|error| match error {
            Unread::Cut(error) => failed(error),
            Unread::TooLong => Error::Unexpected { doing, problem: format!("it has more than {most} bytes") },
        })?;
        Ok(Answer { status, headers, body })
    }

    fn unreachable(&self, host: String, error: &reqwest::Error, doing: &'static str) -> Error {
        // reqwest itself only says "error sending request".
        let mut reasons: Vec<String> = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(Unresolved::Blocked(blocked)) = error.downcast_ref() {
                return Error::Blocked { host, reason: blocked.to_string() };
            }
            let reason = error.to_string();
            if reasons.last() != Some(&reason) {
                reasons.push(reason);
            }
            cause = error.source();
        }
        if reasons.is_empty() {
            reasons.push(error.to_string());
        }
        Error::Unreachable { doing, host, reason: self.clean(&reasons.join(": ")) }
    }

    /// What an answer other than the wanted one means.
    pub(crate) fn problem(&self, answer: &Answer, doing: &'static str, what: &str) -> Error {
        let text = self.clean(&answer.said());
        let status = answer.status.as_u16();
        let retry_after = answer.retry_after();
        if answer.is_rate_limited() {
            return Error::RateLimited { doing, retry_after };
        }
        match status {
            401 => Error::Unauthorized { doing, text },
            403 => Error::Forbidden { doing, text },
            404 => Error::NotFound { doing, what: what.to_owned(), fresh: false },
            408 | 425 | 500..=599 => Error::Unavailable { doing, status, text, retry_after },
            _ => Error::Refused { doing, status, text },
        }
    }

    /// A text of the server, for people: one line, not too long, and without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        text.chars().filter(|char| !char.is_control()).take(LONGEST_TEXT).collect()
    }
}

enum Unread {
    Cut(reqwest::Error),
    TooLong,
}

async fn read(mut response: Response, most: usize) -> Result<Bytes, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Cut)? {
        if body.len() + chunk.len() > most {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self, doing: &'static str) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Unexpected { doing, problem: format!("{error} ({})", self.status) })
    }

    /// The message in the body, whichever way the forge wraps it.
    pub(crate) fn said(&self) -> String {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => {
                let mut texts = Vec::new();
                for key in ["message", "error", "error_description", "errors"] {
                    collect(None, value.get(key).unwrap_or(&Value::Null), &mut texts);
                }
                texts.join("; ")
            }
            // A page of HTML says less than its status.
            Err(_) if self.body.trim_ascii_start().starts_with(b"<") => String::new(),
            Err(_) => String::from_utf8_lossy(&self.body).into_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Most forges answer 429. GitHub also answers 403, and says so in a header or in the text.
    fn is_rate_limited(&self) -> bool {
        match self.status.as_u16() {
            429 => true,
            403 => {
                self.headers.contains_key(RETRY_AFTER)
                    || self.header("x-ratelimit-remaining") == Some("0")
                    || self.said().to_ascii_lowercase().contains("rate limit")
            }
            _ => false,
        }
    }

    /// Times are compared with the server's own clock, which the answer shows.
    fn retry_after(&self) -> Option<Duration> {
        let now = self.header(DATE.as_str()).and_then(http_date);
        let until = |then: Timestamp| {
            let seconds = then.as_second().saturating_sub(now?.as_second());
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        let given = self.header(RETRY_AFTER.as_str()).and_then(|text| match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => until(http_date(text)?),
        });
        let reset = ["ratelimit-reset", "x-ratelimit-reset"]
            .iter()
            .filter(|_| self.is_rate_limited())
            .find_map(|name| until(Timestamp::from_second(self.header(name)?.trim().parse().ok()?).ok()?));
        given.or(reset).map(|wait| wait.min(LONGEST_WAIT))
    }
}

/// Every text in a value, with the field that it is about.
fn collect(field: Option<&str>, value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(field.map_or_else(|| text.clone(), |field| format!("{field} {text}"))),
        Value::Array(values) => values.iter().for_each(|value| collect(field, value, texts)),
        Value::Object(fields) => match fields.get("message") {
            Some(Value::String(text)) => texts.push(text.clone()),
            _ => fields.iter().for_each(|(field, value)| collect(Some(field), value, texts)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// The host as it is shown.
pub(crate) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.scheme().to_owned(),
    }
}

/// A URL without what may be secret in it.
pub(crate) fn bare(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), host(url), url.path())
}

/// Whether the URL leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    #[test]
    fn messages_are_found_in_every_wrapping() {
        for (body, said) in [
            (r#"{"message":"404 Project Not Found"}"#, "404 Project Not Found"),
            (
                r#"{"message":{"name":["has already been taken"],"path":["has already been taken"]}}"#,
                "name has already been taken; path has already been taken",
            ),
            (
                r#"{"error":"insufficient_scope","error_description":"The request requires more.","scope":"api"}"#,
                "insufficient_scope; The request requires more.",
            ),
            (
                r#"{"message":"Repository creation failed.","errors":[{"resource":"Repository","code":"custom","field":"name","message":"name already exists on this account"}]}"#,
                "Repository creation failed.; name already exists on this account",
            ),
            ("Retry later\n", "Retry later\n"),
            ("<html><body>502</body></html>", ""),
        ] {
            assert_eq!(answer(400, &[], body).said(), said);
        }
    }

    #[test]
    fn waits_are_read_from_the_servers_own_clock() {
        let date = ("date", "Mon, 02 Mar 2026 10:00:00 GMT");
        for (status, headers, seconds) in [
            (429, &[("retry-after", "30")][..], Some(30)),
            (503, &[("retry-after", "Mon, 02 Mar 2026 10:02:00 GMT"), date], Some(120)),
            (503, &[("retry-after", "Mon, 02 Mar 2026 10:02:00 GMT")], None),
            (429, &[("ratelimit-reset", "1772445660"), date], Some(60)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772445600"), date], Some(0)),
            (429, &[("retry-after", "99999999")], Some(86400)),
            (429, &[], None),
            (500, &[("ratelimit-reset", "1772445660"), date], None),
        ] {
            let wait = answer(status, headers, "").retry_after();
            assert_eq!(wait, seconds.map(Duration::from_secs), "{status} {headers:?}");
        }
        assert!(answer(403, &[], r#"{"message":"You have exceeded a secondary rate limit."}"#).is_rate_limited());
        assert!(!answer(403, &[], r#"{"message":"403 Forbidden"}"#).is_rate_limited());
    }

    #[test]
    fn no_secret_is_in_a_message() {
        let base = Url::parse("https://git.example.org").unwrap();
        let web = Web::new(&base, Guard::default(), Patience::default(), vec!["glpat-x1".to_owned(), String::new()]);
        assert_eq!(web.clean("bad token\n glpat-x1\u{1b}[1m"), "bad token ***[1m");
    }
}
