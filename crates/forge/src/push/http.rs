//! A push over HTTP: one request for what is there, one with the pack.

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};

use super::{Advertisement, DOING, Job, MOST_ADVERTISED, MOST_REPORTED, Outcome};
use crate::error::Error;
use crate::web::{Answer, Web};

/// Pushes to a repository's address over HTTP.
pub(crate) async fn over_http(
    web: &Web,
    repository: &Url,
    authorization: Option<&HeaderValue>,
    job: Job<'_>,
) -> Result<Outcome, Error> {
    // Sent at once: servers that are asked without count it as a failed try.
    let authorized = |request: RequestBuilder| match authorization {
        Some(header) => request.header(AUTHORIZATION, header.clone()),
        None => request,
    };
    let mut asked = below(repository, "info/refs");
    asked.set_query(Some("service=git-receive-pack"));
    let request = authorized(web.request(Method::GET, asked, DOING)?);
    let answer = web.send_for(request, DOING, MOST_ADVERTISED).await?;
    expect(web, &answer, "application/x-git-receive-pack-advertisement", job)?;
    let advertised = Advertisement::parse(&answer.body)
        .map_err(|error| Error::Unexpected { doing: DOING, problem: web.clean(&error.to_string()) })?;
    if let Some(outcome) = advertised.decide(job)? {
        return Ok(outcome);
    }
    let mut body = advertised.command(job);
    body.extend_from_slice(job.commit.pack());
    let request = web
        .request(Method::POST, below(repository, "git-receive-pack"), DOING)?
        .header(CONTENT_TYPE, "application/x-git-receive-pack-request")
        .header(ACCEPT, "application/x-git-receive-pack-result")
        .body(Bytes::from(body));
    let answer = web.send_for(authorized(request), DOING, MOST_REPORTED).await?;
    expect(web, &answer, "application/x-git-receive-pack-result", job)?;
    advertised.judge(&answer.body, job)
}

fn below(repository: &Url, path: &str) -> Url {
    let mut url = repository.clone();
    url.set_path(&format!("{}/{path}", repository.path().trim_end_matches('/')));
    url
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
