//! Who is who, from elsewhere: sessions, users and clients on the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::site::{Daemon, Said, Site};

const PASSWORD: &str = "seven green umbrellas";

/// A directory where people must log in, with an administrator who was made before there was a daemon.
fn home() -> Site {
    let home = Site::new().env("PITON_AUTH__ENABLED", "true");
    home.write("password", &format!("{PASSWORD}\n"));
    let said = home.piton(["auth", "user", "create", "ada", "--roles", "admin", "--password-file", "password"]);
    assert_eq!(said.code, 0, "{said}");
    home
}

/// Another home, from which the server is asked.
fn away(daemon: &Daemon<'_>) -> Site {
    let url = format!("http://{}", daemon.address());
    Site::new().env("PITON_SERVER", &url).env("PITON_PASSWORD", PASSWORD)
}

fn session_file(site: &Site) -> PathBuf {
    site.path().join(".piton/session.json")
}

fn session(site: &Site) -> Value {
    serde_json::from_str(&fs::read_to_string(session_file(site)).unwrap()).unwrap()
}

fn token(site: &Site) -> String {
    session(site)["token"].as_str().unwrap().to_owned()
}

fn log_in(site: &Site, name: &str) -> Said {
    let said = site.piton(["login", "--username", name]);
    assert_eq!(said.code, 0, "{said}");
    assert!(!said.out.contains(&token(site)) && !said.err.contains(PASSWORD), "{said}");
    said
}

/// What a token is good for, whatever session there is.
fn asks_with(site: &Site, token: &str) -> i32 {
    let mut command = site.command(crate::site::PITON);
    command.env("PITON_TOKEN", token).args(["whoami"]).output().unwrap().status.code().unwrap()
}

