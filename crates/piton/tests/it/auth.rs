//! Logging in, from outside: what documentation shows, and what somebody would try who should not get in.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::site::{Daemon, Site, until};
use crate::wire::{Reply, connect, request};

/// The password of the first administrator here.
pub const PASSWORD: &str = "a horse of correct batteries";

/// A directory whose API asks for credentials, with the administrator `admin`.
pub fn guarded() -> Site {
    Site::new().env("PITON_AUTH__ENABLED", "true").env("PITON_AUTH__ADMIN__PASSWORD", PASSWORD)
}

/// The address of a daemon, and what is sent with each request.
pub struct Door {
    address: String,
    credentials: Option<String>,
}

impl Door {
    pub fn anonymous(daemon: &Daemon<'_>) -> Door {
        Door { address: daemon.address(), credentials: None }
    }

    pub fn with(&self, credentials: impl Into<String>) -> Door {
        Door { address: self.address.clone(), credentials: Some(credentials.into()) }
    }

    pub fn basic(&self, name: &str, password: &str) -> Door {
        self.with(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
    }

    pub fn bearer(&self, token: &str) -> Door {
        self.with(format!("Bearer {token}"))
    }

    /// What is sent as `Authorization`.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    pub fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = self.credentials.iter().map(|credentials| ("Authorization", credentials.as_str()));
        request(&self.address, method, path, &headers.collect::<Vec<_>>(), body)
    }

