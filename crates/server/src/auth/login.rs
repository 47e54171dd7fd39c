//! Logging in and out.

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use piton_api as api;
use piton_api::LoginMethod;
use piton_model::Act;
use piton_store::Among;
use subtle::ConstantTimeEq;

use super::refusals::{Kind, authentication_failed, invalid};
use super::users::NewAccount;
use super::verify::{LONGEST_SESSION, Proven};
use super::{Auth, cookie, view};
use crate::caller::{Caller, Known, Session, address};
use crate::extract::Json;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub(super) fn routes() -> Table {
    Table::new()
        .at(Permission::Public, routes!(status))
        .at(Permission::Public, routes!(login))
        .at(Permission::Public, routes!(bootstrap))
        .bound(Permission::Read, routes!(logout))
        .bound(Permission::Read, routes!(me))
}

/// Whether one has to log in.
#[utoipa::path(get, path = "/auth/status", tag = "auth", responses((status = 200, body = api::AuthStatus)))]
async fn status(State(app): State<App>) -> Answer<Json<api::AuthStatus>> {
    let needs_setup = app.auth.needs_setup().await?;
    Ok(Json(api::AuthStatus { enabled: app.auth.0.settings.enabled, needs_setup }))
}

/// A token for a password, for a client's secret, or for a token that is still valid.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth",
    responses(
        (status = 200, body = api::LoginAnswer),
        (status = 401, description = "The credentials are not valid."),
        (status = 429, description = "Too many tries have failed; `Retry-After` says when the next one is heard."),
    )
)]
async fn login(State(app): State<App>, parts: Parts, Json(request): Json<api::LoginRequest>) -> Answer<Response> {
    let auth = &app.auth;
    let with_cookie = request.cookie;
    if with_cookie {
        auth.check_page(&parts)?;
    }
    let (proven, token, session) = auth.log_in(request, &parts).await?;
    let mut response = Json(answer(&proven, &token, session.until)).into_response();
    if with_cookie {
        auth.end_session_of(&parts).await?;
        let seconds = session.until.as_second() - auth.now().as_second();
        if let Some(cookie) = cookie::set(&token, seconds, &auth.0.settings) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn answer(proven: &Proven, token: &str, until: Timestamp) -> api::LoginAnswer {
    api::LoginAnswer {
        success: true,
        user_id: proven.account.id.clone(),
        username: proven.account.name.clone(),
        roles: view::words(&proven.account.roles),
        metadata: proven.metadata.clone(),
        token: api::Token { kind: "Bearer".to_owned(), value: token.to_owned(), expires_at: until },
    }
}

/// Makes the token worthless with which this is asked.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 200, body = api::Done)))]
async fn logout(State(app): State<App>, caller: Caller) -> Answer<Response> {
    if let Some(Session { token, until, .. }) = caller.session() {
        let deed = caller.deed(Act::LoggedOut);
        app.auth.store().revoke_token(token, *until, deed, app.auth.now()).await?;
    }
    let gone = cookie::set("", 0, &app.auth.0.settings).map(|cookie| (header::SET_COOKIE, cookie));
    let gone = gone.filter(|_| matches!(caller.known, Known::Cookie(..)));
    Ok((AppendHeaders(gone), Json(api::Done { ok: true })).into_response())
}

/// Who asks.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, body = api::Me)))]
async fn me(caller: Caller) -> Json<api::Me> {
    let method = match &caller.known {
        Known::Socket => "socket",
        Known::Anonymous => "anonymous",
        Known::Worker => "worker",
        Known::Basic(_) => "basic",
        Known::Token(..) => "token",
        Known::Cookie(..) => "cookie",
    };
    let method = method.to_owned();
    Json(match caller.account() {
        Some(account) => {
            let (id, username) = (account.id.clone(), account.name.clone());
            let (roles, workspaces) = (view::words(&account.roles), view::names(&account.workspaces));
            api::Me { user_id: Some(id), username, roles, workspaces, method }
        }
        None => {
            let username = match &caller.by {
                piton_model::By::User(name) | piton_model::By::Client(name) => name.clone(),
                piton_model::By::System => "piton".to_owned(),
            };
            api::Me { user_id: None, username, roles: view::words(&[caller.role]), workspaces: vec![], method }
        }
    })
}

/// Makes the first user, an administrator: over the unix socket, or with the token that the daemon printed.
#[utoipa::path(
    post, path = "/auth/bootstrap", tag = "auth",
    responses(
        (status = 201, body = api::User),
        (status = 403, description = "The setup token is missing or wrong."),
        (status = 409, description = "There are users already."),
    )
)]
async fn bootstrap(
    State(app): State<App>,
    parts: Parts,
    Json(request): Json<api::BootstrapRequest>,
) -> Answer<(StatusCode, Json<api::User>)> {
    if !app.auth.needs_setup().await? {
        return Err(Kind::User.refusal(piton_store::AccountError::NotFirst));
    }
    let caller = app.auth.setup_caller(&parts, request.setup_token.as_deref())?;
    let account = NewAccount { name: request.username, password: request.password, ..NewAccount::admin() };
    let user = app.auth.create_user(account, Among::Nobody, &caller).await?;
    Ok((StatusCode::CREATED, Json(view::user(&user))))
}