#[test]
fn a_session_lasts_until_it_is_ended() {
    let home = home();
    let daemon = home.serve();
    let away = away(&daemon);
    let said = away.piton(["status"]);
    assert_eq!(said.code, 4, "{said}");
    assert!(said.err.contains(&format!("piton login --server http://{}", daemon.address())), "{said}");

    log_in(&away, "ada");
    let mode = fs::metadata(session_file(&away)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = session(&away);
    assert_eq!(kept["server_url"], format!("http://{}/api", daemon.address()));
    assert_eq!((&kept["username"], &kept["token_type"]), (&"ada".into(), &"Bearer".into()));
    let me = away.json(["whoami"]);
    assert_eq!((&me["username"], &me["method"], &me["roles"][0]), (&"ada".into(), &"token".into(), &"admin".into()));
    assert_eq!(away.piton(["status"]).code, 0);

    let first = token(&away);
    log_in(&away, "ada");
    assert_ne!(token(&away), first, "logging in begins a new session");
    assert_eq!(asks_with(&away, &first), 4, "and ends the old one");

    let second = token(&away);
    assert_eq!(asks_with(&away, &second), 0);
    let said = away.piton(["logout"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(!session_file(&away).exists());
    assert_eq!(asks_with(&away, &second), 4, "whoever copied the token has nothing");
    assert_eq!(away.piton(["logout"]).code, 0);
    assert_eq!(home.json(["whoami"])["method"], "socket");
}

#[test]
fn a_session_is_renewed_before_it_ends() {
    let home = home();
    let daemon = home.serve();
    let away = away(&daemon);
    log_in(&away, "ada");
    let mut kept = session(&away);
    let first = token(&away);
    assert_eq!(away.piton(["status"]).code, 0);
    assert_eq!(token(&away), first, "it is young");
    kept["renew_at"] = "2001-01-01T00:00:00Z".into();
    fs::write(session_file(&away), kept.to_string()).unwrap();
    assert_eq!(away.piton(["status"]).code, 0);
    assert_ne!(token(&away), first);
    assert_ne!(session(&away)["renew_at"], kept["renew_at"]);
    assert_eq!(away.piton(["status"]).code, 0);
}

#[test]
fn who_may_not_log_in_learns_nothing_and_leaves_nothing() {
    let home = home();
    let daemon = home.serve();
    let away = away(&daemon).env("PITON_PASSWORD", "not the password");
    let known = away.piton(["login", "--username", "ada"]);
    let unknown = away.piton(["login", "--username", "nobody"]);
    assert_eq!((known.code, unknown.code), (4, 4), "{known}");
    assert_eq!(known.err, unknown.err);
    assert!(!session_file(&away).exists());
    let said = away.piton(["login"]);
    assert_eq!((said.code, said.err.contains("--username")), (2, true), "{said}");
}

#[test]
fn users_and_their_passwords() {
    let home = home();
    let daemon = home.serve();
    let admin = away(&daemon);
    log_in(&admin, "ada");
    let made = admin.json(["auth", "user", "create", "bob", "--email", "bob@example.org"]);
    assert_eq!((&made["username"], &made["roles"]), (&"bob".into(), &serde_json::json!(["viewer"])));
    assert_eq!(admin.piton(["auth", "user", "create", "bob"]).code, 5, "the name is taken");
    let users = admin.json(["auth", "user", "list"]);
    let names: Vec<&str> = users.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["ada", "bob"]);

    let bob = away(&daemon);
    log_in(&bob, "bob");
    assert_eq!(bob.piton(["status"]).code, 0);
    assert_eq!(bob.piton(["auth", "user", "list"]).code, 4);
    assert_eq!(bob.piton(["shutdown"]).code, 4);

    // His own password takes the old one, and ends his sessions.
    let old = token(&bob);
    bob.write("old", PASSWORD).write("new", "eight yellow umbrellas").write("wrong", "nine red umbrellas");
    let change =
        |old: &str| bob.piton(["auth", "user", "password", "--password-file", "new", "--old-password-file", old]);
    let said = change("wrong");
    assert_eq!((said.code, session_file(&bob).exists()), (4, true), "{said}");
    let said = change("old");
    assert_eq!((said.code, session_file(&bob).exists()), (0, false), "{said}");
    assert_eq!(asks_with(&bob, &old), 4);
    assert_eq!(bob.piton(["login", "--username", "bob"]).code, 4);
    assert_eq!(bob.piton(["login", "--username", "bob", "--password-file", "new"]).code, 0);

    let stale = token(&bob);
    assert_eq!(admin.piton(["auth", "user", "password", "bob"]).code, 0);
    assert_eq!(asks_with(&bob, &stale), 4, "an administrator ends his sessions too");
    log_in(&bob, "bob");
    assert_eq!(admin.piton(["auth", "user", "delete", "bob"]).code, 0);
    assert_eq!(bob.piton(["status"]).code, 4);
    assert_eq!(admin.piton(["auth", "user", "delete", "bob"]).code, 3);
    assert_eq!(admin.piton(["auth", "user", "delete", "ada"]).code, 5, "somebody must be able to administer");
}

#[test]
fn programs_log_in_with_a_secret() {
    let home = home();
    let made = home.json(["auth", "client", "create", "--name", "CI Client", "--scopes", "operator"]);
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let daemon = home.serve();
    let away = away(&daemon);
    away.write("secret", secret);
    let said = away.piton(["login", "--client-id", id, "--password-file", "secret"]);
    assert_eq!(said.code, 0, "{said}");
    let me = away.json(["whoami"]);
    assert_eq!((&me["user_id"], &me["roles"][0]), (&id.into(), &"operator".into()), "{me:#}");
    assert_eq!(away.piton(["auth", "client", "list"]).code, 4);
    let listed = home.piton(["auth", "client", "list"]);
    assert!(listed.out.contains(id) && !listed.out.contains(secret), "{listed}");
    assert_eq!(home.piton(["auth", "client", "delete", id]).code, 0);
    assert_eq!(away.piton(["status"]).code, 4);
}

#[test]
fn the_process_managers_command_lines() {
    let home = home();
    let daemon = home.serve();
    let url = format!("--server-url=http://{}/api", daemon.address());
    let away = Site::new();
    let password = format!("--password={PASSWORD}");
    let said = away.named("provisr", ["login", &url, "--username=ada", &password]);
    assert_eq!(said.code, 0, "{said}");
    let path = away.path().join(".provisr/session.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for member in ["token", "token_type", "expires_at", "username", "user_id", "roles", "server_url"] {
        assert!(!kept[member].is_null(), "{member}: {kept:#}");
    }
    // The session is used without being named.
    let create = ["auth", "user", "create", "--username=operator", &password, "--roles=operator"];
    let said = away.named("provisr", create);
    assert_eq!(said.code, 0, "{said}");
    let said = away.named("provisr", ["auth", "client", "create", "--name=CI Client", "--scopes=operator"]);
    let made: Value = serde_json::from_str(&said.out).unwrap();
    let id = format!("--client-id={}", made["client_id"].as_str().unwrap());
    let secret = format!("--client-secret={}", made["client_secret"].as_str().unwrap());
    let said = away.named("provisr", ["auth", "user", "list"]);
    let users: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(users[1]["username"], "operator", "{said}");
    let said = away.named("provisr", ["login", "--method=client_secret", &id, &secret, &url]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(away.named("provisr", ["auth", "client", "list"]).code, 1, "an operator may not");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(away.named("provisr", ["logout"]).code, 77);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(away.named("provisr", ["logout"]).code, 0);
    assert!(!path.exists());
}

#[test]
fn the_audit_trail_is_read_by_administrators() {
    let home = home();
    let daemon = home.serve();
    let away = away(&daemon);
    log_in(&away, "ada");
    away.write("password", "six yellow raincoats\n");
    for name in ["bob", "eve"] {
        let said = away.piton(["auth", "user", "create", name, "--password-file", "password"]);
        assert_eq!(said.code, 0, "{said}");
    }
    let said = away.piton(["auth", "audit"]);
    assert_eq!(said.code, 0, "{said}");
    let line = said.out.lines().find(|line| line.contains("user_created") && line.contains("eve")).unwrap();
    assert!(line.contains("ada") && line.contains("127.0.0.1"), "{said}");
    let entries = away.json(["auth", "audit", "--limit", "2"]);
    let acts: Vec<&str> = entries.as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["user_created", "user_created"], "the latest first: {entries:#}");
    // The owner of the socket is one, a viewer is none.
    assert!(home.json(["auth", "audit"]).as_array().unwrap().len() >= 4);
    let viewer = Site::new().env("PITON_SERVER", &format!("http://{}", daemon.address()));
    let viewer = viewer.env("PITON_PASSWORD", "six yellow raincoats");
    log_in(&viewer, "bob");
    assert_eq!(viewer.piton(["auth", "audit"]).code, 4);
}

#[test]
fn over_tls_a_server_is_recognized_or_not_spoken_to() {
    let home = home().env("PITON_SERVER__TLS__ENABLED", "true").env("PITON_SERVER__TLS__AUTO_GENERATE", "true");
    home.write("piton.toml", "[server.tls]\nenabled = true\nauto_generate = true\ndir = \"tls\"\n");
    let daemon = home.serve();
    let by_number = format!("https://{}", daemon.address());
    let url = by_number.replace("127.0.0.1", "localhost");
    let certificate = home.path().join("tls/tls.crt").display().to_string();
    let away = Site::new().env("PITON_SERVER", &url).env("PITON_PASSWORD", PASSWORD);
    let said = away.piton(["login", "--username", "ada"]);
    assert_eq!((said.code, said.err.contains("--ca-cert")), (7, true), "{said}");
    assert!(!session_file(&away).exists());
    let said = away.piton(["--insecure", "login", "--username", "ada"]);
    assert_eq!(said.code, 0, "{said}");
    let said = away.piton(["--insecure", "status"]);
    assert_eq!((said.code, said.err.contains("not checked")), (0, true), "{said}");
    assert_eq!(away.piton(["status"]).code, 7);

    let away = away.env("PITON_CA_CERT", &certificate);
    log_in(&away, "ada");
    assert_eq!(away.piton(["status"]).code, 0);
    assert_eq!(away.piton(["status", "--tls-min-version", "1.3"]).code, 0);
    assert_eq!(away.piton(["status", "--server-name", "elsewhere.example.org"]).code, 7);
    // Its number stands in the certificate too, and there is no session with it.
    assert_eq!(away.piton(["--server", &by_number, "status"]).code, 4);
    assert_eq!(away.piton(["--server", &by_number, "status", "--server-name", "localhost"]).code, 4);
    let plain = url.replace("https", "http");
    let said = away.piton(["--server", &plain, "status"]);
    assert!(said.code != 0 && session(&away)["server_url"] == format!("{url}/api"), "{said}");
    assert_eq!(away.piton(["logout"]).code, 0);
}
