//! GitLab: projects in groups that lie in each other.
//!
//! A taken name is answered with 400 and not, as documented, with 409. A group is known by its number or its full path.
//! Projects are made without a first commit of GitLab's own, which sometimes does not come.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Api, Client, Creation, Found, Place};
use crate::error::Error;
use crate::object::ObjectId;
use crate::repository::Repository;
use crate::wanted::{Owner, RepositoryName, Wanted};

const FINDING_GROUP: &str = "find the group";
const LOOKING: &str = "look up the project";
const CREATING: &str = "create the project";
const SETTING: &str = "change the project";

/// A search has no more pages than that before it is given up; a name is usually on the first.
const MOST_PAGES: u32 = 20;

pub(crate) struct GitLab(pub(crate) Client);

#[derive(Deserialize)]
struct Project {
    id: u64,
    path: String,
    path_with_namespace: String,
    #[serde(default)]
    web_url: String,
    http_url_to_repo: Option<String>,
    ssh_url_to_repo: Option<String>,
    default_branch: Option<String>,
    description: Option<String>,
    topics: Option<Vec<String>>,
    empty_repo: Option<bool>,
    /// By its name until GitLab 18, and since. Both may be there.
    marked_for_deletion_at: Option<String>,
    marked_for_deletion_on: Option<String>,
    namespace: Option<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    id: u64,
    full_path: String,
}

/// Where two histories part.
#[derive(Deserialize)]
struct Base {
    id: String,
}

#[derive(Deserialize)]
struct Said {
    message: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
    namespace_id: Option<u64>,
}

impl Project {
    fn found(self) -> Found {
        Found {
            description: self.description.unwrap_or_default(),
            is_going: self.marked_for_deletion_on.or(self.marked_for_deletion_at).is_some(),
            repository: Repository {
                id: self.id.to_string(),
                full_name: self.path_with_namespace,
                web_url: self.web_url,
                http_url: self.http_url_to_repo,
                ssh_url: self.ssh_url_to_repo,
                default_branch: self.default_branch,
                topics: self.topics.unwrap_or_default(),
                created: false,
                empty: self.empty_repo,
            },
        }
    }
}

impl GitLab {
    /// In a group that GitLab does not show by itself: among the projects that it does show.
    async fn search(&self, group: u64, name: &RepositoryName) -> Result<Option<Found>, Error> {
        for page in 1..=MOST_PAGES {
            let number = page.to_string();
            let query = [("search", name.as_str()), ("membership", "true"), ("per_page", "100"), ("page", &number)];
            let answer = self.0.get(&["projects"], &query, LOOKING).await?;
            self.0.expect_success(&answer, LOOKING, "the list of projects")?;
            let projects: Vec<Project> = answer.json(LOOKING)?;
            let is_last = projects.len() < 100;
            let is_it = |project: &Project| {
                project.path.eq_ignore_ascii_case(name.as_str())
                    && project.namespace.as_ref().is_some_and(|namespace| namespace.id == group)
            };
            if let Some(project) = projects.into_iter().find(is_it) {
                return Ok(Some(project.found()));
            }
            if is_last {
                break;
            }
        }
        Ok(None)
    }
}

impl Api for GitLab {
    async fn place(&self, owner: &Owner) -> Result<Place, Error> {
        let name = match owner {
            Owner::Me => {
                let answer = self.0.get(&["user"], &[], "find the user").await?;
                self.0.expect_success(&answer, "find the user", "the user")?;
                let user: User = answer.json("find the user")?;
                return Ok(Place { id: user.namespace_id, path: Some(user.username), me: true });
            }
            Owner::Id(id) => id.to_string(),
            Owner::Path(path) => path.clone(),
        };
        // A group would bring all its projects along. A user's namespace is no group.
        let asked = [(["groups", &name], &[("with_projects", "false")][..]), (["namespaces", &name], &[])];
        for (path, query) in asked {
            let answer = self.0.get(&path, query, FINDING_GROUP).await?;
            if answer.status.as_u16() != 404 {
                self.0.expect_success(&answer, FINDING_GROUP, &format!("the group {name}"))?;
                let namespace: Namespace = answer.json(FINDING_GROUP)?;
                return Ok(Place { id: Some(namespace.id), path: Some(namespace.full_path), me: false });
            }
        }
        match owner {
            // GitLab may let a project be made where it does not show the group; it will say so if not.
            Owner::Id(id) => Ok(Place { id: Some(*id), path: None, me: false }),
            _ => Err(Error::NotFound { doing: FINDING_GROUP, what: format!("the group {name}"), fresh: false }),
        }
    }

