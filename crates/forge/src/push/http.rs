//! A push over HTTP: one request for what is there, where something may be, and one with the pack.

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};

use super::{ASKING, Advertisement, DOING, Descent, Job, MOST_ADVERTISED, MOST_REPORTED, Outcome, descent};
use crate::error::Error;
use crate::web::{Answer, Web};

/// A repository's address, and who asks.
pub(crate) struct HttpRemote<'a> {
    pub(crate) web: &'a Web,
    pub(crate) url: &'a Url,
    pub(crate) authorization: Option<&'a HeaderValue>,
}

impl HttpRemote<'_> {
    /// Pushes. A repository that was made a moment ago has no branches, so that is not asked first; should it have got
    /// one since, the server refuses, and it is looked at after all.
    pub(crate) async fn push(&self, job: Job<'_>) -> Result<Outcome, Error> {
        if job.fresh {
            match self.send(&Advertisement::of_nothing(), job).await {
                Err(Error::Raced { .. }) => {}
                done => return done,
            }
        }
        let advertised = self.look(job).await?;
        match advertised.decide(job)? {
            Some(outcome) => Ok(outcome),
            None => self.send(&advertised, job).await,
        }
    }

    /// Whether the branch has gone on from the commit. A server that does not say has not said so.
    pub(crate) async fn descends(&self, asked: Descent<'_>) -> Result<bool, Error> {
        let request = self
            .web
            .request(Method::POST, self.below("git-upload-pack"), ASKING)?
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(Bytes::from(descent::question(asked.head, asked.commit)));
        let answer = self.web.send_for(self.authorized(request), ASKING, MOST_ADVERTISED).await?;
        if !answer.status.is_success() {
            return match self.web.problem(&answer, ASKING, asked.repository) {
                problem @ (Error::RateLimited { .. } | Error::Unavailable { .. }) => Err(problem),
                _ => Ok(false),
            };
        }
        let told = descent::answer(&answer.body, asked.commit);
        let told = told.map_err(|error| Error::Unexpected { doing: ASKING, problem: error.to_string() })?;
        Ok(told == Some(true))
    }

    async fn look(&self, job: Job<'_>) -> Result<Advertisement, Error> {
        let mut asked = self.below("info/refs");
        asked.set_query(Some("service=git-receive-pack"));
        let request = self.authorized(self.web.request(Method::GET, asked, DOING)?);
        let answer = self.web.send_for(request, DOING, MOST_ADVERTISED).await?;
        expect(self.web, &answer, "application/x-git-receive-pack-advertisement", job)?;
        Advertisement::parse(&answer.body)
            .map_err(|error| Error::Unexpected { doing: DOING, problem: error.to_string() })
    }

    async fn send(&self, advertised: &Advertisement, job: Job<'_>) -> Result<Outcome, Error> {
        let mut body = advertised.command(job);
        body.extend_from_slice(job.commit.pack());
        let request = self
            .web
            .request(Method::POST, self.below("git-receive-pack"), DOING)?
            .header(CONTENT_TYPE, "application/x-git-receive-pack-request")
            .header(ACCEPT, "application/x-git-receive-pack-result")
            .body(Bytes::from(body));
        let answer = self.web.send_for(self.authorized(request), DOING, MOST_REPORTED).await?;
        expect(self.web, &answer, "application/x-git-receive-pack-result", job)?;
        advertised.judge(&answer.body, job)
    }

    /// Sent at once: servers that are asked without count it as a failed try.
    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match self.authorization {
            Some(header) => request.header(AUTHORIZATION, header.clone()),
            None => request,
        }
    }

    fn below(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }
}

fn expect(web: &Web, answer: &Answer, kind: &str, job: Job<'_>) -> Result<(), Error> {
    if !answer.status.is_success() {
        return Err(match web.problem(answer, DOING, job.repository) {
            Error::NotFound { doing, what, .. } => Error::NotFound { doing, what, fresh: job.fresh },
            Error::Refused { doing, status: 413, text } => {
                let text = if text.is_empty() { "the push is too large for the server".to_owned() } else { text };
                Error::Refused { doing, status: 413, text }
            }
            problem => problem,
        });
    }
    let found = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    if found.split(';').next().map(str::trim) == Some(kind) {
        return Ok(());
    }
    Err(Error::Unexpected { doing: DOING, problem: format!("it is of the type {}, not {kind}", web.clean(found)) })
}
