//! Clients and keepers die; children do not, and what is known of them stays known.

use std::fs;
use std::process::{Command, Stdio};

use piton_keeper::client::{Client, Error};
use piton_keeper::protocol::{RefusalKind, SweepReport, Target};
use piton_keeper::{ExitStatus, Remembered, Signal, Spec, State};

use crate::nest::{Nest, kill, lives, token, until, within};

const KILL: rustix::process::Signal = rustix::process::Signal::KILL;

/// Kills the keeper and waits until it is gone.
async fn kill_keeper(client: &Client) {
    let keeper = client.keeper().keeper_pid;
    kill(keeper, KILL);
    until("the keeper to die", || !lives(keeper)).await;
}

#[tokio::test]
async fn children_do_not_notice_that_clients_go() {
    let nest = Nest::new();
    let child = {
        let client = nest.client().await;
        client.spawn(&token("a"), &nest.script("while [ ! -e go ]; do sleep 0.01; done; exit 5")).await.unwrap()
    };
    let client = nest.client().await;
    assert_eq!(client.list().await.unwrap(), [child]);
    fs::write(nest.file("go"), "").unwrap();
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Code(5));
}

const VICTIM_DIR: &str = "PITON_KEEPER_VICTIM_DIR";

/// The process that [`a_killed_client_loses_nothing`] kills: starts children as fast as it can.
#[tokio::test]
#[ignore = "is run, and killed, by a_killed_client_loses_nothing"]
async fn victim() {
    let dir = std::path::PathBuf::from(std::env::var_os(VICTIM_DIR).unwrap());
    let client = Client::connect(&dir).await.unwrap();
    let nest = std::mem::ManuallyDrop::new(Nest::new());
    for index in 0.. {
        let mut spec = nest.script("echo $$ >> ran-$0; exit 6");
        (spec.cwd, spec.argv) = (dir.clone(), [spec.argv, vec![index.to_string().into()]].concat());
        (spec.stdout, spec.stderr) = (piton_keeper::Output::Null, piton_keeper::Output::Null);
        client.spawn(&token(&format!("victim/{index}")), &spec).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_client_loses_nothing() {
    let nest = Nest::new();
    let client = nest.client().await;
    for round in 1..=5_usize {
        #[expect(clippy::disallowed_methods, reason = "a client that can be killed has to be a process")]
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "crash::victim"])
            .env(VICTIM_DIR, nest.dir())
            .env("TMPDIR", nest.dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut held = Vec::new();
        within(async {
            while held.len() < round * 7 {
                held = client.list().await.unwrap();
            }
        })
        .await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        for child in client.list().await.unwrap() {
            assert_eq!(within(client.wait(&child.token)).await.unwrap(), ExitStatus::Code(6));
            // The next victim asks for the same children again: each must have run once.
            let ran = nest.read(&format!("ran-{}", child.token.as_str().trim_start_matches("victim/")));
            assert_eq!(ran, format!("{}\n", child.identity.pid));
        }
    }
}

#[tokio::test]
async fn exits_outlive_the_keeper() {
    let nest = Nest::new();
    let client = nest.client().await;
    for index in 0..20 {
        // Only a machine that loses power makes a difference between the two.
        let remembered = if index % 2 == 0 { Remembered::WithinThisBoot } else { Remembered::OverPowerLoss };
        let spec = Spec { remembered, ..nest.script(&format!("exit {index}")) };
        client.spawn(&token(&format!("{index}")), &spec).await.unwrap();
        within(client.wait(&token(&format!("{index}")))).await.unwrap();
    }
    client.acknowledge(&token("0")).await.unwrap();
    let before = client.list().await.unwrap();
    assert_eq!(before.len(), 19);
    kill_keeper(&client).await;
    assert!(matches!(within(client.list()).await, Err(Error::Disconnected)));

    let client = nest.client().await;
    assert_eq!(client.list().await.unwrap(), before);
    assert_eq!(client.wait(&token("19")).await.unwrap(), ExitStatus::Code(19));
    client.acknowledge(&token("19")).await.unwrap();
    kill_keeper(&client).await;
    assert_eq!(
        nest.client().await.list().await.unwrap(),
        before.iter().filter(|one| one.token.as_str() != "19").cloned().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_killed_keepers_children_are_found_again() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "echo begun; while [ ! -e go ]; do sleep 0.01; done; echo finished";
    let child = client.spawn(&token("apply"), &nest.script(script)).await.unwrap();
    let doomed = client.spawn(&token("doomed"), &nest.script("sleep 1000")).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&token("apply")).await }
    });
    kill_keeper(&client).await;
    assert!(matches!(within(waiting).await.unwrap(), Err(Error::Disconnected)));
    assert!(piton_keeper::is_alive(&child.identity));

    let client = nest.client().await;
    let found = client.spawn(&token("apply"), &nest.script(script)).await.unwrap();
    assert_eq!((&found.identity, found.state), (&child.identity, State::Orphaned));
    let early = client.acknowledge(&token("apply")).await.unwrap_err();
    assert_eq!(early.refusal(), Some(RefusalKind::StillRunning));

    client.signal(&token("doomed"), Signal::Term, Target::Process).await.unwrap();
    assert_eq!(within(client.wait(&token("doomed"))).await.unwrap(), ExitStatus::Unknown);
    assert!(!lives(doomed.identity.pid));

    fs::write(nest.file("go"), "").unwrap();
    assert_eq!(within(client.wait(&token("apply"))).await.unwrap(), ExitStatus::Unknown);
    assert_eq!(nest.read("out"), "begun\nfinished\n");
    client.acknowledge(&token("apply")).await.unwrap();
}

