//! Accounts as the wire has them.

use std::collections::{BTreeMap, BTreeSet};

use piton_api as api;
use piton_auth::{Role, parse_roles};
use piton_model::{ApiClient, By, LedgerEntry, Name, Record, User};

use super::refusals::invalid;
use crate::problem::Answer;

pub(super) fn words(roles: &[Role]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

pub(super) fn names(names: &BTreeSet<Name>) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What somebody may do, for the audit trail.
pub(super) fn rights(member: &str, roles: &[Role], workspaces: &BTreeSet<Name>) -> String {
    let roles = format!("{member}: {}", words(roles).join(", "));
    if workspaces.is_empty() { roles } else { format!("{roles}; {}", bound(workspaces)) }
}

/// What somebody is bound to, for the audit trail.
pub(super) fn bound(workspaces: &BTreeSet<Name>) -> String {
    let named = names(workspaces).join(", ");
    format!("workspaces: {}", if named.is_empty() { "all" } else { &named })
}

pub(super) fn user(user: &User) -> api::User {
    api::User {
        id: user.id.clone(),
        username: user.name.clone(),
        email: user.email.clone(),
        roles: words(&user.roles),
        workspaces: names(&user.workspaces),
        metadata: user.metadata.clone(),
        created_at: user.created_at,
        updated_at: user.updated_at,
        active: user.active,
    }
}

pub(super) fn client(client: &ApiClient) -> api::ApiClient {
    api::ApiClient {
        client_id: client.id.clone(),
        name: client.name.clone(),
        scopes: words(&client.scopes),
        workspaces: names(&client.workspaces),
        metadata: client.metadata.clone(),
        created_at: client.created_at,
        updated_at: client.updated_at,
        active: client.active,
    }
}

pub(super) fn entry(entry: &LedgerEntry) -> Option<api::AuditEntry> {
    let Record::Audit(deed) = &entry.record else { return None };
    let (by, by_kind) = match &deed.by {
        By::User(name) => (name.as_str(), "user"),
        By::Client(id) => (id.as_str(), "client"),
        By::System => ("piton", "system"),
    };
    Some(api::AuditEntry {
        seq: entry.seq,
        at: entry.at,
        by: by.to_owned(),
        by_kind: by_kind.to_owned(),
        act: deed.act.as_str().to_owned(),
        target: deed.target.clone(),
        from: deed.from.clone(),
        detail: deed.detail.clone(),
    })
}

/// Roles or scopes as a body names them.
pub(super) fn roles(member: &str, given: &[String]) -> Answer<Vec<Role>> {
    parse_roles(given).map_err(|unknown| {
        let pointer = unknown.index.map_or_else(|| format!("/{member}"), |index| format!("/{member}/{index}"));
        invalid(&pointer, unknown)
    })
}

/// More of them are a group, for which there would be no end of changes here.
const MOST_WORKSPACES: usize = 100;

/// Workspaces as a body names them. They need not be there yet.
pub(super) fn workspaces(given: &[String]) -> Answer<BTreeSet<Name>> {
    if given.len() > MOST_WORKSPACES {
        return Err(invalid("/workspaces", format!("at most {MOST_WORKSPACES} workspaces")));
    }
    let named = given.iter().enumerate();
    named.map(|(at, text)| Name::parse(text).map_err(|why| invalid(&format!("/workspaces/{at}"), why))).collect()
}

/// Whoever administers, administers everything.
pub(super) fn check_bound(role: Role, workspaces: &BTreeSet<Name>) -> Answer<()> {
    if role == Role::Admin && !workspaces.is_empty() {
        return Err(invalid("/workspaces", "an administrator cannot be bound to workspaces"));
    }
    Ok(())
}

/// Notes: a few short ones.
pub(super) fn metadata(given: BTreeMap<String, String>) -> Answer<BTreeMap<String, String>> {
    if given.len() > 50 || given.iter().any(|(name, note)| name.len() > 100 || note.len() > 1_000) {
        return Err(invalid("/metadata", "at most 50 notes of at most 1000 bytes, with names of at most 100"));
    }
    Ok(given)
}

/// An address that mail could be sent to; nothing is sent to it.
pub(super) fn email(given: String) -> Answer<String> {
    let parts = given.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let plain = given.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if given.is_empty() || (given.len() <= 254 && parts && plain) {
        Ok(given)
    } else {
        Err(invalid("/email", "this is no mail address"))
    }
}
