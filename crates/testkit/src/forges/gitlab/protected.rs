//! Protected branches.

use std::io;

use serde_json::{Value, json};

use super::super::ledger::{Ledger, Project};
use super::super::{Answer, Call, json as answer};
use super::not_found;

/// The level of whoever looks after a project: what is enough where nobody says otherwise.
const MAINTAINER: u64 = 40;

/// Answers a request below `projects/:id/protected_branches`.
pub(super) fn answer_to(ledger: &mut Ledger, call: &Call<'_>, project: &Project, which: &[&str]) -> io::Result<Answer> {
    let known = |name: &str| project.protected.iter().find(|(branch, _)| branch == name);
    Ok(match (call.method, which) {
        ("GET", []) => answer(200, &project.protected.iter().map(described).collect()),
        ("GET", [name]) => {
            known(name).map_or_else(|| not_found("Protected Branch"), |found| answer(200, &described(found)))
        }
        ("POST", []) => {
            let Some(name) = call.text("name").or_else(|| call.asks("name")) else {
                return Ok(answer(400, &json!({"error": "name is missing"})));
            };
            if known(name).is_some() {
                return Ok(answer(409, &json!({"message": format!("Protected branch '{name}' already exists")})));
            }
            let level = call.body.get("push_access_level").and_then(Value::as_u64).unwrap_or(MAINTAINER);
            let added = (name.to_owned(), level);
            let made = answer(201, &described(&added));
            ledger.protect(project, project.protected.iter().cloned().chain([added]).collect())?;
            made
        }
        ("DELETE", [name]) if known(name).is_some() => {
            let left = project.protected.iter().filter(|(branch, _)| branch != name).cloned().collect();
            ledger.protect(project, left)?;
            let mut gone = answer(204, &Value::Null);
            *gone.body_mut() = http_body_util::Full::default();
            gone
        }
        _ => answer(404, &json!({"error": "404 Not Found"})),
    })
}

fn described((name, level): &(String, u64)) -> Value {
    let said = match level {
        0 => "No one",
        30 => "Developers + Maintainers",
        _ => "Maintainers",
    };
    let access = json!([{"id": 1, "access_level": level, "access_level_description": said}]);
    json!({
        "id": 1,
        "name": name,
        "push_access_levels": access,
        "merge_access_levels": [{"id": 1, "access_level": MAINTAINER, "access_level_description": "Maintainers"}],
        "allow_force_push": false,
    })
}
