//! `[auth]`, in all its spellings: Piton's and the README's of provisr (`auth.jwt.secret`), and what provisr's code
//! reads (`server.auth.jwt_secret`).

use std::path::Path;
use std::time::Duration;

use piton_model::Secret;
use serde_json::Value as Json;

use super::settings::{Origin, Settings, has_no_effect};
use super::{percent_encode, settings_file};
use crate::diagnostic::Diagnostic;
use crate::duration::parse_duration;
use crate::fields::shown;
use crate::suggest::nearest;

/// How long a token is valid unless the configuration says otherwise.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The key and its other spellings; the first that is given counts.
type Spellings = &'static [&'static str];

const SECRET: Spellings = &["auth.jwt.secret", "auth.jwt_secret", "server.auth.jwt.secret", "server.auth.jwt_secret"];
const TTL: Spellings =
    &["auth.jwt.expires_in", "auth.token_ttl", "server.auth.jwt.expires_in", "server.auth.token_ttl"];
const AUTO_CREATE: Spellings = &["auth.admin.auto_create", "server.auth.admin.auto_create"];
const USERNAME: Spellings = &["auth.admin.username", "server.auth.admin.username"];
const PASSWORD: Spellings = &["auth.admin.password", "server.auth.admin.password"];
const EMAIL: Spellings = &["auth.admin.email", "server.auth.admin.email"];
const DATABASE_PATH: Spellings = &["auth.database_path", "server.auth.database_path"];
const DATABASE_TYPE: Spellings = &["auth.database_type", "server.auth.database_type"];
const STORE: Spellings = &["auth.store", "server.auth.store"];

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Requests over TCP need credentials.
    pub enabled: bool,
    /// What signs tokens; none for keys of Piton's own.
    pub secret: Option<Named>,
    /// How long a token is valid.
    pub token_ttl: Duration,
    /// Make the first administrator at the first start.
    pub create_admin: bool,
    /// Their name.
    pub admin_name: String,
    /// Their password; none for a random one.
    pub admin_password: Option<Named>,
    /// Their mail address.
    pub admin_email: Option<String>,
    /// The database of users, where they have one of their own.
    pub store_url: Option<Secret<String>>,
}

/// A secret, and the key that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// `auth.jwt.secret`
    pub key: &'static str,
    /// The secret.
    pub secret: Secret<String>,
}

pub(super) fn read(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> AuthConfig {
    let mut first = |spellings| given(settings, spellings, found);
    let named = |key: &'static str| Some(Named { key, secret: Secret::new(settings.text(key)?.to_owned()) });
    let ttl = first(TTL).and_then(|key| parse_duration(settings.text(key)?).ok()).unwrap_or(TOKEN_TTL);
    AuthConfig {
        enabled: settings.flag("auth.enabled") || settings.flag("server.auth.enabled"),
        secret: first(SECRET).and_then(named),
        token_ttl: ttl,
        create_admin: first(AUTO_CREATE).is_none_or(|key| settings.flag(key)),
        admin_name: first(USERNAME).and_then(|key| settings.text(key)).unwrap_or("admin").to_owned(),
        admin_password: first(PASSWORD).and_then(named),
        admin_email: first(EMAIL).and_then(|key| settings.text(key)).map(str::to_owned),
        store_url: store_url(settings, root, found).map(Secret::new),
    }
}

/// The spelling that counts. The others are told that they do not.
fn given(settings: &Settings, spellings: Spellings, found: &mut Vec<Diagnostic>) -> Option<&'static str> {
    let mut present = spellings.iter().copied().filter(|key| settings.is_given(key));
    let first = present.next()?;
    for other in present {
        let why = format!("`{first}` is given too");
        found.push(has_no_effect(&settings_file(settings, other), other, &why));
    }
    Some(first)
}

/// The database of users: a table as provisr has it, or the two keys of its README; none for Piton's own.
fn store_url(settings: &Settings, root: &Path, found: &mut Vec<Diagnostic>) -> Option<String> {
    let table = given(settings, STORE, found);
    let path = given(settings, DATABASE_PATH, found);
    let kind_key = given(settings, DATABASE_TYPE, found);
    let member = |name: &str| settings.json(table?)?.get(name).cloned();
    let text = |name: &str| member(name).and_then(|value| value.as_str().map(str::to_owned));
    let key = table.or(path).or(kind_key)?;
    let kind = text("type").or_else(|| settings.text(kind_key?).map(str::to_owned));
    let file = settings_file(settings, key);
    if let Some(table) = table {
        check_members(table, settings, &file, found);
    }
    match kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("sqlite" | "sqlite3") => {
            let given = text("path").or_else(|| settings.text(path?).map(str::to_owned))?;
            if given == ":memory:" {
                found.push(has_no_effect(&file, key, "users that are forgotten with every start are of no use"));
                return None;
            }
            let base = match settings.origin(key) {
                Some(Origin::File { path, .. }) => path.parent().unwrap_or(root).to_owned(),
                _ => root.to_owned(),
            };
            Some(format!("sqlite:{}", root.join(base).join(given).display()))
        }
        Some("postgres" | "postgresql") => {
            if let Some(url) = text("url").or_else(|| text("dsn")) {
                return Some(url);
            }
            let host = text("host").unwrap_or_else(|| "localhost".to_owned());
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
            let host = if host.starts_with('[') { host } else { percent_encode(&host) };
            let port = member("port").and_then(|port| port.as_u64()).unwrap_or(5432);
            let user = percent_encode(&text("username").or_else(|| text("user")).unwrap_or("postgres".to_owned()));
            let password = text("password").map(|password| format!(":{}", percent_encode(&password)));
            let name = percent_encode(&text("database").or_else(|| text("dbname")).unwrap_or("piton".to_owned()));
            let mode = percent_encode(&text("ssl_mode").or_else(|| text("sslmode")).unwrap_or("prefer".to_owned()));
            let password = password.unwrap_or_default();
            Some(format!("postgres://{user}{password}@{host}:{port}/{name}?sslmode={mode}"))
        }
        Some(other) => {
            let message = format!("`{}` is no kind of database", other.escape_debug());
            found.push(Diagnostic::error(file, "invalid_value", message).field(key).hint("`sqlite` or `postgresql`"));
            None
        }
    }
}

/// What provisr's table of the database of users may hold. How many connections there are is not a matter of it.
const STORE_MEMBERS: &[&str] = &[
    "type",
    "path",
    "migrate",
    "host",
    "port",
    "database",
    "dbname",
    "username",
    "user",
    "password",
    "ssl_mode",
    "sslmode",
    "url",
    "dsn",
    "max_open_conns",
    "max_idle_conns",
];

fn check_members(table: &'static str, settings: &Settings, file: &Path, found: &mut Vec<Diagnostic>) {
    let members = settings.json(table).and_then(Json::as_object).into_iter().flatten();
    for (name, _) in members.filter(|(name, _)| !STORE_MEMBERS.contains(&name.as_str())) {
        let unknown = Diagnostic::error(file, "unknown_key", format!("unknown key `{}` in [{table}]", shown(name)));
        let unknown = unknown.field(format!("{table}.{}", shown(name)));
        found.push(match nearest(name, STORE_MEMBERS.iter().copied()) {
            Some(near) => unknown.hint(format!("did you mean `{near}`?")),
            None => unknown.hint("`piton config schema` lists every key"),
        });
    }
}
