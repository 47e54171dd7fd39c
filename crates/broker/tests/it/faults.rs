//! The broker goes away, takes no messages, or ends what it began.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use piton_broker::{Backoff, Error, State, Status, Verdict};
use piton_testkit::rabbit::Rabbit;

use crate::scene::{Recorder, Scene, job, later, work};

async fn on_broker<T: Send + 'static>(rabbit: &Arc<Rabbit>, act: impl FnOnce(&Rabbit) -> T + Send + 'static) -> T {
    let rabbit = Arc::clone(rabbit);
    tokio::task::spawn_blocking(move || act(&rabbit)).await.unwrap()
}

async fn own_broker() -> Arc<Rabbit> {
    tokio::task::spawn_blocking(|| Arc::new(Rabbit::start().unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_one_that_is_restarted_lose_nothing() {
    let rabbit = own_broker().await;
    let scene = Scene::at(rabbit.url(), "restarted");
    let recorder = Recorder::accepting();
    let mut settings = scene.settings();
    settings.prefetch = 20;
    let mut worker = work(settings, recorder.clone());
    worker.until("consuming", |status| matches!(status.state, State::Consuming { .. })).await;

    // A sender that goes on through all of it, and knows what arrived.
    let (outlet, postman) = scene.outlet();
    let sender = tokio::spawn(async move {
        let mut confirmed = BTreeSet::new();
        for n in 0..600 {
            let runs: Vec<String> = (0..5).map(|k| format!("run-{n}-{k}")).collect();
            let sent = runs.iter().map(|run| outlet.enqueue(job(run, "system")));
            for (run, sent) in runs.iter().zip(futures_util::future::join_all(sent).await) {
                sent.unwrap();
                confirmed.insert(run.clone());
            }
        }
        drop(outlet);
        postman.ended().await;
        confirmed
    });
    recorder.until("some", |recorder| recorder.accepted().len() > 200).await;
    on_broker(&rabbit, Rabbit::kill).await.unwrap();
    worker.until("lost", |status| status.counts.lost >= 1).await;
    on_broker(&rabbit, Rabbit::start_again).await.unwrap();
    let so_far = recorder.accepted().len();
    recorder.until("more", |recorder| recorder.accepted().len() > so_far + 200).await;

    on_broker(&rabbit, |rabbit| rabbit.ctl(["stop_app"])).await.unwrap();
    worker.until("lost again", |status| status.state == State::Connecting).await;
    on_broker(&rabbit, |rabbit| rabbit.ctl(["start_app"])).await.unwrap();

    let confirmed = sender.await.unwrap();
    assert_eq!(confirmed.len(), 3000);
    worker
        .until("empty", |status| {
            matches!(status.state, State::Consuming { .. })
                && status.in_flight == 0
                && status.depth.is_some_and(|depth| depth.ready == 0)
        })
        .await;
    recorder.until("all", |recorder| recorder.accepted().is_superset(&confirmed)).await;
    let counts = worker.stopped().await;
    assert!(counts.lost >= 2 && counts.buried == 0 && counts.retried == 0, "{counts:?}");
    assert_eq!(recorder.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_in_need_is_read_from_and_not_written_to() {
    let rabbit = own_broker().await;
    let scene = Scene::at(rabbit.url(), "blocked");
    scene.publish_systems(50).await;
    let recorder = Recorder::saying(|seen| match (seen.run.as_str(), seen.attempt) {
        ("run-0", 1) => later("not now"),
        _ => Verdict::Accept,
    })
    .gated();
    let mut worker = scene.work(recorder.clone());
    recorder.until("begun", |recorder| recorder.begun() == 50).await;
    on_broker(&rabbit, |rabbit| rabbit.ctl(["set_vm_memory_high_watermark", "0.000001"])).await.unwrap();
    recorder.gate.add_permits(1000);

    let status = worker.until("blocked", |status| status.blocked.is_some() && status.counts.accepted == 49).await;
    assert!(status.blocked.is_some_and(|why| why.contains("memory")));
    assert_eq!((status.counts.retried, status.in_flight), (0, 1), "its copy waits, and so does it");
    let (outlet, _postman) = scene.outlet();
    let refused = outlet.enqueue_within(Duration::from_secs(10), job("run-50", "system")).await.unwrap_err();
    assert!(matches!(&refused, Error::Unconfirmed { blocked: Some(_), .. }), "{refused}");

    on_broker(&rabbit, |rabbit| rabbit.ctl(["set_vm_memory_high_watermark", "0.4"])).await.unwrap();
    let status =
        worker.until("retried", |status| recorder.accepted().contains("run-0") && status.blocked.is_none()).await;
    assert_eq!(status.counts.retried, 1);
    outlet.enqueue_within(Duration::from_secs(60), job("run-51", "system")).await.unwrap();
    recorder.until("arrived", |recorder| recorder.accepted().contains("run-51")).await;
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_deleted_is_made_again() {
    let scene = Scene::shared("deleted").await;
    let recorder = Recorder::accepting();
    let mut worker = scene.work(recorder.clone());
    worker.until("consuming", |status| matches!(status.state, State::Consuming { .. })).await;
    let channel = scene.raw().await.create_channel().await.unwrap();
    channel.queue_delete(scene.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let status = worker
        .until("again", |status| status.counts.lost == 1 && matches!(status.state, State::Consuming { .. }))
        .await;
    let what = status.last_error.unwrap().what;
    assert_eq!(what, format!("the broker ended the subscription to `{}`", scene.queue));
    scene.publish_systems(5).await;
    worker.until("done", |status| status.counts.accepted == 5).await;
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_over_a_lost_connection_and_is_not_begun_twice() {
    let rabbit = own_broker().await;
    let scene = Scene::at(rabbit.url(), "lost");
    scene.publish_systems(10).await;
    let recorder = Recorder::accepting().gated();
    let mut worker = scene.work(recorder.clone());
    recorder.until("begun", |recorder| recorder.begun() == 10).await;

    on_broker(&rabbit, |rabbit| rabbit.ctl(["close_all_connections", "test"])).await.unwrap();
    let back = |status: &Status| status.counts.lost == 1 && status.in_flight == 10;
    let status = worker.until("taken again", back).await;
    assert!(status.last_error.is_some_and(|problem| problem.what.contains("CONNECTION_FORCED")));
    recorder.gate.add_permits(10);
    worker.until("done", |status| status.counts.accepted == 10).await;
    assert_eq!(recorder.begun(), 10, "the messages that came again joined the work on them");

    // The broker takes away what is held for too long, and the channel with it.
    on_broker(&rabbit, |rabbit| {
        rabbit.ctl(["eval", "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 1000}, {channel_tick_interval, 200}]]."])?;
        rabbit.ctl(["close_all_connections", "test"])
    })
    .await
    .unwrap();
    scene.publish(std::iter::once(("slow".to_owned(), "system"))).await;
    let too_long = |status: &Status| {
        status.last_error.as_ref().is_some_and(|problem| problem.what.contains("PRECONDITION_FAILED"))
    };
    worker.until("taken away", too_long).await;
    recorder.gate.add_permits(1);
    worker.until("done", |status| status.counts.accepted == 11).await;
    assert_eq!(recorder.begun(), 11);

    // And an answer that found no connection is given on the next.
    scene.publish(std::iter::once(("late".to_owned(), "system"))).await;
    recorder.until("begun", |recorder| recorder.begun() == 12).await;
    on_broker(&rabbit, Rabbit::kill).await.unwrap();
    worker.until("lost", |status| status.state == State::Connecting).await;
    recorder.gate.add_permits(1);
    recorder.until("done", |recorder| recorder.accepted().contains("late")).await;
    on_broker(&rabbit, Rabbit::start_again).await.unwrap();
    worker.until("acknowledged", |status| status.counts.accepted == 12).await;
    worker.stopped().await;
    assert_eq!(recorder.begun(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_know_us_is_asked_again_and_said_so() {
    let mut scene = Scene::shared("stranger").await;
    scene.url = scene.url.replace("guest:guest", "guest:wrong");
    let mut settings = scene.settings();
    settings.backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(20) };
    let mut worker = work(settings, Recorder::accepting());
    let status = worker.until("refused twice", |status| status.counts.lost >= 2).await;
    assert_eq!(status.state, State::Connecting);
    let what = status.last_error.unwrap().what;
    assert!(what.contains("ACCESS_REFUSED") && !what.contains("wrong"), "{what}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_one_message_learns_why_it_does_not_arrive() {
    let mut scene = Scene::shared("at-once").await;
    scene.url = scene.url.replace("guest:guest", "guest:wrong");
    let (outlet, _postman) = scene.outlet();
    let refused = outlet.enqueue_at_once(Duration::from_secs(600), job("run-1", "system")).await.unwrap_err();
    assert!(matches!(refused, Error::Broken { .. }) && refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
    // Who has the time is told in the end.
    let refused = outlet.enqueue_within(Duration::from_secs(1), job("run-1", "system")).await.unwrap_err();
    let Error::Unconfirmed { trouble: Some(why), .. } = &refused else { panic!("{refused}") };
    assert!(why.contains("ACCESS_REFUSED") && !why.contains("wrong"), "{why}");
}
