//! Following a log, from this process and from another.

use std::fs::OpenOptions;
use std::io::Write;

use futures_util::StreamExt;
use tokio::sync::watch;

use crate::scene::Scene;

/// All that a follower gets until the end; checks that the pieces fit together.
async fn everything(scene: &Scene, from: u64, ended: watch::Receiver<bool>) -> Vec<u8> {
    let mut chunks = Box::pin(scene.store.follow(scene.run, from, ended));
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.unwrap();
        assert_eq!(chunk.offset, from + all.len() as u64);
        assert!(!chunk.bytes.is_empty() && chunk.next() <= chunk.end);
        all.extend(chunk.bytes);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_follow_and_miss_nothing() {
    const FOLLOWERS: u64 = 2_000;
    let scene = std::sync::Arc::new(Scene::new());
    let (end, ended) = watch::channel(false);
    let followers: Vec<_> = (0..FOLLOWERS)
        .map(|from| {
            let (scene, ended) = (scene.clone(), ended.clone());
            tokio::spawn(async move { everything(&scene, from, ended).await })
        })
        .collect();
    let log = scene.open().await;
    let mut raw = scene.raw("a");
    for line in 0..200 {
        let text = format!("line {line} {}\n", "x".repeat(line));
        raw.write_all(text.as_bytes()).unwrap();
        if line % 40 == 0 {
            scene.pump_until(&log, "a", text.as_bytes()).await;
        }
    }
    scene.again(&log, "a").await;
    end.send(true).unwrap();
    let whole = scene.log();
    for (from, follower) in followers.into_iter().enumerate() {
        assert!(follower.await.unwrap() == whole[from..], "the follower from {from} got something else");
    }
}

#[tokio::test]
async fn a_finished_log_replays_the_same_way() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.finished(&log, "a", &b"0123456789\n".repeat(10_000)).await;
    let (_, ended) = watch::channel(true);
    let whole = scene.log();
    for from in [0, 1, 70_000, whole.len()] {
        assert!(everything(&scene, from as u64, ended.clone()).await == whole[from..]);
    }
    assert!(everything(&scene, 1 << 40, ended.clone()).await.is_empty());
}

#[tokio::test]
async fn a_run_without_a_log_ends_too() {
    let scene = Scene::new();
    let (end, ended) = watch::channel(false);
    let (all, ()) = tokio::join!(everything(&scene, 0, ended), async { drop(end) });
    assert!(all.is_empty());
}

#[tokio::test]
async fn a_log_that_another_process_writes_is_followed_too() {
    let scene = Scene::new();
    let (end, ended) = watch::channel(false);
    let write = async {
        scene.store.prepare(scene.run).await.unwrap();
        let mut log = OpenOptions::new().create(true).append(true).open(scene.log_path()).unwrap();
        for text in ["one\n", "two\n"] {
            log.write_all(text.as_bytes()).unwrap();
            scene.until_log_holds(text.as_bytes()).await;
        }
        end.send(true).unwrap();
    };
    let (all, ()) = tokio::join!(everything(&scene, 0, ended), write);
    assert_eq!(all, b"one\ntwo\n");
}

#[tokio::test]
async fn a_follower_that_came_first_hears_of_the_first_byte() {
    let scene = Scene::new();
    let (_end, ended) = watch::channel(false);
    let mut chunks = Box::pin(scene.store.follow(scene.run, 0, ended));
    let first = chunks.next();
    let log = scene.open().await;
    let (chunk, noted) = tokio::join!(first, log.note("k", "piton: hello"));
    noted.unwrap();
    assert_eq!(chunk.unwrap().unwrap().bytes, b"piton: hello\n");
    // Silence is not the end.
    tokio::select! {
        biased;
        chunk = chunks.next() => panic!("{chunk:?} came from nowhere"),
        () = tokio::task::yield_now() => {}
    }
}
