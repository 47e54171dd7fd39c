//! Members of groups.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{Microsoft, Session, id_of, is_id, quoted};
use crate::answer::Problem;
use crate::session::{ApiAnswer, asking, below, permanent, refusal, settling};
use crate::wanted::{Wanted, texts};

/// Under which names a request to provision lists groups.
pub(super) const OPTION: &[&str] = &["groups"];

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("groups")?;
    let (add, remove) = (texts(&add, "groups have names")?, texts(&remove, "groups have names")?);
    let user = id_of(session, user).await?;
    // Whatever is misspelt is told before anything is changed.
    let (mut into, mut out_of) = (Vec::new(), Vec::new());
    for group in add {
        into.push(id(session, &group).await?);
    }
    for group in remove {
        out_of.push(id(session, &group).await?);
    }
    for group in into {
        self::add(session, &group, &user, false).await?;
    }
    for group in out_of {
        let url = below(&session.dialect.graph, &["groups", &group, "members", &user, "$ref"]);
        let gone = session.call(Method::DELETE, url, None).await?;
        if !gone.is_success() && gone.status != 404 {
            return Err(refusal::<Microsoft>(&gone, &format!("take an account out of the group {group}")));
        }
    }
    Ok(())
}

/// The id of a group that is named by it, by its address or by its name.
pub(super) async fn id(session: &mut Session<'_>, group: &str) -> Result<String, Problem> {
    if is_id(group) {
        return Ok(group.to_owned());
    }
    let filter = format!("mail eq {0} or displayName eq {0}", quoted(group));
    let url = below(&session.dialect.graph, &["groups"]);
    let url = asking(url, &[("$filter", &filter), ("$select", "id,displayName,mail")]);
    let found = session.must(Method::GET, url, None, &format!("look up the group {group}")).await?;
    let ids: Vec<&str> = found["value"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => {
            let message = format!("Microsoft knows no group {group}");
            Err(permanent("group_missing", message, "check the name, or make the group first"))
        }
        _ => {
            let message = format!("{} groups are called {group}", ids.len());
            Err(permanent("group_ambiguous", message, "name the group by its id"))
        }
    }
}

/// Puts the account `user` into `group`, where it may be already. Somebody `new` may not be known here yet.
pub(super) async fn add(session: &mut Session<'_>, group: &str, user: &str, new: bool) -> Result<(), Problem> {
    let graph: &Url = &session.dialect.graph;
    let member = below(graph, &["directoryObjects", user]);
    let url = below(graph, &["groups", group, "members", "$ref"]);
    let added = session.call(Method::POST, url, Some(&json!({"@odata.id": member.as_str()}))).await?;
    match added.status {
        200..=299 => Ok(()),
        400 if is_there(&added) => Ok(()),
        404 if new => Err(settling::<Microsoft>("put it into a group")),
        404 => {
            let message = format!("Microsoft knows no group {group}");
            Err(permanent("group_missing", message, "check the id, or make the group first"))
        }
        _ => Err(refusal::<Microsoft>(&added, &format!("put an account into the group {group}"))),
    }
}

fn is_there(answer: &ApiAnswer) -> bool {
    let said = |value: &Value| value.as_str().is_some_and(|text| text.contains("references already exist"));
    said(&answer.body["error"]["message"])
}