    /// A connection on which the request was sent.
    pub fn begin(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(credentials) = &self.credentials {
            write!(text, "Authorization: {credentials}\r\n").unwrap();
        }
        if !body.is_empty() {
            write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
        }
        let mut stream = connect(&self.address);
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &body.to_string())
    }

    fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &body.to_string())
    }

    /// Logs in with a name and a password; the answer.
    fn log_in(&self, name: &str, password: &str) -> Reply {
        self.post("/api/auth/login", &json!({ "method": "basic", "username": name, "password": password }))
    }

    /// The same door for somebody who has logged in.
    fn logged_in(&self, name: &str, password: &str) -> Door {
        self.bearer(&token(&self.log_in(name, password)))
    }

    /// Whether these credentials are heard.
    fn is_known(&self) -> bool {
        match self.get("/api/auth/me").status {
            200 => true,
            401 => false,
            other => panic!("status {other}"),
        }
    }

    pub fn create_user(&self, name: &str, password: &str, role: &str) -> Value {
        let reply = self.post("/api/auth/users", &json!({ "username": name, "password": password, "roles": [role] }));
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    pub fn create_client(&self, name: &str, scope: &str) -> Value {
        let reply = self.post("/api/auth/clients", &json!({ "name": name, "scopes": [scope] }));
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    /// The same door for a new client of this role.
    pub fn for_client(&self, role: &str) -> Door {
        let client = self.create_client(role, role);
        self.basic(text(&client, "client_id"), text(&client, "client_secret"))
    }
}

fn token(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["token"]["value"].as_str().unwrap().to_owned()
}

/// What an answer says, but for what differs with every request.
fn told(reply: &Reply) -> (u16, Value) {
    let mut body = reply.json();
    body.as_object_mut().unwrap().remove("request_id");
    (reply.status, body)
}

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

#[test]
fn the_requests_of_provisrs_documentation() {
    let site = Site::new();
    site.write(
        "piton.toml",
        r#"
[auth]
enabled = true
database_path = "auth.db"
database_type = "sqlite"

[auth.jwt]
secret = "5f0c1a7be2d94836a1b0c9d8e7f6a5b4c3d2e1f0"
expires_in = "24h"

[auth.admin]
auto_create = true
username = "admin"
password = "not-what-the-page-says"
email = "admin@localhost"
"#,
    );
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    assert_eq!(door.get("/api/overview").status, 401);
    assert_eq!(door.get("/api/auth/status").json(), json!({ "enabled": true, "needs_setup": false }));

    let login = door.log_in("admin", "not-what-the-page-says");
    assert_eq!((login.status, login.header("cache-control")), (200, Some("no-store")));
    let answer = login.json();
    assert_eq!(members(&answer), BTreeSet::from(["success", "user_id", "username", "roles", "token"]));
    assert_eq!(
        (&answer["success"], &answer["username"], &answer["roles"]),
        (&json!(true), &json!("admin"), &json!(["admin"]))
    );
    assert_eq!(text(&answer, "user_id").len(), 32);
    assert_eq!(text(&answer["token"], "type"), "Bearer");
    let until: jiff::Timestamp = text(&answer["token"], "expires_at").parse().unwrap();
    let left = until.duration_since(jiff::Timestamp::now()).as_hours();
    assert!((22..=24).contains(&left), "{left}");

    let bearer = door.bearer(&token(&login));
    assert_eq!(bearer.get("/api/overview").status, 200);
    assert_eq!(door.basic("admin", "not-what-the-page-says").get("/api/overview").status, 200);
    let me = bearer.get("/api/auth/me").json();
    assert_eq!((&me["user_id"], &me["method"]), (&answer["user_id"], &json!("token")));
    let again = door.post("/api/auth/login", &json!({ "method": "jwt", "token": token(&login) }));
    assert_ne!(token(&again), token(&login));

    let denied = door.log_in("admin", "secret");
    assert_eq!((denied.status, text(&denied.json(), "error")), (401, "authentication_failed"));
    assert!(denied.json()["message"].is_string() && denied.header("www-authenticate").is_some());
    assert_eq!(denied.header("content-type"), Some("application/problem+json"));
    assert!(site.path().join("auth.db").is_file(), "beside the file that names it");
    let mode = std::fs::metadata(site.path().join("auth.db")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o077, 0, "it is its owner's alone");

    // On this host alone even the password of the documentation is taken.
    let made = bearer.create_user("operator", "secret", "operator");
    assert_eq!(members(&made), BTreeSet::from(["id", "username", "roles", "created_at", "updated_at", "active"]));
    assert_eq!((text(&made, "id").len(), &made["active"], &made["roles"]), (32, &json!(true), &json!(["operator"])));
    assert_eq!(door.logged_in("operator", "secret").get("/api/auth/users").status, 403);
    let twice = bearer.post(
        "/api/auth/users",
        &json!({ "username": "Operator", "password": "another one entirely", "roles": ["viewer"] }),
    );
    assert_eq!((twice.status, text(&twice.json(), "error")), (409, "user_exists"));
    let page = bearer.get("/api/auth/users?offset=1&limit=1").json();
    assert_eq!((&page["total"], &page["offset"], &page["limit"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!((text(&page["users"][0], "username"), page["users"].as_array().unwrap().len()), ("operator", 1));

    let client = bearer.create_client("CI Client", "operator");
    let id = text(&client, "client_id");
    assert!(id.strip_prefix("client_").is_some_and(|hex| hex.len() == 16), "{id}");
    let secret = text(&client, "client_secret");
    let body = json!({ "method": "client_secret", "client_id": id, "client_secret": secret });
    let answer = door.post("/api/auth/login", &body);
    assert_eq!((&answer.json()["user_id"], &answer.json()["roles"]), (&json!(id), &json!(["operator"])));
    assert!(door.bearer(&token(&answer)).is_known() && door.basic(id, secret).is_known());
    let listed = bearer.get("/api/auth/clients").json();
    assert_eq!((text(&listed["clients"][0], "client_id"), &listed["total"]), (id, &json!(1)));
    assert!(
        !listed.to_string().contains(secret) && !bearer.get(&format!("/api/auth/clients/{id}")).text().contains(secret)
    );

    // The database is read again after a restart, and so are the sessions in it.
    assert_eq!(daemon.terminate(), 0);
    let daemon = site.serve();
    assert!(Door::anonymous(&daemon).bearer(&token(&login)).is_known());
}

#[test]
fn users_and_clients_are_changed_and_removed() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    let anna = admin.create_user("anna", "twelve monkeys", "viewer");
    let path = format!("/api/auth/users/{}", text(&anna, "id"));
    let changed = admin.put(&path, &json!({ "email": "anna@example.org", "metadata": { "team": "ops" } })).json();
    assert_eq!((text(&changed, "email"), text(&changed["metadata"], "team")), ("anna@example.org", "ops"));
    assert_eq!(admin.get("/api/auth/users/anna").json(), changed, "names are as good as ids");
    for (body, pointer) in [
        (json!({ "roles": [] }), "/roles"),
        (json!({ "roles": ["viewer", "root"] }), "/roles/1"),
        (json!({ "email": "no address" }), "/email"),
    ] {
        let reply = admin.put(&path, &body);
        assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    for (name, password) in
        [("a b", "twelve monkeys"), ("../x", "twelve monkeys"), ("client_1", "twelve monkeys"), ("bert", "")]
    {
        let body = json!({ "username": name, "password": password, "roles": ["viewer"] });
        assert_eq!(admin.post("/api/auth/users", &body).status, 422, "{name}");
    }
    let gone = admin.send("DELETE", &path, "");
    assert_eq!((gone.status, gone.json()), (200, json!({ "ok": true })));
    for (method, path) in [("GET", path.as_str()), ("DELETE", path.as_str()), ("GET", "/api/auth/users/..%2Fx")] {
        let reply = admin.send(method, path, "");
        assert_eq!((reply.status, text(&reply.json(), "error")), (404, "user_not_found"), "{method} {path}");
    }

    let last = [
        admin.send("DELETE", "/api/auth/users/admin", ""),
        admin.put("/api/auth/users/admin", &json!({ "active": false })),
        admin.put("/api/auth/users/admin", &json!({ "roles": ["operator"] })),
    ];
    for reply in last {
        assert_eq!((reply.status, text(&reply.json(), "error")), (409, "last_active_admin"));
    }

    let client = admin.create_client("CI", "viewer");
    let path = format!("/api/auth/clients/{}", text(&client, "client_id"));
    let changed = admin.put(&path, &json!({ "name": "CD", "scopes": ["operator"] })).json();
    assert_eq!((text(&changed, "name"), &changed["scopes"]), ("CD", &json!(["operator"])));
    assert_eq!(admin.send("DELETE", &path, "").json(), json!({ "ok": true }));
    let reply = admin.get(&path);
    assert_eq!((reply.status, text(&reply.json(), "error")), (404, "client_not_found"));
}

#[test]
fn the_first_administrators_password_is_random_and_told_once() {
    let site = Site::new().env("PITON_AUTH__ENABLED", "true");
    let daemon = site.serve();
    let log = site.daemon_log();
    let password = log.split("with the password ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(password.len(), 32, "{log}");
    let door = Door::anonymous(&daemon);
    assert_eq!(door.log_in("admin", password).status, 200);
    let body = json!({ "username": "mallory", "password": "twelve monkeys" });
    let reply = door.post("/api/auth/bootstrap", &body);
    assert_eq!((reply.status, text(&reply.json(), "error")), (409, "already_bootstrapped"));
    assert_eq!(daemon.terminate(), 0);
    let _daemon = site.serve();
    assert_eq!(site.daemon_log().matches(password).count(), 1);
    assert_eq!(site.daemon_log().matches("first administrator").count(), 1);
}

#[test]
fn the_first_administrator_can_be_made_by_hand() {
    let site = Site::new().env("PITON_AUTH__ENABLED", "true").env("PITON_AUTH__ADMIN__AUTO_CREATE", "false");
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    assert_eq!(door.get("/api/auth/status").json()["needs_setup"], true);
    let log = site.daemon_log();
    let setup = log.split("setup token ").nth(1).unwrap().trim_end().lines().next().unwrap();
    let mut body = json!({ "username": "root", "password": "twelve monkeys" });
    for wrong in [Value::Null, json!(""), json!("x"), json!(setup.to_uppercase() + "0")] {
        body["setup_token"] = wrong;
        let reply = door.post("/api/auth/bootstrap", &body);
        assert_eq!((reply.status, reply.code().as_str()), (403, "setup_token_required"), "{body}");
    }
    body["setup_token"] = json!(setup);
    let made = door.post("/api/auth/bootstrap", &body);
    assert_eq!((made.status, &made.json()["roles"]), (201, &json!(["admin"])), "{}", made.text());
    assert_eq!(door.post("/api/auth/bootstrap", &body).status, 409);
    assert_eq!(door.get("/api/auth/status").json()["needs_setup"], false);
    assert_eq!(door.logged_in("root", "twelve monkeys").get("/api/auth/users").status, 200);

    // On the host itself the directory's owner makes users, before the first start too.
    let site = Site::new().env("PITON_AUTH__ENABLED", "true");
    let args = ["auth", "user", "create", "--username=operator", "--password=secret", "--roles=admin"];
    let said = site.named("provisr", args);
    assert_eq!(said.code, 0, "{said}");
    let daemon = site.serve();
    assert!(!site.daemon_log().contains("with the password"), "there is somebody already");
    assert_eq!(Door::anonymous(&daemon).log_in("operator", "secret").status, 200);
}

/// A02
#[test]
fn secrets_of_documentation_keep_the_daemon_from_starting() {
    let long = "a1".repeat(16);
    let table = [
        (
            "[auth]\nenabled = true\n[auth.jwt]\nsecret = \"your-secret-key-change-this-in-production\"",
            "auth.jwt.secret",
        ),
        ("[auth]\nenabled = true\njwt_secret = \"f3c1a40f7b5e4d2c9a8b7c6d5e4f3a2\"", "auth.jwt_secret"),
        (
            "[server.auth]\nenabled = true\njwt_secret = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
            "server.auth.jwt_secret",
        ),
        ("[auth]\nenabled = true\n[auth.admin]\nusername = \"admin\"\npassword = \"admin\"", "auth.admin.password"),
        ("[auth]\nenabled = true\n[auth.admin]\npassword = \"changeme\"", "auth.admin.password"),
    ];
    for (config, key) in table {
        let site = Site::new();
        site.write("piton.toml", config);
        let said = site.piton(["serve", "--listen", "0.0.0.0:0"]);
        assert_eq!(said.code, 78, "{config}: {said}");
        assert!(said.err.contains(key) && !said.err.contains("change-this-in-production"), "{key}: {said}");
        assert!(!site.data().join("piton.db").exists(), "nothing was begun");
    }
    let site = Site::new();
    site.write("piton.toml", &format!("[auth]\nenabled = true\n[auth.jwt]\nsecret = \"{long}\""));
    drop(site.serve());
    // Where others could use it, no password is good enough that everybody guesses.
    let site = guarded();
    let daemon = site.serve();
    let admin = Door::anonymous(&daemon).logged_in("admin", PASSWORD);
    admin.create_user("guest", "guest", "viewer");
    assert_eq!(daemon.terminate(), 0);
    let said = site.piton(["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("guest"), "{said}");
}

/// What the process manager documents works on this host, with a word about it, and on no other address.
#[test]
fn weak_secrets_are_taken_where_nobody_else_can_use_them() {
    let site = Site::new();
    site.write(
        "piton.toml",
        r#"[auth]
enabled = true
database_path = "auth.db"
database_type = "sqlite"
[auth.jwt]
secret = "your-secret-key-change-this-in-production"
expires_in = "24h"
[auth.admin]
auto_create = true
username = "admin"
password = "admin"
email = "admin@localhost"
"#,
    );
    let daemon = site.serve();
    let log = site.daemon_log();
    for words in ["auth.jwt.secret", "auth.admin.password", "keys of its own"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("change-this-in-production"), "{log}");
    assert_eq!(Door::anonymous(&daemon).log_in("admin", "admin").status, 200);
    assert_eq!(daemon.terminate(), 0);
    let said = site.piton(["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, 78, "{said}");
    assert!(said.err.contains("auth.jwt.secret") && said.err.contains("auth.admin.password"), "all at once: {said}");
}

/// A03
#[test]
fn tokens_that_are_none_get_one_answer() {
    const SECRET: &str = "5f0c1a7be2d94836a1b0c9d8e7f6a5b4c3d2e1f0";
    let site = guarded().env("PITON_AUTH__JWT__SECRET", SECRET);
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let good = token(&door.log_in("admin", PASSWORD));
    let part = |index: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(good.split('.').nth(index).unwrap()).unwrap()).unwrap()
    };
    let (head, claims) = (part(0), part(1));
    let with = |value: &Value, member: &str, new: Value| {
        let mut changed = value.clone();
        match new {
            Value::Null => drop(changed.as_object_mut().unwrap().remove(member)),
            new => changed[member] = new,
        }
        changed
    };
    let sign = |head: &Value, claims: &Value| {
        let text = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, text.as_bytes())))
    };
    assert!(door.bearer(&sign(&head, &claims)).is_known(), "a signature made here is as good as the daemon's");

    let unsigned = |alg: &str| {
        let text = [&with(&head, "alg", json!(alg)), &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{}.", text.join("."))
    };
    let now = jiff::Timestamp::now().as_second();
    let (text_of, signature) = good.rsplit_once('.').unwrap();
    let bad = [
        unsigned("none"),
        unsigned("nOnE"),
        sign(&with(&head, "alg", json!("none")), &claims),
        sign(&with(&head, "alg", json!("RS256")), &claims),
        sign(&with(&head, "alg", json!("HS512")), &claims),
        sign(&with(&head, "kid", json!("../../dev/null")), &claims),
        sign(&with(&head, "kid", json!("x' OR '1'='1")), &claims),
        sign(&with(&head, "kid", Value::Null), &claims),
        sign(&with(&head, "jwk", json!({ "kty": "oct", "k": "AA" })), &claims),
        sign(&head, &with(&claims, "exp", Value::Null)),
        sign(&head, &with(&claims, "exp", json!(now - 1))),
        sign(&head, &with(&claims, "nbf", json!(now + 3600))),
        sign(&head, &with(&claims, "aud", json!("another"))),
        sign(&head, &with(&claims, "aud", Value::Null)),
        sign(&head, &with(&claims, "iss", json!("provisr"))),
        sign(&head, &with(&claims, "sub", json!("nobody"))),
        sign(&head, &with(&claims, "generation", json!(7))),
        format!("{text_of}."),
        format!("{text_of}.{}", signature.chars().rev().collect::<String>()),
        format!("{good}x"),
        "..".to_owned(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}.{good}"),
    ];
    let wanted = told(&door.bearer("nonsense").get("/api/auth/me"));
    assert_eq!((wanted.0, text(&wanted.1, "code")), (401, "authentication_failed"));
    for token in bad {
        let reply = door.bearer(&token).get("/api/auth/me");
        assert_eq!(told(&reply), wanted, "{token}");
        assert_eq!(told(&door.post("/api/auth/login", &json!({ "method": "jwt", "token": token }))).0, 401, "{token}");
    }
    for credentials in ["Bearer", "Basic", "Basic !!!", "Digest x", "", "Negotiate abc"] {
        assert_eq!(told(&door.with(credentials).get("/api/auth/me")), wanted, "{credentials}");
    }
    // A megabyte of token never gets as far as that.
    let reply = door.bearer(&"x".repeat(1 << 20)).get("/api/auth/me");
    assert!(matches!(reply.status, 400 | 401 | 431), "{}", reply.status);
    let body = json!({ "method": "jwt", "token": "x".repeat(1 << 19) });
    assert_eq!(told(&door.post("/api/auth/login", &body)), wanted);
    assert!(door.bearer(&good).is_known());
}

/// A04
#[test]
fn no_way_of_writing_a_path_leads_around_the_door() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    for path in [
        "/API/overview",
        "//api/overview",
        "/api//overview",
        "/api/overview/",
        "/api/overview;x",
        "/api/%2e%2e/api/overview",
        "/api/./overview",
        "/%61pi/overview",
        "/health/../api/overview",
        "/api/overview%00",
        "/api/overview?x=/health",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PUT"] {
            let status = door.send(method, path, "").status;
            assert!(matches!(status, 400 | 401 | 403 | 404 | 405), "{method} {path}: {status}");
        }
    }
    let address = &door.address;
    for (method, path, headers) in [
        ("GET", "/api/overview", [("X-Original-URL", "/health")]),
        ("GET", "/api/overview", [("X-Rewrite-URL", "/health")]),
        ("GET", "/api/overview", [("X-Forwarded-For", "127.0.0.1")]),
        ("GET", "/api/overview", [("X-Piton-User", "root")]),
        ("GET", "/api/auth/me", [("Cookie", "piton_session=x")]),
        ("POST", "/api/auth/users", [("X-HTTP-Method-Override", "GET")]),
        ("HEAD", "/api/auth/users", [("X-HTTP-Method-Override", "GET")]),
    ] {
        assert_eq!(request(address, method, path, &headers, "").status, 401, "{method} {path} {headers:?}");
    }
    let absolute = request(address, "GET", &format!("http://{address}/api/overview"), &[], "");
    assert_eq!(absolute.status, 401);
}

/// A08
#[test]
fn what_was_taken_away_is_gone_at_once() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    let create = |name: &str| text(&admin.create_user(name, "twelve monkeys", "operator"), "id").to_owned();

    let anna = create("anna");
    let (one, two) = (door.logged_in("anna", "twelve monkeys"), door.logged_in("anna", "twelve monkeys"));
    let basic = door.basic("anna", "twelve monkeys");
    assert!(one.is_known() && two.is_known() && basic.is_known());
    assert_eq!(one.post("/api/auth/logout", &json!({})).json(), json!({ "ok": true }));
    assert!(!one.is_known() && two.is_known(), "only that session is over");

    let own = format!("/api/auth/users/{anna}/password");
    let wrong = json!({ "old_password": "wrong", "new_password": "thirteen monkeys" });
    assert_eq!(two.put(&own, &wrong).status, 401);
    assert_eq!(two.put(&own, &json!({ "new_password": "thirteen monkeys" })).status, 401);
    assert_eq!(two.put("/api/auth/users/admin/password", &wrong).status, 403);
    assert_eq!(two.put("/api/auth/users/nobody/password", &wrong).status, 403, "nobody learns who there is");
    assert!(two.is_known());
    let right = json!({ "old_password": "twelve monkeys", "new_password": "thirteen monkeys" });
    assert_eq!(two.put(&own, &right).json(), json!({ "ok": true }));
    assert!(!two.is_known() && !basic.is_known(), "a password that was right a moment ago is not");
    assert_eq!(door.log_in("anna", "twelve monkeys").status, 401);

    let session = door.logged_in("anna", "thirteen monkeys");
    assert_eq!(admin.put(&own, &json!({ "new_password": "fourteen monkeys" })).status, 200);
    assert!(!session.is_known(), "an administrator set another password");

    let session = door.logged_in("anna", "fourteen monkeys");
    let path = format!("/api/auth/users/{anna}");
    assert_eq!(admin.put(&path, &json!({ "roles": ["viewer"] })).status, 200);
    assert!(!session.is_known(), "a role was taken away");
    let session = door.logged_in("anna", "fourteen monkeys");
    assert_eq!(admin.put(&path, &json!({ "active": false })).status, 200);
    assert!(!session.is_known() && !door.basic("anna", "fourteen monkeys").is_known());
    assert_eq!(door.log_in("anna", "fourteen monkeys").status, 401);
    assert_eq!(admin.put(&path, &json!({ "active": true })).status, 200);
    assert!(!session.is_known(), "being let in again brings no old session back");
    let session = door.logged_in("anna", "fourteen monkeys");
    assert_eq!(admin.send("DELETE", &path, "").status, 200);
    assert!(!session.is_known() && !door.basic("anna", "fourteen monkeys").is_known());
    create("anna");
    assert!(!session.is_known(), "somebody else of the same name");

    let client = admin.create_client("CI", "operator");
    let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
    let body = json!({ "method": "client_secret", "client_id": id, "client_secret": secret });
    let session = door.bearer(&token(&door.post("/api/auth/login", &body)));
    assert!(session.is_known());
    let renewed = admin.post(&format!("/api/auth/clients/{id}/secret"), &json!({})).json();
    assert!(!session.is_known() && !door.basic(id, secret).is_known());
    let secret = text(&renewed, "client_secret");
    assert!(door.basic(id, secret).is_known());
    assert_eq!(admin.send("DELETE", &format!("/api/auth/clients/{id}"), "").status, 200);
    assert!(!door.basic(id, secret).is_known());
}

#[test]
fn the_session_of_a_page_is_a_cookie_that_pages_of_others_cannot_use() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let own = format!("http://{}", door.address);
    let log_in = |headers: &[(&str, &str)]| {
        let body = json!({ "username": "admin", "password": PASSWORD, "cookie": true });
        let reply = request(&door.address, "POST", "/api/auth/login", headers, &body.to_string());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let cookie = reply.header("set-cookie").unwrap().to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    };
    let cookie = log_in(&[("Origin", &own)]);
    let send = |method: &str, cookie: &str, more: &[(&str, &str)]| {
        let headers: Vec<_> = [("Cookie", cookie)].iter().chain(more).copied().collect();
        let path = if method == "GET" { "/api/auth/me" } else { "/api/auth/logout" };
        request(&door.address, method, path, &headers, "").status
    };
    assert_eq!(send("GET", &cookie, &[]), 200);
    for foreign in ["https://evil.example", "null", "http://localhost.evil.example"] {
        assert_eq!(send("POST", &cookie, &[("Origin", foreign)]), 403, "{foreign}");
        assert_eq!(send("GET", &cookie, &[("Origin", foreign)]), 403, "{foreign}");
    }
    assert_eq!(send("POST", &cookie, &[]), 403, "what changes something says where it comes from");
    assert_eq!(send("POST", &cookie, &[("Sec-Fetch-Site", "cross-site")]), 403);
    let next = log_in(&[("Origin", &own), ("Cookie", &cookie)]);
    assert_ne!(next, cookie, "whoever logs in anew gets a new session");
    assert_eq!((send("GET", &cookie, &[]), send("GET", &next, &[])), (401, 200));
    assert_eq!(send("POST", &next, &[("Origin", &own)]), 200);
    assert_eq!(send("GET", &next, &[]), 401);
}

/// A09
#[test]
fn guessing_is_slowed_down_and_tells_nothing() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    admin.create_user("anna", "twelve monkeys", "viewer");
    let known = door.log_in("anna", "guess");
    assert_eq!(told(&known), told(&door.log_in("nobody", "guess")), "who there is cannot be told");
    assert_eq!(told(&known), told(&door.log_in("x".repeat(5_000).as_str(), "guess")));
    assert_eq!(told(&known), told(&door.log_in("anna", &"guess".repeat(5_000))));

    for name in ["anna", "no-one"] {
        let refused = (1..=10).map(|number| (number, door.log_in(name, &format!("guess {number}"))));
        let (number, reply) = refused.into_iter().find(|(_, reply)| reply.status == 429).unwrap();
        assert!(number > 3, "a few mistakes are free");
        assert_eq!(reply.code(), "too_many_attempts");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=300).contains(&seconds), "{seconds}");
        let heard = (0..100).filter(|guess| door.log_in(name, &format!("more {guess}")).status == 401).count();
        assert!(heard <= 8, "{heard} of a hundred guesses were heard");
    }
    let others = admin.is_known() && door.basic("admin", PASSWORD).is_known();
    assert!(others, "those who know their password are not kept waiting by guesses at others'");
}

