//! The HTTP target.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use piton_model::JobType;
use piton_model::guard::Guard;
use piton_model::{FailureClass, Secret};
use piton_provision::{BreakerRules, LONGEST_BODY, MayBegin, Rate, Settings, asking};
use ring::hmac;
use serde_json::json;
use tokio::net::TcpListener;

use crate::fake::{Fake, Reply};
use crate::scene::{Scene, kind, request, settings};

const SECOND: Duration = Duration::from_secs(1);

/// Answers with these, one after the other.
async fn scripted(replies: impl IntoIterator<Item = Reply>) -> Fake {
    let mut replies: VecDeque<_> = replies.into_iter().collect();
    Fake::start(move |_| replies.pop_front().unwrap_or_else(|| Reply::text(200, "ok"))).await
}

fn provision() -> piton_provision::Request {
    let body =
        json!({"employee": {"fullName": "Ada Lovelace", "password": "hunter22"}, "applications": {"slack": true}});
    request(JobType::Provision, body)
}

#[tokio::test]
async fn a_request_is_posted_signed_and_kept_without_its_secrets() {
    let echo = json!({"id": "u-1", "note": "set hunter22", "access_token": "abc", "key": "s3cr3t-value"});
    let target = scripted([
        Reply::Answer(
            201,
            vec![("x-request-id", "r-9".to_owned()), ("set-cookie", "a=b".to_owned())],
            echo.to_string(),
        ),
        Reply::text(200, "again"),
    ])
    .await;
    let scene = Scene::new(Settings {
        secret: Some(Secret::new("signing-key".to_owned())),
        headers: [("X-Api-Key".to_owned(), Secret::new("s3cr3t-value".to_owned()))].into(),
        ..settings(&target.url)
    });
    let answer = scene.carry_out(&provision()).await.unwrap();
    assert_eq!(answer.status, Some(201));
    let masked = json!({"id": "u-1", "note": "set ***", "access_token": "***", "key": "***"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), masked);
    assert_eq!(answer.headers.get("x-request-id").unwrap(), "r-9");
    assert!(!answer.headers.contains_key("set-cookie"));
    let kept = serde_json::to_string(&answer).unwrap();
    assert!(!kept.contains("hunter22") && !kept.contains("s3cr3t") && kept.contains("Ada Lovelace"), "{kept}");

    let asked = target.asked().remove(0);
    assert_eq!(asked.line(), "POST /");
    assert_eq!(asked.json(), provision().body);
    assert_eq!(asked.header("idempotency-key"), provision().key);
    assert_eq!(asked.header("x-piton-schedule"), provision().id);
    assert_eq!(asked.header("x-piton-job-type"), "provision");
    assert_eq!(asked.header("x-api-key"), "s3cr3t-value");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"signing-key");
    let plain = hex::decode(asked.header("x-hub-signature-256").strip_prefix("sha256=").unwrap()).unwrap();
    hmac::verify(&key, asked.body.as_bytes(), &plain).unwrap();
    let (time, mac) = asked.header("x-piton-signature").split_once(",v1=").unwrap();
    let signed = format!("{}.{}", time.strip_prefix("t=").unwrap(), asked.body);
    hmac::verify(&key, signed.as_bytes(), &hex::decode(mac).unwrap()).unwrap();

    // The next attempt is the same but for its number and the time.
    scene.clock.advance(SECOND);
    let again = piton_provision::Request { attempt: 2, ..provision() };
    scene.carry_out(&again).await.unwrap();
    let second = target.asked().remove(1);
    assert_eq!((second.header("idempotency-key"), &second.body), (asked.header("idempotency-key"), &asked.body));
    assert_eq!((asked.header("x-piton-attempt"), second.header("x-piton-attempt")), ("1", "2"));
    assert_ne!(second.header("x-piton-signature"), asked.header("x-piton-signature"));
}

#[tokio::test]
async fn a_type_may_have_a_target_of_its_own() {
    let (usual, other) = (scripted([]).await, scripted([]).await);
    let mut settings = settings(&usual.url);
    settings.webhooks.insert(JobType::Suspend, format!("{}webhook/suspend", other.url));
    let scene = Scene::new(settings);
    let body = json!({"applications": {}, "job_type": "suspend", "payload": {}});
    scene.carry_out(&request(JobType::Suspend, body.clone())).await.unwrap();
    scene.carry_out(&request(JobType::Reactivate, body)).await.unwrap();
    assert_eq!((other.lines(), usual.lines()), (vec!["POST /webhook/suspend".to_owned()], vec!["POST /".to_owned()]));
}

