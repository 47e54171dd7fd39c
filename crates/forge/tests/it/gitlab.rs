//! GitLab: groups, names that are taken, second runs.

use std::time::Duration;

use piton_forge::{Owner, Pushed, Visibility, Wanted};
use piton_model::FailureClass;
use piton_testkit::forges::{Act, Fault, Flavour, READ_ONLY, TOKEN};
use piton_testkit::repository::git;

use crate::scene::{RUN, Scene, check, commit, develop, of_another, wanted};

#[tokio::test]
async fn a_repository_is_made_and_filled() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = Wanted { topics: vec!["Go".to_owned()], ..wanted("123", "my-service") };
    let published = scene.forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(published.pushed, Pushed::Made);
    assert!(published.repository.created);
    assert_eq!(published.repository.full_name, "team/my-service");
    assert_eq!(published.commit, commit().id());
    check(&scene.clone("team/my-service"));
    let (description, topics, branch) = scene.server.about("team/my-service").unwrap();
    assert_eq!(
        (description, topics, branch.as_str()),
        (format!("A service (run:{RUN})"), vec!["Go".to_owned()], "main")
    );
    // One request more would be one too many: the group, a look, the making, the push.
    let asked: Vec<String> = scene.server.asked().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(asked, ["GET", "GET", "POST", "POST"]);
}

#[tokio::test]
async fn owners_are_found_by_number_by_path_and_by_token() {
    let scene = Scene::new(Flavour::GitLab);
    for (owner, full_name) in [
        ("124", "company/team/a"),
        ("company/team", "company/team/b"),
        ("", "robot/c"),
        ("robot", "robot/d"),
        ("1", "robot/e"),
    ] {
        let name = full_name.rsplit('/').next().unwrap();
        let published = scene.forge.publish(&wanted(owner, name), &commit()).await.unwrap();
        assert_eq!(published.repository.full_name, full_name, "{owner}");
        check(&scene.clone(full_name));
    }
    let error = scene.forge.publish(&wanted("nobody", "x"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("forge_not_found", FailureClass::Permanent));
    assert!(error.to_string().contains("nobody"), "{error}");
    // GitLab itself judges a group that it does not show.
    let error = scene.forge.publish(&wanted("999", "x"), &commit()).await.unwrap_err();
    assert!(error.to_string().contains("namespace is not valid"), "{error}");
}

#[tokio::test]
async fn a_second_run_finds_its_own_and_pushes_nothing() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = wanted("123", "a");
    let first = scene.forge.publish(&wanted, &commit()).await.unwrap();
    let second = scene.forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(second.pushed, Pushed::AlreadyThere);
    assert_eq!((second.repository.id, second.repository.created), (first.repository.id, false));
    assert_eq!(scene.server.names(), ["team/a"]);
    check(&scene.clone("team/a"));
}

/// A repository that was made, and stored as such, may be pushed to by whoever comes after a crash.
#[tokio::test]
async fn a_stored_repository_may_be_pushed_to_again() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = wanted("123", "a");
    let repository = scene.forge.ensure_repository(&wanted, commit().id()).await.unwrap();
    let stored = serde_json::to_string(&repository).unwrap();
    let repository = serde_json::from_str(&stored).unwrap();
    for pushed in [Pushed::Made, Pushed::AlreadyThere] {
        assert_eq!(scene.forge.push(&repository, &wanted, &commit()).await.unwrap(), pushed);
    }
    let head = develop(&scene.server.repository("team/a"), "main", "new");
    let pushed = scene.forge.push(&repository, &wanted, &commit()).await.unwrap();
    assert_eq!(pushed, Pushed::MovedOn { head: head.parse().unwrap() });
}

#[tokio::test]
async fn what_people_did_since_is_left_as_it_is() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = Wanted { topics: vec!["Go".to_owned()], ..wanted("123", "a") };
    scene.forge.publish(&wanted, &commit()).await.unwrap();
    let head = develop(&scene.server.repository("team/a"), "main", "new");
    let again = scene.forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(again.pushed, Pushed::MovedOn { head: head.parse().unwrap() });
    assert_eq!(scene.clone("team/a").head, head);
}