/// A09: checking the password of somebody unknown takes as long.
///
/// Load only ever makes a request slower, so the fastest of many is what the work itself takes. Without the check it
/// would be some fifty times faster.
#[test]
fn the_time_it_takes_does_not_tell_who_there_is() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    let measure = |name: &str| {
        let begin = Instant::now();
        assert_eq!(door.log_in(name, "a wrong password").status, 401);
        begin.elapsed()
    };
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for round in 0..8 {
        admin.create_user(&format!("user{round}"), "twelve monkeys", "viewer");
        for _ in 0..5 {
            known = known.min(measure(&format!("user{round}")));
            unknown = unknown.min(measure(&format!("nobody{round}")));
        }
    }
    let (less, more) = (known.min(unknown), known.max(unknown));
    assert!(more < less * 2, "known: {known:?}, unknown: {unknown:?}");
}

/// A10
#[test]
fn secrets_are_kept_as_digests_and_parts_of_them_are_worth_nothing() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    let client = admin.create_client("CI", "viewer");
    let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
    let wanted = told(&door.basic("client_0000000000000000", secret).get("/api/auth/me"));
    assert_eq!(wanted.0, 401);
    for length in [0, 1, 10, secret.len() - 1] {
        assert_eq!(told(&door.basic(id, &secret[..length]).get("/api/auth/me")), wanted, "{length}");
    }
    assert_eq!(told(&door.basic(id, &format!("{secret}0")).get("/api/auth/me")), wanted);
    let guessed = (0..20).any(|guess| door.basic(id, &format!("{guess}")).get("/api/auth/me").status == 429);
    assert!(guessed, "guessing a secret is slowed down");
    assert!(door.basic(id, secret).is_known(), "but whoever has it is heard");

    let key = admin.log_in("admin", PASSWORD);
    assert_eq!(daemon.terminate(), 0);
    for entry in std::fs::read_dir(site.data()).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        let name = entry.file_name();
        for hidden in [PASSWORD, secret, &token(&key)] {
            assert!(!bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes()), "{name:?} has {hidden}");
        }
    }
    assert!(!site.daemon_log().contains(secret) && !site.daemon_log().contains(PASSWORD));
}

