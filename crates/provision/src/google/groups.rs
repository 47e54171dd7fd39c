//! Members of groups.

use reqwest::Method;
use serde_json::json;

use super::{Google, Session};
use crate::answer::Problem;
use crate::session::{asking, below, permanent, refusal, settling};
use crate::wanted::{Wanted, texts};

/// Under which names a request to provision lists groups.
pub(super) const OPTION: &[&str] = &["groups"];

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("groups")?;
    let (add, remove) =
        (texts(&add, "groups are named by their address")?, texts(&remove, "groups are named by their address")?);
    for group in add {
        self::add(session, &group, user, false).await?;
    }
    for group in remove {
        let url = below(&session.dialect.directory, &["groups", &group, "members", user]);
        let gone = session.call(Method::DELETE, url, None).await?;
        // No such member; or no such group, in which nobody is, either.
        if !gone.is_success() && gone.status != 404 {
            return Err(refusal::<Google>(&gone, &format!("take {user} out of the group {group}")));
        }
    }
    Ok(())
}

/// Puts `user` into `group`, where it may be already. Somebody `new` may not be known here yet.
pub(super) async fn add(session: &mut Session<'_>, group: &str, user: &str, new: bool) -> Result<(), Problem> {
    let url = below(&session.dialect.directory, &["groups", group, "members"]);
    let added = session.call(Method::POST, url.clone(), Some(&json!({"email": user, "role": "MEMBER"}))).await?;
    // The same is told of a group that there is not and of an account that is not known.
    if new && added.status == 404 {
        let members = session.call(Method::GET, asking(url, &[("maxResults", "1")]), None).await?;
        if members.is_success() {
            return Err(settling::<Google>(&format!("put {user} into the group {group}")));
        }
    }
    match added.status {
        200..=299 | 409 => Ok(()),
        404 => {
            let message = format!("Google knows no group {group}, or no account {user}");
            Err(permanent("group_missing", message, "check the addresses, or make the group first"))
        }
        _ => Err(refusal::<Google>(&added, &format!("put {user} into the group {group}"))),
    }
}
