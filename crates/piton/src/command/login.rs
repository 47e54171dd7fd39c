//! `piton login`, `piton logout`, `piton whoami`

use std::path::Path;

use jiff::Timestamp;
use piton_api::{AuthStatus, Client, Credentials, Done, LoginAnswer, Me, ServerUrl};
use piton_model::Secret;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{LoginArgs, Method};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::logins::Login;
use crate::password;
use crate::prompt;
use crate::remote::Remote;
use crate::session::Purpose;

/// Where people log in who say nothing else.
const USUAL_SERVER: &str = "http://localhost:8080/api";

/// What a login is, without its token.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    username: &'a str,
    user_id: &'a str,
    roles: &'a [String],
    server_url: &'a str,
    expires_at: Timestamp,
}

/// Logs in, and keeps the token for later commands.
pub async fn login(context: &Context, args: &LoginArgs) -> Result<Exit, Failure> {
    let remote = remote(context)?;
    let client = Client::of_server(remote.anonymous()?);
    // Nobody is asked for a password that leads nowhere, or that is given to somebody else.
    let logins = context.logins();
    let earlier = logins.read()?.of(&remote.url).cloned();
    if let Ok(AuthStatus { needs_setup: true, .. }) = client.get("/auth/status").await {
        let error = CommandError::new(Exit::Denied, format!("{} has no users yet", remote.url));
        return Err(error.hint("in its directory, on its host: piton auth user create NAME --roles admin").into());
    }
    if !remote.url.is_secure() && !remote.url.is_loopback() {
        context.out.say("warning: without TLS, everybody between here and the server can read the password");
    }
    let request = request(context, args)?;
    let answer: LoginAnswer = client.post("/auth/login", &request).await?;
    let login = Login::granted(answer, &remote.url, context.clock.now);
    logins.remember(login.clone(), context.clock.now)?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.expires_at > context.clock.now) {
        // The new session stands; that the old one ends too is not worth failing for.
        let _ = revoke(&remote, &earlier).await;
    }
    let Login { username, user_id, roles, server_url, expires_at, .. } = &login;
    let shown = Shown { username, user_id, roles, server_url, expires_at: *expires_at };
    context.out.show(&shown, || {
        let until = context.clock.second(login.expires_at);
        format!("Logged in to {server_url} as {username} ({}) until {until}\n", roles.join(", "))
    })?;
    Ok(Exit::Ok)
}

/// The server that is named, else the usual one.
fn remote(context: &Context) -> Result<Remote, CommandError> {
    if let Some(remote) = context.remote()? {
        return Ok(remote);
    }
    let url = crate::remote::parse_url(USUAL_SERVER, "the usual server")?;
    Remote::at(url, &context.global, &context.environment)
}

/// What is sent. It holds a password, so nothing shows it.
fn request(context: &Context, args: &LoginArgs) -> Result<Value, Failure> {
    let is_client = match args.method {
        Some(method) => method == Method::ClientSecret,
        None => args.client_id.is_some(),
    };
    if is_client {
        let Some(id) = &args.client_id else { return Err(usage("`--method client_secret` needs `--client-id`")) };
        let secret = password::read(context, &args.password, &format!("Secret of {id}: "))?;
        return Ok(json!({ "method": "client_secret", "client_id": id, "client_secret": secret.expose() }));
    }
    if args.client_id.is_some() {
        return Err(usage("`--client-id` goes with `--method client_secret`"));
    }
    let name = match &args.username {
        Some(name) => name.clone(),
        None if context.out.is_interactive() => prompt::ask(&context.out, "Username: ")?,
        None => return Err(usage("who logs in? `--username NAME`, or `--client-id ID`")),
    };
    let password = password::read(context, &args.password, &format!("Password of {name}: "))?;
    Ok(json!({ "method": "basic", "username": name, "password": password.expose() }))
}

async fn revoke(remote: &Remote, login: &Login) -> Result<(), Failure> {
    let client = remote.as_whom(&Credentials::Bearer(login.token.clone()))?;
    client.post::<Done>("/auth/logout", &json!({})).await?;
    Ok(())
}

/// Ends sessions: that with the server that is named, else the latest one, or all of them.
pub async fn logout(context: &Context, all: bool) -> Result<Exit, Failure> {
    let logins = context.logins();
    let kept = logins.read()?;
    let ended: Vec<Login> = match context.remote()? {
        _ if all => kept.all().to_vec(),
        Some(remote) => kept.of(&remote.url).cloned().into_iter().collect(),
        None => kept.latest().cloned().into_iter().collect(),
    };
    let mut exit = Exit::Ok;
    let mut names = vec![];
    for login in ended {
        let Some(url) = login.server() else {
            return Err(failed(format!("'{}' is not the address of a server", login.server_url)));
        };
        let revoked = end(context, &url, &login).await;
        logins.forget(&url)?;
        if let Err(failure) = revoked {
            exit = failure.exit();
            context.out.report(&failure);
            let until = context.clock.second(login.expires_at);
            context.out.talk(&format!("the session is forgotten here, but {url} may take its token until {until}"));
        }
        names.push(url.to_string());
    }
    context.out.show(&names, || match names.as_slice() {
        [] => "Nobody was logged in\n".to_owned(),
        names => format!("Logged out of {}\n", names.join(", ")),
    })?;
    Ok(exit)
}

/// Makes a token worthless. One that the server does not take any more is.
async fn end(context: &Context, url: &ServerUrl, login: &Login) -> Result<(), Failure> {
    let remote = Remote::at(url.clone(), &context.global, &context.environment)?;
    match revoke(&remote, login).await {
        Err(Failure::Problem(problem)) if problem.status == 401 => Ok(()),
        other => other,
    }
}

/// As whom the server knows whoever asks.
pub async fn whoami(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let me: Me = session.client().get("/auth/me").await?;
            let place = session.client().server_url().map(|url| format!(" at {url}")).unwrap_or_default();
            context
                .out
                .show(&me, || format!("{} ({}), by {}{place}\n", me.username, me.roles.join(", "), me.method))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Forgets a session that the server has ended.
pub fn forget(context: &Context) -> Result<(), Failure> {
    if let Some(remote) = context.remote()? {
        context.logins().forget(&remote.url)?;
    }
    Ok(())
}

/// The password that goes with a name, for those who change it.
pub fn old_password(context: &Context, file: Option<&Path>) -> Result<Secret<String>, Failure> {
    match file {
        Some(file) => password::of_file(file),
        None if context.out.is_interactive() => password::ask("Old password: "),
        None => Err(usage("the old password is needed: `--old-password-file FILE`")),
    }
}
