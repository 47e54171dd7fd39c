//! What failed is tried again, and ends with the dead letters in good time.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use piton_broker::message::{Limits, parse};
use piton_broker::{Delivery, Handler, Verdict, dead};

use crate::scene::{PATIENCE, Recorder, Scene, later, work};

#[tokio::test(flavor = "multi_thread")]
async fn each_retry_waits_twice_as_long() {
    let scene = Scene::shared("ladder").await;
    scene.publish_systems(1).await;
    let recorder =
        Recorder::saying(|seen| if seen.attempt <= 3 { later("the database is away") } else { Verdict::Accept });
    let mut worker = scene.work(recorder.clone());
    let status = worker.until("done", |status| status.counts.accepted == 1).await;
    assert_eq!((status.counts.retried, status.counts.buried), (3, 0));
    worker.stopped().await;

    let seen = recorder.seen();
    assert_eq!(seen.iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let waits: Vec<Duration> = seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (wait, least) in waits.iter().zip([200, 400, 800]) {
        assert!(*wait >= Duration::from_millis(least), "{waits:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_retry_it_is_dead_with_the_reason_and_can_be_sent_back() {
    let mut scene = Scene::shared("dead").await;
    scene.ladder.retries = 2;
    scene.publish_systems(2).await;
    let recorder = Recorder::saying(|seen| match seen.run.as_str() {
        "run-0" => later("no space on the disk"),
        _ => Verdict::Accept,
    });
    let mut worker = scene.work(recorder.clone());
    worker.until("dead", |status| status.depth.is_some_and(|depth| depth.dead == 1 && depth.waiting == 0)).await;
    let counts = worker.stopped().await;
    assert_eq!((counts.retried, counts.buried, counts.accepted), (2, 1, 1));

    let (address, topology) = (scene.address(), scene.topology());
    for _ in 0..2 {
        let letters = dead::read(&address, &topology, 10).await.unwrap();
        assert_eq!(letters.len(), 1, "reading takes nothing away");
        let letter = &letters[0];
        assert_eq!(letter.reason, "no space on the disk (attempt 3, the last)");
        assert_eq!((letter.attempts, letter.message_id.as_deref()), (3, Some("run-0")));
        assert_eq!(letter.from.as_deref(), Some(scene.queue.as_str()));
        assert!(letter.first_failed.is_some_and(|at| at <= crate::scene::now()));
    }

    assert_eq!(dead::redrive(&address, &topology, 10).await.unwrap(), 1);
    let again = Recorder::accepting();
    let mut worker = scene.work(again.clone());
    worker.until("done", |status| status.counts.accepted == 1).await;
    worker.stopped().await;
    assert_eq!(again.seen()[0].attempt, 1, "as if it had never been tried");
    assert_eq!(dead::read(&address, &topology, 10).await.unwrap(), []);
}

/// Reads messages as a worker does.
struct Reader;

impl Handler for Reader {
    async fn take(&self, delivery: Delivery) -> Verdict {
        match parse(delivery.body(), Limits::default()) {
            Ok(_) => Verdict::Accept,
            Err(refusal) => Verdict::Never { reason: refusal.to_string() },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_job_is_dead_after_one_look() {
    let scene = Scene::shared("poison").await;
    scene.publish_systems(1).await;
    let channel = scene.raw().await.create_channel().await.unwrap();
    // With a date of expiry: it must not expire where it lies dead.
    let properties = BasicProperties::default().with_expiration("60000".into());
    for body in ["not JSON", r#"{"type": "system"}"#] {
        let (options, queue) = (BasicPublishOptions::default(), scene.queue.as_str());
        channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties.clone()).await.unwrap();
    }
    let mut worker = scene.work(Reader);
    worker.until("done", |status| status.counts.accepted == 1 && status.counts.buried == 2).await;
    let counts = worker.stopped().await;
    assert_eq!((counts.taken, counts.retried), (3, 0));
    let letters = dead::read(&scene.address(), &scene.topology(), 10).await.unwrap();
    // They are worked on side by side, so either may be buried first.
    let mut reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons[0], "`run_id` is missing; `blueprint` is missing");
    assert!(reasons[1].starts_with("not JSON: expected"), "{reasons:?}");
}

/// Kills its worker at every look.
async fn die(scene: &Scene, returns: u32) -> u64 {
    let mut looks = 0;
    loop {
        let mut settings = scene.settings();
        settings.returns = returns;
        let victim = Recorder::accepting().gated();
        let mut worker = work(settings, victim.clone());
        let mut dead = false;
        let begun = victim.until("begun", |recorder| recorder.begun() > 0);
        tokio::select! {
            () = begun => looks += 1,
            status = worker.until("buried", |status| status.counts.buried > 0) => {
                assert_eq!(status.counts.buried, 1);
                dead = true;
            }
        }
        if dead {
            worker.stopped().await;
            return looks;
        }
        worker.killed().await;
        assert!(looks < 20, "it goes on for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kills_its_workers_is_dead_after_some_of_them() {
    let scene = Scene::shared("killer").await;
    scene.publish_systems(1).await;
    assert_eq!(tokio::time::timeout(PATIENCE, die(&scene, 2)).await.unwrap(), 3);
    let letters = dead::read(&scene.address(), &scene.topology(), 10).await.unwrap();
    assert_eq!(letters[0].reason, "given back 3 times without an answer: it may be what ends its workers");

    // The same where the broker does not count.
    let mut scene = Scene::shared("classic-killer").await;
    // Time for the acknowledgement of each original before its copy is back.
    scene.ladder.first = Duration::from_secs(2);
    let channel = scene.raw().await.create_channel().await.unwrap();
    channel
        .queue_declare(scene.queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    scene.publish_systems(1).await;
    assert_eq!(tokio::time::timeout(PATIENCE, die(&scene, 2)).await.unwrap(), 3);
    let letters = dead::read(&scene.address(), &scene.topology(), 10).await.unwrap();
    assert!(letters[0].reason.contains("without an answer"), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_held_longer_than_the_broker_allows() {
    let scene = Scene::shared("held").await;
    scene.publish_systems(1).await;
    let mut settings = scene.settings();
    settings.hold_limit = Duration::from_millis(300);
    let recorder = Recorder::accepting().gated();
    let mut worker = work(settings, recorder.clone());
    worker.until("given up", |status| status.counts.retried >= 1).await;
    recorder.gate.add_permits(100);
    worker.until("done", |status| status.counts.accepted == 1).await;
    worker.stopped().await;
    assert!(recorder.seen().iter().any(|seen| seen.attempt == 2), "{:?}", recorder.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rung_that_was_deleted_is_made_again() {
    let scene = Scene::shared("rung").await;
    let recorder = Recorder::saying(|seen| if seen.attempt == 1 { later("not now") } else { Verdict::Accept });
    let mut worker = scene.work(recorder.clone());
    // Both connections are up and have declared all.
    scene.publish(std::iter::once(("first".to_owned(), "system"))).await;
    worker.until("first", |status| status.counts.accepted == 1).await;
    let channel = scene.raw().await.create_channel().await.unwrap();
    let rung = scene.topology().rungs()[0].queue.clone();
    channel.queue_delete(rung.as_str().into(), QueueDeleteOptions::default()).await.unwrap();

    let body = br#"{"run_id": "second", "type": "system"}"#;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), scene.queue.as_str().into(), options, body, properties).await.unwrap();
    let status = worker.until("second", |status| status.counts.accepted == 2).await;
    assert_eq!((status.counts.retried, status.counts.returned), (2, 0));
    worker.stopped().await;
}
