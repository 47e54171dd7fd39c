//! GitHub's interface and the one that Gitea learned from it. They differ in how they say no.

use std::io;

use serde_json::{Value, json};

use super::ledger::Project;
use super::{Answer, Call, Flavour, Right, Server, USER, json as answer};

/// A refusal as GitHub words it.
pub(super) fn said_by_github(message: &str, status: u16) -> Value {
    json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()})
}

impl Server {
    pub(super) fn hub(&self, call: &Call<'_>) -> io::Result<Answer> {
        if call.method != "GET" && call.right == Right::Look {
            let said = match self.flavour {
                Flavour::Gitea => "token does not have at least one of required scope(s): [write:organization]",
                _ => "Resource not accessible by personal access token",
            };
            return Ok(self.says(403, said));
        }
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match (call.method, path.as_slice()) {
            ("GET", ["user"]) => Ok(answer(200, &json!({"id": 7, "login": USER}))),
            ("POST", ["user", "repos"]) => self.make(call, USER),
            ("POST", ["orgs", organisation, "repos"]) => {
                let found = self.ledger().group(organisation).filter(|group| !group.is_user).cloned();
                match found {
                    Some(group) => self.make(call, &group.path),
                    None if self.flavour == Flavour::Gitea => {
                        Ok(self.says(422, &format!("org does not exist [id: 0, name: {organisation}]")))
                    }
                    None => Ok(self.says(404, "Not Found")),
                }
            }
            (_, ["repos", owner, name, rest @ ..]) => {
                let found = self.ledger().find(&format!("{owner}/{name}")).cloned();
                match found {
                    Some(project) => self.about_one(call, &project, rest),
                    None => Ok(self.says(404, "Not Found")),
                }
            }
            _ => Ok(self.says(404, "Not Found")),
        }
    }

    fn about_one(&self, call: &Call<'_>, project: &Project, rest: &[&str]) -> io::Result<Answer> {
        let mut ledger = self.ledger();
        let (name, empty) = (project.full_name(), ledger.is_empty(project));
        let is_empty = || self.says(409, "Git Repository is empty.");
        Ok(match (call.method, rest) {
            ("GET", []) => answer(200, &self.of_repository(project, empty)),
            ("PATCH", []) => {
                let changed = ledger.change(&name, |project| {
                    if let Some(branch) = call.text("default_branch") {
                        branch.clone_into(&mut project.default_branch);
                    }
                });
                answer(200, &self.of_repository(changed.as_ref().unwrap_or(project), empty))
            }
            ("PUT", ["topics"]) => {
                let field = if self.flavour == Flavour::Gitea { "topics" } else { "names" };
                let topics: Vec<String> = call
                    .body
                    .get(field)
                    .and_then(Value::as_array)
                    .map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                let is_good = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
                if topics.iter().any(|topic| !topic.chars().all(is_good)) {
                    return Ok(self.says(422, "Validation Failed"));
                }
                ledger.change(&name, |project| project.topics.clone_from(&topics));
                answer(200, &json!({"names": topics}))
            }
            ("GET", ["commits"]) if empty => is_empty(),
            ("GET", ["commits"]) => {
                let heads = ledger.branches(project)?;
                answer(200, &heads.into_iter().take(1).map(|(_, id)| json!({"sha": id})).collect())
            }
            ("GET", ["compare", both]) => {
                let beyond = both.split_once("...").and_then(|(one, other)| ledger.beyond(project, one, other));
                match beyond {
                    Some(total) => answer(200, &json!({"total_commits": total})),
                    None => self.says(404, "Not Found"),
                }
            }
            ("GET", ["git", "commits", _]) if empty => is_empty(),
            ("GET", ["git", "commits", commit]) => match (ledger.message_of(project, commit), self.flavour) {
                (Some(message), Flavour::Gitea) => answer(200, &json!({"sha": commit, "commit": {"message": message}})),
                (Some(message), _) => answer(200, &json!({"sha": commit, "message": message})),
                (None, _) => self.says(404, "Not Found"),
            },
            _ => self.says(404, "Not Found"),
        })
    }

    fn make(&self, call: &Call<'_>, owner: &str) -> io::Result<Answer> {
        let Some(name) = call.text("name") else { return Ok(self.says(422, "name is required")) };
        let made = self.ledger().make(owner, name, |project| {
            call.text("description").unwrap_or_default().clone_into(&mut project.description);
            let private = call.body.get("private").and_then(Value::as_bool).unwrap_or(false);
            (if private { "private" } else { "public" }).clone_into(&mut project.visibility);
            // GitHub goes by the settings of the owner.
            if let (Flavour::Gitea, Some(branch)) = (self.flavour, call.text("default_branch")) {
                branch.clone_into(&mut project.default_branch);
            }
        });
        match made {
            Ok(project) => Ok(answer(201, &self.of_repository(&project, true))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(match self.flavour {
                Flavour::Gitea => self.says(409, "The repository with the same name already exists."),
                _ => {
                    let problem = json!({
                        "resource": "Repository",
                        "code": "custom",
                        "field": "name",
                        "message": "name already exists on this account",
                    });
                    let mut body = said_by_github("Repository creation failed.", 422);
                    body["errors"] = json!([problem]);
                    answer(422, &body)
                }
            }),
            Err(error) => Err(error),
        }
    }

    fn says(&self, status: u16, message: &str) -> Answer {
        match self.flavour {
            Flavour::Gitea => answer(status, &json!({"message": message, "url": format!("{}/api/swagger", self.url)})),
            _ => answer(status, &said_by_github(message, status)),
        }
    }

    fn of_repository(&self, project: &Project, empty: bool) -> Value {
        let name = project.full_name();
        let mut repository = json!({
            "id": project.id,
            "name": project.name,
            "full_name": name,
            "owner": {"login": project.owner.path},
            "private": project.visibility != "public",
            "description": project.description,
            "html_url": format!("{}/{name}", self.url),
            "clone_url": format!("{}/{name}.git", self.url),
            "ssh_url": format!("git@127.0.0.1:{name}.git"),
            "default_branch": project.default_branch,
            "topics": project.topics,
            "size": 0,
        });
        if self.flavour == Flavour::Gitea {
            repository["empty"] = empty.into();
        }
        repository
    }
}
