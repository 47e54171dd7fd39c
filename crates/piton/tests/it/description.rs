//! The HTTP API does what its own description says: schemathesis makes requests of it, good ones and bad ones.

use std::process::Stdio;

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::{Daemon, Site};

const CODE: &str = "resource \"terraform_data\" \"this\" {}\noutput \"id\" { value = terraform_data.this.id }\n";
const CONFIG: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

/// What must hold of each answer: no 5xx, and status, headers, type and body as described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,negative_data_rejection";

/// The end of the daemon, and a stream without end.
const LEFT_OUT: [&str; 2] = ["/api/shutdown", "/api/events"];

/// More examples find rarer answers, from another seed each time: `PITON_SCHEMATHESIS_EXAMPLES=200`.
fn extent() -> Vec<String> {
    match std::env::var("PITON_SCHEMATHESIS_EXAMPLES") {
        Ok(examples) => vec!["--max-examples".to_owned(), examples],
        Err(_) => ["--max-examples", "4", "--seed", "1"].map(str::to_owned).to_vec(),
    }
}

/// There is something of everything.
fn furnished(site: Site) -> Site {
    let site = site.env("PITON_SERVER__RATE_LIMIT", "0");
    site.workspace("web", CONFIG, CODE);
    site.write(
        "jobs/tick.json",
        r#"{"name": "tick", "type": "command", "schedule": "0 0 1 1 *", "command": "echo hello"}"#,
    );
    site
}

/// Requests as one caller, whose credentials these are.
fn hold_to_the_description(site: &Site, daemon: &Daemon<'_>, caller: &str, credentials: Option<&str>) {
    let address = daemon.address();
    let program =
        std::env::var("PITON_TEST_SCHEMATHESIS").expect("PITON_TEST_SCHEMATHESIS is not set: run scripts/setup-tests");
    let mut command = site.command(program);
    command.args(["run", &format!("http://{address}/openapi.json"), "--checks", CHECKS, "--no-shrink"]);
    command.args(["--continue-on-failure", "--request-timeout", "20", "--suppress-health-check", "all"]);
    command.args(["--warnings", "off", "--output-truncate", "false"]).args(extent());
    command.args(LEFT_OUT.iter().flat_map(|path| ["--exclude-path", path]));
    if let Some(credentials) = credentials {
        command.args(["--header", &format!("Authorization: {credentials}")]);
    }
    let output = command.env("PYTHONUNBUFFERED", "1").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "as {caller}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // A description that could not be read, or of which nothing was tried, proves nothing.
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    assert!(tested.is_some_and(|count| count > 30), "as {caller}:\n{said}");
}

/// The daemon is well after all that.
fn look_after(site: &Site) {
    assert_eq!(site.piton(["status"]).code, 0);
    let log = site.daemon_log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_api_is_as_it_is_described() {
    let site = furnished(Site::new());
    let daemon = site.serve();
    assert_eq!(site.piton(["workspace", "deploy", "web"]).code, 0);
    assert_eq!(site.piton(["job", "run", "tick"]).code, 0);
    hold_to_the_description(&site, &daemon, "anybody", None);
    look_after(&site);
}

#[test]
fn the_api_is_as_it_is_described_to_each_role() {
    let site = furnished(guarded());
    let daemon = site.serve();
    assert_eq!(site.piton(["job", "run", "tick"]).code, 0);
    hold_to_the_description(&site, &daemon, "nobody", None);
    let admin = Door::anonymous(&daemon).basic("admin", PASSWORD);
    for role in ["viewer", "operator", "admin"] {
        let known = admin.for_client(role);
        // Logging out must not end this, as it would end a token.
        hold_to_the_description(&site, &daemon, role, known.credentials());
        look_after(&site);
    }
}
