//! Handing files and calendars to somebody else. Google does it in its own time; what is done here is to ask for it.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Google, Session, id_of};
use crate::answer::Problem;
use crate::session::{asking, below, permanent, refusal};
use crate::wanted::{Wanted, incomplete};

/// A transfer that was asked for this recently is the one that is wanted.
const RECENT: SignedDuration = SignedDuration::from_hours(24);

pub(super) async fn transfer(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let to = wanted
        .option(&["to", "new_owner", "newOwner"])
        .map(str::to_lowercase)
        .ok_or_else(|| incomplete("`payload.to` says who the new owner is"))?;
    let mut names = wanted.texts(&["services", "apps"])?;
    if names.is_empty() {
        names.push("drive".to_owned());
    }
    let (old, new) = (id_of(session, user).await?, id_of(session, &to).await?);
    let url = below(&session.dialect.transfer, &["applications"]);
    let url = asking(url, &[("customerId", &session.dialect.customer)]);
    let known = session.must(Method::GET, url, None, "list what can be transferred").await?;
    let services = names.iter().map(|name| service(&known, name)).collect::<Result<Vec<_>, _>>()?;

    let url = below(&session.dialect.transfer, &["transfers"]);
    let between = asking(url.clone(), &[("oldOwnerUserId", &old), ("newOwnerUserId", &new)]);
    let earlier = session.must(Method::GET, between, None, "list the transfers").await?;
    let now = session.wire.clock.now();
    let missing: Vec<Value> =
        services.into_iter().filter(|one| !is_asked_for(&earlier, &one["applicationId"], now)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let body = json!({"oldOwnerUserId": old, "newOwnerUserId": new, "applicationDataTransfers": missing});
    let asked = session.call(Method::POST, url, Some(&body)).await?;
    if asked.is_success() {
        Ok(())
    } else {
        Err(refusal::<Google>(&asked, &format!("hand the data of {user} to {to}")))
    }
}

/// Whether one of the transfers `earlier` is about the application `id`, and neither failed nor was long ago.
fn is_asked_for(earlier: &Value, id: &Value, now: Timestamp) -> bool {
    let transfers = earlier["dataTransfers"].as_array().map(Vec::as_slice).unwrap_or_default();
    transfers.iter().any(|transfer| {
        let status = transfer["overallTransferStatusCode"].as_str().unwrap_or_default();
        let about = transfer["applicationDataTransfers"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| same_id(&one["applicationId"], id)));
        let requested: Option<Timestamp> = transfer["requestTime"].as_str().and_then(|text| text.parse().ok());
        let recent = requested.is_some_and(|at| now.duration_since(at) < RECENT);
        about && status != "failed" && (status != "completed" || recent)
    })
}

fn same_id(one: &Value, other: &Value) -> bool {
    let word = |value: &Value| value.to_string().trim_matches('"').to_owned();
    word(one) == word(other)
}

/// What to ask for so that the service `name` is transferred with all that is in it.
fn service(known: &Value, name: &str) -> Result<Value, Problem> {
    let (meant, parameters) = match name.to_lowercase().as_str() {
        "drive" => ("drive and docs", json!([{"key": "PRIVACY_LEVEL", "value": ["PRIVATE", "SHARED"]}])),
        "calendar" => ("calendar", json!([{"key": "RELEASE_RESOURCES", "value": ["TRUE"]}])),
        _ => return Err(incomplete("`payload.services` lists drive and calendar")),
    };
    let applications = known["applications"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = applications.iter().find(|one| one["name"].as_str().is_some_and(|name| name.to_lowercase() == meant));
    let id = found.map(|one| one["id"].clone()).ok_or_else(|| {
        let message = format!("Google transfers nothing that is called {meant} for this customer");
        permanent("target_refused", message, "check that the service is switched on")
    })?;
    Ok(json!({"applicationId": id, "applicationTransferParams": parameters}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_not_asked_for_again() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (status, time, id, asked) in [
            ("inProgress", "2025-12-01T00:00:00Z", json!("55"), true),
            ("completed", "2026-01-01T12:00:00Z", json!("55"), true),
            ("completed", "2025-12-01T12:00:00Z", json!("55"), false),
            ("failed", "2026-01-01T12:00:00Z", json!("55"), false),
            ("inProgress", "2026-01-01T12:00:00Z", json!("56"), false),
            ("inProgress", "2026-01-01T12:00:00Z", json!(55), true),
        ] {
            let earlier = json!({"dataTransfers": [{"overallTransferStatusCode": status, "requestTime": time,
                "applicationDataTransfers": [{"applicationId": id}]}]});
            assert_eq!(is_asked_for(&earlier, &json!("55"), now), asked, "{status} {time} {id}");
        }
        assert!(!is_asked_for(&Value::Null, &json!("55"), now));
    }
}
