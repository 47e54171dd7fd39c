//! Who is who, on the wire. The members are provisr's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether somebody has to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthStatus {
    /// Requests over TCP need credentials.
    pub enabled: bool,
    /// There is no user yet: the first one can be made with `POST …/auth/bootstrap`.
    pub needs_setup: bool,
}

/// How somebody logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    /// With a name and a password.
    #[default]
    Basic,
    /// As a client, with its id and secret.
    ClientSecret,
    /// With a token that is still valid, for a new one.
    Jwt,
}

/// Asks for a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// How.
    #[serde(default)]
    pub method: LoginMethod,
    /// For `basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For `basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// For `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// For `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Set the token as a cookie too, which scripts cannot read: for pages in a browser.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cookie: bool,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A token, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginAnswer {
    /// Always true; who may not log in gets a problem.
    pub success: bool,
    /// Id of the user or client.
    pub user_id: String,
    /// Name of the user or client.
    pub username: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// What an administrator noted about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The token.
    pub token: Token,
}

/// A token for the header `Authorization: Bearer VALUE`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// `Bearer`
    #[serde(rename = "type")]
    pub kind: String,
    /// The token itself.
    pub value: String,
    /// Until when it is valid.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Id of the user or client; absent for the owner of the unix socket and where nobody has to log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Their name.
    pub username: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// The workspaces that they are bound to; without any, to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
    /// How they are known: `socket`, `anonymous`, `token`, `cookie`, `basic`.
    pub method: String,
}

/// Makes the first user, who is an administrator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BootstrapRequest {
    /// Their name.
    pub username: String,
    /// Their password.
    pub password: String,
    /// The token that the daemon printed when it started; not needed on the unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_token: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// 32 hexadecimal digits.
    pub id: String,
    /// What they log in with.
    pub username: String,
    /// Their mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do: `viewer`, `operator`, `admin`.
    pub roles: Vec<String>,
    /// The workspaces that they are bound to; without any, to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
    /// What an administrator noted about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
    /// Whether they may log in.
    pub active: bool,
}

/// A user to be made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What they log in with.
    pub username: String,
    /// Their password.
    pub password: String,
    /// Their mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do: `viewer`, `operator`, `admin`.
    pub roles: Vec<String>,
    /// The workspaces that they are bound to; without any, to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What changes about a user; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Their mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The workspaces that they are bound to from now on; an empty list binds to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Vec<String>>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether they may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// A new password. Whoever changes their own gives the old one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now; an administrator need not know that of somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_password: Option<String>,
    /// The password from now on.
    pub new_password: String,
}

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Users {
    /// The users, by name.
    pub users: Vec<User>,
    /// How many there are.
    pub total: usize,
    /// How many were left out before them.
    pub offset: usize,
    /// How many were asked for.
    pub limit: usize,
}

/// A client: a program that logs in with an id and a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiClient {
    /// `client_` and 16 hexadecimal digits.
    pub client_id: String,
    /// For people.
    pub name: String,
    /// What it may do: `viewer`, `operator`, `admin`.
    pub scopes: Vec<String>,
    /// The workspaces that it is bound to; without any, to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether it may log in.
    pub active: bool,
}

/// A client that was just made. Its secret is not shown again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewApiClientAnswer {
    /// The client.
    #[serde(flatten)]
    pub client: ApiClient,
    /// Its secret.
    pub client_secret: String,
}

/// A client to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiClient {
    /// For people.
    pub name: String,
    /// What it may do: `viewer`, `operator`, `admin`.
    pub scopes: Vec<String>,
    /// The workspaces that it is bound to; without any, to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether it may log in; it may unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// What changes about a client; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiClientChange {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The workspaces that it is bound to from now on; an empty list binds to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Vec<String>>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether it may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// A page of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiClients {
    /// The clients, by id.
    pub clients: Vec<ApiClient>,
    /// How many there are.
    pub total: usize,
    /// How many were left out before them.
    pub offset: usize,
    /// How many were asked for.
    pub limit: usize,
}

/// Rotates the key that signs tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRotation {
    /// Forget the older keys at once: everybody has to log in again.
    #[serde(default)]
    pub revoke: bool,
}

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its position in the ledger.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of a user, the id of a client, or `piton` itself.
    pub by: String,
    /// `user`, `client` or `system`.
    pub by_kind: String,
    /// What: `logged_in`, `login_failed`, `user_created`, …
    pub act: String,
    /// To which user or client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The address they came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// That something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub ok: bool,
}

/// `Debug` of what holds a password or a secret: its name, and nothing of it.
macro_rules! hidden {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })*
    };
}

hidden!(BootstrapRequest, NewUser, PasswordChange, NewApiClientAnswer);