#[tokio::test]
async fn an_orphaned_tree_is_swept_too() {
    let nest = Nest::new();
    let client = nest.client().await;
    let child =
        client.spawn(&token("a"), &nest.script("sh -c 'echo $$ > pid; exec sleep 1000' & sleep 1000")).await.unwrap();
    let grandchild = nest.pid_in("pid").await;
    kill_keeper(&client).await;
    let client = nest.client().await;
    let busy = client.stop(true).await.unwrap_err();
    assert_eq!(busy.refusal(), Some(RefusalKind::Busy), "nobody else sees the end of what runs");
    let report = within(client.sweep(&token("a"))).await.unwrap();
    assert!(report.killed >= 2 && report.survivors.is_empty(), "{report:?}");
    assert!(!lives(grandchild) && !lives(child.identity.pid));
    client.acknowledge(&token("a")).await.unwrap();
    client.stop(true).await.unwrap();
}

/// The journal of a keeper that was killed between announcing a child and reporting it.
#[tokio::test]
async fn a_start_nobody_finished_is_neither_forgotten_nor_repeated() {
    let nest = Nest::new();
    let client = nest.client().await;
    let child = client.spawn(&token("there"), &nest.script("exec sleep 1000")).await.unwrap();
    kill_keeper(&client).await;
    let starting =
        |token: &str| format!(r#"{{"starting":{{"token":"{token}","stdout":"null","stderr":"null","at_unix_us":1}}}}"#);
    fs::write(nest.file("keeper/journal"), format!("{}\n{}\n{{\"held\":{{\"chi", starting("there"), starting("gone")))
        .unwrap();

    let client = nest.client().await;
    let found = client.spawn(&token("there"), &nest.script("sleep 1000")).await.unwrap();
    assert_eq!((found.identity, found.state), (child.identity, State::Orphaned));
    let uncertain = client.spawn(&token("gone"), &nest.script("exit 0")).await.unwrap_err();
    assert_eq!(uncertain.refusal(), Some(RefusalKind::StartUncertain));
    client.acknowledge(&token("gone")).await.unwrap();
    client.spawn(&token("gone"), &nest.script("exit 0")).await.unwrap();
    assert_eq!(within(client.wait(&token("gone"))).await.unwrap(), ExitStatus::Code(0));
    assert_eq!(within(client.sweep(&token("there"))).await.unwrap(), SweepReport { killed: 1, survivors: vec![] });
}

/// The keeper dies again and again, at whatever moment it is in, while somebody insists on the same children.
#[tokio::test]
async fn a_token_is_started_once_however_often_the_keeper_dies() {
    let nest = Nest::new();
    let mut spec = nest.script("echo $$ >> ran-$0; exit 6");
    (spec.stdout, spec.stderr) = (piton_keeper::Output::Null, piton_keeper::Output::Null);
    let (mut next, mut uncertain) = (0, 0);
    for round in 0..30_u64 {
        let client = nest.client().await;
        let keeper = client.keeper().keeper_pid;
        let killer = tokio::task::spawn_blocking(move || {
            // Busy, not sleeping: the moments that matter are shorter than a timer's grain.
            let until = std::time::Instant::now() + std::time::Duration::from_micros(round * 7331 % 40_000);
            while std::time::Instant::now() < until {}
            kill(keeper, KILL);
        });
        loop {
            let name = token(&format!("{next}"));
            let mut spec = spec.clone();
            spec.argv.push(next.to_string().into());
            match within(client.spawn(&name, &spec)).await {
                Ok(_) => next += 1,
                Err(Error::Disconnected) => break,
                Err(error) => {
                    assert_eq!(error.refusal(), Some(RefusalKind::StartUncertain), "{error}");
                    (next, uncertain) = (next + 1, uncertain + 1);
                }
            }
        }
        within(killer).await.unwrap();
        until("the keeper to die", || !lives(keeper)).await;
    }
    let client = nest.client().await;
    for child in client.list().await.unwrap() {
        let status = within(client.wait(&child.token)).await.unwrap();
        assert!(matches!(status, ExitStatus::Code(6) | ExitStatus::Unknown), "{}: {status}", child.token);
        assert_eq!(nest.read(&format!("ran-{}", child.token)).lines().count(), 1, "{}", child.token);
    }
    for index in 0..next {
        let ran = fs::read_to_string(nest.file(&format!("ran-{index}"))).unwrap_or_default();
        assert!(ran.lines().count() <= 1, "{index} ran as {ran}");
    }
    println!("{next} children over 30 keepers, {uncertain} of them uncertain");
    assert!(next > 0);
}
