//! A06: for somebody who is bound to workspaces there is nothing else, by whatever route they look for it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::{Daemon, Site, until};
use crate::wire::{Reply, get};

/// In the name, in the description and in the output of all that is none of their business.
const TREASURE: &str = "treasure";

/// What they may ask for. A new route does not come here by itself.
const OPEN: &[&str] = &[
    "GET /api/auth/me",
    "POST /api/auth/logout",
    "PUT /api/auth/users/{id}/password",
    "GET /api/overview",
    "GET /api/workspaces",
    "GET /api/workspaces/{name}",
    "POST /api/workspaces/{name}/deploy",
    "POST /api/workspaces/{name}/plan",
    "POST /api/workspaces/{name}/mode",
    "POST /api/workspaces/{name}/destroy",
    "GET /api/workspaces/{name}/logs",
    "GET /api/workspaces/{name}/outputs",
    "GET /api/workspaces/{name}/next",
    "GET /api/cronjobs",
    "GET /api/cronjobs/{name}",
    "GET /api/cronjobs/{name}/history",
    "POST /api/cronjobs/{name}/suspend",
    "POST /api/cronjobs/{name}/resume",
    "POST /api/cronjobs/{name}/trigger",
    "POST /api/jobs/{name}/kill",
    "GET /api/runs",
    "GET /api/runs/{id}",
    "GET /api/runs/{id}/plan",
    "GET /api/runs/{id}/explain",
    "GET /api/runs/{id}/logs",
    "POST /api/runs/{id}/approve",
    "POST /api/runs/{id}/reject",
    "POST /api/runs/{id}/cancel",
    "POST /api/runs/{id}/retry",
    "GET /api/skips",
    "POST /deploy",
    "GET /deploy",
    "GET /deploy/{id}/status",
    "GET /deploy/{id}/logs",
    "POST /deploy/{id}/approve",
    "POST /deploy/{id}/reject",
    "POST /deploy/{id}/cancel",
];

/// A directory with the workspaces `red` and `treasure`, which have a job each, and a standalone job.
fn site() -> Site {
    let site = guarded();
    let job = |word: &str| json!({ "name": "hello", "type": "command", "command": format!("echo {word}"), "description": word });
    for word in ["red", TREASURE] {
        let config = json!({ "enabled": true, "description": word, "jobs": [job(word)] });
        site.workspace(word, &config.to_string(), "output \"x\" { value = 1 }\n");
    }
    let alone = json!({ "name": "treasure-alone", "type": "command", "command": "echo treasure" });
    site.write("jobs/treasure-alone.json", &alone.to_string());
    site
}

/// Runs a job to its end, as whoever owns the directory; the run.
fn ran(site: &Site, args: &[&str]) -> String {
    let said = site.piton(["job"].iter().chain(args).copied());
    assert_eq!(said.code, 0, "{said}");
    let latest = site.json(["run", "list"])[0]["id"].as_str().unwrap().to_owned();
    until("it has ended", || site.json(["run", "show", &latest])["state"] == "ended");
    latest
}

/// A request for code that nobody has.
fn request_for_nothing() -> String {
    json!({ "tool": "tofu", "git_url": "http://127.0.0.1:9/treasure.git", "git_ref": "main", "auto_approve": true })
        .to_string()
}

fn bound(admin: &Door, anonymous: &Door, role: &str) -> Door {
    let new = json!({ "name": role, "scopes": [role], "workspaces": ["red"] }).to_string();
    let made = admin.send("POST", "/api/auth/clients", &new);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(made["workspaces"], json!(["red"]));
    anonymous.basic(made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap())
}

struct Route {
    line: String,
    method: String,
    path: String,
    permission: String,
    is_open: bool,
    has_body: bool,
}

fn routes(daemon: &Daemon<'_>) -> Vec<Route> {
    let document = get(&daemon.address(), "/openapi.json").json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(permission) = operation["x-permission"].as_str() else { continue };
            let method = method.to_uppercase();
            routes.push(Route {
                line: format!("{method} {path}"),
                path: path.clone(),
                permission: permission.to_owned(),
                is_open: operation["x-reach"] == "workspaces",
                has_body: !operation["requestBody"].is_null(),
                method,
            });
        }
    }
    assert!(routes.len() > 40, "{}", routes.len());
    routes
}

/// A path with a name in place of each parameter.
fn filled(path: &str, name: &str) -> String {
    let parts = path.split(['{', '}']).enumerate();
    parts.map(|(index, part)| if index % 2 == 0 { part } else { name }).collect()
}

