//! `kill -9` of a process that writes: what it was told is there, and the ledger is sound.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use piton_model::RunId;

use crate::fixture::{Fixture, at, end, job, new_run, worker};

const URL: &str = "PITON_TEST_CRASH_URL";
const ROUNDS: usize = 5;

/// The other process: writes until it is killed, and says which ends were acknowledged.
#[tokio::test]
#[ignore = "the second half of a test: started as another process by acknowledged_writes_survive_kill_9"]
async fn writer() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = piton_store::Store::open(&url, piton_store::Options::default()).await.unwrap();
    let start = store.head().await.unwrap();
    for round in start.. {
        let runs = (0..8).map(|number| new_run(&job(&format!("j{number}")), at(round))).collect();
        store.submit(runs, at(round)).await.unwrap();
        let claimed = store.claim(&worker("child"), 8, at(round + 1_000_000), at(round), None).await.unwrap();
        let mut ends = tokio::task::JoinSet::new();
        for run in claimed {
            let store = store.clone();
            ends.spawn(async move { end(&store, &run, at(round)).await.id });
        }
        while let Some(id) = ends.join_next().await {
            let mut out = std::io::stdout().lock();
            writeln!(out, "ended {}", id.unwrap()).unwrap();
            out.flush().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9() {
    let fixture = Fixture::sqlite();
    for round in 0..ROUNDS {
        let ended = write_and_die(&fixture.url, 20 + 37 * round);
        let store = fixture.open().await;
        for id in &ended {
            let run = store.run(*id).await.unwrap().expect("an acknowledged run is there");
            assert!(run.outcome().is_some(), "an acknowledged end is there");
        }
        assert_eq!(store.audit().await.unwrap(), []);
        // What the child held is taken over by whoever comes next.
        for run in store.held_by(&worker("child")).await.unwrap() {
            end(&store, &run, at(1_000_000)).await;
        }
        store.close().await;
    }
    fixture.audited().await;
}

/// Starts the other process and kills it once it has acknowledged `enough` ends.
#[expect(clippy::disallowed_methods, reason = "the process that is killed must be another one")]
fn write_and_die(url: &str, enough: usize) -> Vec<RunId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "crash::writer"])
        .env(URL, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ended = Vec::new();
    for line in lines.map_while(Result::ok) {
        // The harness writes its own words before the first line.
        let Some((_, id)) = line.split_once("ended ") else { continue };
        // The last line may be cut off by the kill.
        ended.extend(id.parse::<RunId>());
        if ended.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(ended.len() >= enough, "the writer ended by itself");
    ended
}
