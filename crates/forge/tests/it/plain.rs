//! Servers that know nothing but git.

use piton_forge::{Access, Forge, Pushed, Settings};
use piton_model::{FailureClass, Secret};
use piton_testkit::forges::{Act, Fault, Flavour, TOKEN};

use crate::scene::{Clone, Scene, check, commit, develop, prepare, replace, wanted};

fn basic() -> Access {
    Access::Basic { username: "anybody".to_owned(), password: Secret::new(TOKEN.to_owned()) }
}

#[tokio::test]
async fn an_empty_repository_is_filled_over_http() {
    let scene = Scene::new(Flavour::GitLab);
    let at = scene.server.add_repository("team", "a", "").unwrap();
    let pattern = format!("{}/{{namespace}}/{{name}}.git", scene.server.url());
    let forge = Forge::plain(&pattern, &basic(), Settings::default()).unwrap();
    let wanted = wanted("team", "a");
    let published = forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!((published.pushed, published.repository.created), (Pushed::Made, false));
    check(&scene.clone("team/a"));
    assert_eq!(forge.publish(&wanted, &commit()).await.unwrap().pushed, Pushed::AlreadyThere);
    let head = develop(&at, "main", "new");
    let again = forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(again.pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    // The repository still has our commit, but the branch does not go back to it.
    replace(&at);
    let error = forge.publish(&wanted, &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("branch_taken", FailureClass::Permanent));
}

#[tokio::test]
async fn a_server_that_does_not_say_what_a_branch_was_made_of_has_not_said_that_it_is_ours() {
    let scene = Scene::new(Flavour::GitLab);
    let at = scene.server.add_repository("team", "a", "").unwrap();
    let pattern = format!("{}/{{namespace}}/{{name}}.git", scene.server.url());
    let forge = Forge::plain(&pattern, &basic(), Settings::default()).unwrap();
    let wanted = wanted("team", "a");
    forge.publish(&wanted, &commit()).await.unwrap();
    develop(&at, "main", "new");
    for (status, code, class) in [
        (403, "branch_taken", FailureClass::Permanent),
        (404, "branch_taken", FailureClass::Permanent),
        (503, "forge_unavailable", FailureClass::Transient),
    ] {
        let act = Act::Answer(status, Vec::new(), String::new());
        scene.server.fail(Fault { method: "POST", path: "/git-upload-pack", act });
        let error = forge.publish(&wanted, &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, class), "{status}");
    }
}

#[tokio::test]
async fn a_repository_with_other_branches_is_not_ours() {
    let scene = Scene::new(Flavour::GitLab);
    let at = scene.server.add_repository("team", "a", "").unwrap();
    develop(&at, "other", "new");
    let pattern = format!("{}/{{namespace}}/{{name}}.git", scene.server.url());
    let forge = Forge::plain(&pattern, &basic(), Settings::default()).unwrap();
    let error = forge.publish(&wanted("team", "a"), &commit()).await.unwrap_err();
    assert_eq!(error.code(), "repository_taken");
}

#[tokio::test]
async fn who_may_not_push_is_told_why() {
    let scene = Scene::new(Flavour::GitLab);
    scene.server.add_repository("team", "a", "").unwrap();
    let pattern = format!("{}/{{namespace}}/{{name}}.git", scene.server.url());
    let wrong = Access::Basic { username: "x".to_owned(), password: Secret::new("wrong-password".to_owned()) };
    let bearer = Access::Bearer(Secret::new("wrong-password".to_owned()));
    for access in [Access::Anybody, wrong, bearer] {
        let forge = Forge::plain(&pattern, &access, Settings::default()).unwrap();
        let error = forge.publish(&wanted("team", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("forge_unauthorized", FailureClass::Permanent));
    }
    let forge = Forge::plain(&pattern, &basic(), Settings::default()).unwrap();
    let error = forge.publish(&wanted("team", "missing"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("forge_not_found", FailureClass::Permanent));
}

#[tokio::test]
async fn a_bearer_is_sent_as_such() {
    let scene = Scene::new(Flavour::GitLab);
    let pattern = format!("{}/{{name}}.git", scene.server.url());
    let access = Access::Bearer(Secret::new("s0me-token".to_owned()));
    let forge = Forge::plain(&pattern, &access, Settings::default()).unwrap();
    forge.publish(&wanted("", "a"), &commit()).await.unwrap_err();
    assert_eq!(scene.server.asked()[0].authorization.as_deref(), Some("Bearer s0me-token"));
}

#[tokio::test]
async fn a_repository_on_this_disk_is_made_and_filled() {
    prepare();
    let dir = tempfile::tempdir().unwrap();
    let pattern = format!("file://{}/{{namespace}}/{{name}}.git", dir.path().display());
    Forge::plain(&pattern, &Access::Anybody, Settings::default()).unwrap_err();
    // A directory that nobody has made yet.
    let private = dir.path().join("not/yet");
    let settings = Settings { allow_file: true, private_dir: Some(private.clone()), ..Settings::default() };
    let forge = Forge::plain(&pattern, &Access::Anybody, settings).unwrap();
    let wanted = wanted("team", "a");
    let published = forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!((published.pushed, published.repository.created), (Pushed::Made, true));
    let at = dir.path().join("team/a.git");
    let found = Clone::of(at.to_str().unwrap());
    check(&found);
    assert_eq!(found.branch, "main");
    assert_eq!(forge.publish(&wanted, &commit()).await.unwrap().pushed, Pushed::AlreadyThere);
    let head = develop(&at, "main", "new");
    let again = forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(again.pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    replace(&at);
    assert_eq!(forge.publish(&wanted, &commit()).await.unwrap_err().code(), "branch_taken");
    // Nothing is left of making it.
    assert_eq!(std::fs::read_dir(private).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(dir.path().join("team")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_no_repository_is_told_so() {
    prepare();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let pattern = format!("file://{}/{{name}}", dir.path().display());
    let settings = Settings { allow_file: true, ..Settings::default() };
    let forge = Forge::plain(&pattern, &Access::Anybody, settings).unwrap();
    let error = forge.publish(&wanted("", "a"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("forge_not_found", FailureClass::Permanent));
}
