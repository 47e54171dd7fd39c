//! The GitLab that the tests are made with is one: python-gitlab, which others wrote for the real one, is satisfied with it
//! and sees what Piton made there; and Piton is told of what python-gitlab made what it should be.

use std::path::Path;
use std::process::Command;

use piton_forge::{Pushed, Wanted};
use piton_model::FailureClass;
use piton_testkit::forges::{Act, Fault, Flavour, READ_ONLY, TOKEN};
use serde_json::Value;

use crate::scene::{RUN, Scene, check, commit, wanted};

#[tokio::test]
async fn an_independent_client_and_ours_agree_about_it() {
    let scene = Scene::new(Flavour::GitLab);
    let ours = Wanted { topics: vec!["Go".to_owned()], ..wanted("123", "ours") };
    let published = scene.forge.publish(&ours, &commit()).await.unwrap();
    // For one of its requests, as GitLab's documentation has it.
    let busy = Act::Answer(429, vec![("retry-after", "1".to_owned())], "Retry later\n".to_owned());
    scene.server.fail(Fault { method: "GET", path: "/projects/robot%2Fmine", act: busy });

    let told = python(&scene.server.url());
    assert_eq!(told["head"], published.commit.to_string());
    assert!(scene.server.asked().iter().any(|asked| asked.path == "/api/v4/projects/team%2Fours"));

    // What it made without a mark is a stranger's, also when it is empty.
    let error = scene.forge.publish(&wanted("123", "theirs"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("repository_taken", FailureClass::Permanent));
    // What it made with ours is ours, and protected.
    let error = scene.forge.publish(&wanted("123", "guarded"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("branch_protected", FailureClass::Permanent));
    let other = Wanted { branch: "trunk".parse().unwrap(), ..wanted("123", "guarded") };
    assert_eq!(scene.forge.publish(&other, &commit()).await.unwrap().pushed, Pushed::Made);
    check(&scene.clone("team/ours"));
}

/// What the script says at its end. It needs what `scripts/setup-tests` installs.
#[expect(clippy::disallowed_methods, reason = "the client is a program of its own")]
fn python(url: &str) -> Value {
    let python = std::env::var("PITON_TEST_PYTHON_GITLAB")
        .expect("PITON_TEST_PYTHON_GITLAB is not set: run scripts/setup-tests, then `. target/test-tools/env`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_gitlab.py");
    let output = Command::new(python).arg(script).args([url, TOKEN, READ_ONLY, RUN]).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "python-gitlab is not satisfied:\n{said}{wrong}");
    serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {said}"))
}
