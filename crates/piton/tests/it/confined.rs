//! A19: code that is deployed looks for what is none of its business.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::site::{PITON, Site};

const CONFIG: &str = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#;

/// Tries whatever comes to mind; each line of the report is `GOT` or `NOT` and what was tried.
const STEAL: &str = r#"
try() { what=$1; shift; if "$@" >>loot 2>/dev/null; then echo "GOT $what"; else echo "NOT $what"; fi; }
speak() { python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
s.sendall(b"GET /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
sys.exit(0 if s.recv(100).startswith(b"HTTP/1.1 200") else 1)' "$1"; }
daemon=$(head -n 1 "$DATA/../daemon.pid")
{
  try database cat "$DATA/piton.db"
  try vault-key cat "$DATA/vault.key"
  try data-directory ls "$DATA"
  try deployments ls "$DATA/deployments"
  try state cat "$DATA/deployments/treasure/terraform.tfstate"
  try runs ls "$DATA/runs"
  try declaration cat "$DATA/../workspaces/treasure/config.json"
  try program cat "$DATA/../programs/treasure.json"
  try environment-file cat "$DATA/../treasure.env"
  try configuration cat "$DATA/../piton.toml"
  try planting sh -c 'echo x >"$DATA/planted"'
  try planting-a-run sh -c 'echo x >"$DATA/deployments/treasure/planted.tf"'
  try poisoning sh -c 'echo x >"$DATA/plugin-cache/planted"'
  try link sh -c 'ln -s "$DATA/piton.db" ./link && cat ./link'
  try root-of-the-daemon ls "/proc/$daemon/root$DATA"
  try descriptors ls -l "/proc/$daemon/fd/"
  try environment cat "/proc/$daemon/environ"
  try signal kill -0 "$daemon"
  try socket speak "$DATA/api.sock"
  try environment-of-the-keeper cat "/proc/$(cat "$DATA/keeper.lock" || pgrep -f "keeper --dir $DATA")/environ"
  try environment-of-all sh -c 'cat /proc/[0-9]*/environ | tr "\\0" "\\n" | grep gold-of-the-daemon'
  try disk sh -c 'for disk in $(lsblk -pnlo NAME || echo /dev/[shv]d[a-z]); do head -c 1 $disk && exit 0; done; exit 1'
  try device sh -c 'mknod ./device b 254 0 && rm ./device'
} >report
ls /proc/self/fd | tr '\n' ' ' >descriptors
env >environment
"#;

/// How many that are.
const ATTEMPTS: usize = 23;

const CODE: &str = r#"
resource "terraform_data" "this" {
  provisioner "local-exec" {
    command     = "sh ./steal.sh"
    environment = { DATA = "@DATA@" }
  }
}
"#;

/// What comes of a deployment of hostile code: its report, what it got, and the site.
fn robbed(confine: &str) -> (Site, Vec<String>, String) {
    let site = Site::new().env("TREASURE_OF_THE_DAEMON", "gold-of-the-daemon");
    site.write(
        "piton.toml",
        &format!("env_files = ['treasure.env']\n[server]\npidfile = 'daemon.pid'\n[iac]\nconfine = '{confine}'\n"),
    );
    let secret = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip", "vars": { "gold": "gold-of-others" } }"#;
    let treasure = "variable \"gold\" { sensitive = true }\nresource \"terraform_data\" \"t\" { input = var.gold }\n";
    site.workspace("treasure", secret, treasure);
    site.write("treasure.env", "GOLD=gold-of-the-files\n");
    let program = r#"{ "name": "treasure", "command": "true", "auto_start": false, "env": ["GOLD=gold-of-programs"] }"#;
    site.write("programs/treasure.json", &format!(r#"{{ "type": "process", "spec": {program} }}"#));
    site.workspace("thief", CONFIG, &CODE.replace("@DATA@", &site.data().display().to_string()));
    site.write("workspaces/thief/steal.sh", STEAL);
    let daemon = site.serve();
    for name in ["treasure", "thief"] {
        let said = site.piton(["workspace", "deploy", name]);
        assert_eq!(said.code, 0, "{said}");
    }
    let own = site.data().join("deployments/thief");
    let report = fs::read_to_string(own.join("report")).unwrap();
    assert_eq!(report.lines().count(), ATTEMPTS, "{report}");
    let got = report.lines().filter_map(|line| line.strip_prefix("GOT ")).map(str::to_owned).collect();
    let loot = String::from_utf8_lossy(&fs::read(own.join("loot")).unwrap()).into_owned();
    assert_eq!(fs::read_to_string(own.join("descriptors")).unwrap(), "0 1 2 3 ", "3 is what `ls` reads");
    let environment = fs::read_to_string(own.join("environment")).unwrap();
    assert!(environment.contains("PITON_TOKEN=") && !environment.contains("gold-of"), "{environment}");
    drop(daemon);
    (site, got, loot)
}

#[test]
fn hostile_code_finds_nothing() {
    let (site, got, loot) = robbed("always");
    assert_eq!(got, [""; 0]);
    for gold in ["gold-of-others", "gold-of-programs", "gold-of-the-files", "gold-of-the-daemon"] {
        assert!(!loot.contains(gold), "{gold}: {loot}");
    }
    assert!(site.daemon_log().contains("deployed code asked for the socket"), "{}", site.daemon_log());
    site.audit();
}

/// So that the test above is known to look for what is there.
#[test]
fn code_that_is_not_confined_finds_everything() {
    let (_site, got, loot) = robbed("never");
    // What depends on the host, and what the daemon and the keeper show to the superuser only.
    let host = ["disk", "device"];
    let shy = ["root-of-the-daemon", "descriptors", "environment", "environment-of-the-keeper"];
    let shy = shy.into_iter().filter(|_| !rustix::process::geteuid().is_root());
    let aside: Vec<&str> = host.into_iter().chain(shy).collect();
    let got: Vec<&String> = got.iter().filter(|what| !aside.contains(&what.as_str())).collect();
    assert_eq!(got.len(), ATTEMPTS - aside.len(), "{got:?}");
    for gold in ["gold-of-others", "gold-of-programs", "gold-of-the-files", "gold-of-the-daemon"] {
        assert!(loot.contains(gold), "{gold}: {loot}");
    }
}

/// What deployed code does have: its own directory, temporary files, the rest of the system.
#[test]
fn honest_code_notices_nothing() {
    let site = Site::new().env("PITON_IAC__CONFINE", "always");
    let code = r#"
resource "terraform_data" "this" {
  provisioner "local-exec" {
    command = <<-EOT
      set -e
      echo own >own && cat own main.tf >/dev/null
      mkdir sub && mv own sub/own && ln sub/own again && rm again
      file=$(mktemp) && echo "temporary: $file" && cat "$file"
      ls /usr/bin >/dev/null && cat /etc/passwd >/dev/null && echo to-null >/dev/null
      echo shared >"$SHARED"
      echo said to a name >/dev/stderr
      sh -c 'sleep 1000 & kill -TERM $!'
    EOT
    environment = { SHARED = "@SHARED@" }
  }
}
"#;
    let shared = tempfile::Builder::new().prefix("piton-shared-").tempdir_in("/var/tmp").unwrap();
    let marker = shared.path().join("marker");
    let config = r#"{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip", "approval": "manual" }"#;
    site.workspace("everest", config, &code.replace("@SHARED@", &marker.display().to_string()));
    let _daemon = site.serve();
    let run = site.piton(["workspace", "deploy", "everest", "--detach"]).out.trim().to_owned();
    crate::site::until("it waits for approval", || site.json(["run", "show", &run])["state"] == "gated");
    let said = site.piton(["run", "approve", &run]);
    assert_eq!(said.code, 0, "{said}");
    crate::site::until("it has ended", || site.json(["run", "show", &run])["state"] == "ended");
    let log = site.log(&run);
    assert_eq!(site.json(["run", "show", &run])["outcome"], "succeeded", "{log}");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "shared\n");
    assert!(log.contains("said to a name"), "{log}");
    // The tool also shows the command itself.
    let mut said = log.lines().filter_map(|line| Some(line.split_once("temporary: ")?.1.trim()));
    let temporary = said.rfind(|path| path.starts_with('/')).unwrap().to_owned();
    let work = site.data().join("runs").join(&run).join("work");
    assert!(temporary.starts_with(work.to_str().unwrap()), "{temporary}");
    crate::site::until("nothing is left of it", || !work.exists());
    site.audit();
}

/// Jobs are declared by whoever runs Piton, and may use it.
#[test]
fn a_job_may_speak_to_the_daemon() {
    let site = Site::new().env("PITON_IAC__CONFINE", "always");
    let ask = format!("cd {} && HOME=. {PITON} job list -o json >answer", site.path().display());
    site.write("asks.sh", &format!("#!/bin/sh\n{ask}\n"));
    fs::set_permissions(site.path().join("asks.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let program = site.path().join("asks.sh");
    site.write(
        "jobs/asks.json",
        &format!(r#"{{ "name": "asks", "type": "command", "command": "{}" }}"#, program.display()),
    );
    let _daemon = site.serve();
    let said = site.piton(["job", "run", "asks"]);
    assert_eq!(said.code, 0, "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&fs::read(site.path().join("answer")).unwrap()).unwrap();
    assert_eq!(answer[0]["name"], "asks");
}

/// Where the data lies by itself, code is not confined; it is said how to change that, and both ways work.
#[test]
fn the_doctor_says_whether_code_is_confined() {
    let site = Site::new();
    let found = |confine: &str| {
        site.write("piton.toml", &format!("[iac]\nconfine = '{confine}'\n"));
        let told = site.json(["doctor"])["confinement"].clone();
        (told["confined"].as_bool().unwrap(), told["detail"].as_str().unwrap().to_owned())
    };
    let (confined, detail) = found("auto");
    assert!(!confined, "{detail}");
    for word in [site.data().display().to_string().as_str(), "data.dir", "\"always\""] {
        assert!(detail.contains(word), "{word}: {detail}");
    }
    let said = site.piton(["doctor"]);
    assert!(said.out.contains(&detail), "{said}");
    assert!(found("always").0 && !found("never").0);
    let apart = tempfile::tempdir().unwrap();
    site.write("piton.toml", &format!("[data]\ndir = '{}'\n", apart.path().join("data").display()));
    let told = site.json(["doctor"])["confinement"].clone();
    assert_eq!(told["confined"], true, "{told}");
}

/// Piton itself, which sees everything, is not led anywhere by what the code leaves in its own directory.
#[test]
fn what_code_leaves_behind_leads_nowhere() {
    let site = Site::new().env("PITON_IAC__CONFINE", "always");
    let gold = "resource \"terraform_data\" \"t\" {}\noutput \"gold\" { value = \"gold-of-others\" }\n";
    site.workspace("treasure", CONFIG, gold);
    let leave = r#"
rm -f terraform.tfstate .provisioner-metadata.json
ln -s "$DATA/deployments/treasure/terraform.tfstate" terraform.tfstate
mkfifo .provisioner-metadata.json
"#;
    let code = CODE.replace("steal.sh", "leave.sh").replace("@DATA@", &site.data().display().to_string());
    site.workspace("thief", CONFIG, &format!("{code}output \"own\" {{ value = 1 }}\n"));
    site.write("workspaces/thief/leave.sh", leave);
    let _daemon = site.serve();
    for name in ["treasure", "thief"] {
        // Who reads the pipe waits for ever.
        let said = site.piton(["workspace", "deploy", name]);
        assert_eq!(said.code, 0, "{said}");
    }
    assert!(site.data().join("deployments/thief/terraform.tfstate").is_symlink(), "it did not come to that");
    let run = site.runs("workspace/thief").pop().unwrap();
    assert!(!run.to_string().contains("gold-of-others"), "{run:#}");
    assert!(!site.piton(["workspace", "outputs", "thief"]).out.contains("gold-of-others"));
    assert_eq!(site.json(["workspace", "outputs", "treasure"])["gold"]["value"], "gold-of-others");
    let said = site.piton(["workspace", "plan", "thief"]);
    assert!(said.code <= 1, "{said}");
    site.audit();
}
