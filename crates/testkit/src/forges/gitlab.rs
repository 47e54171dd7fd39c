//! GitLab's interface, version 4: users, groups, namespaces, projects, branches and commits. An independent client,
//! python-gitlab, is satisfied with it; see the tests of `piton-forge`.

mod protected;

use std::io;

use serde_json::{Value, json};

use super::ledger::{Group, Project};
use super::{Answer, Call, Right, Server, USER, json as answer};

/// Names that GitLab keeps for itself; a few of them.
const RESERVED: [&str; 5] = ["badges", "blob", "builds", "raw", "wikis"];

impl Server {
    pub(super) fn gitlab(&self, call: &Call<'_>) -> io::Result<Answer> {
        if call.method != "GET" && call.right == Right::Look {
            let said = "The request requires higher privileges than provided by the access token.";
            let body = json!({"error": "insufficient_scope", "error_description": said, "scope": "api"});
            return Ok(answer(403, &body));
        }
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        Ok(match (call.method, path.as_slice()) {
            ("GET", ["version"]) => answer(200, &json!({"version": "18.6.0", "revision": "0000000"})),
            ("GET", ["user"]) => {
                answer(200, &json!({"id": 7, "username": USER, "name": USER, "state": "active", "namespace_id": 1}))
            }
            ("GET", ["groups", group]) => match self.ledger().group(group) {
                Some(group) if !group.is_user => answer(200, &self.of_group(group)),
                _ => not_found("Group"),
            },
            ("GET", ["namespaces", namespace]) => match self.ledger().group(namespace) {
                Some(group) => answer(200, &self.of_group(group)),
                None => not_found("Namespace"),
            },
            ("GET", ["groups", group, "projects"]) => {
                let Some(id) = self.ledger().group(group).map(|group| group.id) else { return Ok(not_found("Group")) };
                self.list(call, |project| project.owner.id == id)
            }
            ("GET", ["projects"]) => self.list(call, |_| true),
            ("POST", ["projects"]) => self.create(call)?,
            (_, ["projects", project, rest @ ..]) => {
                let found = self.ledger().find(project).cloned();
                match found {
                    Some(found) => self.project(call, &found, rest)?,
                    None => not_found("Project"),
                }
            }
            _ => answer(404, &json!({"error": "404 Not Found"})),
        })
    }

    fn project(&self, call: &Call<'_>, project: &Project, rest: &[&str]) -> io::Result<Answer> {
        let mut ledger = self.ledger();
        let name = project.full_name();
        Ok(match (call.method, rest) {
            (_, ["protected_branches", which @ ..]) => protected::answer_to(&mut ledger, call, project, which)?,
            ("GET", []) => answer(200, &self.of_project(project, ledger.is_empty(project))),
            ("PUT", []) => {
                let branch = call.text("default_branch");
                if let Some(branch) = branch
                    && ledger.branches(project)?.iter().all(|(name, _)| name != branch)
                {
                    return Ok(answer(
                        400,
                        &json!({"message": {"base": ["Could not change HEAD: branch does not exist"]}}),
                    ));
                }
                let changed = ledger.change(&name, |project| {
                    if let Some(branch) = branch {
                        branch.clone_into(&mut project.default_branch);
                    }
                    if let Some(text) = call.text("description") {
                        text.clone_into(&mut project.description);
                    }
                    if let Some(topics) = topics(call) {
                        project.topics = topics;
                    }
                });
                let changed = changed.unwrap_or_else(|| project.clone());
                answer(200, &self.of_project(&changed, ledger.is_empty(&changed)))
            }
            ("DELETE", []) => {
                ledger.remove(&name)?;
                answer(202, &json!({"message": "202 Accepted"}))
            }
            ("GET", ["repository", "branches"]) => {
                let of_branch = |(name, id): (String, String)| json!({"name": name, "commit": {"id": id}});
                answer(200, &ledger.branches(project)?.into_iter().map(of_branch).collect())
            }
            ("GET", ["repository", "branches", branch]) => {
                match ledger.branches(project)?.into_iter().find(|(name, _)| name == branch) {
                    Some((name, id)) => answer(200, &json!({"name": name, "commit": {"id": id}})),
                    None => not_found("Branch"),
                }
            }
            ("GET", ["repository", "merge_base"]) => {
                let refs: Vec<&str> =
                    call.query.iter().filter(|(name, _)| name == "refs[]").map(|(_, name)| name.as_str()).collect();
                match refs.as_slice() {
                    [one, other] => match ledger.merge_base(project, one, other) {
                        Some(id) => answer(200, &json!({"id": id})),
                        None => not_found("Merge Base"),
                    },
                    _ => answer(400, &json!({"message": "400 Bad request - Provide at least 2 refs"})),
                }
            }
            ("GET", ["repository", "commits", commit]) => match ledger.message_of(project, commit) {
                Some(message) => answer(200, &json!({"id": commit, "short_id": commit.get(..8), "message": message})),
                None => not_found("Commit"),
            },
            _ => answer(404, &json!({"error": "404 Not Found"})),
        })
    }

