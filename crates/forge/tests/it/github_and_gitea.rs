//! GitHub, Gitea and Forgejo.

use piton_forge::{Pushed, Visibility, Wanted};
use piton_model::FailureClass;
use piton_testkit::forges::{Act, Fault, Flavour, READ_ONLY};

use crate::scene::{Scene, check, commit, develop, of_another, wanted};

const BOTH: [Flavour; 2] = [Flavour::GitHub, Flavour::Gitea];

#[tokio::test]
async fn repositories_of_organisations_and_users_are_made_and_filled() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        for (owner, full_name) in [("team", "team/a"), ("", "robot/b"), ("Robot", "robot/c")] {
            let name = full_name.rsplit('/').next().unwrap();
            let wanted = Wanted { topics: vec!["Go".to_owned(), "Web UI".to_owned()], ..wanted(owner, name) };
            let published = scene.forge.publish(&wanted, &commit()).await.unwrap();
            assert_eq!((published.pushed, published.repository.full_name.as_str()), (Pushed::Made, full_name));
            check(&scene.clone(full_name));
            assert_eq!(scene.server.about(full_name).unwrap().1, ["go", "web-ui"], "{flavour:?}");
            let again = scene.forge.publish(&wanted, &commit()).await.unwrap();
            assert_eq!((again.pushed, again.repository.created), (Pushed::AlreadyThere, false));
        }
        let error = scene.forge.publish(&wanted("nobody", "x"), &commit()).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Permanent);
        assert!(error.to_string().contains("nobody"), "{flavour:?} {error}");
    }
}

#[tokio::test]
async fn names_that_are_taken_are_told_apart_from_our_own() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        let wanted = wanted("team", "a");
        scene.forge.publish(&of_another(&wanted), &crate::packs::other_commit()).await.unwrap();
        let error = scene.forge.publish(&wanted, &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("repository_taken", FailureClass::Permanent), "{flavour:?}");
        // The look did not show it, the making says that it is there: as when two are equally fast.
        scene.server.fail(Fault { method: "GET", path: "/repos/team/a", act: not_found() });
        let error = scene.forge.publish(&wanted, &commit()).await.unwrap_err();
        assert_eq!(error.code(), "repository_taken", "{flavour:?}");
        scene.server.add_repository("team", "b", "").unwrap();
        let empty = Wanted { name: "b".parse().unwrap(), ..wanted };
        assert!(scene.forge.publish(&empty, &commit()).await.unwrap_err().to_string().contains("empty"));
        scene.forge.publish(&Wanted { adopt_empty: true, ..empty }, &commit()).await.unwrap();
        check(&scene.clone("team/b"));
    }
}

#[tokio::test]
async fn what_was_pushed_since_stays() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        let wanted = wanted("team", "a");
        scene.forge.publish(&wanted, &commit()).await.unwrap();
        let head = develop(&scene.server.repository("team/a"), "main", "new");
        let again = scene.forge.publish(&wanted, &commit()).await.unwrap();
        assert_eq!(again.pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    }
}

#[tokio::test]
async fn a_branch_with_other_commits_is_a_conflict() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        let wanted = wanted("team", "a");
        let repository = scene.forge.ensure_repository(&wanted, commit().id()).await.unwrap();
        let head = develop(&scene.server.repository("team/a"), "main", "first");
        for _ in 0..2 {
            // The refused push leaves the commit behind, which must not be taken for ours being there.
            let error = scene.forge.push(&repository, &wanted, &commit()).await.unwrap_err();
            assert_eq!((error.code(), error.class()), ("branch_taken", FailureClass::Permanent));
        }
        assert_eq!(scene.clone("team/a").head, head);
    }
}

#[tokio::test]
async fn the_wanted_branch_is_shown_first() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        let wanted = Wanted { branch: "trunk".parse().unwrap(), ..wanted("team", "a") };
        scene.forge.publish(&wanted, &commit()).await.unwrap();
        assert_eq!(scene.server.about("team/a").unwrap().2, "trunk", "{flavour:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for flavour in BOTH {
        for (token, code) in [("wrong-token", "forge_unauthorized"), (READ_ONLY, "forge_forbidden")] {
            let scene = Scene::with(flavour, token);
            let error = scene.forge.publish(&wanted("team", "a"), &commit()).await.unwrap_err();
            assert_eq!((error.code(), error.class()), (code, FailureClass::Permanent), "{flavour:?}");
        }
        let scene = Scene::new(flavour);
        let said = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
        let act = Act::Answer(403, vec![("retry-after", "120".to_owned())], said.to_owned());
        scene.server.fail(Fault { method: "POST", path: "/repos", act });
        let error = scene.forge.publish(&wanted("team", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("forge_rate_limited", FailureClass::Transient));
        assert_eq!(error.retry_after().unwrap().as_secs(), 120);
    }
}

#[tokio::test]
async fn what_a_forge_lacks_is_said_before_anything_is_made() {
    for flavour in BOTH {
        let scene = Scene::new(flavour);
        for wanted in [wanted("123", "a"), wanted("company/team", "a")] {
            let error = scene.forge.publish(&wanted, &commit()).await.unwrap_err();
            assert_eq!(error.code(), "forge_unsupported");
        }
        let internal = Wanted { visibility: Visibility::Internal, ..wanted("team", "a") };
        let made = scene.forge.publish(&internal, &commit()).await;
        match flavour {
            Flavour::Gitea => assert_eq!(made.unwrap_err().code(), "forge_unsupported"),
            _ => assert!(made.is_ok()),
        }
    }
}

fn not_found() -> Act {
    Act::Answer(404, Vec::new(), r#"{"message":"Not Found"}"#.to_owned())
}