/// What an answer says, but for what names the request.
fn told(reply: &Reply, name: &str) -> (u16, String) {
    let mut body = reply.json();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (reply.status, body.to_string().replace(name, "NAME"))
}

#[test]
fn what_is_not_theirs_does_not_exist() {
    let site = site();
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let operator = bound(&admin, &anonymous, "operator");
    ran(&site, &["--workspace", "red", "run", "hello"]);
    let theirs = ran(&site, &["--workspace", TREASURE, "run", "hello"]);
    let alone = ran(&site, &["run", "treasure-alone"]);
    let started = admin.send("POST", "/deploy", &request_for_nothing());
    assert_eq!(started.status, 202, "{}", started.text());
    let deployment = started.json()["deployment_id"].as_str().unwrap().to_owned();
    let nobody = "0199d6a2-7c00-7000-8000-000000000000";

    let mut open = BTreeSet::new();
    for route in routes(&daemon) {
        if route.permission == "public" {
            continue;
        }
        if !route.is_open {
            let body = if route.has_body { "[]" } else { "" };
            let reply = operator.send(&route.method, &filled(&route.path, "nothing"), body);
            assert_eq!(reply.status, 403, "{}: {}", route.line, reply.text());
            continue;
        }
        open.insert(route.line.clone());
        let hidden: &[&str] = match route.path.as_str() {
            path if path.contains("/runs/{id}") => &[&theirs, &alone, &deployment],
            path if path.starts_with("/deploy/{id}") => &[&deployment, &theirs],
            path if path.contains("/workspaces/{name}") => &[TREASURE],
            path if path.contains("{name}") => &["treasure.hello", "treasure-alone", "hello"],
            _ => &[],
        };
        let body = match (route.has_body, route.path.ends_with("/mode")) {
            (true, true) => r#"{"mode": "full"}"#,
            (true, false) => "{}",
            (false, _) => "",
        };
        let ask = |name: &str| operator.send(&route.method, &filled(&route.path, name), body);
        for hidden in hidden {
            let nothing = if route.path.contains("{id}") { nobody } else { "nothing-at-all" };
            let (found, missing) = (told(&ask(hidden), hidden), told(&ask(nothing), nothing));
            assert_eq!(found, missing, "{} tells what there is: {hidden}", route.line);
            assert_eq!(found.0, 404, "{}: {}", route.line, found.1);
        }
        if route.method == "GET" && !route.path.contains('{') {
            let text = operator.send("GET", &route.path, "").text();
            for hidden in [TREASURE, &theirs, &alone, &deployment] {
                assert!(!text.contains(hidden), "{} shows {hidden}: {text}", route.line);
            }
        }
    }
    assert_eq!(open, OPEN.iter().map(|line| (*line).to_owned()).collect());
    // Nothing was done on the way.
    assert_eq!(site.runs("job/treasure/hello").len(), 1);
    assert_eq!(site.runs("workspace/treasure").len(), 0);
    until("the deployment has ended", || site.json(["run", "show", &deployment])["state"] == "ended");
    site.audit();
}

