//! Secrets are nowhere but where they are needed.

use std::fs;
use std::path::Path;

use crate::site::Site;

const SECRET: &str = "correct-horse-battery-staple";

#[test]
fn secrets_are_in_no_log_and_no_answer() {
    let site = Site::new();
    let code = r#"
variable "password" {
  type      = string
  sensitive = true
}
variable "token" { type = string }
resource "terraform_data" "user" {
  input = var.password
  provisioner "local-exec" { command = "echo the token is $TOKEN; printf %s $TOKEN | base64; echo ${nonsensitive(var.password)}" }
}
output "password" {
  value     = var.password
  sensitive = true
}
output "token" { value = "<${var.token}>" }
"#;
    let config = format!(
        r#"{{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip", "vars": {{ "password": "{SECRET}" }},
            "env": {{ "TOKEN": "{SECRET}", "TF_VAR_token": "{SECRET}" }} }}"#
    );
    site.workspace("everest", &config, code);
    let said = site.piton(["workspace", "deploy", "everest"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET), "{said}");
    let outputs = site.json(["workspace", "outputs", "everest"]);
    assert!(outputs["password"]["value"].is_null());
    assert_eq!(outputs["token"]["value"], "<***>", "what is declared in `env` is secret");
    let run = site.runs("workspace/everest").pop().unwrap();
    assert!(!run.to_string().contains(SECRET), "{run:#}");
    let log = site.log(run["id"].as_str().unwrap());
    assert!(log.contains("the token is ***"), "{log}");
    assert!(!log.contains("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ"), "the secret is in the log in base64");
    let found = holders(&site.data().join("runs"));
    assert!(found.is_empty(), "the secret is in {found:?}");
}

fn holders(directory: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(holders(&entry.path()));
        } else if fs::read(entry.path()).unwrap().windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