    fn create(&self, call: &Call<'_>) -> io::Result<Answer> {
        let Some(name) = call.text("path").or_else(|| call.text("name")) else {
            let error = "name, path are missing, at least one parameter must be provided";
            return Ok(answer(400, &json!({"error": error})));
        };
        let visibility = call.text("visibility").unwrap_or("private");
        if !["private", "internal", "public"].contains(&visibility) {
            return Ok(answer(400, &json!({"error": "visibility does not have a valid value"})));
        }
        if RESERVED.contains(&name) {
            return Ok(answer(400, &json!({"message": {"path": [format!("{name} is a reserved name")]}})));
        }
        let namespace = match call.body.get("namespace_id") {
            None | Some(Value::Null) => USER.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let mut ledger = self.ledger();
        let Some(owner) = ledger.group(&namespace).cloned() else {
            return Ok(answer(400, &json!({"message": {"namespace": ["is not valid"]}})));
        };
        let made = ledger.make(&owner.path, name, |project| {
            call.text("description").unwrap_or_default().clone_into(&mut project.description);
            visibility.clone_into(&mut project.visibility);
            project.topics = topics(call).unwrap_or_default();
        });
        match made {
            Ok(project) => Ok(answer(201, &self.of_project(&project, true))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let taken = ["has already been taken"];
                let message = json!({"project_namespace.name": taken, "name": taken, "path": taken});
                Ok(answer(400, &json!({"message": message})))
            }
            Err(error) => Err(error),
        }
    }

    fn list(&self, call: &Call<'_>, wanted: impl Fn(&Project) -> bool) -> Answer {
        let ledger = self.ledger();
        let search = call.asks("search").unwrap_or_default().to_ascii_lowercase();
        let number = |name, usual: usize| call.asks(name).and_then(|text| text.parse().ok()).unwrap_or(usual).max(1);
        let (size, page) = (number("per_page", 20).min(100), number("page", 1));
        let is_in = |project: &&Project| wanted(project) && project.name.to_ascii_lowercase().contains(&search);
        let found: Vec<&Project> = ledger.projects().iter().filter(is_in).collect();
        let shown = found.iter().skip((page - 1) * size).take(size);
        let mut list = answer(200, &shown.map(|project| self.of_project(project, ledger.is_empty(project))).collect());
        let pages = found.len().div_ceil(size);
        let next = if page < pages { (page + 1).to_string() } else { String::new() };
        let link = if page < pages { self.link_to(call, page + 1) } else { String::new() };
        for (name, value) in [
            ("link", link),
            ("x-total", found.len().to_string()),
            ("x-total-pages", pages.to_string()),
            ("x-page", page.to_string()),
            ("x-per-page", size.to_string()),
            ("x-next-page", next),
        ] {
            if name == "link" && value.is_empty() {
                continue;
            }
            if let Ok(value) = value.parse() {
                list.headers_mut().insert(name, value);
            }
        }
        list
    }

    /// Clients follow this, and count no pages themselves.
    fn link_to(&self, call: &Call<'_>, page: usize) -> String {
        let mut query: Vec<String> = call
            .query
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| {
                let encode = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
                format!("{}={}", encode(name), encode(value))
            })
            .collect();
        query.push(format!("page={page}"));
        format!("<{}/api/v4/{}?{}>; rel=\"next\"", self.url, call.path.join("/"), query.join("&"))
    }

    fn of_group(&self, group: &Group) -> Value {
        let name = group.path.rsplit('/').next().unwrap_or(&group.path);
        json!({
            "id": group.id,
            "name": name,
            "path": name,
            "kind": if group.is_user { "user" } else { "group" },
            "full_path": group.path,
            "full_name": group.path.replace('/', " / "),
            "web_url": format!("{}/{}", self.url, group.path),
            "visibility": "private",
        })
    }

    fn of_project(&self, project: &Project, empty: bool) -> Value {
        let name = project.full_name();
        json!({
            "id": project.id,
            "name": project.name,
            "path": project.name,
            "path_with_namespace": name,
            "name_with_namespace": name.replace('/', " / "),
            "description": project.description,
            "visibility": project.visibility,
            "default_branch": project.default_branch,
            "topics": project.topics,
            "tag_list": project.topics,
            "archived": false,
            "empty_repo": empty,
            "created_at": "2026-01-01T00:00:00.000Z",
            "web_url": format!("{}/{name}", self.url),
            "http_url_to_repo": format!("{}/{name}.git", self.url),
            "ssh_url_to_repo": format!("git@127.0.0.1:{name}.git"),
            "namespace": self.of_group(&project.owner),
        })
    }
}

fn topics(call: &Call<'_>) -> Option<Vec<String>> {
    let topics = call.body.get("topics")?.as_array()?;
    Some(topics.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn not_found(what: &str) -> Answer {
    answer(404, &json!({"message": format!("404 {what} Not Found")}))
}