#[tokio::test]
async fn a_repository_of_others_is_never_touched() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = wanted("team", "a");
    // Another run's.
    scene.forge.publish(&of_another(&wanted), &crate::packs::other_commit()).await.unwrap();
    let before = scene.clone("team/a").head;
    let error = scene.forge.publish(&wanted, &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("repository_taken", FailureClass::Permanent));
    assert!(error.to_string().contains("team/a") && error.hint().is_some(), "{error}");
    assert_eq!(scene.clone("team/a").head, before);
    // An empty one without a mark.
    scene.server.add_repository("team", "b", "mine").unwrap();
    let empty = Wanted { name: "b".parse().unwrap(), ..wanted.clone() };
    let error = scene.forge.publish(&empty, &commit()).await.unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
    let adopted = scene.forge.publish(&Wanted { adopt_empty: true, ..empty }, &commit()).await.unwrap();
    assert_eq!((adopted.pushed, adopted.repository.created), (Pushed::Made, false));
    check(&scene.clone("team/b"));
    // Not even when empty ones may be used.
    let error = scene.forge.publish(&Wanted { adopt_empty: true, ..wanted }, &commit()).await.unwrap_err();
    assert_eq!(error.code(), "repository_taken");
}

#[tokio::test]
async fn the_commit_is_a_mark_as_well() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = wanted("123", "a");
    scene.forge.publish(&wanted, &commit()).await.unwrap();
    // Somebody wrote a better description.
    let at = scene.server.repository("team/a");
    let other = scene.server.add_repository("team", "b", "A better description").unwrap();
    git(&at, ["push", "-q", other.to_str().unwrap(), "main"]).unwrap();
    let again = Wanted { name: "b".parse().unwrap(), ..wanted };
    assert_eq!(scene.forge.publish(&again, &commit()).await.unwrap().pushed, Pushed::AlreadyThere);
}

#[tokio::test]
async fn a_branch_with_other_commits_is_a_conflict() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = wanted("123", "a");
    let repository = scene.forge.ensure_repository(&wanted, commit().id()).await.unwrap();
    let head = develop(&scene.server.repository("team/a"), "main", "first");
    for _ in 0..2 {
        // The refused push leaves the commit behind, which must not be taken for ours being there.
        let error = scene.forge.push(&repository, &wanted, &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("branch_taken", FailureClass::Permanent));
        assert!(error.to_string().contains(&head), "{error}");
    }
    assert_eq!(scene.clone("team/a").head, head);
}

#[tokio::test]
async fn another_branch_is_made_and_shown_first() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = Wanted { branch: "trunk".parse().unwrap(), ..wanted("123", "a") };
    scene.forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!(scene.clone("team/a").branch, "trunk");
    assert_eq!(scene.server.about("team/a").unwrap().2, "trunk");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (token, code, said) in [
        ("wrong-token", "forge_unauthorized", "401 Unauthorized"),
        (READ_ONLY, "forge_forbidden", "insufficient_scope"),
    ] {
        let scene = Scene::with(Flavour::GitLab, token);
        let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, FailureClass::Permanent));
        assert!(error.to_string().contains(said) && error.hint().is_some(), "{error}");
        assert!(!format!("{error} {error:?}").contains(token), "{error:?}");
        assert!(scene.server.names().is_empty());
    }
    let scene = Scene::new(Flavour::GitLab);
    let error = scene.forge.publish(&wanted("123", "badges"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("forge_refused", FailureClass::Permanent));
    assert!(error.to_string().contains("badges is a reserved name"), "{error}");
}

