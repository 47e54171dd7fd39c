//! The adapter for Google Workspace.

use std::time::Duration;

use piton_model::FailureClass::{Permanent, Transient};
use piton_model::JobType;
use piton_provision::{BreakerRules, Request, Settings};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply};
use crate::fake_google::{Google, error};
use crate::scene::{Scene, kind, request, settings};

const ADA: &str = "ada@example.org";

async fn scene() -> (Google, Scene) {
    let google = Google::start().await;
    let scene = Scene::new(Settings { google: Some(google.settings()), ..Settings::default() });
    google.lives_by(&scene.clock);
    (google, scene)
}

fn about(job_type: JobType, payload: Value) -> Request {
    let body = json!({
        "employee": {"workEmail": ADA, "fullName": "Ada Lovelace", "department": "Engines", "jobTitle": "Countess"},
        "applications": {"google": true},
        "job_type": job_type.as_str(),
        "payload": payload,
    });
    request(job_type, body)
}

fn provision() -> Request {
    let mut request = about(JobType::Provision, Value::Null);
    request.body["applications"] = json!({"google-workspace": {
        "groups": ["eng@example.org", "all@example.org"],
        "licenses": [{"product": "Google-Apps", "sku": "1010020027"}],
    }});
    request
}

fn with_groups(google: &Google) {
    let groups = ["eng@example.org", "all@example.org"].map(|group| (group.to_owned(), [].into()));
    google.state.lock().unwrap().groups = groups.into();
}

async fn with_ada(google: &Google, scene: &Scene) {
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    google.fake.forget();
}

