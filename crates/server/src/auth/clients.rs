//! Clients: programs that log in with an id and a secret.

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_auth::{ClientSecret, new_client_id};
use piton_model::{Act, ApiClient, ApiClientChange, Secret};

use super::refusals::{Kind, invalid};
use super::users::Part;
use super::verify::is_id;
use super::{Auth, view};
use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Answer;
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new()
        .at(Permission::Administer, routes!(list, create))
        .at(Permission::Administer, routes!(show, change, remove))
        .at(Permission::Administer, routes!(renew))
}

/// Clients, by id.
#[utoipa::path(get, path = "/auth/clients", tag = "auth", params(Part), responses((status = 200, body = api::ApiClients)))]
async fn list(State(app): State<App>, Query(part): Query<Part>) -> Answer<Json<api::ApiClients>> {
    let (offset, limit) = part.bounds();
    let (clients, total) = app.auth.store().clients(offset, limit).await?;
    Ok(Json(api::ApiClients { clients: clients.iter().map(view::client).collect(), total, offset, limit }))
}

/// Makes a client. Its secret is shown this once.
#[utoipa::path(post, path = "/auth/clients", tag = "auth", responses((status = 201, body = api::NewApiClientAnswer)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<api::NewApiClient>,
) -> Answer<(StatusCode, Json<api::NewApiClientAnswer>)> {
    let secret = ClientSecret::new(rand::random());
    let client = ApiClient {
        id: new_client_id(rand::random()),
        name: name(new.name)?,
        scopes: view::roles("scopes", &new.scopes)?,
        workspaces: view::workspaces(&new.workspaces)?,
        metadata: view::metadata(new.metadata)?,
        created_at: app.auth.now(),
        updated_at: app.auth.now(),
        active: new.active.unwrap_or(true),
        generation: 0,
        secret: Secret::new(secret.digest.clone()),
    };
    view::check_bound(client.role(), &client.workspaces)?;
    let deed = caller.deed(Act::ClientCreated).to(&client.id);
    let deed = deed.saying(view::rights("scopes", &client.scopes, &client.workspaces));
    let made = app.auth.store().create_client(client, deed, app.auth.now()).await;
    let made = made.map_err(|error| Kind::Client.refusal(error))?;
    Ok((StatusCode::CREATED, Json(with_secret(&made, &secret))))
}

/// One client.
#[utoipa::path(get, path = "/auth/clients/{id}", tag = "auth", responses((status = 200, body = api::ApiClient)))]
async fn show(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::ApiClient>> {
    Ok(Json(view::client(&app.auth.find_client(&id).await?)))
}

/// Changes a client. Taking a scope away, or making it inactive, ends its sessions.
#[utoipa::path(put, path = "/auth/clients/{id}", tag = "auth", responses((status = 200, body = api::ApiClient)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(change): Json<api::ApiClientChange>,
) -> Answer<Json<api::ApiClient>> {
    let change = ApiClientChange {
        name: change.name.map(name).transpose()?,
        scopes: change.scopes.map(|scopes| view::roles("scopes", &scopes)).transpose()?,
        workspaces: change.workspaces.map(|names| view::workspaces(&names)).transpose()?,
        metadata: change.metadata.map(view::metadata).transpose()?,
        active: change.active,
        secret: None,
    };
    let client = app.auth.find_client(&id).await?;
    let after = client.changed(&change, client.updated_at);
    view::check_bound(after.role(), &after.workspaces)?;
    let deed = caller.deed(Act::ClientChanged).to(&client.id).saying(what_changes(&change));
    let changed = app.auth.store().change_client(&client.id, change, deed, app.auth.now()).await;
    Ok(Json(view::client(&changed.map_err(|error| Kind::Client.refusal(error))?)))
}

/// Gives a client a new secret, which is shown this once. The old one and its sessions are worth nothing any more.
#[utoipa::path(
    post, path = "/auth/clients/{id}/secret", tag = "auth",
    responses((status = 200, body = api::NewApiClientAnswer))
)]
async fn renew(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
) -> Answer<Json<api::NewApiClientAnswer>> {
    let client = app.auth.find_client(&id).await?;
    let secret = ClientSecret::new(rand::random());
    let change = ApiClientChange { secret: Some(Secret::new(secret.digest.clone())), ..ApiClientChange::default() };
    let deed = caller.deed(Act::ClientChanged).to(&client.id).saying("secret");
    let changed = app.auth.store().change_client(&client.id, change, deed, app.auth.now()).await;
    Ok(Json(with_secret(&changed.map_err(|error| Kind::Client.refusal(error))?, &secret)))
}

/// Removes a client.
#[utoipa::path(delete, path = "/auth/clients/{id}", tag = "auth", responses((status = 200, body = api::Done)))]
async fn remove(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Done>> {
    let client = app.auth.find_client(&id).await?;
    let deed = caller.deed(Act::ClientDeleted).to(&client.id);
    let removed = app.auth.store().delete_client(&client.id, deed, app.auth.now()).await;
    removed.map_err(|error| Kind::Client.refusal(error))?;
    Ok(Json(api::Done { ok: true }))
}

fn with_secret(client: &ApiClient, secret: &ClientSecret) -> api::NewApiClientAnswer {
    api::NewApiClientAnswer { client: view::client(client), client_secret: secret.text.expose().clone() }
}

fn name(given: String) -> Answer<String> {
    let plain = !given.trim().is_empty() && given.len() <= 200 && !given.chars().any(char::is_control);
    if plain { Ok(given) } else { Err(invalid("/name", "a name has 1 to 200 bytes, on one line")) }
}

fn what_changes(change: &ApiClientChange) -> String {
    let mut words = Vec::new();
    words.extend(change.name.is_some().then(|| "name".to_owned()));
    words.extend(change.metadata.is_some().then(|| "metadata".to_owned()));
    words.extend(change.scopes.as_ref().map(|scopes| format!("scopes: {}", view::words(scopes).join(", "))));
    words.extend(change.workspaces.as_ref().map(view::bound));
    words.extend(change.active.map(|active| if active { "active".to_owned() } else { "inactive".to_owned() }));
    words.join("; ")
}

impl Auth {
    async fn find_client(&self, id: &str) -> Answer<ApiClient> {
        let found = if is_id(id) { self.store().client(id).await? } else { None };
        found.ok_or_else(|| Kind::Client.missing())
    }
}
