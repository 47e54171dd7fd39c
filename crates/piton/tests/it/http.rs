//! The HTTP API from outside.

use super::site::Site;
use super::wire::{get, request};

#[test]
fn the_api_answers_over_tcp_below_its_base_path() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(get(&address, "/health").json(), serde_json::json!({ "status": "healthy" }));
    assert_eq!(get(&address, "/api/overview").json()["listen"], address.as_str());
    drop(daemon);

    let site = Site::new().env("PITON_SERVER__BASE_PATH", "/piton/v1");
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(get(&address, "/piton/v1/overview").status, 200);
    assert_eq!(get(&address, "/api/overview").status, 404);
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new();
    let said = site.piton(["serve", "--listen", &address]);
    assert_eq!(said.code, 75, "{said}");
    assert!(said.err.contains(&address) && said.err.contains("--listen"), "{said}");
}

#[test]
fn what_is_not_there_is_a_problem_with_a_code() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "no_such_route"),
        ("GET", "/api/runs/00000000-0000-7000-8000-000000000000", 404, "not_found"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
}

/// A page of the web could send a request without a body, and have its own name lead to this host.
#[test]
fn pages_of_others_can_neither_call_nor_read() {
    let site = Site::new().env("PITON_SERVER__ALLOWED_ORIGINS", "https://app.example.org");
    let daemon = site.serve();
    let address = daemon.address();
    let post = |headers: &[(&str, &str)]| request(&address, "POST", "/api/templates/x/update", headers, "");
    for origin in ["https://evil.example", "null", "http://app.example.org"] {
        let reply = post(&[("Origin", origin)]);
        assert_eq!((reply.status, reply.code().as_str()), (403, "foreign_origin"), "{origin}");
        let reply = request(&address, "GET", "/api/overview", &[("Origin", origin)], "");
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None), "nobody can read it");
        let asked = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        assert_eq!(request(&address, "OPTIONS", "/api/overview", &asked, "").status, 403);
    }
    assert_eq!(post(&[("Origin", &format!("http://{address}"))]).status, 404, "its own page may call");
    let reply = post(&[("Origin", "https://app.example.org")]);
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.org"));

    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        let reply = request(&address, "GET", "/api/overview", &[("Host", host)], "");
        assert_eq!((reply.status, reply.code().as_str()), (421, "misdirected"), "{host}");
    }
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(request(&address, "GET", "/health", &[("Host", &format!("localhost:{port}"))], "").status, 200);
}

#[test]
fn where_people_must_log_in_nobody_is_taken_for_an_administrator() {
    let site = Site::new().env("PITON_AUTH__ENABLED", "true");
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(get(&address, "/health").status, 200);
    for (method, path) in [("GET", "/api/overview"), ("GET", "/api/runs"), ("POST", "/api/templates/x/update")] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (401, "unauthenticated"), "{method} {path}");
    }
    assert_eq!(site.piton(["status"]).code, 0, "the owner of the data directory is let in");
}