    async fn look_up(&self, place: &Place, name: &RepositoryName) -> Result<Option<Found>, Error> {
        let path = match (&place.path, place.id) {
            (Some(path), _) => format!("{path}/{name}"),
            (None, Some(group)) => return self.search(group, name).await,
            (None, None) => return Ok(None),
        };
        let answer = self.0.get(&["projects", &path], &[], LOOKING).await?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        self.0.expect_success(&answer, LOOKING, &path)?;
        answer.json::<Project>(LOOKING).map(|project| Some(project.found()))
    }

    async fn create(&self, place: &Place, wanted: &Wanted) -> Result<Creation, Error> {
        let mut body = json!({
            "name": wanted.name.as_str(),
            "path": wanted.name.as_str(),
            "visibility": wanted.visibility.word(),
            "description": wanted.marked_description(),
            "topics": wanted.topics,
            "default_branch": wanted.branch.as_str(),
        });
        if let (Some(id), Some(body)) = (place.id.filter(|_| !place.me), body.as_object_mut()) {
            body.insert("namespace_id".to_owned(), id.into());
        }
        let answer = self.0.send(Method::POST, &["projects"], &body, CREATING).await?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            let repository = answer.json::<Project>(CREATING)?.found().repository;
            return Ok(Creation::Made(Repository { topics: wanted.topics.clone(), empty: Some(true), ..repository }));
        }
        if matches!(status, 400 | 409) && answer.said().contains("already been taken") {
            return Ok(Creation::Taken);
        }
        let what = place.path.clone().unwrap_or_else(|| format!("the group {}", place.id.unwrap_or_default()));
        Err(self.0.problem(&answer, CREATING, &what))
    }

    async fn is_empty(&self, repository: &Repository) -> Result<bool, Error> {
        let branches = ["projects", &repository.id, "repository", "branches"];
        let answer = self.0.get(&branches, &[("per_page", "1")], LOOKING).await?;
        if answer.status.as_u16() == 404 {
            return Ok(true);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        answer.json::<Vec<serde_json::Value>>(LOOKING).map(|branches| branches.is_empty())
    }

    async fn is_on_branch(&self, repository: &Repository, commit: ObjectId, branch: &str) -> Result<bool, Error> {
        let commit = commit.to_string();
        let path = ["projects", &repository.id, "repository", "merge_base"];
        let answer = self.0.get(&path, &[("refs[]", &commit), ("refs[]", branch)], LOOKING).await?;
        // One of them is not there, or they have nothing in common.
        if matches!(answer.status.as_u16(), 400 | 404) {
            return Ok(false);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        answer.json::<Base>(LOOKING).map(|base| base.id == commit)
    }

    async fn message_of(&self, repository: &Repository, commit: ObjectId) -> Result<Option<String>, Error> {
        let id = commit.to_string();
        let answer = self.0.get(&["projects", &repository.id, "repository", "commits", &id], &[], LOOKING).await?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        self.0.expect_success(&answer, LOOKING, &repository.full_name)?;
        answer.json::<Said>(LOOKING).map(|said| Some(said.message))
    }

    fn topics(&self, wanted: &[String]) -> Vec<String> {
        wanted.to_vec()
    }

    async fn set_topics(&self, repository: &Repository, topics: &[String]) -> Result<(), Error> {
        let body = json!({ "topics": topics });
        let answer = self.0.send(Method::PUT, &["projects", &repository.id], &body, SETTING).await?;
        self.0.expect_success(&answer, SETTING, &repository.full_name)
    }

    async fn set_default_branch(&self, repository: &Repository, branch: &str) -> Result<(), Error> {
        let body = json!({ "default_branch": branch });
        let answer = self.0.send(Method::PUT, &["projects", &repository.id], &body, SETTING).await?;
        self.0.expect_success(&answer, SETTING, &repository.full_name)
    }
}
