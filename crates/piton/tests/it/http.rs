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