#[test]
fn a_new_key_signs_and_nobody_is_logged_out() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let before = door.logged_in("admin", PASSWORD);
    assert_eq!(before.post("/api/auth/keys/rotate", &json!({})).json(), json!({ "ok": true }));
    let after = door.logged_in("admin", PASSWORD);
    assert!(before.is_known() && after.is_known());
    let kid = |door: &Door| door.credentials.as_ref().unwrap().split('.').next().unwrap().to_owned();
    assert_ne!(kid(&before), kid(&after));
    assert_eq!(daemon.terminate(), 0);
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let (before, after) = (door.with(before.credentials.unwrap()), door.with(after.credentials.unwrap()));
    assert!(before.is_known() && after.is_known(), "a restart logs nobody out");
    assert_eq!(after.post("/api/auth/keys/rotate", &json!({ "revoke": true })).status, 200);
    assert!(!before.is_known() && !after.is_known());
    assert!(door.logged_in("admin", PASSWORD).is_known());

    let site = guarded().env("PITON_AUTH__JWT__SECRET", "5f0c1a7be2d94836a1b0c9d8e7f6a5b4c3d2e1f0");
    let daemon = site.serve();
    let reply = Door::anonymous(&daemon).logged_in("admin", PASSWORD).post("/api/auth/keys/rotate", &json!({}));
    assert_eq!((reply.status, reply.code().as_str()), (409, "key_is_configured"));
}

