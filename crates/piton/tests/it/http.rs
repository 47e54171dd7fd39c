//! The HTTP API from outside.

use std::io::{Read, Write};

use super::site::{Site, kill, until};
use super::wire::{connect, exchange, get, request};

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
    let hint = get(&address, "/").json()["hint"].clone();
    assert!(
        hint.as_str().is_some_and(|hint| hint.contains("/docs")),
        "whoever opens the address is told where to look: {hint}"
    );
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "no_such_route"),
        ("GET", "/api/runs/00000000-0000-7000-8000-000000000000", 404, "not_found"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let page = get(&address, reply.json()["type"].as_str().unwrap());
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text().contains("What to do"), "{}", page.text());
    }
}

#[test]
fn the_parameter_that_cannot_be_read_is_named() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    for (path, pointer, hint) in [
        ("/api/runs?limit=abc", "/limit", "a whole number, 0 or more. How many at most"),
        ("/api/runs?since=yesterday", "/since", "a time such as"),
        ("/api/runs?subject=x", "/subject", "workspace/NAME"),
        ("/api/runs?state=odd", "/state", "succeeded"),
        ("/api/runs?limt=1", "/limt", "limit"),
        ("/api/skips?limit=", "/limit", "More than 1000 counts as 1000"),
        ("/api/schedule?offset=-1", "/offset", "a whole number"),
        ("/api/schedule?status=done", "/status", "completed"),
        ("/api/cronjobs?standalone=maybe", "/standalone", "`true` or `false`"),
        ("/api/processes/web/logs?stream=odd", "/stream", "one of `stdout`, `stderr`"),
        ("/api/workspaces?limit=1&limit=2", "/limit", "More than 1000 counts as 1000"),
        ("/deploy?limit=1.5", "/limit", "More than 1000 counts as 1000"),
    ] {
        let reply = get(&address, path);
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_query"), "{path}: {}", reply.text());
        let problem = reply.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
        assert!(problem["hint"].as_str().is_some_and(|given| given.contains(hint)), "{path}: {problem}");
    }
    let reply = get(&address, "/api/runs?cursor=x");
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_cursor"));
    assert_eq!(reply.json()["errors"][0]["pointer"], "/cursor");
}