#[tokio::test]
async fn an_account_is_made_with_groups_and_licence_and_again_is_the_same() {
    let (google, scene) = scene().await;
    with_groups(&google);
    let answer = scene.carry_out(&provision()).await.unwrap();
    let user = google.user(ADA);
    assert_eq!(user["name"], json!({"givenName": "Ada", "familyName": "Lovelace"}));
    assert_eq!(user["organizations"], json!([{"primary": true, "department": "Engines", "title": "Countess"}]));
    assert_eq!(user["changePasswordAtNextLogin"], true);
    {
        let state = google.state.lock().unwrap();
        assert!(state.groups.values().all(|members| members.contains(ADA)));
        assert_eq!(state.licenses.len(), 1);
    }
    let kept = serde_json::to_string(&answer).unwrap();
    assert!(!kept.contains("Pt1!") && !kept.contains("ya29") && !kept.contains("assertion"), "{kept}");
    assert_eq!(answer.exchanges.len(), 5, "token, account, two groups, licence");

    scene.carry_out(&provision()).await.unwrap();
    assert_eq!(google.user(ADA), user);
    assert_eq!(google.state.lock().unwrap().licenses.len(), 1);
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_last_one_stopped() {
    let (google, scene) = scene().await;
    with_groups(&google);
    google.fail_once(
        "POST /admin/directory/v1/groups/all@",
        503,
        error(503, "global", "backendError", "Backend Error"),
    );
    let failed = scene.carry_out(&provision()).await.unwrap_err();
    assert_eq!(kind(&failed.failure), (Transient, "target_busy"));
    assert_eq!(failed.answer.unwrap().exchanges.len(), 4, "what was done is kept");
    assert!(google.state.lock().unwrap().licenses.is_empty());
    scene.carry_out(&Request { attempt: 2, ..provision() }).await.unwrap();
    let state = google.state.lock().unwrap();
    assert!(state.groups.values().all(|members| members.contains(ADA)) && state.licenses.len() == 1);
}

#[tokio::test]
async fn a_new_account_that_is_not_known_everywhere_is_waited_for() {
    let (google, scene) = scene().await;
    google.state.lock().unwrap().groups = [("eng@example.org".to_owned(), [].into())].into();
    let unknown = error(404, "global", "notFound", "Resource Not Found: memberKey");
    google.fail_once("POST /admin/directory/v1/groups/eng@", 404, unknown);
    assert_eq!(kind(&scene.failure(&provision()).await), (Transient, "provider_settling"));
    // A group that there is not does not come by itself.
    assert_eq!(kind(&scene.failure(&provision()).await), (Permanent, "group_missing"));
    assert!(google.state.lock().unwrap().groups["eng@example.org"].contains(ADA));
    with_groups(&google);
    scene.carry_out(&provision()).await.unwrap();
}

#[tokio::test]
async fn another_persons_account_is_left_alone() {
    let (google, scene) = scene().await;
    let bob = json!({"id": "7", "primaryEmail": ADA, "name": {"givenName": "Adam", "familyName": "Smith"}});
    google.state.lock().unwrap().users.insert(ADA.to_owned(), bob.clone());
    assert_eq!(kind(&scene.failure(&provision()).await), (Permanent, "account_exists"));
    assert_eq!(google.user(ADA), bob);
    // An alias of somebody.
    let aliased = json!({"id": "7", "primaryEmail": "bob@example.org", "aliases": [ADA],
        "name": {"givenName": "Ada", "familyName": "Lovelace"}});
    google.state.lock().unwrap().users = [("bob@example.org".to_owned(), aliased)].into();
    assert_eq!(kind(&scene.failure(&provision()).await), (Permanent, "account_exists"));
    // Made by an earlier execution of this very request, and renamed since.
    let ours = json!({"id": "7", "primaryEmail": ADA, "name": {"givenName": "A.", "familyName": "L."},
        "externalIds": [{"type": "custom", "customType": "piton", "value": provision().id}]});
    google.state.lock().unwrap().users = [(ADA.to_owned(), ours)].into();
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
}

#[tokio::test]
async fn quotas_pass_and_missing_rights_do_not() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    let suspend = about(JobType::Suspend, Value::Null);
    for (status, domain, reason, expected) in [
        (403, "usageLimits", "quotaExceeded", (Transient, "target_busy")),
        (403, "usageLimits", "userRateLimitExceeded", (Transient, "target_busy")),
        (429, "usageLimits", "rateLimitExceeded", (Transient, "target_busy")),
        (500, "global", "backendError", (Transient, "target_failed")),
        (403, "global", "forbidden", (Permanent, "provider_forbidden")),
        (400, "global", "invalid", (Permanent, "target_refused")),
    ] {
        google.fail_once("PUT", status, error(status, domain, reason, "No more."));
        let failure = scene.failure(&suspend).await;
        assert_eq!(kind(&failure), expected, "{reason}");
        assert!(failure.message.contains("No more.") && failure.hint.is_some(), "{failure:?}");
    }
    scene.carry_out(&suspend).await.unwrap();
    assert_eq!(google.user(ADA)["suspended"], true);
}

#[tokio::test]
async fn tokens_are_kept_until_they_end_and_replaced_when_they_are_refused() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    let tokens = || google.fake.lines().iter().filter(|line| line.ends_with("/token")).count();
    let suspend = about(JobType::Suspend, Value::Null);
    scene.carry_out(&suspend).await.unwrap();
    scene.clock.advance(Duration::from_secs(3500));
    scene.carry_out(&suspend).await.unwrap();
    assert_eq!(tokens(), 0);
    scene.clock.advance(Duration::from_secs(40));
    scene.carry_out(&suspend).await.unwrap();
    assert_eq!(tokens(), 1, "one that is about to end is not used");
    google.revoke();
    scene.carry_out(&suspend).await.unwrap();
    assert_eq!(tokens(), 2);
    google.fail_once("PUT", 401, error(401, "global", "authError", "Invalid Credentials"));
    google.fail_once("PUT", 401, error(401, "global", "authError", "Invalid Credentials"));
    assert_eq!(kind(&scene.failure(&suspend).await), (Permanent, "provider_credentials"));
}

#[tokio::test]
async fn a_token_that_does_not_come_keeps_nobody_from_those_that_are_there() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    google.state.lock().unwrap().hangs = Some("apps.licensing");
    let waiting = scene.spawn(about(JobType::ModifyLicense, json!({"add": ["Google-Apps/new"]})));
    google.fake.wait_for(1).await;
    let suspend = about(JobType::Suspend, Value::Null);
    let suspended = tokio::time::timeout(Duration::from_secs(30), scene.carry_out(&suspend)).await;
    suspended.expect("nobody waits for the token of another scope").unwrap();
    waiting.abort();
}