/// A07: where nobody may approve what he asked for himself, another one may.
#[test]
fn two_people_deploy_where_one_must_not() {
    let scene = crate::runner::Scene::new("output \"word\" { value = 1 }\n");
    let scene = scene.env("PITON_AUTH__ENABLED", "true").env("PITON_AUTH__ADMIN__PASSWORD", PASSWORD);
    let scene = scene.env("PITON_IAC__SELF_APPROVAL", "false");
    let daemon = scene.site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.basic("admin", PASSWORD);
    for name in ["ada", "bob"] {
        admin.create_user(name, "a very long secret", "operator");
    }
    admin.create_user("eve", "a very long secret", "viewer");
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| door.logged_in(name, "a very long secret"));
    let deploy = || {
        let reply = ada.send("POST", "/deploy", &scene.body(json!({})));
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["deployment_id"].as_str().unwrap().to_owned();
        let is_asked = || ada.get(&format!("/deploy/{id}/status")).json()["status"] == "awaiting_approval";
        until("somebody is asked", is_asked);
        id
    };
    let decide = |who: &Door, id: &str, what: &str| {
        let reply = who.send("POST", &format!("/deploy/{id}/{what}"), "{}");
        (reply.status, if reply.status == 200 { String::new() } else { reply.code() })
    };
    for who in [&ada, &admin] {
        let waived = who.send("POST", "/deploy", &scene.body(json!({ "auto_approve": true })));
        assert_eq!((waived.status, waived.code().as_str()), (422, "invalid_deployment"), "{}", waived.text());
        assert_eq!(waived.json()["errors"][0]["pointer"], "/auto_approve");
    }
    let id = deploy();
    assert_eq!(decide(&ada, &id, "approve"), (403, "self_approval".to_owned()));
    // Another session and another way in are the same person.
    assert_eq!(decide(&door.basic("ada", "a very long secret"), &id, "approve").0, 403);
    assert_eq!(decide(&eve, &id, "approve"), (403, "forbidden".to_owned()));
    assert_eq!(decide(&bob, &id, "approve").0, 200);
    assert_eq!(decide(&bob, &id, "approve"), (409, "nothing_to_approve".to_owned()));
    let status = || ada.get(&format!("/deploy/{id}/status")).json();
    until("it has ended", || status()["status"] == "success");
    assert_eq!(status()["approved_by"], "bob", "{:#}", status());
    let id = deploy();
    assert_eq!(decide(&ada, &id, "reject").0, 200, "who asked may think better of it");
}

