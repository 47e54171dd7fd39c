//! Pushes over SSH, to a real server.

use piton_forge::{Access, Forge, Kind, Pushed, Settings, SshKey};
use piton_model::{FailureClass, Secret};
use piton_testkit::forges::{Act, Fault, Flavour, TOKEN};
use piton_testkit::sshd::Sshd;

use crate::scene::{Scene, check, commit, develop, replace, wanted};

fn key(private: String, known_hosts: String) -> SshKey {
    SshKey { private_key: Secret::new(private), passphrase: None, known_hosts }
}

fn settings(key: SshKey, private: &std::path::Path) -> Settings {
    Settings { ssh: Some(key), private_dir: Some(private.to_owned()), ..Settings::default() }
}

#[tokio::test]
async fn an_empty_repository_is_filled_over_ssh() {
    let scene = Scene::new(Flavour::GitLab);
    let at = scene.server.add_repository("team", "a", "").unwrap();
    let sshd = Sshd::start_writable(scene.dir.path()).unwrap();
    let pattern = sshd.url("{namespace}/{name}.git");
    let private = tempfile::tempdir().unwrap();
    let good = key(sshd.key().unwrap(), sshd.known_host().unwrap());
    let forge = Forge::plain(&pattern, &Access::Anybody, settings(good, private.path())).unwrap();
    let wanted = wanted("team", "a");
    let pushed = forge.publish(&wanted, &commit()).await.map_err(|error| format!("{error} {}", sshd.log())).unwrap();
    assert_eq!(pushed.pushed, Pushed::Made);
    check(&scene.clone("team/a"));
    assert_eq!(forge.publish(&wanted, &commit()).await.unwrap().pushed, Pushed::AlreadyThere);
    let head = develop(&at, "main", "new");
    let again = forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(again.pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    replace(&at);
    assert_eq!(forge.publish(&wanted, &commit()).await.unwrap_err().code(), "branch_taken");
    assert_eq!(sshd.asked()[0], "git-receive-pack /team/a.git");
    // No key is left behind.
    assert_eq!(std::fs::read_dir(private.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_key_is_unlocked_without_anybody_being_asked() {
    let scene = Scene::new(Flavour::GitLab);
    let sshd = Sshd::start_writable(scene.dir.path()).unwrap();
    let private = tempfile::tempdir().unwrap();
    for (given, name, works) in [("pass phrase'$x", "a", true), ("wrong", "b", false)] {
        scene.server.add_repository("team", name, "").unwrap();
        let key = SshKey {
            private_key: Secret::new(sshd.locked_key("pass phrase'$x").unwrap()),
            passphrase: Some(Secret::new(given.to_owned())),
            known_hosts: sshd.known_host().unwrap(),
        };
        let settings = settings(key, private.path());
        let forge = Forge::plain(&sshd.url("team/{name}.git"), &Access::Anybody, settings).unwrap();
        match forge.publish(&wanted("", name), &commit()).await {
            Ok(_) => assert!(works),
            Err(error) => assert!(!works && error.code() == "forge_unauthorized", "{error} {}", sshd.log()),
        }
    }
    assert_eq!(std::fs::read_dir(private.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_does_not_work_over_ssh_is_told_apart() {
    let scene = Scene::new(Flavour::GitLab);
    scene.server.add_repository("team", "a", "").unwrap();
    let sshd = Sshd::start_writable(scene.dir.path()).unwrap();
    let (user, stranger) = (sshd.key().unwrap(), sshd.stranger().unwrap());
    let (known, otherwise) = (sshd.known_host().unwrap(), sshd.known_otherwise().unwrap());
    let pattern = sshd.url("team/{name}.git");
    let private = tempfile::tempdir().unwrap();
    for (key, name, code) in [
        (key(stranger, known.clone()), "a", "forge_unauthorized"),
        (key(user.clone(), otherwise), "a", "git_host_unknown"),
        (key(user.clone(), String::new()), "a", "git_host_unknown"),
        (key(user.clone(), known.clone()), "missing", "forge_not_found"),
        (key("no key".to_owned(), known), "a", "forge_unauthorized"),
    ] {
        let forge = Forge::plain(&pattern, &Access::Anybody, settings(key, private.path())).unwrap();
        let error = forge.publish(&wanted("", name), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, FailureClass::Permanent), "{error} {}", sshd.log());
    }
    let readable = Sshd::start(scene.dir.path()).unwrap();
    let good = key(readable.key().unwrap(), readable.known_host().unwrap());
    let forge =
        Forge::plain(&readable.url("team/{name}.git"), &Access::Anybody, settings(good, private.path())).unwrap();
    let error = forge.publish(&wanted("", "a"), &commit()).await.unwrap_err();
    assert!(error.to_string().contains("not served"), "{error}");
    assert!(Forge::plain(&pattern, &Access::Anybody, Settings::default()).is_err(), "a key is needed");
}

/// The interface is asked over HTTP, and the push goes where it says over SSH.
#[tokio::test]
async fn a_forge_is_asked_over_http_and_pushed_to_over_ssh() {
    let scene = Scene::new(Flavour::GitLab);
    let sshd = Sshd::start_writable(scene.dir.path()).unwrap();
    let private = tempfile::tempdir().unwrap();
    let good = key(sshd.key().unwrap(), sshd.known_host().unwrap());
    let token = Secret::new(TOKEN.to_owned());
    let forge = Forge::hosted(Kind::GitLab, &scene.server.url(), &token, settings(good, private.path())).unwrap();
    let wanted = wanted("123", "a");
    let mut repository = forge.ensure_repository(&wanted, commit().id()).await.unwrap();
    repository.ssh_url = Some(sshd.url("team/a.git"));
    assert_eq!(forge.push(&repository, &wanted, &commit()).await.unwrap(), Pushed::Made);
    check(&scene.clone("team/a"));
    let head = develop(&scene.server.repository("team/a"), "main", "new");
    let pushed = forge.push(&repository, &wanted, &commit()).await.unwrap();
    assert_eq!(pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    let gone = Act::Answer(404, Vec::new(), String::new());
    scene.server.fail(Fault { method: "GET", path: "/merge_base", act: gone });
    assert_eq!(forge.push(&repository, &wanted, &commit()).await.unwrap_err().code(), "branch_taken");
}
