//! Each phase of a deployment, held open: decided about, cancelled, and survived.

use std::fs;
use std::path::PathBuf;

use piton_testkit::repository::repository;
use serde_json::{Value, json};

use crate::runner::{Behind, Door, Scene, becomes, decide, lines, reaches, start, status, stream};
use crate::site::until;

const STATE: &str = r#"{"version":4,"terraform_version":"1.6.0","serial":1,
    "lineage":"00000000-0000-4000-8000-000000000000","outputs":{},"resources":[]}"#;

const PHASES: [&str; 6] = ["queued", "cloning", "init", "plan", "approval", "apply"];

/// A deployment that stays in a phase until it is let go.
struct Held {
    scene: Scene,
    phase: &'static str,
    door: Door,
    go: PathBuf,
}

impl Held {
    fn new(phase: &'static str) -> Held {
        let site = tempfile::tempdir().unwrap().keep();
        let (go, effects) = (site.join("go"), site.join("effects"));
        let wait = if phase == "apply" {
            format!("while [ ! -e {} ]; do sleep 0.02; done", go.display())
        } else {
            "true".to_owned()
        };
        let effects = effects.display();
        let scene = Scene::new("");
        let server = Behind::Server(scene.hosting.address());
        let door = Door::shut(if phase == "plan" { Behind::Answer(STATE) } else { server });
        let more = match phase {
            "init" => format!("module \"m\" {{ source = \"git::{}\" }}\n", door.url("open/module.git")),
            "plan" => format!(
                "data \"terraform_remote_state\" \"it\" {{\n  backend = \"http\"\n  config  = {{ address = \"{}\" }}\n}}\n",
                door.url("state")
            ),
            _ => String::new(),
        };
        let code = format!(
            r#"{more}resource "terraform_data" "it" {{
  provisioner "local-exec" {{
    command = "echo begin >> {effects}; {wait}; for i in 1 2 3 4 5; do echo line $i of 5; done; echo end >> {effects}"
  }}
}}
"#
        );
        repository(scene.root.path(), "open/held.git", &[&[("main.tf", &code)]]).unwrap();
        repository(scene.root.path(), "open/module.git", &[&[("main.tf", "output \"it\" { value = 1 }\n")]]).unwrap();
        let scene = if phase == "queued" { scene.env("PITON_IAC__MAX_CONCURRENT_DEPLOYMENTS", "1") } else { scene };
        Held { scene, phase, door, go }
    }

    /// Starts it, and waits until it is in its phase.
    fn start(&self, address: &str) -> String {
        let url = match self.phase {
            "queued" => {
                let stuck = start(address, &self.scene.body(json!({ "git_url": self.door.url("open/app.git") })));
                reaches(address, &stuck, "cloning");
                self.scene.hosting.url("open/held.git")
            }
            "cloning" => self.door.url("open/held.git"),
            _ => self.scene.hosting.url("open/held.git"),
        };
        let id = start(address, &self.scene.body(json!({ "git_url": url })));
        match self.phase {
            "queued" => assert_eq!(status(address, &id)["queued"], true),
            "cloning" | "init" | "plan" => reaches(address, &id, self.phase),
            _ => drop(becomes(address, &id, "awaiting_approval")),
        }
        if self.phase == "apply" {
            assert_eq!(decide(address, &id, "approve").0, 200);
            until("the apply has begun", || self.effects() == "begin\n");
        }
        id
    }

    fn effects(&self) -> String {
        fs::read_to_string(self.go.with_file_name("effects")).unwrap_or_default()
    }

    fn let_go(&self) {
        self.door.open();
        fs::write(&self.go, "").unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
        let _ = fs::remove_dir_all(self.go.parent().unwrap());
    }
}

#[test]
fn a_deployment_can_be_cancelled_in_every_phase() {
    for phase in PHASES {
        let held = Held::new(phase);
        let daemon = held.scene.site.serve();
        let address = daemon.address();
        let id = held.start(&address);
        if phase != "approval" {
            for what in ["approve", "reject"] {
                let (code, word) = decide(&address, &id, what);
                assert_eq!(code, 409, "{what} while {phase}: {word}");
            }
        }
        assert_eq!(decide(&address, &id, "cancel"), (200, "Cancellation requested".to_owned()), "{phase}");
        let told = becomes(&address, &id, "cancelled");
        assert_eq!((&told["phase"], &told["outcome"]), (&json!("completed"), &json!("cancelled")), "{phase}: {told:#}");
        assert!(told["error"].as_str().unwrap().contains("cancelled by anonymous"), "{phase}: {told:#}");
        for what in ["cancel", "approve", "reject"] {
            assert_eq!(decide(&address, &id, what).0, 409, "{what} after {phase}");
        }
        assert_eq!(held.effects(), if phase == "apply" { "begin\n" } else { "" }, "{phase}");
        let sent = stream(&address, &id, None);
        assert_eq!(sent.last().map(|sent| sent.data.as_str()), Some("cancelled"), "{phase}");
        held.let_go();
        held.scene.site.audit();
    }
}

#[test]
fn a_killed_daemon_loses_and_repeats_nothing_in_any_phase() {
    for phase in PHASES {
        let held = Held::new(phase);
        let daemon = held.scene.site.serve();
        let address = daemon.address();
        let id = held.start(&address);
        let before = status(&address, &id);
        let so_far = follow_what_is_there(&address, &id);
        daemon.kill();

        let daemon = held.scene.site.serve();
        let address = daemon.address();
        let after = status(&address, &id);
        for member in ["deployment_id", "status", "submitted_at", "approval"] {
            assert_eq!(before[member], after[member], "{phase}: {member}");
        }
        held.let_go();
        if phase != "apply" {
            becomes(&address, &id, "awaiting_approval");
            assert_eq!(held.effects(), "", "{phase}: applied before it was approved");
            let digest = status(&address, &id)["approval"]["digest"].clone();
            assert!(phase != "approval" || digest == before["approval"]["digest"], "another plan is asked about");
            assert_eq!(decide(&address, &id, "approve").0, 200, "{phase}");
        }
        let told = becomes(&address, &id, "success");
        assert_eq!(held.effects(), "begin\nend\n", "{phase}: applied once");
        let whole = stream(&address, &id, None);
        let printed: Vec<String> =
            lines(&whole).into_iter().filter(|line| line.contains("(local-exec): line ")).collect();
        assert_eq!(printed.len(), 5, "{phase}: {printed:?}");
        assert!(
            (1..=5).zip(&printed).all(|(i, line)| line.ends_with(&format!("line {i} of 5"))),
            "{phase}: {printed:?}"
        );
        assert_eq!(lines(&whole).iter().filter(|line| line.contains("Apply complete!")).count(), 1, "{phase}");
        // Whoever followed before the crash goes on where they were.
        let seen = so_far.len();
        assert_eq!(so_far, whole[..seen], "{phase}");
        let last = so_far.last().and_then(|sent| sent.id);
        assert_eq!(stream(&address, &id, last), whole[seen..], "{phase}");
        assert_eq!(told["error"], Value::from(""), "{phase}");
        held.scene.site.audit();
        drop(daemon);
    }
}

/// The events of the lines that are in the log by now; the log itself is asked, since the stream goes on.
fn follow_what_is_there(address: &str, id: &str) -> Vec<crate::runner::Sent> {
    let text = crate::wire::get(address, &format!("/api/runs/{id}/logs")).text();
    let mut at = 0;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| {
            at += line.len() as u64;
            let data = line.trim_end_matches(['\n', '\r']).to_owned();
            crate::runner::Sent { event: "log".to_owned(), id: Some(at), data }
        })
        .collect()
}
