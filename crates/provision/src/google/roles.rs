//! Administrative roles.

use piton_model::{Failure, FailureClass};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Google, Session, id_of};
use crate::answer::Problem;
use crate::session::{asking, below, permanent, refusal};
use crate::wanted::{Wanted, texts};

/// A customer has some hundred roles at most, and a page a hundred of them.
const MOST_PAGES: usize = 100;

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("roles")?;
    let (add, remove) = (texts(&add, "roles have names")?, texts(&remove, "roles have names")?);
    let id = id_of(session, user).await?;
    let roles = roles(session).await?;
    // Whatever is misspelt is told before anything is changed.
    let of = |names: &[String]| names.iter().map(|name| role_id(&roles, name)).collect::<Result<Vec<_>, _>>();
    let (add, remove) = (of(&add)?, of(&remove)?);
    let customer = session.dialect.customer.clone();
    let url = below(&session.dialect.directory, &["customer", &customer, "roleassignments"]);
    for role in add {
        if !assignments(session, &id, &role).await?.is_empty() {
            continue;
        }
        let body = json!({"roleId": role, "assignedTo": id, "scopeType": "CUSTOMER"});
        let given = session.call(Method::POST, url.clone(), Some(&body)).await?;
        if !given.is_success() && given.status != 409 {
            return Err(refusal::<Google>(&given, &format!("give {user} a role")));
        }
    }
    for role in remove {
        for assignment in assignments(session, &id, &role).await? {
            let gone = session.call(Method::DELETE, below(&url, &[&assignment]), None).await?;
            if !gone.is_success() && gone.status != 404 {
                return Err(refusal::<Google>(&gone, &format!("take a role from {user}")));
            }
        }
    }
    Ok(())
}

/// All roles of the customer.
async fn roles(session: &mut Session<'_>) -> Result<Vec<Value>, Problem> {
    let customer = session.dialect.customer.clone();
    let url = below(&session.dialect.directory, &["customer", &customer, "roles"]);
    pages(session, url, "list the roles").await
}

/// The ids of the assignments of `role` to the account `id`.
async fn assignments(session: &mut Session<'_>, id: &str, role: &str) -> Result<Vec<String>, Problem> {
    let customer = session.dialect.customer.clone();
    let url = below(&session.dialect.directory, &["customer", &customer, "roleassignments"]);
    let all = pages(session, asking(url, &[("userKey", id)]), "list the assignments of roles").await?;
    let of_role = all.iter().filter(|one| word(&one["roleId"]).as_deref() == Some(role));
    Ok(of_role.filter_map(|one| word(&one["roleAssignmentId"])).collect())
}

async fn pages(session: &mut Session<'_>, url: reqwest::Url, doing: &str) -> Result<Vec<Value>, Problem> {
    let mut found = Vec::new();
    let mut next = Some(url.clone());
    let mut left = MOST_PAGES;
    while let Some(page) = next {
        if left == 0 {
            let message = format!("Google does not come to an end where it is to {doing}");
            return Err(Failure::new(FailureClass::Transient, "target_failed", message)
                .hint("it is tried again; look at the answers, which are kept with the run")
                .into());
        }
        left -= 1;
        let mut body = session.must(Method::GET, page, None, doing).await?;
        if let Some(items) = body["items"].as_array_mut() {
            found.append(items);
        }
        next = body["nextPageToken"].as_str().map(|token| asking(url.clone(), &[("pageToken", token)]));
    }
    Ok(found)
}

fn role_id(roles: &[Value], name: &str) -> Result<String, Problem> {
    let is_meant = |role: &&Value| {
        word(&role["roleId"]).as_deref() == Some(name)
            || role["roleName"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    roles.iter().find(is_meant).and_then(|role| word(&role["roleId"])).ok_or_else(|| {
        let names: Vec<&str> = roles.iter().filter_map(|role| role["roleName"].as_str()).take(20).collect();
        let hint = format!("there are {}", names.join(", "));
        permanent("role_missing", format!("Google knows no role {name}"), &hint)
    })
}

/// Google writes its 64-bit ids as texts, but not everywhere.
fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))
}
