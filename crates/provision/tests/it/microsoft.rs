//! The adapter for Microsoft 365.

use std::time::Duration;

use piton_model::FailureClass::{Permanent, Transient};
use piton_model::JobType;
use piton_model::Secret;
use piton_provision::{MicrosoftSettings, Request, Settings};
use serde_json::{Value, json};

use crate::fake_graph::{E3, E5, ENGINEERS, Graph, error};
use crate::scene::{Scene, kind, request};

const ADA: &str = "ada@contoso.example";

async fn scene() -> (Graph, Scene) {
    let graph = Graph::start().await;
    let scene = Scene::new(Settings { microsoft: Some(graph.settings()), ..Settings::default() });
    (graph, scene)
}

fn about(job_type: JobType, payload: Value) -> Request {
    let body = json!({
        "employee": {"workEmail": ADA, "fullName": "Ada Lovelace", "department": "Engines"},
        "applications": {"microsoft": true},
        "job_type": job_type.as_str(),
        "payload": payload,
    });
    request(job_type, body)
}

fn provision() -> Request {
    let mut request = about(JobType::Provision, Value::Null);
    request.body["applications"] =
        json!({"microsoft-365": {"groups": ["Ada's engineers"], "licenses": ["ENTERPRISEPACK"]}});
    request
}

#[tokio::test]
async fn an_account_is_made_with_groups_and_licence_and_again_is_the_same() {
    let (graph, scene) = scene().await;
    let answer = scene.carry_out(&provision()).await.unwrap();
    let user = graph.user(ADA);
    assert_eq!((&user["displayName"], &user["mailNickname"]), (&json!("Ada Lovelace"), &json!("ada")));
    assert_eq!((&user["accountEnabled"], &user["usageLocation"]), (&json!(true), &json!("DE")));
    assert_eq!(user["assignedLicenses"], json!([{"skuId": E3, "disabledPlans": []}]));
    assert!(graph.state.lock().unwrap().members.contains(user["id"].as_str().unwrap()));
    let kept = serde_json::to_string(&answer).unwrap();
    assert!(!kept.contains("Pt1!") && !kept.contains("eyJ-") && !kept.contains("client~secret"), "{kept}");

    scene.carry_out(&provision()).await.unwrap();
    assert_eq!(graph.user(ADA), user);

    let mut misspelt = provision();
    misspelt.body["employee"]["workEmail"] = "new@contoso.example".into();
    misspelt.body["applications"]["microsoft-365"]["groups"] = json!(["Nobody"]);
    assert_eq!(kind(&scene.failure(&misspelt).await), (Permanent, "group_missing"));
    assert_eq!(graph.user("new@contoso.example"), Value::Null, "nothing was begun");
}

#[tokio::test]
async fn an_account_that_is_not_known_everywhere_yet_is_finished_later() {
    let (graph, scene) = scene().await;
    graph.state.lock().unwrap().lagging = true;
    assert_eq!(kind(&scene.failure(&provision()).await), (Transient, "provider_settling"));
    assert!(graph.user(ADA)["id"].is_string());
    graph.state.lock().unwrap().lagging = false;
    scene.carry_out(&Request { attempt: 2, ..provision() }).await.unwrap();
    assert_eq!(graph.state.lock().unwrap().members.len(), 1);
    assert_eq!(graph.fake.lines().iter().filter(|line| *line == "POST /v1.0/users").count(), 1);
}

#[tokio::test]
async fn another_persons_account_is_left_alone() {
    let (graph, scene) = scene().await;
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    let mut other = about(JobType::Provision, Value::Null);
    other.body["employee"]["fullName"] = "Adam Smith".into();
    assert_eq!(kind(&scene.failure(&other).await), (Permanent, "account_exists"));
    assert_eq!(graph.user(ADA)["displayName"], "Ada Lovelace");
    // It was deleted, is not to be seen, and keeps its name.
    graph.state.lock().unwrap().lagging = true;
    assert_eq!(kind(&scene.failure(&other).await), (Permanent, "account_exists"));
}

#[tokio::test]
async fn throttling_passes_and_missing_rights_do_not() {
    let (graph, scene) = scene().await;
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    let suspend = about(JobType::Suspend, Value::Null);
    let wait = vec![("retry-after", "10".to_owned())];
    graph.fail_once("PATCH", 429, wait, error("TooManyRequests", "Too many requests"));
    let failed = scene.carry_out(&suspend).await.unwrap_err();
    assert_eq!(kind(&failed.failure), (Transient, "target_busy"));
    assert_eq!(failed.retry_after, Some(Duration::from_secs(10)));
    scene.clock.advance(Duration::from_secs(10));
    for (status, code, expected) in [
        (503, "serviceNotAvailable", (Transient, "target_busy")),
        (504, "UnknownError", (Transient, "target_failed")),
        (403, "Authorization_RequestDenied", (Permanent, "provider_forbidden")),
        (400, "Request_BadRequest", (Permanent, "target_refused")),
    ] {
        graph.fail_once("PATCH", status, Vec::new(), error(code, "Insufficient privileges to complete the operation."));
        let failure = scene.failure(&suspend).await;
        assert_eq!(kind(&failure), expected);
        assert!(failure.message.contains("Insufficient privileges") && failure.hint.is_some(), "{failure:?}");
    }
    scene.carry_out(&suspend).await.unwrap();
}

