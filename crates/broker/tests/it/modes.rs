//! Workers for some types, and workers that end by themselves.

use std::time::Duration;

use piton_broker::message::JobType;
use piton_broker::{Batch, Settings, State};

use crate::scene::{Recorder, Scene, work};

fn for_only(scene: &Scene, one: JobType) -> Settings {
    let mut settings = scene.settings();
    settings.types = Some([one].into());
    settings
}

fn mixed(count: usize) -> impl Iterator<Item = (String, &'static str)> {
    (0..count).map(|n| (format!("run-{n}"), if n.is_multiple_of(2) { "system" } else { "component" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_its_type_and_nobody_starves() {
    let scene = Scene::shared("types").await;
    scene.publish(mixed(100)).await;
    let recorders = [Recorder::accepting(), Recorder::accepting()];
    let kinds = [JobType::System, JobType::Component];
    let mut workers: Vec<_> =
        kinds.iter().zip(&recorders).map(|(kind, recorder)| work(for_only(&scene, *kind), recorder.clone())).collect();
    for worker in &mut workers {
        worker.until("its half", |status| status.counts.accepted == 50).await;
    }
    for worker in workers {
        let counts = worker.stopped().await;
        assert!(counts.forwarded <= 50, "each message moves once at most: {counts:?}");
    }
    for (kind, recorder) in kinds.iter().zip(&recorders) {
        assert!(recorder.seen().iter().all(|seen| seen.job_type == kind.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_waits_for_who_does_without_going_round() {
    let scene = Scene::shared("waiting").await;
    scene.publish(mixed(20)).await;
    let mut worker = work(for_only(&scene, JobType::System), Recorder::accepting());
    let status = worker
        .until("its half", |status| status.counts.accepted == 10 && status.depth.is_some_and(|depth| depth.ready == 10))
        .await;
    assert_eq!((status.counts.forwarded, status.counts.taken), (10, 20));
    worker.stopped().await;

    let recorder = Recorder::accepting();
    let mut worker = scene.work(recorder.clone());
    worker.until("the others", |status| status.counts.accepted == 10).await;
    worker.stopped().await;
    assert!(recorder.seen().iter().all(|seen| seen.job_type == "component" && seen.attempt == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_when_it_is_full_or_when_nothing_comes() {
    let scene = Scene::shared("batch").await;
    scene.publish_systems(10).await;
    let mut settings = scene.settings();
    settings.batch = Some(Batch { at_most: 4, idle: None });
    let recorder = Recorder::accepting();
    let worker = work(settings.clone(), recorder.clone());
    let status = worker.status.clone();
    let counts = worker.ended().await;
    assert_eq!((counts.accepted, recorder.begun()), (4, 4));
    assert_eq!(status.borrow().state, State::Stopped);

    settings.batch = Some(Batch { at_most: 100, idle: Some(Duration::from_millis(500)) });
    let counts = work(settings, recorder.clone()).ended().await;
    assert_eq!((counts.accepted, recorder.accepted().len()), (6, 10));
}