#[test]
fn it_is_known_who_did_what() {
    let site = guarded();
    site.write("jobs/hello.json", r#"{ "name": "hello", "type": "command", "command": "echo hello" }"#);
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    admin.create_user("anna", "twelve monkeys", "operator");
    let anna = door.logged_in("anna", "twelve monkeys");
    door.log_in("anna", "wrong");
    let run = anna.post("/api/cronjobs/hello/trigger", &json!({}));
    assert!(matches!(run.status, 200 | 202), "{}", run.text());
    until("it has run", || site.runs("job/hello").iter().any(|run| run["outcome"] == "succeeded"));
    assert_eq!(site.runs("job/hello")[0]["origin"]["by"], json!("anna"), "{}", site.runs("job/hello")[0]);
    assert_eq!(anna.post("/api/cronjobs/hello/suspend", &json!({})).status, 200);
    assert_eq!(anna.post("/api/cronjobs/hello/resume", &json!({})).status, 200);
    let text_of_job = r#"{ "name": "bye", "type": "command", "command": "echo bye" }"#;
    let made = admin.post("/api/cronjobs", &json!({ "file": "bye.json", "text": text_of_job }));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(admin.send("DELETE", "/api/cronjobs/bye", "").status, 200);
    admin.put("/api/auth/users/anna", &json!({ "roles": ["viewer"] }));

    assert_eq!(anna.get("/api/audit").status, 401);
    assert_eq!(door.logged_in("anna", "twelve monkeys").get("/api/audit").status, 403);
    let page = admin.get("/api/audit?limit=100").json();
    let trail: Vec<[&str; 3]> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| [text(entry, "by"), text(entry, "act"), entry["target"].as_str().unwrap_or_default()])
        .collect();
    let wanted = [
        ["piton", "user_created", "admin"],
        ["piton", "key_rotated", ""],
        ["admin", "logged_in", ""],
        ["admin", "user_created", "anna"],
        ["anna", "logged_in", ""],
        ["anonymous", "login_failed", "anna"],
        ["anna", "job_suspended", "job/hello"],
        ["anna", "job_resumed", "job/hello"],
        ["admin", "job_created", "job/bye"],
        ["admin", "job_deleted", "job/bye"],
        ["admin", "user_changed", "anna"],
        ["anna", "logged_in", ""],
    ];
    assert_eq!(trail, wanted);
    assert!(page["items"].as_array().unwrap().iter().any(|entry| entry["from"] == "127.0.0.1"));
    let first = admin.get("/api/audit?limit=3").json();
    let rest = admin.get(&format!("/api/audit?limit=100&cursor={}", text(&first, "next"))).json();
    assert_eq!(rest["items"].as_array().unwrap()[..], page["items"].as_array().unwrap()[3..]);
    site.audit();
}

