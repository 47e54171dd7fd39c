//! Users.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_auth::{PasswordProblem, Role, check_name, check_password, new_id};
use piton_model::{Act, Name, Secret, User, UserChange};
use piton_store::Among;
use serde::Deserialize;

use super::refusals::{Kind, authentication_failed, invalid, weak_password};
use super::verify::is_id;
use super::{Auth, view};
use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new()
        .creating(Permission::Administer, routes!(list, create))
        .at(Permission::Administer, routes!(show, change, remove))
        .bound(Permission::Read, routes!(change_password))
}

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// How many to leave out.
    offset: Option<usize>,
    /// How many at most; 10 unless given. More than 100 counts as 100, and 0 as 1.
    limit: Option<usize>,
}

impl Part {
    pub(super) fn bounds(&self) -> (usize, usize) {
        (self.offset.unwrap_or(0), self.limit.unwrap_or(10).clamp(1, 100))
    }
}

/// Users, by name.
#[utoipa::path(get, path = "/auth/users", tag = "auth", params(Part), responses((status = 200, body = api::Users)))]
async fn list(State(app): State<App>, Query(part): Query<Part>) -> Answer<Json<api::Users>> {
    let (offset, limit) = part.bounds();
    let (users, total) = app.auth.store().users(offset, limit).await?;
    Ok(Json(api::Users { users: users.iter().map(view::user).collect(), total, offset, limit }))
}

/// Makes a user.
#[utoipa::path(
    post, path = "/auth/users", tag = "auth",
    responses((status = 201, body = api::User), (status = 409, description = "The name is taken."))
)]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<api::NewUser>,
) -> Answer<(StatusCode, Json<api::User>)> {
    let account = NewAccount {
        name: new.username,
        password: new.password,
        email: new.email,
        roles: view::roles("roles", &new.roles)?,
        workspaces: view::workspaces(&new.workspaces)?,
        metadata: new.metadata,
    };
    view::check_bound(account.roles.iter().copied().max().unwrap_or(Role::Viewer), &account.workspaces)?;
    let user = app.auth.create_user(account, Among::Others, &caller).await?;
    Ok((StatusCode::CREATED, Json(view::user(&user))))
}

/// One user, by id or name.
#[utoipa::path(get, path = "/auth/users/{id}", tag = "auth", responses((status = 200, body = api::User)))]
async fn show(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::User>> {
    Ok(Json(view::user(&app.auth.find_user(&id).await?)))
}

/// Changes a user. Taking a role away, or making them inactive, ends their sessions.
#[utoipa::path(
    put, path = "/auth/users/{id}", tag = "auth",
    responses((status = 200, body = api::User), (status = 409, description = "Nobody could administer any more."))
)]
async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(change): Json<api::UserChange>,
) -> Answer<Json<api::User>> {
    let change = UserChange {
        email: change.email.map(view::email).transpose()?,
        roles: change.roles.map(|roles| view::roles("roles", &roles)).transpose()?,
        workspaces: change.workspaces.map(|names| view::workspaces(&names)).transpose()?,
        metadata: change.metadata.map(view::metadata).transpose()?,
        active: change.active,
        password: None,
    };
    let user = app.auth.find_user(&id).await?;
    let after = user.changed(&change, user.updated_at);
    view::check_bound(after.role(), &after.workspaces)?;
    let deed = caller.deed(Act::UserChanged).to(&user.name).saying(what_changes(&change));
    let changed = app.auth.store().change_user(&user.id, change, deed, app.auth.now()).await;
    Ok(Json(view::user(&changed.map_err(|error| Kind::User.refusal(error))?)))
}

/// Removes a user.
#[utoipa::path(
    delete, path = "/auth/users/{id}", tag = "auth",
    responses((status = 200, body = api::Done), (status = 409, description = "Nobody could administer any more."))
)]
async fn remove(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Done>> {
    let user = app.auth.find_user(&id).await?;
    let deed = caller.deed(Act::UserDeleted).to(&user.name);
    let removed = app.auth.store().delete_user(&user.id, deed, app.auth.now()).await;
    removed.map_err(|error| Kind::User.refusal(error))?;
    Ok(Json(api::Done { ok: true }))
}

/// Changes a password, which ends all sessions of the user. Administrators change anybody's; others their own, and
/// everybody gives the old one with their own.
#[utoipa::path(
    put, path = "/auth/users/{id}/password", tag = "auth",
    responses((status = 200, body = api::Done), (status = 401, description = "The old password is missing or wrong."))
)]
async fn change_password(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(change): Json<api::PasswordChange>,
) -> Answer<Json<api::Done>> {
    app.auth.change_password(&id, change, &caller).await?;
    Ok(Json(api::Done { ok: true }))
}

