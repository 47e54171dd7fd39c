//! Accounts: made, suspended, deleted, given another password.

use reqwest::Method;
use serde_json::{Value, json};

use super::licenses::{self, License};
use super::{Google, Session, groups};
use crate::answer::Problem;
use crate::session::{ApiAnswer, below, permanent, refusal};
use crate::wanted::{Wanted, incomplete};

/// Marks an account as made by one request, so that a later attempt knows it again.
const MARK: &str = "piton";

/// Makes the account with its groups and licences.
pub(super) async fn provision(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let names = wanted.names()?;
    // Whatever cannot be understood is told before anything is made.
    let groups = wanted.texts(groups::OPTION)?;
    let licenses = wanted.list(licenses::OPTION).iter().map(License::parse).collect::<Result<Vec<_>, _>>()?;
    let mut body = json!({
        "primaryEmail": user,
        "name": {"givenName": names.given, "familyName": names.family},
        "password": wanted.password()?,
        "changePasswordAtNextLogin": wanted.flag(&["change_at_next_login", "changePasswordAtNextLogin"], true),
        "externalIds": [{"type": "custom", "customType": MARK, "value": wanted.request.id}],
    });
    let mut organization = serde_json::Map::new();
    for (field, names) in [("department", &["department"][..]), ("title", &["jobTitle", "job_title", "title"])] {
        organization.extend(wanted.employee(names).map(|value| (field.to_owned(), value.into())));
    }
    if !organization.is_empty() {
        organization.insert("primary".to_owned(), true.into());
        body["organizations"] = json!([organization]);
    }
    if let Some(unit) = wanted.option(&["org_unit_path", "orgUnitPath"]) {
        body["orgUnitPath"] = unit.into();
    }
    let url = below(&session.dialect.directory, &["users"]);
    let made = session.call(Method::POST, url, Some(&body)).await?;
    match made.status {
        200..=299 => {}
        409 => known(session, &body, user).await?,
        _ => return Err(refusal::<Google>(&made, &format!("make the account {user}"))),
    }
    for group in groups {
        groups::add(session, &group, user, true).await?;
    }
    for license in licenses {
        licenses::assign(session, &license, user, true).await?;
    }
    Ok(())
}

/// The name is taken. That is fine where an earlier attempt took it, or where the account already is as it should be.
async fn known(session: &mut Session<'_>, body: &Value, user: &str) -> Result<(), Problem> {
    let url = below(&session.dialect.directory, &["users", user]);
    let found = session.call(Method::GET, url, None).await?;
    if found.is_success() && is_wanted(&found.body, body) {
        return Ok(());
    }
    if !found.is_success() && found.status != 404 {
        return Err(refusal::<Google>(&found, &format!("look at the account {user}")));
    }
    let message = format!("{user} exists already, and is not what was asked for");
    Err(permanent(
        "account_exists",
        message,
        "it may be another person's account, an alias, a group, or an account that was deleted in the last 20 days: \
         choose another address, or change the account that there is",
    ))
}

/// Whether the account `found` under an address is the one that `body` would make.
fn is_wanted(found: &Value, body: &Value) -> bool {
    let lower = |value: &Value| value.as_str().map(str::to_lowercase);
    // Looked up by an alias, the account behind it is found.
    if lower(&found["primaryEmail"]) != lower(&body["primaryEmail"]) {
        return false;
    }
    let marks = found["externalIds"].as_array();
    if marks.is_some_and(|ids| ids.iter().any(|id| is_same_mark(id, &body["externalIds"][0]))) {
        return true;
    }
    let names = |value: &Value, name: &str| value["name"][name].as_str().map(str::to_owned);
    ["givenName", "familyName"].iter().all(|name| names(found, name) == names(body, name))
        && found["suspended"] != json!(true)
        && body.get("orgUnitPath").is_none_or(|unit| found.get("orgUnitPath") == Some(unit))
        && ["department", "title"].iter().all(|field| {
            let wanted = &body["organizations"][0][*field];
            wanted.is_null() || &found["organizations"][0][*field] == wanted
        })
}

fn is_same_mark(id: &Value, mark: &Value) -> bool {
    id["customType"] == mark["customType"] && id["value"] == mark["value"]
}

/// Suspends the account, or deletes it where the request says so.
pub(super) async fn terminate(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    match wanted.option(&["action"]).unwrap_or("suspend") {
        "suspend" => suspend(session, user, true).await,
        "delete" => {
            let url = below(&session.dialect.directory, &["users", user]);
            let gone = session.call(Method::DELETE, url, None).await?;
            if gone.is_success() || gone.status == 404 {
                return Ok(());
            }
            Err(refusal::<Google>(&gone, &format!("delete the account {user}")))
        }
        _ => Err(incomplete("`payload.action` is suspend or delete")),
    }
}

/// Keeps somebody out, or lets them in again.
pub(super) async fn suspend(session: &mut Session<'_>, user: &str, suspended: bool) -> Result<(), Problem> {
    let doing = if suspended { "suspend" } else { "reactivate" };
    update(session, user, &json!({"suspended": suspended}), &format!("{doing} the account {user}")).await
}

pub(super) async fn reset_password(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let body = json!({
        "password": wanted.password()?,
        "changePasswordAtNextLogin": wanted.flag(&["change_at_next_login", "changePasswordAtNextLogin"], true),
    });
    update(session, user, &body, &format!("reset the password of {user}")).await
}

async fn update(session: &mut Session<'_>, user: &str, body: &Value, doing: &str) -> Result<(), Problem> {
    let url = below(&session.dialect.directory, &["users", user]);
    let ApiAnswer { status, body } = session.call(Method::PUT, url, Some(body)).await?;
    match status {
        200..=299 => Ok(()),
        404 => Err(missing(user)),
        _ => Err(refusal::<Google>(&ApiAnswer { status, body }, doing)),
    }
}

pub(super) fn missing(user: &str) -> Problem {
    permanent("account_missing", format!("Google knows no account {user}"), "check the address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_ours_by_its_mark_or_by_being_the_same() {
        let body = json!({
            "primaryEmail": "ada@example.org",
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "externalIds": [{"type": "custom", "customType": "piton", "value": "id-1"}],
            "organizations": [{"primary": true, "department": "R&D", "title": null}],
        });
        let same = json!({
            "primaryEmail": "Ada@example.org",
            "name": {"givenName": "Ada", "familyName": "Lovelace", "fullName": "Ada Lovelace"},
            "organizations": [{"department": "R&D", "title": "Countess"}],
            "suspended": false,
        });
        assert!(is_wanted(&same, &body));
        for (pointer, value) in [
            ("/primaryEmail", json!("other@example.org")),
            ("/name/givenName", json!("Bob")),
            ("/suspended", json!(true)),
            ("/organizations/0/department", json!("Sales")),
        ] {
            let mut other = same.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(!is_wanted(&other, &body), "{pointer}");
        }
        let marked = json!({"primaryEmail": "ada@example.org", "name": {"givenName": "A."},
            "externalIds": [{"type": "organization", "value": "7"}, {"customType": "piton", "value": "id-1"}]});
        assert!(is_wanted(&marked, &body));
        let anothers = json!({"primaryEmail": "ada@example.org", "name": {"givenName": "A."},
            "externalIds": [{"customType": "piton", "value": "id-2"}]});
        assert!(!is_wanted(&anothers, &body));
    }
}
