//! Who may call what: every route of the OpenAPI document, as everybody there is.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::Value;

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::Daemon;
use crate::wire::get;

/// What nobody has to log in for. A new route does not come here by itself.
const PUBLIC: &[&str] = &[
    "GET /health",
    "GET /healthz",
    "GET /livez",
    "GET /readyz",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/errors",
    "GET /docs/errors/{code}",
    "GET /api/auth/status",
    "POST /api/auth/login",
    "POST /api/auth/bootstrap",
];

/// What changes something and is no matter of operators: one's own session, and one's own password.
const OWN: &[&str] = &["POST /api/auth/logout", "PUT /api/auth/users/{id}/password"];

/// What changes declarations, users and the daemon itself.
const ADMINISTRATORS: &[&str] = &[
    "GET /api/audit",
    "POST /api/shutdown",
    "POST /api/auth/users",
    "GET /api/auth/users",
    "GET /api/auth/users/{id}",
    "PUT /api/auth/users/{id}",
    "DELETE /api/auth/users/{id}",
    "POST /api/auth/clients",
    "GET /api/auth/clients",
    "GET /api/auth/clients/{id}",
    "PUT /api/auth/clients/{id}",
    "DELETE /api/auth/clients/{id}",
    "POST /api/auth/clients/{id}/secret",
    "POST /api/auth/keys/rotate",
    "POST /api/templates",
    "DELETE /api/templates/{name}",
    "POST /api/templates/{name}/update",
    "POST /api/jobs",
    "POST /api/cronjobs",
    "POST /api/cronjobs/{name}",
    "POST /api/register",
    "POST /api/update",
    "POST /api/unregister",
    "DELETE /api/cronjobs/{name}",
];

struct Route {
    /// `POST /api/jobs/{name}/kill`
    line: String,
    method: String,
    path: String,
    permission: String,
    has_body: bool,
}

fn routes(daemon: &Daemon<'_>) -> Vec<Route> {
    let document = get(&daemon.address(), "/openapi.json").json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "put", "post", "delete", "patch", "head", "options"].contains(&method.as_str()) {
                continue;
            }
            let method = method.to_uppercase();
            let permission = operation["x-permission"].as_str().unwrap_or_else(|| panic!("{method} {path} has none"));
            routes.push(Route {
                line: format!("{method} {path}"),
                path: filled(path),
                permission: permission.to_owned(),
                has_body: !operation["requestBody"].is_null(),
                method,
            });
        }
    }
    assert!(routes.len() > 40, "{}", routes.len());
    routes
}

/// A path with names of nothing in it.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    for (index, part) in path.split(['{', '}']).enumerate() {
        filled.push_str(if index % 2 == 0 { part } else { "nothing" });
    }
    filled
}

/// How the roles stand to a permission: whether each of viewer, operator and admin has it.
fn holders(permission: &str) -> [bool; 3] {
    match permission {
        "public" | "read" => [true, true, true],
        "operate" | "report" => [false, true, true],
        "administer" => [false, false, true],
        other => panic!("unknown permission {other}"),
    }
}

/// A05
#[test]
fn every_route_is_for_those_whom_the_table_names() {
    let site = guarded();
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let admin = anonymous.basic("admin", PASSWORD);
    let mut callers = Vec::new();
    for (rank, role) in ["viewer", "operator", "admin"].into_iter().enumerate() {
        let user = format!("one-{role}");
        admin.create_user(&user, "twelve monkeys", role);
        callers.push((rank, format!("user {role}"), anonymous.basic(&user, "twelve monkeys")));
        callers.push((rank, format!("client {role}"), admin.for_client(role)));
    }
    for route in routes(&daemon) {
        // `[]` is no body that any route takes, so nothing is done.
        let body = if route.has_body { "[]" } else { "" };
        let status = |door: &Door| door.status(&route.method, &route.path, body);
        let is_public = route.permission == "public";
        let nobody = status(&anonymous);
        if is_public {
            assert!(!matches!(nobody, 401 | 403), "{}: anonymous: {nobody}", route.line);
        } else {
            assert_eq!(nobody, 401, "{}: anonymous", route.line);
            assert_eq!(status(&anonymous.bearer("a.b.c")), 401, "{}: a token of nobody", route.line);
        }
        for (rank, who, door) in &callers {
            let may = holders(&route.permission)[*rank];
            if may && route.line == "POST /api/shutdown" {
                continue;
            }
            let found = status(door);
            if !may {
                assert_eq!(found, 403, "{}: {who}", route.line);
            } else if route.line == "PUT /api/auth/users/{id}/password" {
                assert!(matches!(found, 403 | 404 | 422), "{}: {who}: {found}", route.line);
            } else {
                assert!(!matches!(found, 401 | 403), "{}: {who}: {found}", route.line);
                assert!(found < 500 || found == 503, "{}: {who}: {found}", route.line);
            }
        }
    }
}

/// With the key of workers nobody does anything else.
#[test]
fn the_key_of_workers_is_for_reports_only() {
    let site = guarded().env("CONTROL_PLANE_API_KEY", "worker-api-key");
    let daemon = site.serve();
    let anonymous = Door::anonymous(&daemon);
    let worker = anonymous.bearer("worker-api-key");
    for route in routes(&daemon) {
        let body = if route.has_body { "[]" } else { "" };
        let found = worker.status(&route.method, &route.path, body);
        match route.permission.as_str() {
            "public" | "report" => assert!(!matches!(found, 401 | 403), "{}: {found}", route.line),
            _ => assert_eq!(found, 403, "{}", route.line),
        }
    }
    let basic = anonymous.basic("worker", "worker-api-key");
    for door in [anonymous.bearer("worker-api-kez"), anonymous.bearer(""), basic] {
        assert_eq!(door.status("POST", "/api/runs/x/status", "{}"), 401);
    }
}

/// The document says itself who may call what, so it must say the right thing.
#[test]
fn what_changes_something_is_for_operators_or_administrators() {
    let site = guarded();
    let daemon = site.serve();
    let routes = routes(&daemon);
    let of = |permission: &str| -> BTreeSet<&str> {
        routes.iter().filter(|route| route.permission == permission).map(|route| route.line.as_str()).collect()
    };
    assert_eq!(of("public"), PUBLIC.iter().copied().collect());
    assert_eq!(of("administer"), ADMINISTRATORS.iter().copied().collect());
    for line in of("read") {
        assert!(line.starts_with("GET ") || OWN.contains(&line), "{line}");
    }
    assert_eq!(of("report"), BTreeSet::from(["POST /api/runs/{id}/status", "POST /api/runs/{id}/logs"]));
    for line in of("operate") {
        assert!(!line.starts_with("GET "), "{line}");
    }
    let document: Value = get(&daemon.address(), "/openapi.json").json();
    for route in &routes {
        let (method, path) = route.line.split_once(' ').unwrap();
        let security = &document["paths"][path][method.to_lowercase()]["security"];
        assert_eq!(security.as_array().unwrap().is_empty(), route.permission == "public", "{}", route.line);
    }
}

impl Door {
    /// The status of the answer; a stream that goes on is not waited for.
    fn status(&self, method: &str, path: &str, body: &str) -> u16 {
        let mut stream = self.begin(method, path, body);
        let mut head = Vec::new();
        let mut chunk = [0; 64];
        while !head.contains(&b'\n') {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "no answer to {method} {path}");
            head.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().parse().unwrap()
    }
}