#[tokio::test]
async fn a_forge_that_is_busy_says_when_to_come_back() {
    let scene = Scene::new(Flavour::GitLab);
    let header = |name, value: &str| (name, value.to_owned());
    for (status, headers, body, code, wait) in [
        (429, vec![header("retry-after", "60")], "Retry later\n", "forge_rate_limited", Some(60)),
        (429, vec![], "Retry later\n", "forge_rate_limited", None),
        (503, vec![header("retry-after", "5")], "<html></html>", "forge_unavailable", Some(5)),
        (500, vec![], r#"{"message":"500 Internal Server Error"}"#, "forge_unavailable", None),
        (502, vec![], "<html></html>", "forge_unavailable", None),
    ] {
        for (method, path) in
            [("GET", "/groups/"), ("POST", "/projects"), ("POST", "receive-pack"), ("GET", "info/refs")]
        {
            scene.server.fail(Fault { method, path, act: Act::Answer(status, headers.clone(), body.to_owned()) });
            let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
            assert_eq!((error.code(), error.class()), (code, FailureClass::Transient), "{status} {path}");
            assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{status} {path}");
            if path == "/groups/" {
                assert!(scene.server.names().is_empty());
            }
        }
        scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap();
        check(&scene.clone("team/a"));
        scene.server.remove("team/a").unwrap();
    }
}

#[tokio::test]
async fn a_protected_branch_is_told_precisely() {
    let scene = Scene::new(Flavour::GitLab);
    let words = "GitLab: You are not allowed to push code to protected branches on this project.";
    scene.server.refuse_pushes(words).unwrap();
    let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("branch_protected", FailureClass::Permanent));
    assert!(error.to_string().contains(words) && error.hint().unwrap().contains("Maintainer"), "{error}");
    scene.server.refuse_pushes("GitLab: Commit message does not follow the pattern").unwrap();
    let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("push_hook_declined", FailureClass::Permanent));
    assert!(error.to_string().contains("does not follow the pattern"), "{error}");
}

#[tokio::test]
async fn a_group_that_is_not_shown_is_searched() {
    let scene = Scene::new(Flavour::GitLab);
    let hide = || {
        for path in ["/groups/", "/namespaces/"] {
            let body = r#"{"message":"404 Group Not Found"}"#.to_owned();
            scene.server.fail(Fault { method: "GET", path, act: Act::Answer(404, Vec::new(), body) });
        }
    };
    // More than one page holds, which have the name in theirs.
    for number in 0..130 {
        scene.server.add_repository("company/team", &format!("a-{number}"), "").unwrap();
    }
    let wanted = Wanted { owner: Owner::Id(123), ..wanted("", "a") };
    hide();
    let first = scene.forge.publish(&wanted, &commit()).await.unwrap();
    assert_eq!((first.pushed, first.repository.full_name.as_str()), (Pushed::Made, "team/a"));
    hide();
    assert_eq!(scene.forge.publish(&wanted, &commit()).await.unwrap().pushed, Pushed::AlreadyThere);
    hide();
    let error = scene.forge.publish(&of_another(&wanted), &crate::packs::other_commit()).await.unwrap_err();
    assert_eq!(error.code(), "repository_taken");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::new(Flavour::GitLab);
    let away = vec![("location", "https://elsewhere.example.org/api/v4/x".to_owned())];
    for path in ["/projects/", "info/refs"] {
        if path == "info/refs" {
            // What is there already is looked at first.
            scene.forge.ensure_repository(&wanted("123", "a"), commit().id()).await.unwrap();
        }
        scene.server.fail(Fault { method: "GET", path, act: Act::Answer(301, away.clone(), String::new()) });
        let error = scene.forge.publish(&wanted("123", "a"), &commit()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("forge_redirected", FailureClass::Permanent));
        assert!(error.to_string().contains("elsewhere.example.org"), "{error}");
    }
}

#[tokio::test]
async fn the_token_is_sent_as_gitlab_wants_it_and_is_in_no_path() {
    let scene = Scene::new(Flavour::GitLab);
    let wanted = Wanted { visibility: Visibility::Public, ..wanted("123", "a") };
    scene.forge.publish(&wanted, &commit()).await.unwrap();
    for asked in scene.server.asked() {
        assert!(!asked.path.contains(TOKEN), "{asked:?}");
        // Also for the first request of git, which others send without and are told to come again.
        let header = asked.authorization.unwrap();
        assert!(header == TOKEN || header.starts_with("Basic "), "{header}");
    }
}