#[tokio::test]
async fn what_is_not_called_after_something_was_counts_as_a_try() {
    let google = Google::start().await;
    let target = Fake::start(|_| Reply::text(200, "ok")).await;
    let breaker = BreakerRules { failures: 1, ..BreakerRules::default() };
    let scene = Scene::new(Settings { google: Some(google.settings()), breaker, ..settings(&target.url) });
    google.lives_by(&scene.clock);
    with_ada(&google, &scene).await;
    let alone = about(JobType::Suspend, Value::Null);
    google.fail_once("PUT", 500, error(500, "global", "backendError", "Backend Error"));
    assert_eq!(kind(&scene.failure(&alone).await), (Transient, "target_failed"));
    assert_eq!(kind(&scene.failure(&alone).await), (Transient, "target_open"));
    let mut both = alone;
    both.body["applications"] = json!({"google": true, "slack": true});
    let failed = scene.carry_out(&both).await.unwrap_err();
    assert_eq!(kind(&failed.failure), (Transient, "target_busy"), "what was posted is posted again");
    assert!(failed.retry_after.is_some_and(|after| !after.is_zero()), "{:?}", failed.retry_after);
    assert_eq!(target.lines(), ["POST /"]);
}

#[tokio::test]
async fn bad_credentials_are_told() {
    let (google, _) = scene().await;
    let settings = piton_provision::GoogleSettings { admin: "gone@example.org".to_owned(), ..google.settings() };
    let scene = Scene::new(Settings { google: Some(settings), ..Settings::default() });
    let failure = scene.failure(&provision()).await;
    assert_eq!(kind(&failure), (Permanent, "provider_credentials"));
    assert!(failure.message.contains("invalid_grant: Invalid email or User ID"), "{}", failure.message);

    // Only what is needed is asked for: without groups and licences the scope of users is enough.
    google.state.lock().unwrap().delegated = Some(vec!["admin.directory.user"]);
    let scene = Scene::new(Settings { google: Some(google.settings()), ..Settings::default() });
    let failure = scene.failure(&provision()).await;
    assert!(failure.message.contains("unauthorized_client"), "{}", failure.message);
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    let mut stranger = about(JobType::Suspend, Value::Null);
    stranger.body["employee"]["workEmail"] = "ada@elsewhere.org".into();
    assert_eq!(kind(&scene.failure(&stranger).await), (Permanent, "wrong_domain"));
}

#[tokio::test]
async fn accounts_are_suspended_reactivated_and_deleted() {
    let (google, scene) = scene().await;
    assert_eq!(kind(&scene.failure(&about(JobType::Suspend, Value::Null)).await), (Permanent, "account_missing"));
    with_ada(&google, &scene).await;
    for (job_type, suspended) in [
        (JobType::Suspend, true),
        (JobType::Reactivate, false),
        (JobType::Reactivate, false),
        (JobType::Terminate, true),
    ] {
        scene.carry_out(&about(job_type, Value::Null)).await.unwrap();
        assert_eq!(google.user(ADA)["suspended"], suspended, "{job_type}");
    }
    for _ in 0..2 {
        scene.carry_out(&about(JobType::Terminate, json!({"action": "delete"}))).await.unwrap();
        assert_eq!(google.user(ADA), Value::Null);
    }
    let unknown = about(JobType::Terminate, json!({"action": "archive"}));
    assert_eq!(kind(&scene.failure(&unknown).await), (Permanent, "request_incomplete"));
}

#[tokio::test]
async fn a_password_is_reset_and_not_kept() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    let reset = about(JobType::PasswordReset, json!({"password": "correct horse", "change_at_next_login": false}));
    let answer = scene.carry_out(&reset).await.unwrap();
    let user = google.user(ADA);
    assert_eq!((&user["password"], &user["changePasswordAtNextLogin"]), (&json!("correct horse"), &json!(false)));
    assert!(!serde_json::to_string(&answer).unwrap().contains("correct horse"));
    // Nor is its beginning, where a long message is cut in the midst of it.
    let said = format!("{} correct horse", "x".repeat(503));
    google.fail_once("PUT", 400, error(400, "global", "invalid", &said));
    let failure = scene.failure(&reset).await;
    assert_eq!(kind(&failure), (Permanent, "target_refused"));
    assert!(failure.message.contains("xxx") && !failure.message.contains("cor"), "{}", failure.message);
}

