//! A37: secrets of a deployment are nowhere but in the sealed part of the database, whatever the code does with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use piton_testkit::hosting::{PASSWORD, USER};
use piton_testkit::repository::repository;
use serde_json::json;

use crate::runner::{Scene, becomes, decide, start, stream};
use crate::wire::get;

/// With what URLs and JSON escape.
const TOKEN: &str = "tok/3n-\"of\"-plum&quince=7d1f04c2";
const KEY: &str = "-----BEGIN KEY-----\nbXVsYmVycnkgYW5k\nbWVkbGFyIHRvZ2V0\n-----END KEY-----";

const CODE: &str = r#"
variable "token" { sensitive = true }
variable "key" { sensitive = true }
resource "terraform_data" "loud" {
  provisioner "local-exec" {
    command     = "sh ./loud.sh"
    environment = { WORD = nonsensitive(var.token), LINES = nonsensitive(var.key) }
  }
}
output "token" {
  value     = var.token
  sensitive = true
}
"#;

const LOUD: &str = r#"
echo "raw: $WORD"
echo "in capitals of others: x${WORD}x"
for lead in '' a ab; do printf '%s%s' "$lead" "$WORD" | base64 -w 0; echo; done
printf '%s' "$WORD" | base64 -w 0 | tr '+/' '-_'; echo
python3 -c 'import json, os, urllib.parse as u
w = os.environ["WORD"]; print(json.dumps(w)); print(u.quote(w, safe="")); print(u.quote_plus(w))'
printf 'cut: '; i=1; while [ $i -le ${#WORD} ]; do printf '%s' "$(printf '%s' "$WORD" | cut -c $i)"; i=$((i+1)); done; echo
echo "$LINES"
printf '%s\n' "$LINES" | sed 's/^/    /'
echo "token: $TF_VAR_token" >&2
env
echo done-being-loud
"#;

/// Everything that would give a secret away.
fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([secret.as_bytes().to_vec()]);
    let json = serde_json::to_string(secret).unwrap();
    forms.insert(json.as_bytes()[1..json.len() - 1].to_vec());
    for lead in ["", "a", "ab"] {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode(format!("{lead}{secret}"));
            // What its neighbours have a part in is left out.
            let text = text.trim_end_matches('=');
            let begin = if lead.is_empty() { 0 } else { 4 };
            forms.insert(text.as_bytes()[begin..text.len() - 3].to_vec());
        }
    }
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escape = |byte: u8| if is_kept(byte) { vec![byte] } else { format!("%{byte:02X}").into_bytes() };
    forms.insert(secret.bytes().flat_map(escape).collect());
    // A secret of many lines is one in each of them.
    forms.extend(secret.lines().filter(|line| !line.starts_with("-----")).map(|line| line.as_bytes().to_vec()));
    forms
}

fn holds(bytes: &[u8], needles: &[Vec<u8>]) -> Option<String> {
    let found = needles.iter().find(|needle| memchr::memmem::find(bytes, needle).is_some());
    found.map(|needle| String::from_utf8_lossy(needle).into_owned())
}

/// The files below a directory that hold one of the needles.
fn holders(directory: &Path, needles: &[Vec<u8>], found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if holds(entry.file_name().as_encoded_bytes(), needles).is_some() {
            found.push(format!("the name of {}", path.display()));
        }
        if kind.is_dir() {
            holders(&path, needles, found);
        } else if kind.is_file()
            && let Some(form) = holds(&fs::read(&path).unwrap_or_default(), needles)
        {
            found.push(format!("{}: {form}", path.display()));
        }
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The command lines of all processes, looked at again and again while the work goes on.
fn watched(needles: &[Vec<u8>], work: impl FnOnce()) -> BTreeSet<String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut found = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                    let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
                    if holds(&line, needles).is_some() {
                        found.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            found
        });
        // Also when it panics: the scope waits for the watcher.
        let ends = Ends(&over);
        work();
        drop(ends);
        watching.join().unwrap()
    })
}

#[test]
fn secrets_are_nowhere() {
    let needles: Vec<Vec<u8>> = [TOKEN, KEY, PASSWORD].into_iter().flat_map(forms).collect();
    let scene = Scene::new("# another\n");
    repository(scene.root.path(), "closed/loud.git", &[&[("main.tf", CODE), ("loud.sh", LOUD)]]).unwrap();
    let daemon = scene.site.serve();
    let address = daemon.address();
    let body = scene.body(json!({
        "git_url": scene.hosting.url("closed/loud.git"),
        "env_vars": { "TF_VAR_token": TOKEN, "TF_VAR_key": KEY },
        "git_auth": { "type": "http", "username": USER, "password": PASSWORD },
    }));
    let mut id = String::new();
    let in_processes = watched(&needles, || {
        id = start(&address, &body);
        becomes(&address, &id, "awaiting_approval");
        let mut found = vec![];
        // Sealed it lies there all the time.
        holders(&scene.site.data(), &needles, &mut found);
        assert_eq!(found, [""; 0], "while it waits");
        decide(&address, &id, "approve");
        becomes(&address, &id, "success");
    });
    assert_eq!(in_processes, BTreeSet::new(), "somebody who lists processes sees it");

    let told = becomes(&address, &id, "success");
    let log = get(&address, &format!("/api/runs/{id}/logs")).text();
    assert!(log.contains("done-being-loud") && log.contains("raw: ***"), "{log}");
    let failing = scene.body(json!({
        "git_url": scene.hosting.url("closed/nowhere.git"), "auto_approve": true,
        "git_auth": { "type": "http", "username": USER, "password": PASSWORD },
    }));
    let failed = becomes(&address, &start(&address, &failing), "failed");
    let mut places = vec![
        ("status".to_owned(), told.to_string()),
        ("status of what failed".to_owned(), failed.to_string()),
        ("stream".to_owned(), format!("{:?}", stream(&address, &id, None))),
        ("log of the daemon".to_owned(), scene.site.daemon_log()),
    ];
    for path in ["/deploy", "/metrics", "/api/runs", &format!("/api/runs/{id}"), "/api/status", "/openapi.json"] {
        places.push((path.to_owned(), get(&address, path).text()));
    }
    for args in [&["run", "show", &id][..], &["deploy", "status", &id], &["run", "logs", &id], &["deploy", "list"]] {
        places.push((args.join(" "), scene.site.piton(args.iter().copied()).to_string()));
    }
    for (place, text) in places {
        assert_eq!(holds(text.as_bytes(), &needles), None, "{place}: {text}");
    }
    // Once more with everything at rest; the state, in which the code keeps its output, is the code's own.
    assert_eq!(daemon.shutdown(), 0);
    let mut found = vec![];
    holders(scene.site.path(), &needles, &mut found);
    found.retain(|file| !file.contains("/code/terraform.tfstate"));
    assert_eq!(found, [""; 0]);
}