fn what_changes(change: &UserChange) -> String {
    let mut words = Vec::new();
    words.extend(change.email.is_some().then(|| "email".to_owned()));
    words.extend(change.metadata.is_some().then(|| "metadata".to_owned()));
    words.extend(change.roles.as_ref().map(|roles| format!("roles: {}", view::words(roles).join(", "))));
    words.extend(change.workspaces.as_ref().map(view::bound));
    words.extend(change.active.map(|active| if active { "active".to_owned() } else { "inactive".to_owned() }));
    words.join("; ")
}

/// A user to be made.
pub(super) struct NewAccount {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) email: Option<String>,
    pub(super) roles: Vec<Role>,
    pub(super) workspaces: BTreeSet<Name>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl NewAccount {
    /// An administrator without a name yet.
    pub(super) fn admin() -> NewAccount {
        NewAccount {
            name: String::new(),
            password: String::new(),
            email: None,
            roles: vec![Role::Admin],
            workspaces: BTreeSet::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl Auth {
    /// Makes a user whose name and password are good enough.
    pub(super) async fn create_user(&self, new: NewAccount, among: Among, caller: &Caller) -> Answer<User> {
        check_name(&new.name).map_err(|problem| invalid("/username", problem))?;
        let weak = self.accept_password(&new.name, &new.password, "/password")?;
        let deed = caller.deed(Act::UserCreated).to(&new.name);
        let deed = deed.saying(view::rights("roles", &new.roles, &new.workspaces));
        let user = self.user_of(new, weak).await?;
        let made = self.store().create_user(user, among, deed, self.now()).await;
        made.map_err(|error| Kind::User.refusal(error))
    }

    /// Whether a password that may be used is a weak one.
    pub(super) fn accept_password(&self, name: &str, password: &str, pointer: &str) -> Answer<bool> {
        self.tolerate_password(name, password).map_err(|problem| weak_password(pointer, problem))
    }

    /// The same, without words for whoever asked.
    pub(super) fn tolerate_password(&self, name: &str, password: &str) -> Result<bool, PasswordProblem> {
        match check_password(name, password) {
            Ok(()) => Ok(false),
            Err(problem) if problem.is_tolerable() && self.0.settings.loopback => {
                tracing::warn!(user = name, %problem, "a weak password is taken, since only this host can use it");
                Ok(true)
            }
            Err(problem) => Err(problem),
        }
    }

    pub(super) async fn user_of(&self, new: NewAccount, weak_password: bool) -> Answer<User> {
        Ok(User {
            id: new_id(rand::random()),
            email: new.email.map(view::email).transpose()?.filter(|email| !email.is_empty()),
            metadata: view::metadata(new.metadata)?,
            roles: new.roles,
            workspaces: new.workspaces,
            created_at: self.now(),
            updated_at: self.now(),
            active: true,
            generation: 0,
            password: Secret::new(self.hash(&new.password).await?),
            weak_password,
            name: new.name,
        })
    }

    pub(super) async fn find_user(&self, id: &str) -> Answer<User> {
        let mut found = if is_id(id) { self.store().user(id).await? } else { None };
        if found.is_none() && check_name(id).is_ok() {
            found = self.store().user_named(id).await?;
        }
        found.ok_or_else(|| Kind::User.missing())
    }

    async fn change_password(&self, id: &str, change: api::PasswordChange, caller: &Caller) -> Answer<()> {
        let is_own = |user: &User| caller.account().is_some_and(|account| account.id == user.id);
        let user = match self.find_user(id).await {
            Ok(user) if caller.role == Role::Admin || is_own(&user) => user,
            Err(refusal) if caller.role == Role::Admin => return Err(refusal),
            // Who there is only administrators may learn.
            Ok(_) | Err(_) => {
                let detail = "only administrators change the passwords of others";
                return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", detail, None).by_code());
            }
        };
        let own = is_own(&user);
        if own {
            let old = change.old_password.ok_or_else(authentication_failed)?;
            self.by_password(&user.name, &old, caller.from).await?;
        }
        let weak = self.accept_password(&user.name, &change.new_password, "/new_password")?;
        let hash = self.hash(&change.new_password).await?;
        let changes = UserChange { password: Some((Secret::new(hash), weak)), ..UserChange::default() };
        let deed = caller.deed(Act::PasswordChanged).to(&user.name);
        let changed = self.store().change_user(&user.id, changes, deed, self.now()).await;
        changed.map(|_| ()).map_err(|error| Kind::User.refusal(error))
    }
}