/// Somebody who reads along reads no more once they may not.
#[test]
fn a_stream_ends_with_the_session_that_began_it() {
    let site = guarded();
    let daemon = site.serve();
    let door = Door::anonymous(&daemon);
    let admin = door.logged_in("admin", PASSWORD);
    admin.create_user("anna", "twelve monkeys", "viewer");
    let anna = door.logged_in("anna", "twelve monkeys");
    let mut streams = [anna.begin("GET", "/api/events", ""), admin.begin("GET", "/api/events", "")];
    let mut head = [0; 15];
    for stream in &mut streams {
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
    assert_eq!(anna.post("/api/auth/logout", &json!({})).status, 200);
    let [mut ended, mut going] = streams;
    let mut rest = String::new();
    ended.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("logged_out"), "who logs in and out is for administrators: {rest}");
    let mut read = Vec::new();
    let told = |read: &[u8]| String::from_utf8_lossy(read).contains("logged_out");
    let mut chunk = [0; 1024];
    while !told(&read) {
        let count = going.read(&mut chunk).unwrap();
        assert!(count > 0, "the administrator's stream ended too");
        read.extend_from_slice(&chunk[..count]);
    }
}

/// The same on PostgreSQL, with two daemons that share it.
#[test]
fn what_one_daemon_takes_away_another_does_not_give() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(piton_testkit::postgres::database()).unwrap();
    let sites = [guarded(), guarded()].map(|site| site.env("PITON_STORE__URL", &database));
    let daemons = sites.each_ref().map(Site::serve);
    let [first, second] = [&daemons[0], &daemons[1]].map(Door::anonymous);
    let admin = first.logged_in("admin", PASSWORD);
    let there = |door: &Door| second.with(door.credentials.clone().unwrap());
    assert!(there(&admin).is_known(), "keys are shared");
    admin.create_user("anna", "twelve monkeys", "operator");
    let anna = second.logged_in("anna", "twelve monkeys");
    assert_eq!(anna.post("/api/auth/logout", &json!({})).status, 200);
    assert!(!first.with(anna.credentials.clone().unwrap()).is_known());
    let anna = second.basic("anna", "twelve monkeys");
    assert!(anna.is_known());
    assert_eq!(admin.put("/api/auth/users/anna", &json!({ "active": false })).status, 200);
    assert!(!anna.is_known());
    assert_eq!(there(&admin).post("/api/auth/keys/rotate", &json!({ "revoke": true })).status, 200);
    assert!(!admin.is_known());
    let admin = second.logged_in("admin", PASSWORD);
    assert!(first.with(admin.credentials.clone().unwrap()).is_known(), "it learns of the new key");
    for daemon in daemons {
        assert_eq!(daemon.terminate(), 0);
    }
}
