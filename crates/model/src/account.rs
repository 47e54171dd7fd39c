//! Users, clients and the keys that sign their tokens, as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Name, Role, Secret};

/// Somebody who logs in with a name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// 32 hexadecimal digits.
    pub id: String,
    /// What they log in with. Two names never differ only by case.
    pub name: String,
    /// Their mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do, the least first, and at least one.
    pub roles: Vec<Role>,
    /// The workspaces that they are bound to: for them there is nothing else. Nobody is bound without any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub workspaces: BTreeSet<Name>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
    /// Whether they may log in.
    pub active: bool,
    /// A token names the generation that it was given out in; it is worth nothing in a later one.
    pub generation: u32,
    /// The hash of their password, a PHC string.
    pub password: Secret<String>,
    /// The password is easily guessed. It opens nothing that other hosts can reach.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weak_password: bool,
}

/// What changes about a user; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same as in `User`")]
pub struct UserChange {
    pub email: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub workspaces: Option<BTreeSet<Name>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub active: Option<bool>,
    /// The hash, and whether the password is a weak one.
    pub password: Option<(Secret<String>, bool)>,
}

impl User {
    /// The most that they may do.
    pub fn role(&self) -> Role {
        self.roles.iter().copied().max().unwrap_or(Role::Viewer)
    }

    /// Whether they can administer today.
    pub fn is_acting_admin(&self) -> bool {
        self.active && self.role() == Role::Admin && self.workspaces.is_empty()
    }

    /// The user after a change. Whatever takes a right away, or proves that somebody else knew the password, begins a
    /// new generation of tokens.
    pub fn changed(&self, change: &UserChange, at: Timestamp) -> User {
        let mut user = self.clone();
        if let Some(email) = &change.email {
            user.email = Some(email.clone()).filter(|email| !email.is_empty());
        }
        if let Some(roles) = &change.roles {
            user.roles.clone_from(roles);
        }
        if let Some(workspaces) = &change.workspaces {
            user.workspaces.clone_from(workspaces);
        }
        if let Some(metadata) = &change.metadata {
            user.metadata.clone_from(metadata);
        }
        if let Some(active) = change.active {
            user.active = active;
        }
        if let Some((password, weak)) = &change.password {
            user.password = password.clone();
            user.weak_password = *weak;
        }
        let rights = |user: &User| (user.role(), user.active, user.workspaces.clone());
        let revokes = rights(&user) != rights(self) || change.password.is_some();
        user.generation = self.generation.saturating_add(u32::from(revokes));
        user.updated_at = at;
        user
    }
}

/// A program that logs in with an id and a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiClient {
    /// `client_` and 16 hexadecimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do, the least first, and at least one.
    pub scopes: Vec<Role>,
    /// The workspaces that it is bound to, as with users.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub workspaces: BTreeSet<Name>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether it may log in.
    pub active: bool,
    /// As with users.
    pub generation: u32,
    /// The SHA-256 of its secret, which is random and long: no slow hash is needed.
    pub secret: Secret<String>,
}

/// What changes about a client; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same as in `ApiClient`")]
pub struct ApiClientChange {
    pub name: Option<String>,
    pub scopes: Option<Vec<Role>>,
    pub workspaces: Option<BTreeSet<Name>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub active: Option<bool>,
    pub secret: Option<Secret<String>>,
}

impl ApiClient {
    /// The most that it may do.
    pub fn role(&self) -> Role {
        self.scopes.iter().copied().max().unwrap_or(Role::Viewer)
    }

    /// The client after a change, as with users.
    pub fn changed(&self, change: &ApiClientChange, at: Timestamp) -> ApiClient {
        let mut client = self.clone();
        if let Some(name) = &change.name {
            client.name.clone_from(name);
        }
        if let Some(scopes) = &change.scopes {
            client.scopes.clone_from(scopes);
        }
        if let Some(workspaces) = &change.workspaces {
            client.workspaces.clone_from(workspaces);
        }
        if let Some(metadata) = &change.metadata {
            client.metadata.clone_from(metadata);
        }
        if let Some(active) = change.active {
            client.active = active;
        }
        if let Some(secret) = &change.secret {
            client.secret = secret.clone();
        }
        let rights = |client: &ApiClient| (client.role(), client.active, client.workspaces.clone());
        let revokes = rights(&client) != rights(self) || change.secret.is_some();
        client.generation = self.generation.saturating_add(u32::from(revokes));
        client.updated_at = at;
        client
    }
}

/// A key that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Names it in the head of a token.
    pub id: String,
    /// Since when it signs. The newest signs; older ones verify until their tokens are over.
    pub created_at: Timestamp,
    /// 32 random bytes in hexadecimal, or the configured text.
    pub secret: Secret<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            id: "0".repeat(32),
            name: "anna".to_owned(),
            email: None,
            roles: vec![Role::Viewer, Role::Operator],
            workspaces: BTreeSet::new(),
            metadata: BTreeMap::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            active: true,
            generation: 7,
            password: Secret::new("hash".to_owned()),
            weak_password: true,
        }
    }

    #[test]
    fn what_takes_rights_away_begins_a_new_generation() {
        let at = Timestamp::from_second(1).unwrap();
        let generation = |change: UserChange| user().changed(&change, at).generation;
        assert_eq!(generation(UserChange::default()), 7);
        assert_eq!(generation(UserChange { email: Some("a@b".to_owned()), ..Default::default() }), 7);
        assert_eq!(generation(UserChange { roles: Some(vec![Role::Operator]), ..Default::default() }), 7);
        assert_eq!(generation(UserChange { roles: Some(vec![Role::Viewer]), ..Default::default() }), 8);
        let bound = |names: &[&str]| Some(names.iter().map(|name| Name::parse(name).unwrap()).collect());
        assert_eq!(generation(UserChange { workspaces: bound(&["web"]), ..Default::default() }), 8);
        assert_eq!(generation(UserChange { workspaces: bound(&[]), ..Default::default() }), 7);
        assert_eq!(generation(UserChange { active: Some(false), ..Default::default() }), 8);
        assert_eq!(generation(UserChange { active: Some(true), ..Default::default() }), 7);
        let password = Some((Secret::new("other".to_owned()), false));
        let changed = user().changed(&UserChange { password, ..Default::default() }, at);
        assert_eq!((changed.generation, changed.weak_password, changed.updated_at), (8, false, at));
    }
}
