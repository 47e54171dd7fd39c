//! Licences, by SKU.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Microsoft, Session, accounts, find_user, is_id, missing};
use crate::answer::Problem;
use crate::session::{below, permanent, refusal, settling};
use crate::wanted::{Wanted, incomplete};

/// Under which names a request to provision lists licences.
pub(super) const OPTION: &[&str] = &["licenses", "license"];

/// What is to be so afterwards.
#[derive(Debug)]
pub(super) struct Change {
    /// The ids of SKUs that are given.
    pub(super) add: Vec<String>,
    /// The ids of SKUs that are taken.
    pub(super) remove: Vec<String>,
    /// Where the person is, if nobody said so before.
    pub(super) location: Option<String>,
}

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("licenses")?;
    let (add, remove) = (skus(session, &add).await?, skus(session, &remove).await?);
    let change = Change { add, remove, location: location(session, wanted) };
    self::change(session, change, user, false).await
}

/// Where the person is, as far as the request or the configuration knows.
pub(super) fn location(session: &Session<'_>, wanted: &Wanted<'_>) -> Option<String> {
    let own = wanted.option(&["usage_location", "usageLocation"]).map(str::to_owned);
    own.or_else(|| session.dialect.usage_location.clone())
}

/// Gives and takes in one call, and only what is not so already: to take what is not there is an error for Graph.
/// Somebody `new` may not be known everywhere yet.
pub(super) async fn change(session: &mut Session<'_>, change: Change, user: &str, new: bool) -> Result<(), Problem> {
    let Change { add, remove, location } = change;
    let Some(found) = find_user(session, user, "id,assignedLicenses,usageLocation").await? else {
        return Err(if new { settling::<Microsoft>(&format!("give {user} a licence")) } else { missing(user) });
    };
    let has: Vec<String> = found["assignedLicenses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["skuId"].as_str().map(str::to_lowercase))
        .collect();
    let add: Vec<Value> = add
        .into_iter()
        .filter(|sku| !has.contains(sku))
        .map(|sku| json!({"skuId": sku, "disabledPlans": []}))
        .collect();
    let remove: Vec<String> = remove.into_iter().filter(|sku| has.contains(sku)).collect();
    if add.is_empty() && remove.is_empty() {
        return Ok(());
    }
    if let (false, Value::Null, Some(location)) = (add.is_empty(), &found["usageLocation"], location) {
        let doing = format!("say where {user} is");
        accounts::update(session, user, &json!({"usageLocation": location}), &doing).await?;
    }
    let url = below(&session.dialect.graph, &["users", user, "assignLicense"]);
    let body = json!({"addLicenses": add, "removeLicenses": remove});
    let changed = session.call(Method::POST, url, Some(&body)).await?;
    let said = changed.body["error"]["message"].as_str().unwrap_or_default();
    match changed.status {
        200..=299 => Ok(()),
        404 if new => Err(settling::<Microsoft>(&format!("give {user} a licence"))),
        400 if said.contains("usage location") => Err(permanent(
            "usage_location_missing",
            format!("Microsoft does not know where {user} is, and licences need that"),
            "set `usage_location` in the request or `providers.microsoft.usage_location`: two letters, such as DE",
        )),
        _ => Err(refusal::<Microsoft>(&changed, &format!("change the licences of {user}"))),
    }
}

/// The ids of SKUs that are named by them or by their part numbers, such as `ENTERPRISEPACK`.
pub(super) async fn skus(session: &mut Session<'_>, named: &[Value]) -> Result<Vec<String>, Problem> {
    let name = |value: &Value| {
        let text = value.as_str().or_else(|| value["sku"].as_str()).or_else(|| value["skuId"].as_str());
        text.map(str::to_owned).ok_or_else(|| incomplete("a licence of Microsoft is a SKU: an id, or a part number"))
    };
    let names = named.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    if names.iter().all(|name| is_id(name)) {
        return Ok(names.iter().map(|name| name.to_lowercase()).collect());
    }
    let url = below(&session.dialect.graph, &["subscribedSkus"]);
    let known = session.must(Method::GET, url, None, "list the licences").await?;
    let known = known["value"].as_array().map(Vec::as_slice).unwrap_or_default();
    let find = |name: &String| {
        let is_meant = |one: &&Value| one["skuPartNumber"].as_str().is_some_and(|part| part.eq_ignore_ascii_case(name));
        let found = known.iter().find(is_meant).and_then(|one| one["skuId"].as_str()).map(str::to_lowercase);
        found.or_else(|| is_id(name).then(|| name.to_lowercase())).ok_or_else(|| {
            let parts: Vec<&str> = known.iter().filter_map(|one| one["skuPartNumber"].as_str()).take(20).collect();
            permanent("license_missing", format!("the tenant has no {name}"), &format!("it has {}", parts.join(", ")))
        })
    };
    names.iter().map(find).collect()
}
