//! GitHub, in the cloud and on premises: repositories of organisations and of users.
//!
//! A taken name is answered with 422. Whether a repository is empty is only told by asking for its commits.

use reqwest::Method;
use serde_json::{Value, json};

use super::hub::{Comparison, HubCommit, HubRepository, HubUser, path};
use super::{Api, Client, Creation, Found, Place, plain_topics};
use crate::error::Error;
use crate::object::ObjectId;
use crate::repository::Repository;
use crate::wanted::{Owner, RepositoryName, Visibility, Wanted};

const FINDING: &str = "find the owner";
const LOOKING: &str = "look up the repository";
const CREATING: &str = "create the repository";
const SETTING: &str = "change the repository";

pub(crate) struct GitHub(pub(crate) Client);

impl GitHub {
    async fn me(&self) -> Result<String, Error> {
        let answer = self.0.get(&["user"], &[], FINDING).await?;
        self.0.expect_success(&answer, FINDING, "the user")?;
        answer.json::<HubUser>(FINDING).map(|user| user.login)
    }
}

impl Api for GitHub {
    async fn place(&self, owner: &Owner) -> Result<Place, Error> {
        match owner {
            Owner::Me => Ok(Place { id: None, path: Some(self.me().await?), me: true }),
            Owner::Path(path) if !path.contains('/') => Ok(Place { id: None, path: Some(path.clone()), me: false }),
            Owner::Path(_) => Err(Error::Unsupported { forge: "GitHub", what: "organisations in organisations" }),
            Owner::Id(_) => Err(Error::Unsupported { forge: "GitHub", what: "owners by number; give the name" }),
        }
    }

    async fn look_up(&self, place: &Place, name: &RepositoryName) -> Result<Option<Found>, Error> {
        let owner = place.path.as_deref().unwrap_or_default();
        let answer = self.0.get(&["repos", owner, name.as_str()], &[], LOOKING).await?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        self.0.expect_success(&answer, LOOKING, &format!("{owner}/{name}"))?;
        answer.json::<HubRepository>(LOOKING).map(|repository| Some(repository.found()))
    }

    async fn create(&self, place: &Place, wanted: &Wanted) -> Result<Creation, Error> {
        let owner = place.path.as_deref().unwrap_or_default();
        let mut body = json!({
            "name": wanted.name.as_str(),
            "description": wanted.marked_description(),
            "private": wanted.visibility != Visibility::Public,
            "auto_init": false,
        });
        if let (Visibility::Internal, Some(body)) = (wanted.visibility, body.as_object_mut()) {
            body.insert("visibility".to_owned(), "internal".into());
        }
        let mut answer = None;
        if !place.me {
            let asked = self.0.send(Method::POST, &["orgs", owner, "repos"], &body, CREATING).await?;
            // It may be a user; of those, one can only make repositories of one's own.
            if asked.status.as_u16() != 404 || !self.me().await?.eq_ignore_ascii_case(owner) {
                answer = Some(asked);
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None if wanted.visibility == Visibility::Internal => {
                return Err(Error::Unsupported { forge: "GitHub", what: "internal repositories of users" });
            }
            None => self.0.send(Method::POST, &["user", "repos"], &body, CREATING).await?,
        };
        if answer.status.is_success() {
            return answer.json::<HubRepository>(CREATING).map(|repository| Creation::Made(repository.made()));
        }
        if answer.status.as_u16() == 422 && answer.said().contains("already exists") {
            return Ok(Creation::Taken);
        }
        Err(self.0.problem(&answer, CREATING, &format!("the organisation {owner}")))
    }

    async fn is_empty(&self, repository: &Repository) -> Result<bool, Error> {
        let [repos, owner, name] = path(repository);
        let answer = self.0.get(&[repos, owner, name, "commits"], &[("per_page", "1")], LOOKING).await?;
        if answer.status.as_u16() == 409 {
            return Ok(true);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        answer.json::<Vec<Value>>(LOOKING).map(|commits| commits.is_empty())
    }

    async fn is_on_branch(&self, repository: &Repository, commit: ObjectId, branch: &str) -> Result<bool, Error> {
        let [repos, owner, name] = path(repository);
        let both = format!("{branch}...{commit}");
        let answer = self.0.get(&[repos, owner, name, "compare", &both], &[], LOOKING).await?;
        // One of them is not there, or they have nothing in common.
        if matches!(answer.status.as_u16(), 404 | 409 | 422) {
            return Ok(false);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        // The commit has nothing that the branch has not.
        answer.json::<Comparison>(LOOKING).map(|comparison| comparison.total_commits == 0)
    }

    async fn message_of(&self, repository: &Repository, commit: ObjectId) -> Result<Option<String>, Error> {
        let [repos, owner, name] = path(repository);
        let id = commit.to_string();
        let answer = self.0.get(&[repos, owner, name, "git", "commits", &id], &[], LOOKING).await?;
        if matches!(answer.status.as_u16(), 404 | 409 | 422) {
            return Ok(None);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        answer.json::<HubCommit>(LOOKING).map(HubCommit::message)
    }

    fn topics(&self, wanted: &[String]) -> Vec<String> {
        plain_topics(wanted, 50)
    }

    async fn set_topics(&self, repository: &Repository, topics: &[String]) -> Result<(), Error> {
        let [repos, owner, name] = path(repository);
        let body = json!({ "names": topics });
        let answer = self.0.send(Method::PUT, &[repos, owner, name, "topics"], &body, SETTING).await?;
        self.0.expect_success(&answer, SETTING, &repository.full_name)
    }

    async fn set_default_branch(&self, repository: &Repository, branch: &str) -> Result<(), Error> {
        let body = json!({ "default_branch": branch });
        let answer = self.0.send(Method::PATCH, &path(repository), &body, SETTING).await?;
        self.0.expect_success(&answer, SETTING, &repository.full_name)
    }
}