#[test]
fn lists_and_counts_have_what_is_theirs_only() {
    let site = site();
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let operator = bound(&admin, &anonymous, "operator");
    for _ in 0..3 {
        ran(&site, &["--workspace", "red", "run", "hello"]);
        ran(&site, &["--workspace", TREASURE, "run", "hello"]);
        ran(&site, &["run", "treasure-alone"]);
    }
    let started = |door: &Door| {
        let reply = door.send("POST", "/deploy", &request_for_nothing());
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["deployment_id"].as_str().unwrap().to_owned();
        until("it has ended", || site.json(["run", "show", &id])["state"] == "ended");
        id
    };
    let (own, _, own_too) = (started(&operator), started(&admin), started(&operator));

    let items = |door: &Door, path: &str| -> (Vec<Value>, Value) {
        let reply = door.send("GET", path, "");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let page = reply.json();
        (page["items"].as_array().unwrap().clone(), page["next"].clone())
    };
    let ids = |path: &str| -> Vec<String> {
        let (items, next) = items(&operator, path);
        assert_eq!(next, Value::Null, "{path} promises more than there is");
        items.iter().map(|item| item["deployment_id"].as_str().or(item["id"].as_str()).unwrap().to_owned()).collect()
    };
    assert_eq!(items(&admin, "/api/runs").0.len(), 12, "which the other one has to be kept from");
    assert_eq!(ids("/deploy"), [own_too.clone(), own.clone()]);
    assert_eq!(ids("/deploy?status=failed"), [own_too.clone(), own.clone()]);
    assert_eq!(ids("/deploy?status=success"), [""; 0]);
    assert_eq!(ids("/api/runs").len(), 5);
    assert_eq!(ids("/api/runs?kind=job").len(), 3);
    assert_eq!(ids("/api/runs?kind=deployment").len(), 2);
    assert_eq!(ids("/api/runs?subject=job/red/hello").len(), 3);
    for other in ["job/treasure/hello", "workspace/treasure", "job/treasure-alone"] {
        assert_eq!(ids(&format!("/api/runs?subject={other}")), [""; 0], "{other}");
        assert_eq!(items(&operator, &format!("/api/skips?subject={other}")), (vec![], Value::Null), "{other}");
    }
    // Page by page they are the same ones.
    let (mut paged, mut cursor) = (vec![], String::new());
    loop {
        let (page, next) = items(&operator, &format!("/api/runs?limit=2{cursor}"));
        assert!(!page.is_empty(), "a page after the last one");
        paged.extend(page.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        match next.as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, ids("/api/runs"));
    let names = |path: &str| -> Vec<String> {
        items(&operator, path).0.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/api/workspaces"), ["red"]);
    assert_eq!(names("/api/cronjobs"), ["hello"]);
    let page = operator.send("GET", "/api/overview", "").json();
    let count = |what: &str| page[what].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!((count("workspaces"), count("jobs"), count("runs")), (1, 1, 0), "{page:#}");

    // What is theirs they can use.
    assert_eq!(operator.send("GET", &format!("/deploy/{own}/status"), "").status, 200);
    assert_eq!(operator.send("GET", "/api/cronjobs/red.hello", "").status, 200);
    let run = operator.send("POST", "/api/cronjobs/red.hello/trigger", "");
    assert_eq!(run.status, 202, "{}", run.text());
    let log = format!("/api/runs/{}/logs", run.json()["run"].as_str().unwrap());
    until("its log can be read", || operator.send("GET", &log, "").text().contains("red"));
}

#[test]
fn who_is_bound_or_freed_logs_in_again() {
    let site = site();
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let put = |path: &str, change: Value| admin.send("PUT", path, &change.to_string());
    admin.create_user("anna", "twelve monkeys", "viewer");
    let login = json!({ "method": "basic", "username": "anna", "password": "twelve monkeys" }).to_string();
    let token = |door: &Door| {
        door.send("POST", "/api/auth/login", &login).json()["token"]["value"].as_str().unwrap().to_owned()
    };
    let free = anonymous.bearer(&token(&anonymous));
    assert_eq!(free.send("GET", "/api/workspaces/treasure", "").status, 200);

    let changed = put("/api/auth/users/anna", json!({ "workspaces": ["red", "not-yet-there"] }));
    assert_eq!((changed.status, changed.json()["workspaces"].clone()), (200, json!(["not-yet-there", "red"])));
    assert_eq!(free.send("GET", "/api/workspaces/red", "").status, 401, "the session of before");
    let confined = anonymous.bearer(&token(&anonymous));
    assert_eq!(confined.send("GET", "/api/auth/me", "").json()["workspaces"], json!(["not-yet-there", "red"]));
    assert_eq!(confined.send("GET", "/api/workspaces/red", "").status, 200);
    assert_eq!(confined.send("GET", "/api/workspaces/treasure", "").status, 404);

    for (path, change) in [
        ("/api/auth/users/anna", json!({ "roles": ["admin"] })),
        ("/api/auth/users/admin", json!({ "workspaces": ["red"] })),
        ("/api/auth/users/anna", json!({ "workspaces": ["../red"] })),
    ] {
        let refused = put(path, change.clone());
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid_body"), "{change}: {}", refused.text());
    }
    let freed = put("/api/auth/users/anna", json!({ "workspaces": [], "roles": ["operator"] }));
    assert_eq!(freed.status, 200, "{}", freed.text());
    assert_eq!(confined.send("GET", "/api/workspaces/red", "").status, 401);
    assert_eq!(anonymous.bearer(&token(&anonymous)).send("GET", "/api/workspaces/treasure", "").status, 200);

    // The commands bind, too.
    let said = site.piton(["auth", "client", "create", "--name", "ci", "--scopes", "operator", "--workspace", "red"]);
    assert_eq!(said.code, 0, "{said}");
    let listed = site.json(["auth", "client", "list"]);
    assert_eq!(listed[0]["workspaces"], json!(["red"]), "{listed:#}");
}
