//! `piton process`, `piton group`, and the command lines of provisr.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::site::{Said, Site, until};
use crate::wire::get;

fn ok(said: Said) -> String {
    assert_eq!(said.code, 0, "{said}");
    said.out
}

fn parsed(said: Said) -> Value {
    let out = ok(said);
    assert!(out.contains("\n  ") || out.trim().len() < 10, "it is indented: {out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn a_process_from_its_declaration_to_its_end() {
    let site = Site::new();
    let _daemon = site.serve();
    let said = site.piton(["process", "register", "--name", "web", "--command", "sleep 60", "--auto-restart"]);
    assert_eq!(ok(said), "Process 'web' registered\n");
    let table = ok(site.piton(["process", "list"]));
    assert!(table.starts_with("NAME  STATE    PID"), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("web   running  "), "{table}");
    let status = ok(site.piton(["process", "status", "web"]));
    assert!(status.contains("State: running\n") && status.contains("Restarts: 0\n"), "{status}");
    let said = site.piton(["process", "restart", "web"]);
    assert!(ok(said).starts_with("Process 'web' restarted, process "));
    assert_eq!(ok(site.piton(["process", "stop", "--name", "web", "--wait", "2s"])), "Process 'web' stopped\n");
    assert!(ok(site.piton(["process", "start", "web"])).starts_with("Process 'web' started, process "));
    let scaled = site.json(["process", "scale", "web", "3"]);
    assert_eq!(scaled.as_array().unwrap().len(), 3, "{scaled}");
    let said = site.piton(["process", "logs", "web"]);
    assert!(said.code == 3 && said.err.contains("has 3 instances") && said.err.contains("`web-3`"), "{said}");
    let base = site.json(["process", "list", "--base", "web"]);
    assert_eq!(base.as_array().unwrap().len(), 3, "{base}");
    let yaml = ok(site.piton(["process", "list", "--wildcard", "*-2", "-o", "yaml"]));
    assert!(yaml.contains("name: web-2"), "{yaml}");
    assert_eq!(ok(site.piton(["process", "unregister", "web"])), "Process 'web' unregistered\n");
    ok(site.piton(["process", "register", "--name", "none", "--command", "sleep 60", "--instances", "0"]));
    assert_eq!(ok(site.piton(["process", "list"])), "No processes\n");
    assert_eq!(ok(site.piton(["group", "list"])), "No groups\n");
}

/// Where a process is seen that nobody starts again, by whoever does not ask for it.
#[test]
fn what_failed_for_good_stands_on_the_first_page_and_in_the_log() {
    let site = Site::new();
    for (name, rest) in [
        ("web", "command = 'sleep 60'"),
        ("once", "command = ['sh', '-c', 'exit 3']"),
        ("flap", "command = ['sh', '-c', 'exit 4']\nrestart = 'always'\nmax_restarts = 1\nrestart_interval = '10ms'"),
    ] {
        site.write(format!("programs/{name}.toml"), &format!("type = 'process'\n[spec]\nname = '{name}'\n{rest}\n"));
    }
    let daemon = site.serve();
    let wanted = json!({ "exited": 1, "fatal": 1, "running": 1 });
    until("all are where they end", || site.json(["status"])["processes"] == wanted);
    let page = ok(site.piton(["status"]));
    assert!(page.contains("Processes: 1 exited, 1 fatal, 1 running\n"), "{page}");
    for (what, instance) in [("a process is given up", "flap"), ("a process failed, and is not to be", "once")] {
        let told = |line: &str| line.contains(" WARN ") && line.contains(what) && line.contains(instance);
        until("the log says so once", || site.daemon_log().lines().filter(|line| told(line)).count() == 1);
    }
    // It is seen without a daemon, too.
    assert_eq!(daemon.terminate(), 0);
    assert_eq!(site.json(["status"])["processes"]["running"], 1);
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let site = Site::new();
    let daemon = site.serve();
    let code = |args: &[&str]| site.piton(args.iter().copied()).code;
    assert_eq!(code(&["process", "status", "none"]), 3);
    assert_eq!(code(&["process", "start", "none"]), 3);
    let all = site.piton(["process", "restart", "all"]);
    assert!(all.code == 3 && all.err.contains("--wildcard '*'"), "{all}");
    assert_eq!(code(&["process", "stop", "none"]), 3);
    assert_eq!(code(&["process", "logs", "none"]), 3);
    assert_eq!(code(&["process", "unregister", "none"]), 3);
    assert_eq!(code(&["group", "start", "none"]), 3);
    assert_eq!(code(&["process", "start", "a", "--base", "b"]), 2);
    assert_eq!(code(&["process", "stop", "../a"]), 2);
    assert_eq!(code(&["process", "register", "--name", "a", "--command", "x", "--env", "A"]), 2);
    assert_eq!(code(&["process", "register", "--name", "a b", "--command", "x"]), 2);
    assert_eq!(code(&["process", "register", "--name", "a", "--command", "/no/such/program"]), 5);
    assert_eq!(code(&["process", "register-file", "--file", "none.json"]), 3);
    assert_eq!(code(&["process", "register", "--name", "a", "--command", "sleep 60"]), 0);
    assert_eq!(code(&["process", "register", "--name", "a", "--command", "sleep 60"]), 5);
    assert_eq!(daemon.shutdown(), 0);
    assert_eq!(code(&["process", "start", "a"]), 7);
    assert_eq!(code(&["process", "stop", "a"]), 7);
    assert_eq!(code(&["process", "scale", "a", "2"]), 7);
    assert_eq!(code(&["process", "logs", "a"]), 7);
    assert_eq!(code(&["process", "logs", "a", "--follow"]), 7);
    assert_eq!(code(&["group", "list"]), 7);
    assert_eq!(code(&["group", "status", "none"]), 7);
    assert_eq!(code(&["group", "start", "none"]), 7);
    assert_eq!(code(&["process", "list"]), 0);
}

#[test]
fn without_a_daemon_processes_are_seen_and_declared_and_left_alone() {
    let site = Site::new();
    let daemon = site.serve();
    ok(site.piton(["process", "register", "--name", "web", "--command", "sleep 60"]));
    let pid = site.json(["process", "status", "web"])[0]["pid"].clone();
    assert_eq!(daemon.terminate(), 0);
    let seen = site.json(["process", "list"]);
    assert_eq!((&seen[0]["name"], &seen[0]["pid"], &seen[0]["running"]), (&json!("web"), &pid, &json!(true)), "{seen}");
    // Commands that begin runs come and go, and the keeper's other children stay.
    site.write(
        "jobs/hello.json",
        r#"{"name": "hello", "type": "command", "schedule": "0 0 1 1 *", "command": "true"}"#,
    );
    ok(site.piton(["job", "run", "hello"]));
    assert_eq!(site.json(["process", "list"])[0]["pid"], pid);
    let said = site.piton(["process", "register", "--name", "api", "--command", "sleep 60"]);
    assert!(said.err.contains("piton serve"), "{said}");
    ok(said);
    assert!(site.path().join("programs/api.json").exists());
    let _daemon = site.serve();
    until("the next daemon starts it", || site.json(["process", "status", "api"])[0]["phase"] == "running");
    assert_eq!(site.json(["process", "status", "web"])[0]["pid"], pid);
}

/// The lines of provisr's document.
#[test]
fn the_documented_lines_of_provisr() {
    let site = Site::new();
    site.write("programs/web.toml", "type = \"process\"\n[spec]\nname = \"web\"\ncommand = \"sleep 60\"\n");
    site.write("programs/api.toml", "type = \"process\"\n[spec]\nname = \"api\"\ncommand = \"sleep 60\"\n");
    site.write("piton.toml", "[server]\nlisten = \"127.0.0.1:0\"\nbase_path = \"/api\"\n[[groups]]\nname = \"backend\"\nmembers = [\"web\", \"api\"]\n");
    let _daemon = site.serve();
    parsed(site.named("provisr", ["register", "--name", "demo", "--command", "sleep 10"]));
    parsed(site.named("provisr", ["start", "--name", "demo"]));
    let status = parsed(site.named("provisr", ["status", "--name", "demo"]));
    for (member, value) in [("name", json!("demo")), ("running", json!(true)), ("state", json!("running"))] {
        assert_eq!(status[member], value, "{status}");
    }
    let stopped = parsed(site.named("provisr", ["stop", "--name", "demo"]));
    assert_eq!((&stopped["name"], &stopped["running"]), (&json!("demo"), &json!(false)), "{stopped}");
    assert_eq!(parsed(site.named("provisr", ["group-stop", "--group", "backend"])), json!({ "ok": true }));
    assert_eq!(parsed(site.named("provisr", ["group-start", "--group", "backend"])), json!({ "ok": true }));
    let members = parsed(site.named("provisr", ["group-status", "--group", "backend"]));
    assert_eq!(members["api"][0]["running"], true, "{members}");
    parsed(site.named("provisr", ["unregister", "--name", "web"]));
    site.write("process-config.json", r#"{"name": "from-file", "command": "sleep 60", "auto_restart": true}"#);
    parsed(site.named("provisr", ["register-file", "--file", "./process-config.json"]));
    let all = parsed(site.named("provisr", ["status"]));
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["api", "demo", "from-file"]);
    ok(site.named("provisr", ["cron"]));
    let refused = site.named("provisr", ["start", "--name", "none"]);
    assert_eq!(refused.code, 1, "{refused}");

    let said = ok(site.named("provisr", ["template", "--type", "worker", "--name", "mine"]));
    assert!(said.contains("templates/mine.json"), "{said}");
    let sample: Value = serde_json::from_slice(&fs::read(site.path().join("templates/mine.json")).unwrap()).unwrap();
    assert_eq!(sample["name"], "mine");
    assert_eq!(site.named("provisr", ["template", "--type", "worker", "--name", "mine"]).code, 1);
    ok(site.named("provisr", ["template", "--type", "worker", "--name", "mine", "--force"]));
}

#[test]
fn provisr_talks_to_a_daemon_elsewhere() {
    let (site, elsewhere) = (Site::new(), Site::new());
    let daemon = elsewhere.serve();
    let url = format!("http://{}/api", daemon.address());
    let far = ["--api-url", url.as_str(), "--api-timeout", "10s"];
    let with = |args: &[&'static str]| -> Vec<String> { args.iter().copied().chain(far).map(str::to_owned).collect() };
    let run = |args: &[&'static str]| {
        let args = with(args);
        site.named("provisr", args.iter().map(String::as_str))
    };
    parsed(run(&["register", "--name", "api", "--command", "sleep 60"]));
    assert_eq!(parsed(run(&["status", "--name", "api"]))["running"], true);
    assert!(elsewhere.path().join("programs/api.json").exists() && !site.path().join("programs/api.json").exists());
    parsed(run(&["unregister", "--name", "api"]));
    let nobody = site.named("provisr", ["start", "--name", "api", "--api-url", "http://127.0.0.1:1/api"]);
    assert_eq!(nobody.code, 1, "{nobody}");
}

/// The configuration that provisr's document shows, as it is: it listens everywhere, and asks nobody who they are.
#[test]
fn provisr_serves_its_documented_configuration_in_the_background() {
    let site = Site::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pidfile = site.path().join("provisr.pid");
    let logfile = site.path().join("provisr.log");
    site.write(
        "config/config.toml",
        &format!(
            "[server]\nenabled = true\nlisten = \":{port}\"\nbase_path = \"/api\"\npidfile = \"{}\"\nlogfile = \"{}\"\n\
             [[groups]]\nname = \"webstack\"\nmembers = [\"web\"]\n",
            pidfile.display(),
            logfile.display(),
        ),
    );
    site.write("config/programs/web.toml", "type = \"process\"\n[spec]\nname = \"web\"\ncommand = \"sleep 60\"\n");
    // The tests' own address would win over the file.
    let mut serve = site.command(site.link("provisr"));
    serve.env_remove("PITON_SERVER__LISTEN").args(["serve", "--config", "config/config.toml", "--daemonize"]);
    let output = serve.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pid: u32 = fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap();
    let address = format!("127.0.0.1:{port}");
    until("its process runs", || get(&address, "/api/status?name=web").json()["running"] == true);
    let log = fs::read_to_string(&logfile).unwrap();
    assert!(log.contains("insecure_listen") || log.contains("only this host"), "{log}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "it has a session of its own");
    let again = serve.output().unwrap();
    assert_eq!(again.status.code(), Some(75), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(fs::metadata(site.data()).unwrap().permissions().mode() & 0o777, 0o700);

    // Whoever names the file from elsewhere finds the daemon where it listens, and leaves nothing there.
    let elsewhere = tempfile::tempdir().unwrap();
    let from_elsewhere = |file: &std::path::Path| {
        let mut look = site.command(site.link("provisr"));
        look.env_remove("PITON_SERVER__LISTEN").current_dir(elsewhere.path()).arg("status").arg("--config").arg(file);
        let output = look.output().unwrap();
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is made to look");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = from_elsewhere(&site.path().join("config/config.toml"));
    assert!(said.contains("web") && said.contains(&format!("{}", web_pid(&address))), "{said}");

    let mut shutdown = site.command(crate::site::PITON);
    let said = shutdown.args(["--config", "config/config.toml", "shutdown"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(!pidfile.exists());
    from_elsewhere(&site.path().join("config/config.toml"));
}

fn web_pid(address: &str) -> u64 {
    get(address, "/api/status?name=web").json()["pid"].as_u64().unwrap()
}
