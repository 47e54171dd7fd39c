//! Administrative roles of the whole directory.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Microsoft, Session, id_of, is_id, quoted};
use crate::answer::Problem;
use crate::session::{ApiAnswer, asking, below, permanent, refusal};
use crate::wanted::{Wanted, texts};

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("roles")?;
    let (add, remove) = (texts(&add, "roles have names")?, texts(&remove, "roles have names")?);
    let principal = id_of(session, user).await?;
    // Whatever is misspelt is told before anything is changed.
    let (mut give, mut take) = (Vec::new(), Vec::new());
    for role in add {
        give.push(definition(session, &role).await?);
    }
    for role in remove {
        take.push(definition(session, &role).await?);
    }
    let url = below(&session.dialect.graph, &["roleManagement", "directory", "roleAssignments"]);
    for role in give {
        if !assignments(session, &principal, &role).await?.is_empty() {
            continue;
        }
        let body = json!({"principalId": principal, "roleDefinitionId": role, "directoryScopeId": "/"});
        let given = session.call(Method::POST, url.clone(), Some(&body)).await?;
        if !given.is_success() && !is_there(&given) {
            return Err(refusal::<Microsoft>(&given, &format!("give {user} a role")));
        }
    }
    for role in take {
        for assignment in assignments(session, &principal, &role).await? {
            let gone = session.call(Method::DELETE, below(&url, &[&assignment]), None).await?;
            if !gone.is_success() && gone.status != 404 {
                return Err(refusal::<Microsoft>(&gone, &format!("take a role from {user}")));
            }
        }
    }
    Ok(())
}

/// The id of a role that is named by it or by its name.
async fn definition(session: &mut Session<'_>, role: &str) -> Result<String, Problem> {
    if is_id(role) {
        return Ok(role.to_owned());
    }
    let url = below(&session.dialect.graph, &["roleManagement", "directory", "roleDefinitions"]);
    let url = asking(url, &[("$filter", &format!("displayName eq {}", quoted(role))), ("$select", "id,displayName")]);
    let found = session.must(Method::GET, url, None, &format!("look up the role {role}")).await?;
    found["value"][0]["id"].as_str().map(str::to_owned).ok_or_else(|| {
        permanent("role_missing", format!("Microsoft knows no role {role}"), "check its name, or name it by its id")
    })
}

/// The ids of the assignments of `role` to `principal` for the whole directory.
async fn assignments(session: &mut Session<'_>, principal: &str, role: &str) -> Result<Vec<String>, Problem> {
    let url = below(&session.dialect.graph, &["roleManagement", "directory", "roleAssignments"]);
    let url = asking(url, &[("$filter", &format!("principalId eq {}", quoted(principal)))]);
    let found = session.must(Method::GET, url, None, "list the assignments of roles").await?;
    let of_role = found["value"].as_array().into_iter().flatten().filter(|one| {
        one["roleDefinitionId"].as_str() == Some(role) && one["directoryScopeId"].as_str().unwrap_or("/") == "/"
    });
    Ok(of_role.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect())
}

fn is_there(answer: &ApiAnswer) -> bool {
    let said = |value: &Value| value.as_str().is_some_and(|text| text.contains("conflicting object"));
    answer.status == 409 || (answer.status == 400 && said(&answer.body["error"]["message"]))
}
