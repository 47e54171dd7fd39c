//! Accounts: made, disabled, deleted, given another password.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::licenses::{self, Change};
use super::{Microsoft, Session, find_user, groups, missing};
use crate::answer::Problem;
use crate::session::{ApiAnswer, below, permanent, refusal, settling};
use crate::wanted::{Wanted, incomplete};

/// What is compared to tell an account that is as it should be from another person's.
const COMPARED: [&str; 6] = ["displayName", "givenName", "surname", "department", "jobTitle", "accountEnabled"];

/// Makes the account with its groups and licences.
pub(super) async fn provision(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let location = licenses::location(session, wanted);
    let body = account(wanted, user, location.as_deref())?;
    // Whatever is misspelt is told before anything is made.
    let mut groups = Vec::new();
    for group in wanted.texts(groups::OPTION)? {
        groups.push(groups::id(session, &group).await?);
    }
    let licenses = licenses::skus(session, &wanted.list(licenses::OPTION)).await?;
    let id = match find(session, user).await? {
        Some(found) => known(&found, &body, user)?,
        None => make(session, &body, user).await?,
    };
    for group in groups {
        groups::add(session, &group, &id, true).await?;
    }
    if !licenses.is_empty() {
        let change = Change { add: licenses, remove: Vec::new(), location };
        licenses::change(session, change, user, true).await?;
    }
    Ok(())
}

fn account(wanted: &Wanted<'_>, user: &str, usage_location: Option<&str>) -> Result<Value, Problem> {
    let names = wanted.names()?;
    let nickname = user.split('@').next().unwrap_or(user);
    let mut body = Map::new();
    body.insert("accountEnabled".to_owned(), true.into());
    body.insert("userPrincipalName".to_owned(), user.into());
    body.insert("mailNickname".to_owned(), nickname.into());
    body.insert("displayName".to_owned(), names.full.into());
    body.insert("givenName".to_owned(), names.given.into());
    body.insert("surname".to_owned(), names.family.into());
    let optional = [
        ("department", wanted.employee(&["department"])),
        ("jobTitle", wanted.employee(&["jobTitle", "job_title", "title"])),
        ("usageLocation", usage_location),
    ];
    for (field, value) in optional {
        body.extend(value.map(|value| (field.to_owned(), value.into())));
    }
    body.insert("passwordProfile".to_owned(), password_profile(wanted)?);
    Ok(body.into())
}

fn password_profile(wanted: &Wanted<'_>) -> Result<Value, Problem> {
    let change = wanted.flag(&["change_at_next_login", "forceChangePasswordNextSignIn"], true);
    Ok(json!({"forceChangePasswordNextSignIn": change, "password": wanted.password()?}))
}

async fn find(session: &mut Session<'_>, user: &str) -> Result<Option<Value>, Problem> {
    find_user(session, user, &format!("id,userPrincipalName,{}", COMPARED.join(","))).await
}

async fn make(session: &mut Session<'_>, body: &Value, user: &str) -> Result<String, Problem> {
    let url = below(&session.dialect.graph, &["users"]);
    let made = session.call(Method::POST, url, Some(body)).await?;
    if made.is_success() {
        let id = made.body["id"].as_str().map(str::to_owned);
        return id.ok_or_else(|| settling::<Microsoft>(&format!("tell the id of {user}")));
    }
    if !is_conflict(&made) {
        return Err(refusal::<Microsoft>(&made, &format!("make the account {user}")));
    }
    // Somebody was quicker: perhaps an earlier attempt whose account was not to be seen yet.
    match find(session, user).await? {
        Some(found) => known(&found, body, user),
        None => Err(exists(user)),
    }
}

fn is_conflict(answer: &ApiAnswer) -> bool {
    let error = &answer.body["error"];
    let code = |value: &Value| matches!(value["code"].as_str(), Some("ObjectConflict" | "ConflictingObjects"));
    let detail = error["details"].as_array().is_some_and(|details| details.iter().any(code));
    let said = error["message"].as_str().unwrap_or_default();
    answer.status == 409
        || (answer.status == 400
            && (detail || said.contains("same value for property userPrincipalName already exists")))
}

/// The id of an account that is there already, where it is as it should be.
fn known(found: &Value, body: &Value, user: &str) -> Result<String, Problem> {
    let same = COMPARED.iter().all(|field| body.get(*field).is_none_or(|wanted| found[*field] == *wanted));
    let id = found["id"].as_str();
    match id {
        Some(id) if same => Ok(id.to_owned()),
        _ => Err(exists(user)),
    }
}

fn exists(user: &str) -> Problem {
    permanent(
        "account_exists",
        format!("{user} exists already, and is not what was asked for"),
        "it may be another person's account, or one that was deleted in the last 30 days: choose another user principal \
         name, or change the account that there is",
    )
}

/// Disables the account, or deletes it where the request says so.
pub(super) async fn terminate(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    match wanted.option(&["action"]).unwrap_or("suspend") {
        "suspend" => suspend(session, user).await,
        "delete" => {
            let url = below(&session.dialect.graph, &["users", user]);
            let gone = session.call(Method::DELETE, url, None).await?;
            if gone.is_success() || gone.status == 404 {
                return Ok(());
            }
            Err(refusal::<Microsoft>(&gone, &format!("delete the account {user}")))
        }
        _ => Err(incomplete("`payload.action` is suspend or delete")),
    }
}

/// Disables the account and ends its sessions, which would go on for as long as their tokens are good.
pub(super) async fn suspend(session: &mut Session<'_>, user: &str) -> Result<(), Problem> {
    update(session, user, &json!({"accountEnabled": false}), &format!("disable the account {user}")).await?;
    let url = below(&session.dialect.graph, &["users", user, "revokeSignInSessions"]);
    session.must(Method::POST, url, Some(&json!({})), &format!("end the sessions of {user}")).await.map(drop)
}

pub(super) async fn reactivate(session: &mut Session<'_>, user: &str) -> Result<(), Problem> {
    update(session, user, &json!({"accountEnabled": true}), &format!("enable the account {user}")).await
}

pub(super) async fn reset_password(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let body = json!({"passwordProfile": password_profile(wanted)?});
    update(session, user, &body, &format!("reset the password of {user}")).await
}

pub(super) async fn update(session: &mut Session<'_>, user: &str, body: &Value, doing: &str) -> Result<(), Problem> {
    let url = below(&session.dialect.graph, &["users", user]);
    let done = session.call(Method::PATCH, url, Some(body)).await?;
    match done.status {
        200..=299 => Ok(()),
        404 => Err(missing(user)),
        _ => Err(refusal::<Microsoft>(&done, doing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_told_in_several_ways() {
        let said = "Another object with the same value for property userPrincipalName already exists.";
        for (status, error, conflict) in [
            (400, json!({"code": "Request_BadRequest", "message": said}), true),
            (400, json!({"code": "Request_BadRequest", "details": [{"code": "ObjectConflict"}]}), true),
            (409, json!({}), true),
            (400, json!({"code": "Request_BadRequest", "message": "Invalid value specified for property"}), false),
            (403, json!({"code": "Authorization_RequestDenied", "message": said}), false),
        ] {
            let answer = ApiAnswer { status, body: json!({"error": error}) };
            assert_eq!(is_conflict(&answer), conflict, "{error}");
        }
    }
}
