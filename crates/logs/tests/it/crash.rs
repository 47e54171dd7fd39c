//! Whatever is killed, the log comes out the same.

use std::fs;
use std::io::Write;

use piton_logs::{Error, LogStore, Redactor};
use proptest::prelude::*;

use crate::scene::{SECRET, Scene};

/// What a run writes into its log, one after the other.
#[derive(Debug, Clone)]
enum Act {
    Note(String),
    Child(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let word = prop_oneof![
        3 => Just(SECRET.as_bytes().to_vec()),
        1 => Just(SECRET.replace('/', "%2F").replace('+', "%2B").into_bytes()),
        2 => Just(SECRET.as_bytes()[..9].to_vec()),
        2 => Just(b"\n".to_vec()),
        1 => Just(b"\r\0\xff\x1b[1m".to_vec()),
        3 => prop::collection::vec(any::<u8>(), 0..30),
    ];
    prop_oneof![
        1 => "piton: [a-z]{1,20}".prop_map(Act::Note),
        3 => prop::collection::vec(word, 0..12).prop_map(|words| Act::Child(words.concat())),
    ]
}

/// Does it all, as a process does that was never interrupted or as the next one does after a crash.
async fn perform(scene: &Scene, acts: &[Act]) {
    let log = scene.open().await;
    for (number, act) in acts.iter().enumerate() {
        match act {
            Act::Note(text) => log.note(&number.to_string(), text).await.unwrap(),
            Act::Child(output) => {
                let token = format!("1/step/{number}");
                fs::write(scene.store.raw_path(scene.run, &token), output).unwrap();
                scene.again(&log, &token).await;
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A killed process leaves a prefix of what it would have written; of the log, and of the last line of the index.
    #[test]
    fn any_prefix_of_a_log_grows_into_the_whole(
        acts in prop::collection::vec(act(), 1..6),
        cap in prop_oneof![3 => Just(1u64 << 30), 1 => 0u64..300],
        kills in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
    ) {
        runtime().block_on(async {
            let mut scene = Scene::capped(cap);
            perform(&scene, &acts).await;
            let whole = scene.log();
            let index = scene.store.run_dir(scene.run).join("index");
            let whole_index = fs::read(&index).unwrap();
            prop_assert!(!whole.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
            for (log_cut, index_cut) in kills {
                let kept = log_cut.index(whole.len() + 1);
                fs::write(scene.log_path(), &whole[..kept]).unwrap();
                let torn = tear(&whole_index, kept, index_cut);
                fs::write(&index, torn).unwrap();
                scene.restart(cap);
                perform(&scene, &acts).await;
                prop_assert_eq!(&scene.log(), &whole, "after a crash at byte {}", kept);
                prop_assert_eq!(fs::read(&index).unwrap(), whole_index.as_slice());
            }
            Ok(())
        })?;
    }

    /// A daemon that reads a child's output as it comes, in any pieces, interrupted by crashes, writes what one writes
    /// that reads it at once.
    #[test]
    fn pace_and_restarts_do_not_matter(
        pieces in prop::collection::vec((prop::collection::vec(prop_oneof![
            Just(SECRET.as_bytes()[..6].to_vec()), Just(SECRET.as_bytes()[6..].to_vec()), Just(b"ab\n".to_vec()), Just(b"s3".to_vec()),
        ], 1..4), any::<bool>()), 1..10),
    ) {
        runtime().block_on(async {
            let at_once = Scene::new();
            let output: Vec<u8> = pieces.iter().flat_map(|(words, _)| words.concat()).collect();
            at_once.finished(&at_once.open().await, "a", &output).await;

            let mut live = Scene::new();
            let mut log = live.open().await;
            let mut raw = live.raw("a");
            for (words, crash) in &pieces {
                raw.write_all(&words.concat()).unwrap();
                let section = log.section("a", "$ a").await.unwrap();
                let path = live.store.raw_path(live.run, "a");
                // One look at the file, then the future is dropped.
                let one_look = tokio::task::yield_now();
                tokio::select! { biased; _ = section.pump(&path, std::future::pending()) => {}, () = one_look => {} }
                if *crash {
                    drop(log);
                    live.restart(1 << 30);
                    log = live.open().await;
                }
            }
            live.again(&log, "a").await;
            prop_assert_eq!(live.log(), at_once.log());
            Ok(())
        })?;
    }
}

/// The index of a process that was killed with this much in its log: the entries up to there, and possibly a part of
/// the next one.
fn tear(whole: &[u8], kept: usize, cut: prop::sample::Index) -> Vec<u8> {
    let mut torn = Vec::new();
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let entry: serde_json::Value = serde_json::from_slice(line).unwrap();
        let start = entry.get("start").and_then(serde_json::Value::as_u64);
        if start.is_some_and(|start| start > kept as u64) {
            torn.extend_from_slice(&line[..cut.index(line.len())]);
            break;
        }
        torn.extend_from_slice(line);
    }
    torn
}

#[tokio::test]
async fn a_torn_note_is_completed_by_whoever_opens_the_log() {
    let mut scene = Scene::new();
    scene.open().await.note("k", "piton: hello").await.unwrap();
    for kept in 0..scene.log().len() {
        fs::OpenOptions::new().write(true).open(scene.log_path()).unwrap().set_len(kept as u64).unwrap();
        scene.restart(1 << 30);
        scene.open().await;
        assert_eq!(scene.log(), b"piton: hello\n");
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let scene = Scene::new();
    let log = scene.open().await;
    let other = LogStore::new(scene.dir.path().join("runs"));
    let denied = other.open(scene.run, Redactor::default()).await;
    assert!(matches!(denied, Err(Error::Busy { .. })));
    drop(log);
    other.open(scene.run, Redactor::default()).await.unwrap();
}
