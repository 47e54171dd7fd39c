//! `piton auth …`

use std::collections::BTreeMap;
use std::path::Path;

use piton_api::{
    ApiClient, ApiClients, AuditEntry, Done, Me, NewApiClientAnswer, NewUser, Page, PasswordChange, User, Users,
};
use serde_json::json;

use super::login;
use crate::args::{AuthCommand, ClientCommand, CreateUserArgs, DeleteClientArgs, PasswordArgs, UserCommand};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, usage};
use crate::session::{Purpose, Session};
use crate::{password, prompt, render, routes};

/// The most that the server gives at once.
const PAGE: usize = 100;

/// The same, of the audit trail.
const LARGEST_AUDIT_PAGE: usize = 1000;

/// Does what was asked.
pub async fn run(context: &Context, command: AuthCommand) -> Result<Exit, Failure> {
    match command {
        AuthCommand::User(UserCommand::Create(args)) => create_user(context, args).await,
        AuthCommand::User(UserCommand::List) => list_users(context).await,
        AuthCommand::User(UserCommand::Delete { user, yes }) => delete_user(context, &user.into_name(), yes).await,
        AuthCommand::User(UserCommand::Password { name, username, old_password_file, password }) => {
            let old = old_password_file.as_deref();
            change_password(context, name.or(username), old, &password).await
        }
        AuthCommand::Audit(args) => audit(context, args.limit as usize).await,
        AuthCommand::Client(ClientCommand::Create { name, scopes, workspaces }) => {
            create_client(context, &json!({ "name": name, "scopes": scopes, "workspaces": workspaces })).await
        }
        AuthCommand::Client(ClientCommand::List) => list_clients(context).await,
        AuthCommand::Client(ClientCommand::Delete(args)) => delete_client(context, args).await,
    }
}

async fn create_user(context: &Context, args: CreateUserArgs) -> Result<Exit, Failure> {
    let CreateUserArgs { user, email, roles, workspaces, password } = args;
    let username = user.into_name();
    let password = password::read_new(context, &password, &username)?.expose().clone();
    let new = NewUser { username, password, email, roles, workspaces, metadata: BTreeMap::default() };
    context
        .with_session(Purpose::Look, async |session| {
            let made: User = session.client().create("/auth/users", &new).await?;
            context.out.show(&made, || format!("User '{}' created ({})\n", made.username, made.roles.join(", ")))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn list_users(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let mut users: Vec<User> = vec![];
            loop {
                let page: Users = session.client().get(&part("/auth/users", users.len())).await?;
                let is_last = page.users.is_empty() || users.len() + page.users.len() >= page.total;
                users.extend(page.users);
                if is_last {
                    break;
                }
            }
            context.out.show(&users, || render::auth::users(&users, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

fn part(path: &str, offset: usize) -> String {
    routes::with_query(path, &[("offset", Some(offset.to_string())), ("limit", Some(PAGE.to_string()))])
}

async fn delete_user(context: &Context, name: &str, yes: bool) -> Result<Exit, Failure> {
    let path = routes::user(name);
    context
        .with_session(Purpose::Look, async |session| {
            let user: User = session.client().get(&path).await?;
            may_remove(context, yes, &format!("user '{}'", user.username))?;
            let _: Done = session.client().delete(&path).await?;
            context.out.show(&user, || format!("User '{}' deleted\n", user.username))?;
            Ok(Exit::Ok)
        })
        .await
}

fn may_remove(context: &Context, yes: bool, what: &str) -> Result<(), Failure> {
    if yes || !context.out.is_interactive() || prompt::agree(&context.out, &format!("Delete {what}? [y/N] "))? {
        return Ok(());
    }
    Err(CommandError::new(Exit::Failed, "nothing was deleted").into())
}

async fn change_password(
    context: &Context,
    name: Option<String>,
    old_file: Option<&Path>,
    new: &PasswordArgs,
) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let me: Me = session.client().get("/auth/me").await?;
            let (name, is_own) = whose(&me, name)?;
            let old_password = match (is_own, old_file) {
                (true, _) | (_, Some(_)) => Some(login::old_password(context, old_file)?.expose().clone()),
                _ => None,
            };
            let new_password = password::read_new(context, new, &name)?.expose().clone();
            let change = PasswordChange { old_password, new_password };
            let done: Done = session.client().put(&format!("{}/password", routes::user(&name)), &change).await?;
            if is_own {
                // The session ended with the old password.
                login::forget(context)?;
            }
            context.out.show(&done, || {
                let again = if is_own { "; log in again with the new one" } else { "" };
                format!("The password of '{name}' is changed{again}\n")
            })?;
            Ok(Exit::Ok)
        })
        .await
}

/// Whose password changes, and whether it is that of whoever asks.
fn whose(me: &Me, name: Option<String>) -> Result<(String, bool), Failure> {
    match (name, &me.user_id) {
        (Some(name), Some(id)) if name == me.username || name == *id => Ok((me.username.clone(), true)),
        (Some(name), _) => Ok((name, false)),
        (None, Some(_)) => Ok((me.username.clone(), true)),
        (None, None) => Err(usage("whose password? `piton auth user password NAME`")),
    }
}

async fn create_client(context: &Context, new: &serde_json::Value) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let made: NewApiClientAnswer = session.client().post("/auth/clients", new).await?;
            context.out.show(&made, || render::auth::new_client(&made))?;
            context.out.say("the secret is not shown again");
            Ok(Exit::Ok)
        })
        .await
}

