//! Who is logged in where: `session.json` in the home directory.
//!
//! The file is provisr's: the members of the latest login stand at its top. Logins to other servers stand beside them,
//! under `others`. A token is only ever given out for the server that it came from.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use piton_api::{LoginAnswer, ServerUrl};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Exit};
use crate::remote::filled;

const FILE: &str = "session.json";

/// A login that lasts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The token.
    pub token: String,
    /// `Bearer`
    pub token_type: String,
    /// Until when it is valid.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub username: String,
    /// Their id.
    #[serde(default)]
    pub user_id: String,
    /// What they may do.
    #[serde(default, deserialize_with = "null_is_none")]
    pub roles: Vec<String>,
    /// The only server that it is for.
    pub server_url: String,
    /// From when on it is exchanged for a new one; a login of another program is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Timestamp>,
}

/// What a login is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is used as it is.
    Fresh,
    /// It still works, but is exchanged for a new one before it ends.
    Old,
    /// It has ended.
    Over,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("server_url", &self.server_url)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// The login that a server granted `now`.
    pub fn granted(answer: LoginAnswer, server: &ServerUrl, now: Timestamp) -> Login {
        let until = answer.token.expires_at;
        // Half of its time is left for those who work with it now and then.
        let renew_at = now.checked_add(until.duration_since(now) / 2).ok();
        Login {
            token: answer.token.value,
            token_type: answer.token.kind,
            expires_at: until,
            username: answer.username,
            user_id: answer.user_id,
            roles: answer.roles,
            server_url: server.to_string(),
            renew_at,
        }
    }

    /// What it is good for at a time.
    pub fn age(&self, now: Timestamp) -> Age {
        match self.renew_at {
            _ if self.expires_at <= now => Age::Over,
            Some(at) if at <= now => Age::Old,
            _ => Age::Fresh,
        }
    }

    /// Its server; none where somebody wrote something else into the file.
    pub fn server(&self) -> Option<ServerUrl> {
        ServerUrl::parse(&self.server_url).ok()
    }

    fn is_for(&self, url: &ServerUrl) -> bool {
        self.server().is_some_and(|own| own == *url)
    }
}

fn null_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// All logins, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept(Vec<Login>);

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    latest: Login,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Login>,
}

impl Kept {
    fn parse(text: &str) -> Result<Kept, serde_json::Error> {
        let Document { latest, others } = serde_json::from_str(text)?;
        Ok(Kept(std::iter::once(latest).chain(others).collect()))
    }

    fn render(&self) -> Result<Option<String>, serde_json::Error> {
        let Some((latest, others)) = self.0.split_first() else { return Ok(None) };
        let document = Document { latest: latest.clone(), others: others.to_vec() };
        Ok(Some(serde_json::to_string_pretty(&document)? + "\n"))
    }

    /// The login to a server.
    pub fn of(&self, url: &ServerUrl) -> Option<&Login> {
        self.0.iter().find(|login| login.is_for(url))
    }

    /// Every login.
    pub fn all(&self) -> &[Login] {
        &self.0
    }

    /// The latest login.
    pub fn latest(&self) -> Option<&Login> {
        self.0.first()
    }

    /// Remembers a login, in place of an earlier one to the same server. What has ended elsewhere is forgotten.
    fn put(&mut self, login: Login, now: Timestamp) {
        self.0.retain(|other| other.expires_at > now && other.server() != login.server());
        self.0.insert(0, login);
    }

    /// Forgets the login to a server.
    fn remove(&mut self, url: &ServerUrl) {
        self.0.retain(|login| !login.is_for(url));
    }
}

/// The file of logins.
#[derive(Debug, Clone)]
pub struct Logins {
    directory: PathBuf,
}