impl Auth {
    pub(super) async fn needs_setup(&self) -> Answer<bool> {
        Ok(self.store().users(0, 1).await?.1 == 0)
    }

    async fn log_in(&self, request: api::LoginRequest, parts: &Parts) -> Answer<(Proven, String, Session)> {
        let from = address(&parts.extensions);
        let needed = |member: &str, value: Option<String>| {
            value.ok_or_else(|| invalid(&format!("/{member}"), format!("missing member `{member}`")))
        };
        let (proven, since, method) = match request.method {
            LoginMethod::Basic => {
                let name = needed("username", request.username)?;
                let password = needed("password", request.password)?;
                (self.by_password(&name, &password, from).await?, None, "basic")
            }
            LoginMethod::ClientSecret => {
                let id = needed("client_id", request.client_id)?;
                let secret = needed("client_secret", request.client_secret)?;
                (self.by_secret(&id, &secret, from).await?, None, "client_secret")
            }
            LoginMethod::Jwt => {
                let (proven, _, claims) = self.by_token(&needed("token", request.token)?).await?;
                let age = self.now().as_second().saturating_sub(claims.auth_time);
                if age > LONGEST_SESSION.as_secs() {
                    return Err(authentication_failed());
                }
                (proven, Some(claims.auth_time), "jwt")
            }
        };
        let (token, session) = self.give_token(&proven, since).await?;
        let mut deed = piton_model::Deed::new(proven.by.clone(), Act::LoggedIn).saying(method);
        deed.from = from.map(|from| from.to_string());
        self.store().record_deed(deed, self.now()).await?;
        Ok((proven, token, session))
    }

    /// A page that logs in must be one of this server's, or it could make somebody work under another's name.
    fn check_page(&self, parts: &Parts) -> Answer<()> {
        if !parts.headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        cookie::check_origin(&parts.method, &parts.uri, &parts.headers, &self.0.settings.allowed_origins)
    }

    /// Whoever logs in anew leaves no older session behind.
    async fn end_session_of(&self, parts: &Parts) -> Answer<()> {
        let Some(token) = cookie::token(&parts.headers) else { return Ok(()) };
        let Ok((proven, session, _)) = self.by_token(token).await else { return Ok(()) };
        let deed = piton_model::Deed::new(proven.by, Act::LoggedOut);
        self.store().revoke_token(&session.token, session.until, deed, self.now()).await?;
        Ok(())
    }

    /// Whoever may make the first user: an administrator by their door, or somebody with the setup token.
    fn setup_caller(&self, parts: &Parts, token: Option<&str>) -> Answer<Caller> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let given = piton_auth::digest(token.unwrap_or_default());
        let kept = piton_auth::digest(self.0.setup_token.expose());
        if bool::from(given.as_bytes().ct_eq(kept.as_bytes())) {
            let caller = Caller::new(piton_model::By::System, piton_auth::Role::Admin, Known::Anonymous);
            return Ok(Caller { from: address(&parts.extensions), ..caller });
        }
        let hint =
            "the daemon printed it when it started; over the unix socket (`piton auth user create`) none is needed";
        let detail = "the first user is made with the setup token";
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "setup_token_required", detail, Some(hint.to_owned()));
        Err(refusal.by_code())
    }
}