async fn clients(session: &Session) -> Result<Vec<ApiClient>, Failure> {
    let mut clients: Vec<ApiClient> = vec![];
    loop {
        let page: ApiClients = session.client().get(&part("/auth/clients", clients.len())).await?;
        let is_last = page.clients.is_empty() || clients.len() + page.clients.len() >= page.total;
        clients.extend(page.clients);
        if is_last {
            return Ok(clients);
        }
    }
}

async fn list_clients(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let clients = clients(session).await?;
            context.out.show(&clients, || render::auth::clients(&clients, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn delete_client(context: &Context, args: DeleteClientArgs) -> Result<Exit, Failure> {
    let id = args.id.or(args.client_id).unwrap_or_default();
    let path = routes::client(&id);
    context
        .with_session(Purpose::Look, async |session| {
            let client: ApiClient = session.client().get(&path).await?;
            may_remove(context, args.yes, &format!("client '{}' ({})", client.client_id, client.name))?;
            let _: Done = session.client().delete(&path).await?;
            context.out.show(&client, || format!("Client '{}' deleted\n", client.client_id))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn audit(context: &Context, limit: usize) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let mut entries: Vec<AuditEntry> = vec![];
            let mut cursor = None;
            loop {
                let most = (limit - entries.len()).min(LARGEST_AUDIT_PAGE).to_string();
                let path = routes::with_query("/audit", &[("limit", Some(most)), ("cursor", cursor)]);
                let page: Page<AuditEntry> = session.client().get(&path).await?;
                entries.extend(page.items);
                cursor = page.next;
                if cursor.is_none() || entries.len() >= limit {
                    break;
                }
            }
            context.out.show(&entries, || render::auth::audit(&entries, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_password_changes() {
        let me = |id: Option<&str>| Me {
            user_id: id.map(str::to_owned),
            username: "ada".to_owned(),
            roles: vec![],
            workspaces: vec![],
            method: "token".to_owned(),
        };
        let whose = |id, name: Option<&str>| whose(&me(id), name.map(str::to_owned)).ok();
        assert_eq!(whose(Some("1"), None), Some(("ada".to_owned(), true)));
        assert_eq!(whose(Some("1"), Some("1")), Some(("ada".to_owned(), true)));
        assert_eq!(whose(Some("1"), Some("bob")), Some(("bob".to_owned(), false)));
        assert_eq!(whose(None, Some("ada")), Some(("ada".to_owned(), false)), "whoever owns the socket is no user");
        assert_eq!(whose(None, None), None);
    }
}
