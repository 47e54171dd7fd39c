//! HTTP, with limits: nothing in clear beyond this machine, nothing longer than expected, nothing that never ends.

use std::error::Error as _;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Response, StatusCode, Url, redirect};

use crate::address::{self, Forbidden, Resolver};
use crate::error::Error;
use crate::mirror::{Authorization, is_loopback, is_secure};

/// GitHub needs one.
const MAX_REDIRECTS: usize = 5;

/// How long a server may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes; a slow but steady download is fine.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { connect: Duration::from_secs(15), idle: Duration::from_secs(30) }
    }
}

/// Fetches files. The clients are made when first needed: loading root certificates is not for runs that fetch nothing.
pub(crate) struct Fetcher {
    patience: Patience,
    remote: OnceLock<Client>,
    local: OnceLock<Client>,
}

impl Fetcher {
    pub(crate) fn new(patience: Patience) -> Self {
        Fetcher { patience, remote: OnceLock::new(), local: OnceLock::new() }
    }

    /// Starts fetching; an answer other than success is an error.
    pub(crate) async fn get(&self, url: &Url, authorization: Option<&Authorization>) -> Result<Response, Error> {
        let mut request = self.client(url)?.get(url.clone());
        if let Some(authorization) = authorization {
            // reqwest drops this header when a redirect leads to another host.
            request = request.header(AUTHORIZATION, authorization.header());
        }
        let response = request.send().await.map_err(|error| network(url, &error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Error::Http { url: url.to_string(), status: status.as_u16() }),
        }
    }

    /// Fetches a small file whole.
    pub(crate) async fn document(
        &self,
        url: &Url,
        authorization: Option<&Authorization>,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let mut response = self.get(url, authorization).await?;
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| network(url, &error))? {
            if document.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::TooLarge { what: url.to_string(), limit });
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }

    fn client(&self, url: &Url) -> Result<&Client, Error> {
        // A proxy in the environment is for the outside; asking it for this machine would reach another.
        let (slot, proxied) = if is_loopback(url) { (&self.local, false) } else { (&self.remote, true) };
        if let Some(client) = slot.get() {
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
            .redirect(redirect::Policy::custom(follow))
            .dns_resolver(Resolver);
        if !proxied {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| network(url, &error))?;
        Ok(slot.get_or_init(|| client))
    }
}

/// A redirect that leaves the encrypted world, or the machine in clear.
#[derive(Debug)]
struct Downgrade(Url);

impl fmt::Display for Downgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redirected to plain HTTP: {}", self.0)
    }
}

impl std::error::Error for Downgrade {}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    // From the outside, even this machine is out of bounds in clear: a server must not steer requests inwards.
    let came_from_outside = attempt.previous().iter().any(|url| url.scheme() == "https");
    if !is_secure(attempt.url()) || (came_from_outside && attempt.url().scheme() != "https") {
        let url = attempt.url().clone();
        return attempt.error(Downgrade(url));
    }
    if let Some(address) = address::literal(attempt.url()).filter(|address| address::is_forbidden(*address)) {
        return attempt.error(Forbidden(address));
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    attempt.follow()
}

/// Tells what happened to a request, from the outside in: reqwest itself only says "error sending request".
pub(crate) fn network(url: &Url, error: &reqwest::Error) -> Error {
    let mut reasons: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(Downgrade(url)) = error.downcast_ref() {
            return Error::InsecureUrl { url: url.to_string() };
        }
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return Error::ForbiddenAddress { url: url.to_string(), reason: forbidden.to_string() };
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
    Error::Network { url: url.to_string(), reason: reasons.join(": ") }
}