#[tokio::test]
async fn answers_are_told_apart_and_kept() {
    let target = scripted([
        Reply::json(422, &json!({"error": "no workEmail", "password": "hunter22"})),
        Reply::text(500, "boom hunter22"),
        Reply::with(302, "location", "https://ada:pa55@login.example.org/x?token=abc"),
        Reply::with(429, "retry-after", "0"),
    ])
    .await;
    let scene = Scene::at(&target.url);
    for (class, code, told) in [
        (FailureClass::Permanent, "target_refused", "no workEmail"),
        (FailureClass::Transient, "target_failed", "boom ***"),
        (FailureClass::Permanent, "target_redirected", "https://login.example.org/x"),
        (FailureClass::Transient, "target_busy", "429"),
    ] {
        let failed = scene.carry_out(&provision()).await.unwrap_err();
        assert_eq!(kind(&failed.failure), (class, code));
        let message = &failed.failure.message;
        assert!(message.contains(told) && !message.contains("hunter22"), "{message}");
        assert!(!message.contains("token=abc") && !message.contains("pa55"), "{message}");
        let answer = failed.answer.unwrap();
        assert_eq!((answer.exchanges.len(), answer.exchanges[0].status), (1, answer.status));
        assert!(!serde_json::to_string(&answer).unwrap().contains("hunter22"));
    }
    assert_eq!(target.asked().len(), 4, "a redirect is not followed");
}

#[tokio::test]
async fn what_a_target_said_can_be_read_anywhere() {
    let said = "bad\0body \u{1b}[31m\u{202e}txt";
    let document = json!({"error": said}).to_string();
    let target = scripted([Reply::text(422, said), Reply::text(500, said), Reply::text(422, &document)]).await;
    let scene = Scene::at(&target.url);
    for _ in 0..3 {
        let failed = scene.carry_out(&provision()).await.unwrap_err();
        let (message, body) = (failed.failure.message, failed.answer.unwrap().body);
        for text in [&message, &body] {
            assert!(!text.contains(['\0', '\u{1b}', '\u{202e}']), "{text:?}");
            assert!(text.contains("bad") && text.contains("body") && text.contains("txt"), "{text:?}");
        }
    }
}

#[tokio::test]
async fn no_more_than_an_excerpt_is_kept() {
    let target = scripted([Reply::text(200, &"é".repeat(200_000))]).await;
    let answer = Scene::at(&target.url).carry_out(&provision()).await.unwrap();
    assert!(answer.body.len() <= LONGEST_BODY && answer.body.len() > LONGEST_BODY - 8 && answer.body.ends_with('…'));
}