#[tokio::test]
async fn groups_licences_and_roles_are_given_and_taken_twice_over() {
    let (google, scene) = scene().await;
    with_groups(&google);
    with_ada(&google, &scene).await;
    google.state.lock().unwrap().groups.get_mut("all@example.org").unwrap().insert(ADA.to_owned());
    let old = ("Google-Apps".to_owned(), "old".to_owned(), ADA.to_owned());
    google.state.lock().unwrap().licenses.insert(old);
    google.state.lock().unwrap().assignments.push(("a9".to_owned(), "1".to_owned(), format!("id-{ADA}")));
    let groups = json!({"add": ["eng@example.org"], "remove": ["all@example.org"]});
    let licenses = json!({"add": ["Google-Apps/new"], "remove": [{"productId": "Google-Apps", "skuId": "old"}]});
    let roles = json!({"add": ["help desk"], "remove": ["_SEED_ADMIN_ROLE"]});
    for _ in 0..2 {
        scene.carry_out(&about(JobType::ModifyGroups, groups.clone())).await.unwrap();
        scene.carry_out(&about(JobType::ModifyLicense, licenses.clone())).await.unwrap();
        scene.carry_out(&about(JobType::ModifyRole, roles.clone())).await.unwrap();
        let state = google.state.lock().unwrap();
        assert!(state.groups["eng@example.org"].contains(ADA) && state.groups["all@example.org"].is_empty());
        let skus: Vec<&str> = state.licenses.iter().map(|(_, sku, _)| sku.as_str()).collect();
        assert_eq!(skus, ["new"]);
        let roles: Vec<&str> = state.assignments.iter().map(|(_, role, _)| role.as_str()).collect();
        assert_eq!(roles, ["2"]);
    }
    for (job_type, payload, code) in [
        (JobType::ModifyGroups, json!({"add": ["no@example.org"]}), "group_missing"),
        (JobType::ModifyGroups, json!({}), "request_incomplete"),
        (JobType::ModifyRole, json!({"add": ["King"]}), "role_missing"),
        (JobType::ModifyLicense, json!({"add": ["Google-Apps"]}), "request_incomplete"),
    ] {
        assert_eq!(kind(&scene.failure(&about(job_type, payload)).await), (Permanent, code));
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_not_read_for_ever() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    google.state.lock().unwrap().endless = true;
    let request = about(JobType::ModifyRole, json!({"add": ["Help Desk"]}));
    let failure = tokio::time::timeout(Duration::from_secs(60), scene.failure(&request)).await;
    assert_eq!(kind(&failure.expect("it comes to an end")), (Transient, "target_failed"));
}

#[tokio::test]
async fn files_are_handed_over_once() {
    let (google, scene) = scene().await;
    with_ada(&google, &scene).await;
    let to = json!({"to": "Bob@example.org", "services": ["drive", "calendar"]});
    let transfer = about(JobType::TransferOwnership, to);
    assert_eq!(kind(&scene.failure(&transfer).await), (Permanent, "account_missing"));
    let bob = json!({"id": "id-bob", "primaryEmail": "bob@example.org"});
    google.state.lock().unwrap().users.insert("bob@example.org".to_owned(), bob);
    for _ in 0..2 {
        scene.carry_out(&transfer).await.unwrap();
    }
    let state = google.state.lock().unwrap();
    assert_eq!(state.transfers.len(), 1);
    assert_eq!(state.transfers[0]["newOwnerUserId"], "id-bob");
    assert_eq!(state.transfers[0]["applicationDataTransfers"][0]["applicationId"], "55656082996");
    assert_eq!(state.transfers[0]["applicationDataTransfers"].as_array().unwrap().len(), 2);
}