impl Logins {
    /// The file in a directory of the home directory.
    pub fn of_home(environment: &BTreeMap<String, String>, directory: &str) -> Logins {
        // Whoever has no home works in a place that is none, and reading it says so.
        let home = filled(environment, "HOME").map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from);
        Logins::new(home.join(directory))
    }

    /// The file in `directory`.
    pub fn new(directory: PathBuf) -> Logins {
        Logins { directory }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// All logins; none where there is no file. A file that others may read is not read.
    pub fn read(&self) -> Result<Kept, CommandError> {
        let path = self.path();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let metadata = file.metadata().map_err(|error| cannot("read", &path, &error))?;
        is_private(&path, &metadata, 0o077, "600")?;
        let directory = fs::metadata(&self.directory).map_err(|error| cannot("look at", &self.directory, &error))?;
        is_private(&self.directory, &directory, 0o022, "700")?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| cannot("read", &path, &error))?;
        Kept::parse(&text).map_err(|error| {
            // What the parser says may repeat what it read.
            let at = format!("line {}, column {}", error.line(), error.column());
            CommandError::new(Exit::Failed, format!("{} is no file of sessions ({at})", path.display()))
                .hint("remove it, then log in again")
        })
    }

    /// Remembers a login.
    pub fn remember(&self, login: Login, now: Timestamp) -> Result<(), CommandError> {
        self.change(|kept| kept.put(login, now))
    }

    /// Puts a login in place of the one that it was given for, unless that is gone: another command has renewed it too,
    /// or somebody has logged out.
    pub fn remember_renewed(&self, login: Login, earlier: &str) -> Result<(), CommandError> {
        self.change(|kept| {
            if let Some(place) = kept.0.iter_mut().find(|other| other.token == earlier) {
                *place = login;
            }
        })
    }

    /// Forgets the login to a server.
    pub fn forget(&self, url: &ServerUrl) -> Result<(), CommandError> {
        self.change(|kept| kept.remove(url))
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) -> Result<(), CommandError> {
        let path = self.path();
        let failed = |error: io::Error| cannot("write", &path, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        // Two commands at a time change it one after the other.
        let directory = File::open(&self.directory).map_err(failed)?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let mut kept = self.read()?;
        change(&mut kept);
        match kept.render().map_err(|error| failed(error.into()))? {
            Some(text) => write(&self.directory, &path, &text).map_err(failed),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            },
        }
    }
}

fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let partial = tempfile::Builder::new()
        .prefix(".session-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    fs::write(partial.path(), text)?;
    partial.as_file().sync_all()?;
    partial.persist(path)?;
    Ok(())
}