#[tokio::test]
async fn a_target_that_asks_for_a_pause_gets_it_from_everybody() {
    let target = scripted([Reply::with(503, "retry-after", "Mon, 05 Jan 2026 09:02:00 GMT")]).await;
    let scene = Scene::at(&target.url);
    let failed = scene.carry_out(&provision()).await.unwrap_err();
    assert_eq!((failed.failure.code.as_str(), failed.retry_after), ("target_busy", Some(120 * SECOND)));
    scene.clock.advance(20 * SECOND);
    let failed = scene.carry_out(&provision()).await.unwrap_err();
    assert_eq!((failed.failure.code.as_str(), failed.retry_after), ("target_held", Some(100 * SECOND)));
    assert!(failed.answer.is_none(), "nothing was sent");
    scene.clock.advance(100 * SECOND);
    scene.carry_out(&provision()).await.unwrap();
    assert_eq!(target.asked().len(), 2);
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time_is_called_again() {
    let target = scripted([Reply::Never]).await;
    let scene = Scene::at(&target.url);
    let call = scene.spawn(provision());
    target.wait_for(1).await;
    scene.clock.advance(30 * SECOND);
    let failed = call.await.unwrap().unwrap_err();
    assert_eq!(kind(&failed.failure), (FailureClass::Transient, "target_timeout"));
    assert_eq!(failed.answer.unwrap().exchanges[0].took, 30 * SECOND);
    scene.carry_out(&provision()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_told_to_stop_stops() {
    let target = scripted([Reply::Never]).await;
    let scene = Scene::at(&target.url);
    let call = scene.spawn(provision());
    target.wait_for(1).await;
    scene.stop.cancel();
    let failed = call.await.unwrap().unwrap_err();
    assert_eq!(kind(&failed.failure), (FailureClass::Interrupted, "stopped"));
    assert_eq!(kind(&scene.failure(&provision()).await), (FailureClass::Interrupted, "stopped"));
    assert_eq!(target.asked().len(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_transient_and_opens_the_breaker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let breaker = BreakerRules { failures: 2, pause: 10 * SECOND, ..BreakerRules::default() };
    let scene = Scene::new(Settings { breaker, ..settings(&url) });
    for _ in 0..2 {
        assert_eq!(kind(&scene.failure(&provision()).await), (FailureClass::Transient, "target_unreachable"));
    }
    let failed = scene.carry_out(&provision()).await.unwrap_err();
    assert_eq!(kind(&failed.failure), (FailureClass::Transient, "target_open"));
    assert_eq!((failed.retry_after, failed.answer), (Some(10 * SECOND), None));
    scene.clock.advance(10 * SECOND);
    assert_eq!(scene.failure(&provision()).await.code, "target_unreachable", "one probe goes");
    assert_eq!(scene.carry_out(&provision()).await.unwrap_err().retry_after, Some(20 * SECOND));
}

#[tokio::test]
async fn the_rate_and_the_number_at_a_time_are_kept_and_places_given_up() {
    let target = scripted([Reply::Never, Reply::text(200, "second"), Reply::text(200, "third")]).await;
    let rate = Some(Rate::new(2, 20 * SECOND).unwrap());
    let scene = Scene::new(Settings { concurrency: 1, rate, ..settings(&target.url) });
    let first = scene.spawn(provision());
    target.wait_for(1).await;
    let (second, third) = (scene.spawn(provision()), scene.spawn(provision()));
    // Whether they wait already or come after it is gone: the first gives its place up.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The bucket holds one token for one of them; the other waits for ten seconds.
    target.wait_for(2).await;
    scene.clock.sleeper(10 * SECOND).await;
    assert_eq!(target.asked().len(), 2);
    scene.clock.advance(10 * SECOND);
    let bodies = [second.await.unwrap().unwrap().body, third.await.unwrap().unwrap().body];
    assert!(bodies.contains(&"second".to_owned()) && bodies.contains(&"third".to_owned()));
}

#[tokio::test]
async fn what_may_not_begin_any_more_calls_nobody_and_leaves_its_place() {
    let target = scripted([]).await;
    let scene = Scene::new(Settings { concurrency: 1, ..settings(&target.url) });
    let refuse: MayBegin = Arc::new(|| Box::pin(std::future::ready(false)));
    let failed = asking(refuse, scene.carry_out(&provision())).await.unwrap_err();
    assert_eq!(failed.failure.class, FailureClass::Interrupted);
    assert!(failed.answer.is_none() && target.asked().is_empty());
    let allow: MayBegin = Arc::new(|| Box::pin(std::future::ready(true)));
    asking(allow, scene.carry_out(&provision())).await.unwrap();
    assert_eq!(target.asked().len(), 1);
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_turn() {
    let target = scripted([]).await;
    let rate = Some(Rate::new(1, 240 * SECOND).unwrap());
    let scene = Scene::new(Settings { rate, ..settings(&target.url) });
    scene.carry_out(&provision()).await.unwrap();
    scene.clock.advance(SECOND);
    let second = scene.spawn(provision());
    scene.clock.sleeper(121 * SECOND).await;
    scene.clock.advance(120 * SECOND);
    let failed = second.await.unwrap().unwrap_err();
    assert_eq!(kind(&failed.failure), (FailureClass::Transient, "target_crowded"));
    assert!(failed.answer.is_none());
    scene.clock.advance(119 * SECOND);
    scene.carry_out(&provision()).await.unwrap();
    assert_eq!(target.asked().len(), 2);
}

#[tokio::test]
async fn addresses_that_must_not_be_called_are_not_whatever_name_leads_there() {
    let target = scripted([]).await;
    let port = target.url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let guard = Guard::new(["127.0.0.0/8", "::1"].map(|network| network.parse().unwrap()));
    let scene = Scene::new(Settings { guard, ..settings(&format!("http://localhost:{port}/")) });
    let failure = scene.failure(&provision()).await;
    assert_eq!(kind(&failure), (FailureClass::Permanent, "target_blocked"));
    assert!(failure.message.contains("security.blocked_networks"), "{}", failure.message);
    assert!(target.asked().is_empty());
    Scene::at(&format!("http://localhost:{port}/")).carry_out(&provision()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_as_such() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // The client hangs up, which is what is tested.
            let _ = acceptor.accept(stream).await;
        }
    });
    let failure = Scene::at(&format!("https://localhost:{port}/")).failure(&provision()).await;
    server.abort();
    assert_eq!(kind(&failure), (FailureClass::Permanent, "target_untrusted"), "{}", failure.message);
}