#[test]
fn a_parameter_that_nothing_reads_is_refused_whatever_the_method() {
    let site = Site::new();
    site.workspace("everest", r#"{ "enabled": true }"#, "output \"x\" { value = 1 }\n");
    let daemon = site.serve();
    let address = daemon.address();
    for (method, path, pointer, hint) in [
        (
            "POST",
            "/deploy/00000000-0000-7000-8000-000000000000/approve?digest=abc",
            "/digest",
            "`digest` belongs in the body",
        ),
        ("POST", "/deploy?auto_approve=true", "/auto_approve", "`auto_approve` belongs in the body"),
        ("POST", "/api/workspaces/everest/deploy?mode=large", "/mode", "`mode` belongs in the body"),
        ("POST", "/api/stop?nme=web", "/nme", "the parameters are name, base, wildcard, wait"),
        ("DELETE", "/api/templates/basic?forced=true", "/forced", "the parameters are force"),
        ("GET", "/api/cronjobs?workspce=everest", "/workspce", "workspace, standalone"),
        ("GET", "/api/overview?x", "/x", "nothing is read from the query"),
    ] {
        let reply = request(&address, method, path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_query"), "{path}: {}", reply.text());
        let problem = reply.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
        assert!(problem["hint"].as_str().is_some_and(|given| given.contains(hint)), "{path}: {problem}");
    }
    assert!(site.runs("workspace/everest").is_empty(), "what was refused was not begun");
    for path in ["/health?t=1", "/livez?verbose", "/docs?x=1", "/openapi.json?x=1"] {
        assert_eq!(get(&address, path).status, 200, "{path} is asked for by browsers, probes and caches");
    }
}

#[test]
fn a_body_that_says_a_thing_twice_is_refused() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    for (path, body, pointer) in [
        ("/deploy", r#"{"git_url":"https://a.example/x.git","git_url":"https://b.example/x.git"}"#, "/git_url"),
        ("/api/schedule", r#"{"employee":{"role":"guest","role":"admin"}}"#, "/employee/role"),
        ("/api/templates", r#"{"name":"a","name":"b"}"#, "/name"),
        ("/api/cronjobs", r#"{"name":"a","schedule":"@daily","name":"b"}"#, "/name"),
    ] {
        let reply = request(&address, "POST", path, &[], body);
        assert!([400, 422].contains(&reply.status), "{path}: {}", reply.text());
        assert_eq!(reply.code(), "invalid_body", "{path}: {}", reply.text());
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{path}: {}", reply.text());
    }
}

#[test]
fn a_reason_has_a_length() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let unknown = "00000000-0000-7000-8000-000000000000";
    let ask = |path: &str, length: usize| {
        let body = serde_json::json!({ "reason": "x".repeat(length) }).to_string();
        request(&address, "POST", path, &[], &body)
    };
    for (path, status, code) in [
        (format!("/api/runs/{unknown}/reject"), 422, "invalid_body"),
        (format!("/api/runs/{unknown}/cancel"), 422, "invalid_body"),
        (format!("/deploy/{unknown}/reject"), 422, "invalid_body"),
        (format!("/deploy/{unknown}/cancel"), 422, "invalid_body"),
        (format!("/api/schedule/{unknown}/approve"), 400, "invalid_field"),
        (format!("/api/schedule/{unknown}/reject"), 400, "invalid_field"),
    ] {
        let reply = ask(&path, 1025);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path}: {}", reply.text());
        assert_eq!(reply.json()["errors"][0]["pointer"], "/reason", "{path}: {}", reply.text());
        assert_eq!(ask(&path, 1024).status, 404, "{path}");
    }
}

/// A01
#[test]
fn an_open_api_for_everybody_takes_a_decision() {
    let site = Site::new();
    for listen in ["0.0.0.0:0", ":0", "[::]:0"] {
        let said = site.piton(["serve", "--listen", listen]);
        assert_eq!(said.code, 78, "{said}");
        assert!(said.err.contains("auth.enabled") && said.err.contains("server.insecure"), "{said}");
    }
    let site = site.env("PITON_SERVER__INSECURE", "true").env("PITON_SERVER__LISTEN", ":0");
    let daemon = site.serve();
    let address = daemon.address().replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1");
    assert_eq!(get(&address, "/health").status, 200);
}

/// A04
#[test]
fn no_spelling_of_a_path_reaches_a_handler_by_another_way() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let paths = [
        "/API/overview",
        "//api/overview",
        "/api//overview",
        "/api/overview/",
        "/api/overview;x",
        "/api/./overview",
        "/api/x/../overview",
        "/api/x/%2e%2e/overview",
        "/api%2foverview",
        "/%61pi/overview",
        "/api/overview%00",
    ];
    for path in paths {
        let reply = get(&address, path);
        assert!([400, 404].contains(&reply.status), "{path}: {}", reply.status);
    }
    for method in ["TRACE", "CONNECT", "PROPFIND", "options", "get"] {
        let reply = request(&address, method, "/api/overview", &[], "");
        assert!([400, 404, 405].contains(&reply.status), "{method}: {}", reply.status);
    }
    for header in ["X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"] {
        let value = if header.contains("URL") { "/api/shutdown" } else { "POST" };
        let reply = request(&address, "GET", "/api/shutdown", &[(header, value)], "");
        assert_eq!(reply.status, 405, "{header}");
    }
    let reply =
        exchange(&address, format!("GET http://{address}/nowhere HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
    assert_eq!(reply.unwrap().status, 404);
    let reply =
        exchange(&address, format!("GET http://evil.example/health HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
    assert_eq!(reply.unwrap().code(), "invalid_host");
    assert_eq!(get(&address, "/health").status, 200, "it still runs");
}

/// A11
#[test]
fn pages_of_others_can_neither_call_nor_read() {
    let site = Site::new().env("PITON_SERVER__ALLOWED_ORIGINS", "https://app.example.org");
    let daemon = site.serve();
    let address = daemon.address();
    let post = |headers: &[(&str, &str)]| request(&address, "POST", "/api/templates/x/update", headers, "{}");
    for origin in ["https://evil.example", "null", "http://app.example.org"] {
        let reply = post(&[("Origin", origin)]);
        assert_eq!((reply.status, reply.code().as_str()), (403, "foreign_origin"), "{origin}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
        let reply = request(&address, "GET", "/api/overview", &[("Origin", origin)], "");
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None), "nobody can read it");
        let asked = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        assert_eq!(request(&address, "OPTIONS", "/api/overview", &asked, "").status, 403);
    }
    assert_eq!(post(&[("Origin", &format!("http://{address}"))]).code(), "template_not_found", "its own page may call");
    let reply = post(&[("Origin", "https://app.example.org")]);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.org"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert!(reply.head.to_lowercase().contains("vary: origin"), "{}", reply.head);
    let asked = [("Origin", "https://app.example.org"), ("Access-Control-Request-Method", "POST")];
    let reply = request(&address, "OPTIONS", "/api/overview", &asked, "");
    assert_eq!(reply.status, 204);
    assert!(reply.header("access-control-allow-headers").unwrap().contains("Idempotency-Key"));

    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        let reply = request(&address, "GET", "/api/overview", &[("Host", host)], "");
        assert_eq!((reply.status, reply.code().as_str()), (421, "misdirected"), "{host}");
    }
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(request(&address, "GET", "/health", &[("Host", &format!("localhost:{port}"))], "").status, 200);

    let text =
        request(&address, "POST", "/api/templates", &[("Content-Type", "text/plain"), ("Content-Length", "2")], "");
    assert_ne!(text.status / 100, 2, "a form of any page could send this");
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

#[test]
fn every_page_may_call_the_runner_where_that_is_wanted_but_never_with_credentials() {
    let site = Site::new().env("ALLOWED_ORIGINS", "*");
    let said = site.command(super::site::PITON).arg("serve").env("PITON_SERVER__ALLOW_CREDENTIALS", "true").output();
    let said = said.unwrap();
    assert_eq!(said.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&said.stderr).contains("allow_credentials"));
    let daemon = site.serve();
    let address = daemon.address();
    let asked = [("Origin", "https://any.example"), ("Access-Control-Request-Method", "POST")];
    let reply = request(&address, "OPTIONS", "/deploy", &asked, "");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert_eq!(request(&address, "OPTIONS", "/api/runs", &asked, "").status, 403);
}

#[test]
fn answers_carry_ids_tags_and_careful_headers() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let reply = request(&address, "GET", "/api/nowhere", &[("X-Request-Id", "mine-1")], "");
    assert_eq!(reply.header("x-request-id"), Some("mine-1"));
    assert_eq!(reply.json()["request_id"], "mine-1");
    let reply = request(&address, "GET", "/api/workspaces", &[("X-Request-Id", "bad id")], "");
    assert_ne!(reply.header("x-request-id"), Some("bad id"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.header("ratelimit-policy").is_some());
    let tag = reply.header("etag").unwrap();
    let again = request(&address, "GET", "/api/workspaces", &[("If-None-Match", tag)], "");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let packed = request(&address, "GET", "/openapi.json", &[("Accept-Encoding", "gzip")], "");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let packed =
        request(&address, "GET", "/api/nowhere", &[("Accept-Encoding", "gzip"), ("X-Request-Id", "mine-2")], "");
    assert_eq!((packed.status, packed.header("content-encoding")), (404, Some("gzip")));
    let problem: serde_json::Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(packed.body.as_slice())).unwrap();
    assert_eq!(problem["request_id"], "mine-2");
    assert!(site.daemon_log().contains("mine-1"), "the log knows the request");
    assert!(get(&address, "/docs").header("content-security-policy").unwrap().contains("style-src"));
}

/// Packed, an object is another sequence of bytes.
#[test]
fn each_form_of_an_object_has_its_own_tag() {
    let site = Site::new();
    site.workspace("everest", r#"{ "enabled": true }"#, "output \"x\" { value = 1 }\n");
    let daemon = site.serve();
    let address = daemon.address();
    let path = "/api/workspaces/everest";
    let ask = |headers: &[(&str, &str)]| request(&address, "GET", path, headers, "");
    let gzip = ("Accept-Encoding", "gzip");
    let plain = ask(&[]);
    let packed = ask(&[gzip]);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    let (plain_tag, packed_tag) = (plain.header("etag").unwrap(), packed.header("etag").unwrap());
    assert_ne!(plain_tag, packed_tag);
    let same = [
        ask(&[("If-None-Match", plain_tag)]),
        ask(&[("If-None-Match", plain_tag), gzip]),
        ask(&[("If-None-Match", packed_tag), gzip]),
    ];
    let tags: Vec<_> = same.iter().map(|reply| (reply.status, reply.header("etag").unwrap())).collect();
    assert_eq!(tags, [(304, plain_tag), (304, plain_tag), (304, packed_tag)]);
    let unreadable = ask(&[("If-None-Match", packed_tag)]);
    assert_eq!((unreadable.status, unreadable.header("etag")), (200, Some(plain_tag)), "it could not be read");
    for reply in [&plain, &packed, &unreadable].into_iter().chain(&same) {
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
    }
    let deploy = |tag: &str| request(&address, "POST", "/api/workspaces/everest/deploy", &[("If-Match", tag)], "{}");
    assert_eq!(deploy("\"0123456789abcdef0123456789abcdef-gzip\"").status, 412);
    let packed = ask(&[gzip]);
    assert_eq!(deploy(packed.header("etag").unwrap()).status, 202, "whichever form was seen, it is what it was");
}

/// Objects are changed only by those who know what they are.
#[test]
fn what_is_not_as_the_client_saw_it_is_not_changed() {
    let site = Site::new();
    site.workspace("everest", r#"{ "enabled": true }"#, "output \"x\" { value = 1 }\n");
    let daemon = site.serve();
    let address = daemon.address();
    let deploy = |tag: &str| request(&address, "POST", "/api/workspaces/everest/deploy", &[("If-Match", tag)], "{}");
    let reply = deploy("\"0123456789abcdef0123456789abcdef\"");
    assert_eq!((reply.status, reply.code().as_str()), (412, "precondition_failed"));
    assert!(site.runs("workspace/everest").is_empty());
    let tag = get(&address, "/api/workspaces/everest").header("etag").unwrap().to_owned();
    assert_eq!(deploy(&tag).status, 202);
}

#[test]
fn a_trace_goes_on_in_the_children_of_a_run() {
    let site = Site::new();
    site.write(
        "jobs/told.json",
        r#"{ "name": "told", "type": "command", "command": "printf %s $TRACEPARENT > told" }"#,
    );
    let daemon = site.serve();
    let address = daemon.address();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let reply = request(&address, "POST", "/api/cronjobs/told/trigger", &[("traceparent", parent)], "{}");
    assert_eq!(reply.status, 202, "{}", reply.text());
    let run = reply.json()["run"].as_str().or(reply.json()["id"].as_str()).unwrap().to_owned();
    until("the job has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let told = std::fs::read_to_string(site.data().join("deployments/_standalone_/told")).unwrap();
    assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-01"), "{told}");
    assert!(!told.contains("b7ad6b7169203331"), "the request is a span of its own: {told}");
}

#[test]
fn metrics_tell_of_runs_and_requests() {
    let site = Site::new().env("PITON_METRICS__ENABLED", "true").env("PITON_METRICS__LISTEN", "127.0.0.1:0");
    site.workspace("everest", r#"{ "enabled": true }"#, "output \"x\" { value = 1 }\n");
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0);
    let mut text = String::new();
    until("the run is counted", || {
        let reply = get(&address, "/metrics");
        assert_eq!(reply.status, 200);
        text = reply.text();
        // What is shown was counted before it was asked for.
        text.contains("piton_runs_ended_total{kind=\"workspace\",outcome=\"succeeded\"} 1")
            && text.contains("route=\"/metrics\"")
    });
    for series in [
        "piton_runs{state=\"running\",kind=\"workspace\"} 0",
        "piton_queue_oldest_seconds 0",
        "piton_store_up 1",
        "piton_ready 1",
        "piton_keeper_up 1",
        "piton_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\"}",
        "piton_build_info{version=",
        "process_resident_memory_bytes",
        "# TYPE piton_http_requests_total counter",
    ] {
        assert!(text.contains(series), "{series} is missing:\n{text}");
    }
    assert!(get(&address, "/metrics").header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let accept = [("accept", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5")];
    let open = request(&address, "GET", "/metrics", &accept, "");
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = open.text();
    assert!(text.contains("# TYPE piton_http_requests counter") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn readiness_drops_before_the_door_closes() {
    let site = Site::new().env("PITON_SERVER__SHUTDOWN_DELAY", "30s");
    let daemon = site.serve();
    let address = daemon.address();
    let ready = get(&address, "/readyz?verbose");
    assert_eq!(ready.status, 200, "{}", ready.text());
    for check in ["accepting", "store", "disk", "keeper"] {
        assert!(ready.text().contains(&format!("[+]{check} ok")), "{}", ready.text());
    }
    let mut stream = connect(&address);
    stream.write_all(format!("GET /api/events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    kill(daemon.pid(), "TERM");
    until("it says that it ends", || get(&address, "/readyz?verbose").text().contains("[-]accepting failed"));
    assert_eq!(get(&address, "/readyz").status, 503);
    assert_eq!(get(&address, "/livez").status, 200);
    assert_eq!(get(&address, "/api/overview").status, 200, "requests are still answered");
    // A second signal means that nobody needs to wait any longer.
    assert_eq!(daemon.terminate(), 0);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream did not end cleanly: {rest:?}");
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn the_files_of_older_configurations_are_written() {
    let site = Site::new();
    site.write("piton.toml", "[server]\npidfile = 'run/piton.pid'\n").write("run/.keep", "");
    let daemon = site.serve();
    let file = site.path().join("run/piton.pid");
    until("the pid file is there", || file.exists());
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), daemon.pid().to_string());
    assert_eq!(daemon.terminate(), 0);
    assert!(!file.exists());
}
