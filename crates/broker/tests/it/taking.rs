//! Messages are taken, shared, given back, and none is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use piton_broker::{State, Verdict};

use crate::scene::{Recorder, Scene, work};

fn runs(count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("run-{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_gone() {
    let scene = Scene::shared("accepted").await;
    scene.publish_systems(300).await;
    let recorder = Recorder::accepting();
    let mut worker = scene.work(recorder.clone());
    let status = worker.until("done", |status| status.counts.accepted == 300 && status.in_flight == 0).await;
    assert_eq!((status.foreign, status.last_error), (vec![], None));
    worker.until("counted", |status| status.depth.is_some_and(|depth| depth == piton_broker::Depth::default())).await;
    let counts = worker.stopped().await;
    assert_eq!((counts.taken, counts.returned, counts.lost), (300, 0, 0));
    assert_eq!(recorder.accepted(), runs(300));
    assert!(recorder.seen().iter().all(|seen| seen.attempt == 1 && !seen.redelivered));

    let after = Recorder::accepting();
    let mut worker = scene.work(after.clone());
    worker.until("counted", |status| status.depth.is_some()).await;
    worker.stopped().await;
    assert_eq!(after.begun(), 0, "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_comes_to_another() {
    let scene = Scene::shared("killed").await;
    scene.publish_systems(10).await;
    let victim = Recorder::accepting().gated();
    let worker = scene.work(victim.clone());
    victim.until("begun", |recorder| recorder.begun() == 10).await;
    worker.killed().await;

    let heir = Recorder::accepting();
    let mut worker = scene.work(heir.clone());
    worker.until("done", |status| status.counts.accepted == 10).await;
    worker.stopped().await;
    assert_eq!(heir.accepted(), runs(10));
    assert!(heir.seen().iter().all(|seen| seen.redelivered && seen.attempt == 1), "{:?}", heir.seen());
    assert!(victim.accepted().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_queue() {
    let scene = Scene::shared("shared").await;
    let mut settings = scene.settings();
    settings.prefetch = 5;
    settings.concurrency = 5;
    let one = Recorder::accepting();
    let recorders = [one.clone(), Recorder::accepting().beside(&one)];
    let mut workers = recorders.clone().map(|recorder| work(settings.clone(), recorder));
    for worker in &mut workers {
        worker.until("consuming", |status| matches!(status.state, State::Consuming { .. })).await;
    }
    scene.publish_systems(400).await;
    one.until("all, by both", |_| {
        let [one, two] = recorders.each_ref().map(|recorder| recorder.accepted().len());
        one > 10 && two > 10 && one + two == 400
    })
    .await;
    let mut taken = 0;
    for worker in workers {
        taken += worker.stopped().await.accepted;
    }
    assert_eq!(taken, 400);
    let [one, two] = recorders.map(|recorder| recorder.accepted());
    assert!(one.is_disjoint(&two), "each by one of them");
    assert_eq!(one.union(&two).cloned().collect::<BTreeSet<_>>(), runs(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_copies_are_never_worked_on_at_once() {
    let scene = Scene::shared("copies").await;
    scene.publish((0..1000).map(|_| ("run-0".to_owned(), "system"))).await;
    let recorder = Recorder::accepting();
    let mut worker = scene.work(recorder.clone());
    worker.until("done", |status| status.counts.accepted == 1000).await;
    worker.stopped().await;
    assert_eq!(recorder.most_at_once(), 1);
    assert_eq!(recorder.accepted(), runs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_has_begun_and_gives_back_the_rest() {
    let scene = Scene::shared("drain").await;
    scene.publish_systems(30).await;
    let mut settings = scene.settings();
    settings.prefetch = 20;
    settings.concurrency = 5;
    settings.drain_limit = Duration::from_secs(60);
    let recorder = Recorder::accepting().gated();
    let mut worker = work(settings, recorder.clone());
    worker.until("full", |status| status.in_flight == 20).await;
    recorder.until("begun", |recorder| recorder.begun() == 5).await;
    worker.stop.cancel();
    worker.until("given back", |status| status.state == State::Draining && status.counts.returned == 15).await;
    recorder.gate.add_permits(5);
    let counts = worker.ended().await;
    assert_eq!((counts.accepted, counts.returned, recorder.begun()), (5, 15, 5));

    let rest = Recorder::accepting();
    let mut worker = scene.work(rest.clone());
    worker.until("the rest", |status| status.counts.accepted == 25).await;
    worker.stopped().await;
    assert!(rest.accepted().is_disjoint(&recorder.accepted()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_ever() {
    let scene = Scene::shared("deadline").await;
    scene.publish_systems(10).await;
    let mut settings = scene.settings();
    settings.drain_limit = Duration::from_millis(300);
    let stuck = Recorder::accepting().gated();
    let worker = work(settings, stuck.clone());
    stuck.until("begun", |recorder| recorder.begun() == 10).await;
    let counts = worker.stopped().await;
    assert_eq!((counts.accepted, counts.returned), (0, 10));

    let heir = Recorder::accepting();
    let mut worker = scene.work(heir.clone());
    worker.until("all", |status| status.counts.accepted == 10).await;
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_queue_that_was_there_is_used() {
    let scene = Scene::shared("classic").await;
    let raw = scene.raw().await;
    let channel = raw.create_channel().await.unwrap();
    channel
        .queue_declare(scene.queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    for n in 0..20 {
        let body = format!(r#"{{"run_id": "run-{n}", "type": "system"}}"#);
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel
            .basic_publish("".into(), scene.queue.as_str().into(), options, body.as_bytes(), properties)
            .await
            .unwrap();
    }
    let victim = Recorder::accepting().gated();
    let mut worker = scene.work(victim.clone());
    victim.until("begun", |recorder| recorder.begun() == 20).await;
    let status = worker.until("seen", |status| !status.foreign.is_empty()).await;
    assert_eq!(status.foreign.len(), 1);
    assert_eq!(status.foreign[0].queue, scene.queue);
    assert!(status.foreign[0].why.contains("inequivalent arg"), "{:?}", status.foreign);
    worker.killed().await;

    // Fails once, too, so that the way over the ladder leads back into a classic queue.
    let heir = Recorder::saying(|seen| {
        if seen.run == "run-7" && seen.attempt == 1 { crate::scene::later("not now") } else { Verdict::Accept }
    });
    let mut worker = scene.work(heir.clone());
    let status = worker.until("done", |status| status.counts.accepted == 20).await;
    assert_eq!((status.counts.retried, status.counts.forwarded), (1, 20), "each with its return written on it");
    worker.stopped().await;
    assert_eq!(heir.accepted(), runs(20));
}