/// Whether nobody else has the rights in `mask`, and it is ours.
fn is_private(path: &Path, metadata: &fs::Metadata, mask: u32, wanted: &str) -> Result<(), CommandError> {
    let shown = path.display();
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        let message = format!("{shown} belongs to somebody else (uid {}), so it is not used", metadata.uid());
        return Err(CommandError::new(Exit::NoPermission, message));
    }
    if metadata.mode() & mask != 0 {
        let done = if mask & 0o044 != 0 { "may be read by others" } else { "may be changed by others" };
        let message = format!("{shown} {done} (mode {:o}), so it is not used", metadata.mode() & 0o777);
        return Err(CommandError::new(Exit::NoPermission, message).hint(format!(
            "chmod {wanted} {shown}; whoever could read it may hold your token: `piton logout` revokes it"
        )));
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::new(Exit::Failed, format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn login(server: &str, token: &str, expires_at: &str) -> Login {
        Login {
            token: token.to_owned(),
            token_type: "Bearer".to_owned(),
            expires_at: expires_at.parse().unwrap(),
            username: "ada".to_owned(),
            user_id: "0f".to_owned(),
            roles: vec!["operator".to_owned()],
            server_url: server.to_owned(),
            renew_at: None,
        }
    }

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn logins_to_several_servers_stand_side_by_side() {
        let home = tempfile::tempdir().unwrap();
        let logins = Logins::new(home.path().join("below/.piton"));
        assert_eq!(logins.read().unwrap(), Kept::default());
        logins.remember(login("http://a/api", "one", "2026-01-02T00:00:00Z"), now()).unwrap();
        logins.remember(login("http://b/api", "two", "2026-01-02T00:00:00Z"), now()).unwrap();
        logins.remember(login("http://c/api", "old", NOW), now()).unwrap();
        logins.remember(login("http://a/api", "three", "2026-01-02T00:00:00Z"), now()).unwrap();
        assert_eq!((mode(&logins.path()), mode(&home.path().join("below/.piton"))), (0o600, 0o700));
        let kept = logins.read().unwrap();
        let token = |text| kept.of(&url(text)).map(|login| login.token.as_str());
        assert_eq!(token("http://A:80/api/"), Some("three"));
        assert_eq!(token("http://b"), Some("two"));
        assert_eq!(token("https://b"), None);
        assert_eq!(token("http://c"), None, "what has ended is forgotten with the next login");
        assert_eq!(kept.latest().unwrap().token, "three");
        logins.forget(&url("http://a")).unwrap();
        assert_eq!(logins.read().unwrap().latest().unwrap().token, "two");
        logins.forget(&url("http://b")).unwrap();
        assert!(!logins.path().exists(), "no token is left behind");
        logins.forget(&url("http://b")).unwrap();
    }

    #[test]
    fn a_login_is_renewed_in_the_second_half_of_its_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let token = piton_api::Token {
            kind: "Bearer".to_owned(),
            value: "t".to_owned(),
            expires_at: at("2026-01-01T02:00:00Z"),
        };
        let (user_id, username) = ("1".to_owned(), "ada".to_owned());
        let answer = LoginAnswer { success: true, user_id, username, roles: vec![], metadata: BTreeMap::new(), token };
        let login = Login::granted(answer, &url("http://A/"), now());
        assert_eq!(login.server_url, "http://a/api");
        for (time, age) in [
            ("2026-01-01T00:00:00Z", Age::Fresh),
            ("2026-01-01T00:59:59Z", Age::Fresh),
            ("2026-01-01T01:00:00Z", Age::Old),
            ("2026-01-01T01:59:59Z", Age::Old),
            ("2026-01-01T02:00:00Z", Age::Over),
        ] {
            assert_eq!(login.age(at(time)), age, "{time}");
        }
        let theirs = Login { renew_at: None, ..login };
        assert_eq!(theirs.age(at("2026-01-01T01:59:59Z")), Age::Fresh);
    }

    #[test]
    fn the_members_are_the_documented_ones() {
        let kept = Kept(vec![login("http://a/api", "one", "2026-01-02T00:00:00Z")]);
        let text = kept.render().unwrap().unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "token": "one", "token_type": "Bearer", "expires_at": "2026-01-02T00:00:00Z", "username": "ada",
                "user_id": "0f", "roles": ["operator"], "server_url": "http://a/api",
            })
        );
        let theirs = r#"{ "token": "x", "token_type": "Bearer", "expires_at": "2026-03-04T10:30:00.123456789+02:00",
            "username": "ada", "user_id": "1", "roles": null, "server_url": "http://localhost:8080/api" }"#;
        let read = Kept::parse(theirs).unwrap();
        assert_eq!(read.of(&url("http://localhost:8080")).unwrap().roles, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let logins = Logins::new(home.path().join(".piton"));
        logins.remember(login("http://a/api", "one", "2026-01-02T00:00:00Z"), now()).unwrap();
        for bad in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(logins.path(), Permissions::from_mode(bad)).unwrap();
            let error = logins.read().unwrap_err();
            assert_eq!(error.exit, Exit::NoPermission);
            assert!(error.hint.unwrap().starts_with(&format!("chmod 600 {}", logins.path().display())));
        }
        fs::set_permissions(logins.path(), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(home.path().join(".piton"), Permissions::from_mode(0o770)).unwrap();
        assert_eq!(logins.read().unwrap_err().exit, Exit::NoPermission);
        fs::set_permissions(home.path().join(".piton"), Permissions::from_mode(0o755)).unwrap();
        logins.read().unwrap();
    }

    #[test]
    fn a_broken_file_is_named_and_not_repeated() {
        let home = tempfile::tempdir().unwrap();
        let logins = Logins::new(home.path().join(".piton"));
        logins.remember(login("http://a/api", "one", "2026-01-02T00:00:00Z"), now()).unwrap();
        fs::write(logins.path(), "{\"token\": s3cret}").unwrap();
        let error = logins.read().unwrap_err();
        assert!(error.message.contains("line 1") && !error.message.contains("s3cret"), "{}", error.message);
    }
}
