//! What the programming interfaces of forges have in common: where a repository would be, whether it is there, making it.

mod gitea;
mod github;
mod gitlab;
mod hub;

use std::sync::Arc;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::error::Error;
use crate::object::ObjectId;
use crate::repository::Repository;
use crate::wanted::{Owner, RepositoryName, Wanted};
use crate::web::{Answer, Web};

pub(crate) use gitea::Gitea;
pub(crate) use github::GitHub;
pub(crate) use gitlab::GitLab;

/// Where a repository is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The owner's number, where the forge goes by numbers.
    pub(crate) id: Option<u64>,
    /// The owner's path; unknown where the forge does not show the owner.
    pub(crate) path: Option<String>,
    /// The owner is the user whose token it is.
    pub(crate) me: bool,
}

/// A repository as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) repository: Repository,
    pub(crate) description: String,
    /// It will not be there for long.
    pub(crate) is_going: bool,
}

/// What came of making one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Creation {
    Made(Repository),
    /// There is one of this name.
    Taken,
}

/// A forge. None of these retries: whoever calls decides when, and a second call takes up what the first one left.
pub(crate) trait Api {
    /// Finds the owner.
    fn place(&self, owner: &Owner) -> impl Future<Output = Result<Place, Error>> + Send;

    /// Finds a repository.
    fn look_up(
        &self,
        place: &Place,
        name: &RepositoryName,
    ) -> impl Future<Output = Result<Option<Found>, Error>> + Send;

    /// Makes a repository, empty and marked.
    fn create(&self, place: &Place, wanted: &Wanted) -> impl Future<Output = Result<Creation, Error>> + Send;

    /// Whether a repository has no commit, where finding it did not tell.
    fn is_empty(&self, repository: &Repository) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Whether a commit is on a branch. That the repository has it is not enough: a push that was refused may leave it
    /// behind.
    fn is_on_branch(
        &self,
        repository: &Repository,
        commit: ObjectId,
        branch: &str,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// What a commit says of itself; none where it is not there.
    fn message_of(
        &self,
        repository: &Repository,
        commit: ObjectId,
    ) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// Topics as this forge takes them.
    fn topics(&self, wanted: &[String]) -> Vec<String>;

    /// Sets the topics.
    fn set_topics(&self, repository: &Repository, topics: &[String]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sets the branch that people see first.
    fn set_default_branch(
        &self,
        repository: &Repository,
        branch: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Looks first, makes if nothing is there, and looks again if somebody was faster. What is there is only taken if it is
/// this run's: it carries the mark, or has the very commit that would be pushed, which names the run.
pub(crate) async fn ensure(api: &impl Api, wanted: &Wanted, commit: ObjectId) -> Result<Repository, Error> {
    let place = api.place(&wanted.owner).await?;
    if let Some(found) = api.look_up(&place, &wanted.name).await? {
        return accept(api, found, wanted, commit).await;
    }
    match api.create(&place, wanted).await? {
        Creation::Made(repository) => Ok(Repository { created: true, ..repository }),
        Creation::Taken => match api.look_up(&place, &wanted.name).await? {
            Some(found) => accept(api, found, wanted, commit).await,
            None => Err(Error::Taken {
                name: place.path.map_or_else(|| wanted.name.to_string(), |path| format!("{path}/{}", wanted.name)),
                reason: "the forge says so, but does not show it to these credentials; it may wait for its deletion",
            }),
        },
    }
}

async fn accept(api: &impl Api, found: Found, wanted: &Wanted, commit: ObjectId) -> Result<Repository, Error> {
    let Found { mut repository, description, is_going } = found;
    let taken = |reason| Err(Error::Taken { name: repository.full_name.clone(), reason });
    if is_going {
        return taken("it is marked for deletion");
    }
    if wanted.run.is_in(&description, repository.topics.iter().map(String::as_str)) {
        return Ok(repository);
    }
    let empty = match repository.empty {
        Some(empty) => empty,
        None => api.is_empty(&repository).await?,
    };
    if empty {
        if !wanted.adopt_empty {
            return taken("it is empty, but does not carry the mark of this run");
        }
    } else if !api.is_on_branch(&repository, commit, wanted.branch.as_str()).await? {
        return taken("it has commits, and neither the mark nor the commit of this run");
    }
    repository.empty = Some(empty);
    Ok(repository)
}

/// Requests of one interface.
pub(crate) struct Client {
    pub(crate) web: Arc<Web>,
    /// Where the interface begins.
    pub(crate) root: Url,
    /// Who asks, and what else every request says.
    pub(crate) headers: HeaderMap,
}

impl Client {
    /// `path` is one name per element, whatever is in it.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)], doing: &'static str) -> Result<Answer, Error> {
        let request = self.web.request(Method::GET, self.url(path, query), doing)?;
        self.web.send(request.header(ACCEPT, "application/json").headers(self.headers.clone()), doing).await
    }

    async fn send(&self, method: Method, path: &[&str], body: &Value, doing: &'static str) -> Result<Answer, Error> {
        let request = self
            .web
            .request(method, self.url(path, &[]), doing)?
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .headers(self.headers.clone())
            .body(body.to_string());
        self.web.send(request, doing).await
    }

    fn problem(&self, answer: &Answer, doing: &'static str, what: &str) -> Error {
        self.web.problem(answer, doing, what)
    }

    fn expect_success(&self, answer: &Answer, doing: &'static str, what: &str) -> Result<(), Error> {
        if answer.status.is_success() { Ok(()) } else { Err(self.problem(answer, doing, what)) }
    }
}

/// Topics of forges that only take lowercase letters, digits and `-`.
fn plain_topics(wanted: &[String], longest: usize) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    for topic in wanted {
        let topic: String = topic
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' })
            .collect();
        let topic: String = topic.trim_matches('-').chars().take(longest).collect();
        let topic = topic.trim_end_matches('-').to_owned();
        if !topic.is_empty() && !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_made_plain() {
        let wanted = ["Go", "go", "C++ / Qt", "--", ""].map(str::to_owned);
        assert_eq!(plain_topics(&wanted, 50), ["go", "c-----qt"]);
        assert_eq!(plain_topics(&["a".repeat(40)], 35), ["a".repeat(35)]);
    }
}
