//! Users and clients.

use piton_api::{ApiClient, AuditEntry, NewApiClientAnswer, User};

use crate::clock::Clock;
use crate::table::{Cell, Fields, Table};

/// Who may log in.
pub fn users(users: &[User], clock: &Clock) -> String {
    if users.is_empty() {
        return "No users\n".to_owned();
    }
    let mut table = Table::new(&["USERNAME", "ROLES", "EMAIL", "ACTIVE", "CREATED", "ID"]);
    for user in users {
        table.row([
            Cell::from(&user.username),
            rights(&user.roles, &user.workspaces).into(),
            user.email.as_deref().unwrap_or("-").into(),
            yes_or_no(user.active).into(),
            clock.minute(user.created_at).into(),
            (&user.id).into(),
        ]);
    }
    table.render()
}

/// Which programs may log in.
pub fn clients(clients: &[ApiClient], clock: &Clock) -> String {
    if clients.is_empty() {
        return "No clients\n".to_owned();
    }
    let mut table = Table::new(&["CLIENT ID", "NAME", "SCOPES", "ACTIVE", "CREATED"]);
    for client in clients {
        table.row([
            Cell::from(&client.client_id),
            (&client.name).into(),
            rights(&client.scopes, &client.workspaces).into(),
            yes_or_no(client.active).into(),
            clock.minute(client.created_at).into(),
        ]);
    }
    table.render()
}

/// What somebody may do, and in which workspaces if they are bound to some.
fn rights(roles: &[String], workspaces: &[String]) -> String {
    let roles = roles.join(",");
    if workspaces.is_empty() { roles } else { format!("{roles} in {}", workspaces.join(",")) }
}

/// Who did what.
pub fn audit(entries: &[AuditEntry], clock: &Clock) -> String {
    if entries.is_empty() {
        return "Nothing is on record\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "BY", "WHAT", "TARGET", "FROM", "DETAIL"]);
    for entry in entries {
        table.row([
            clock.minute(entry.at).into(),
            Cell::from(&entry.by),
            (&entry.act).into(),
            entry.target.as_deref().unwrap_or("-").into(),
            entry.from.as_deref().unwrap_or("-").into(),
            entry.detail.as_deref().unwrap_or("-").into(),
        ]);
    }
    table.render()
}

/// A client with its secret.
pub fn new_client(made: &NewApiClientAnswer) -> String {
    let mut fields = Fields::default();
    fields
        .field("Client", &made.client.name)
        .field("Scopes", rights(&made.client.scopes, &made.client.workspaces))
        .field("Client ID", &made.client.client_id)
        .field("Secret", &made.client_secret);
    fields.render()
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
