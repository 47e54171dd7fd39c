//! Connections that break, and programs that die, at every point of the way.

use piton_forge::{Commit, Forge, Kind, Pushed, Settings, Wanted, Words};
use piton_model::guard::Guard;
use piton_model::{FailureClass, Secret};
use piton_testkit::forges::{Act, Fault, Flavour, TOKEN};

use crate::scene::{RUN, Scene, check, commit, hosted, prepare, tree, wanted, words};

/// Whatever breaks first, one more try ends with one repository and one commit.
#[tokio::test]
async fn one_repository_and_one_commit_wherever_the_connection_breaks() {
    for flavour in [Flavour::GitLab, Flavour::GitHub, Flavour::Gitea] {
        for (method, path) in
            [("GET", "/api/"), ("POST", "/api/"), ("GET", "info/refs"), ("POST", "receive-pack"), ("PUT", "/api/")]
        {
            for act in [Act::CutBefore, Act::CutAfter] {
                let scene = Scene::new(flavour);
                let wanted = Wanted { topics: vec!["go".to_owned()], ..wanted("team", "a") };
                let what = format!("{flavour:?} {method} {path} {act:?}");
                if path == "info/refs" {
                    // What is there already is looked at first.
                    scene.forge.ensure_repository(&wanted, commit().id()).await.unwrap();
                }
                scene.server.fail(Fault { method, path, act: act.clone() });
                match scene.forge.publish(&wanted, &commit()).await {
                    Ok(_) => {
                        // GitLab is told the topics when the repository is made.
                        assert!(flavour == Flavour::GitLab && method == "PUT", "{what}: the fault was not met");
                    }
                    Err(error) => {
                        assert_eq!(error.class(), FailureClass::Transient, "{what}: {error}");
                        // As after a restart: nothing is known of the first try.
                        let again = hosted(flavour, &scene.server.url(), TOKEN);
                        let published = again.publish(&wanted, &commit()).await.unwrap();
                        let pushed = (method, path, &act);
                        let is_there = matches!(pushed, ("POST", "receive-pack", Act::CutAfter) | ("PUT", ..));
                        assert_eq!(published.pushed == Pushed::AlreadyThere, is_there, "{what}");
                    }
                }
                assert_eq!(scene.server.names(), ["team/a"], "{what}");
                assert_eq!(scene.server.about("team/a").unwrap().1, ["go"], "{what}");
                check(&scene.clone("team/a"));
            }
        }
    }
}

/// Two workers that know nothing of each other were given the same job at different times.
#[tokio::test]
async fn the_commit_of_another_try_of_the_same_run_counts_as_ours() {
    for flavour in [Flavour::GitLab, Flavour::GitHub, Flavour::Gitea] {
        let scene = Scene::new(flavour);
        let wanted = wanted("team", "a");
        let first = scene.forge.publish(&wanted, &commit()).await.unwrap().commit;
        let later = Words { date: "2026-03-04T05:06:08Z".parse().unwrap(), ..words(RUN) };
        let twin = Commit::build(&tree(), &later).unwrap();
        assert_ne!(twin.id(), first);
        let published = scene.forge.publish(&wanted, &twin).await.unwrap();
        assert_eq!((published.pushed, published.commit), (Pushed::Twin { commit: first }, first), "{flavour:?}");
        assert_eq!(scene.clone("team/a").commits, 1);
    }
}

#[tokio::test]
async fn many_at_once_make_one() {
    for flavour in [Flavour::GitLab, Flavour::GitHub, Flavour::Gitea] {
        let scene = Scene::new(flavour);
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let (forge, wanted) = (hosted(flavour, &scene.server.url(), TOKEN), wanted("team", "a"));
                tokio::spawn(async move { forge.publish(&wanted, &commit()).await })
            })
            .collect();
        let mut made = 0;
        for one in tries {
            match one.await.unwrap() {
                Ok(published) => made += usize::from(published.pushed == Pushed::Made),
                // The branch came into being between the look and the push.
                Err(error) => assert_eq!((error.code(), error.class()), ("push_raced", FailureClass::Transient)),
            }
        }
        assert!(made <= 1, "{made} have made it");
        assert_eq!(scene.server.names(), ["team/a"]);
        check(&scene.clone("team/a"));
    }
}

#[tokio::test]
async fn nobody_listening_is_transient_and_names_the_host() {
    prepare();
    let gone = {
        let scene = Scene::new(Flavour::GitLab);
        scene.server.url()
    };
    let error = hosted(Flavour::GitLab, &gone, TOKEN).publish(&wanted("123", "a"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("forge_unreachable", FailureClass::Transient));
    assert!(error.to_string().contains("127.0.0.1") && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_forge_is_told_so() {
    let scene = Scene::new(Flavour::GitLab);
    let page = "<!DOCTYPE html><html>Sign in</html>".to_owned();
    for (method, path) in [
        ("GET", "/groups/"),
        ("GET", "/projects/"),
        ("POST", "/projects"),
        ("POST", "receive-pack"),
        ("GET", "info/refs"),
    ] {
        scene.server.fail(Fault { method, path, act: Act::Answer(200, Vec::new(), page.clone()) });
        let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("forge_answer_invalid", FailureClass::Permanent), "{path}");
    }
    // More than anybody has to say.
    let act = Act::Answer(200, Vec::new(), "x".repeat(5 << 20));
    scene.server.fail(Fault { method: "GET", path: "/groups/", act });
    let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[tokio::test]
async fn blocked_addresses_are_not_contacted() {
    let scene = Scene::new(Flavour::GitLab);
    let token = Secret::new(TOKEN.to_owned());
    let loopback = Guard::new(["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()));
    let port = scene.server.url().rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let settings = Settings { reach: loopback.clone(), allow_http: true, ..Settings::default() };
        let forge = Forge::hosted(Kind::GitLab, &format!("http://{host}:{port}"), &token, settings).unwrap();
        let error = forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("blocked_address", FailureClass::Permanent), "{host}: {error}");
    }
    for host in ["169.254.169.254", "[fe80::1]", "0.0.0.0", "2852039166"] {
        let forge = Forge::hosted(Kind::GitLab, &format!("https://{host}"), &token, Settings::default()).unwrap();
        let error = forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
        assert_eq!(error.code(), "blocked_address", "{host}");
    }
    assert!(scene.server.asked().is_empty());
}