#[tokio::test]
async fn expired_tokens_are_replaced_and_bad_secrets_told() {
    let (graph, scene) = scene().await;
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    graph.state.lock().unwrap().oldest = 2;
    graph.fake.forget();
    scene.carry_out(&about(JobType::Suspend, Value::Null)).await.unwrap();
    let lines = graph.fake.lines();
    assert_eq!(lines.iter().filter(|line| line.ends_with("/token")).count(), 1, "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");

    let settings = MicrosoftSettings { client_secret: Secret::new("expired~secret".to_owned()), ..graph.settings() };
    let scene = Scene::new(Settings { microsoft: Some(settings), ..Settings::default() });
    let failed = scene.carry_out(&provision()).await.unwrap_err();
    assert_eq!(kind(&failed.failure), (Permanent, "provider_credentials"));
    assert!(failed.failure.message.contains("AADSTS7000215"), "{}", failed.failure.message);
    assert!(!format!("{failed:?}").contains("expired~secret"));
}

#[tokio::test]
async fn accounts_are_disabled_enabled_and_deleted() {
    let (graph, scene) = scene().await;
    assert_eq!(kind(&scene.failure(&about(JobType::Suspend, Value::Null)).await), (Permanent, "account_missing"));
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    for (job_type, enabled, sessions_ended) in
        [(JobType::Suspend, false, 1), (JobType::Reactivate, true, 1), (JobType::Terminate, false, 2)]
    {
        scene.carry_out(&about(job_type, Value::Null)).await.unwrap();
        assert_eq!(graph.user(ADA)["accountEnabled"], enabled, "{job_type}");
        assert_eq!(graph.state.lock().unwrap().sessions_ended, sessions_ended);
    }
    for _ in 0..2 {
        scene.carry_out(&about(JobType::Terminate, json!({"microsoft": {"action": "delete"}}))).await.unwrap();
        assert_eq!(graph.user(ADA), Value::Null);
    }
}

#[tokio::test]
async fn groups_licences_and_roles_are_given_and_taken_twice_over() {
    let (graph, scene) = scene().await;
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    for (add, remove, sku) in [(vec!["enterprisepack"], vec![E5], E3), (vec![E5], vec!["ENTERPRISEPACK"], E5)] {
        for _ in 0..2 {
            let licenses = json!({"add": add, "remove": remove});
            scene.carry_out(&about(JobType::ModifyLicense, licenses)).await.unwrap();
            assert_eq!(graph.user(ADA)["assignedLicenses"], json!([{"skuId": sku, "disabledPlans": []}]));
        }
    }
    let named = json!(["Ada's engineers"]);
    for (change, members) in [("add", 1), ("add", 1), ("remove", 0), ("remove", 0)] {
        let mut payload = json!({});
        payload[change] = if members == 1 { named.clone() } else { json!([ENGINEERS]) };
        scene.carry_out(&about(JobType::ModifyGroups, payload)).await.unwrap();
        assert_eq!(graph.state.lock().unwrap().members.len(), members);
    }
    for (change, assigned) in [("add", 1), ("add", 1), ("remove", 0), ("remove", 0)] {
        let mut payload = json!({});
        payload[change] = json!(["Helpdesk Administrator"]);
        scene.carry_out(&about(JobType::ModifyRole, payload)).await.unwrap();
        assert_eq!(graph.state.lock().unwrap().assignments.len(), assigned);
    }
    for (job_type, name, code) in [
        (JobType::ModifyGroups, "Nobody", "group_missing"),
        (JobType::ModifyRole, "King", "role_missing"),
        (JobType::ModifyLicense, "E99", "license_missing"),
    ] {
        assert_eq!(kind(&scene.failure(&about(job_type, json!({"add": [name]}))).await), (Permanent, code));
    }
}

#[tokio::test]
async fn what_graph_cannot_do_is_told() {
    let graph = Graph::start().await;
    let settings = MicrosoftSettings { usage_location: None, ..graph.settings() };
    let scene = Scene::new(Settings { microsoft: Some(settings), ..Settings::default() });
    assert_eq!(kind(&scene.failure(&provision()).await), (Permanent, "usage_location_missing"));
    let mut located = provision();
    located.body["applications"]["microsoft-365"]["usage_location"] = "FR".into();
    scene.carry_out(&located).await.unwrap();
    assert_eq!(
        (&graph.user(ADA)["usageLocation"], graph.user(ADA)["assignedLicenses"].as_array().unwrap().len()),
        (&json!("FR"), 1)
    );
    let transfer = about(JobType::TransferOwnership, json!({"to": "bob@contoso.example"}));
    assert_eq!(kind(&scene.failure(&transfer).await), (Permanent, "transfer_unsupported"));
}

#[tokio::test]
async fn a_password_is_reset_and_not_kept() {
    let (graph, scene) = scene().await;
    scene.carry_out(&about(JobType::Provision, Value::Null)).await.unwrap();
    let answer = scene.carry_out(&about(JobType::PasswordReset, json!({"password": "correct horse"}))).await.unwrap();
    let profile = json!({"password": "correct horse", "forceChangePasswordNextSignIn": true});
    assert_eq!(graph.user(ADA)["passwordProfile"], profile);
    assert!(!serde_json::to_string(&answer).unwrap().contains("correct horse"));
}

#[tokio::test]
async fn the_http_target_comes_first_and_sees_only_what_is_left() {
    let graph = Graph::start().await;
    let target = crate::fake::Fake::start(|_| crate::fake::Reply::text(202, "queued")).await;
    let settings = Settings { microsoft: Some(graph.settings()), ..crate::scene::settings(&target.url) };
    let scene = Scene::new(settings);
    let mut request = about(JobType::Provision, Value::Null);
    request.body["applications"] = json!({"microsoft": true, "google": true});
    let answer = scene.carry_out(&request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (Some(202), "queued"));
    assert_eq!(answer.exchanges.len(), 4, "the target, a token, a look, an account");
    assert_eq!(target.asked()[0].json()["applications"], json!({"google": true}));
    assert!(graph.user(ADA)["id"].is_string());
}
