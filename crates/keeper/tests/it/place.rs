//! One keeper per directory, for as long as it is needed.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::{Command, Output};

use piton_keeper::client::{Client, Error};
use piton_keeper::protocol::RefusalKind;
use rustix::process::Signal;

use crate::nest::{Nest, kill, lives, token, until, within};

#[expect(clippy::disallowed_methods, reason = "the keeper itself is under test")]
fn run_keeper(nest: &Nest) -> Output {
    let argv = nest.keeper_argv();
    Command::new(&argv[0]).args(&argv[1..]).output().unwrap()
}

#[tokio::test]
async fn one_keeper_per_directory() {
    let nest = Nest::new();
    let client = nest.client().await;
    let second = run_keeper(&nest);
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8(second.stderr).unwrap();
    let expected =
        format!("another keeper (pid {}) already holds {}", client.keeper().keeper_pid, nest.dir().display());
    assert!(said.contains(&expected), "{said}");
    assert_eq!(client.list().await.unwrap(), []);
}

#[tokio::test]
async fn daemons_that_start_at_once_share_a_keeper() {
    let nest = Nest::new();
    let argv = nest.keeper_argv();
    let start = || within(Client::connect_or_start(nest.dir(), &argv));
    let (a, b, c, d) = tokio::join!(start(), start(), start(), start());
    let pids: Vec<_> = [a, b, c, d].into_iter().map(|client| client.unwrap().keeper().keeper_pid).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
}

#[tokio::test]
async fn the_socket_is_private_and_a_stale_one_replaced() {
    let nest = Nest::new();
    drop(std::os::unix::net::UnixListener::bind(nest.file("keeper.sock")).unwrap());
    assert!(matches!(Client::connect(nest.dir()).await, Err(Error::Absent { .. })));
    let _client = nest.client().await;
    let meta = fs::metadata(nest.file("keeper.sock")).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let nest = Nest::new();
    let dir = nest.dir().join("d".repeat(120));
    fs::create_dir(&dir).unwrap();
    let argv = [env!("CARGO_BIN_EXE_piton-keeper").into(), "--dir".into(), dir.clone().into()];
    let client = within(Client::connect_or_start(&dir, &argv)).await.unwrap();
    client.stop(true).await.unwrap();
    until("the keeper to end", || !lives(client.keeper().keeper_pid)).await;
}

#[tokio::test]
async fn stops_when_told_but_not_under_a_running_child() {
    let nest = Nest::new();
    let client = nest.client().await;
    let keeper = client.keeper().keeper_pid;
    client.spawn(&token("a"), &nest.script("sleep 1000")).await.unwrap();
    assert_eq!(client.stop(true).await.unwrap_err().refusal(), Some(RefusalKind::Busy));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill(keeper, signal);
    }
    // Whatever the signals do has happened once a later request is answered.
    within(client.sweep(&token("a"))).await.unwrap();
    assert!(lives(keeper));
    client.stop(true).await.unwrap();
    until("the keeper to end", || !lives(keeper)).await;
    assert!(!nest.file("keeper.sock").exists());

    let next = nest.client().await;
    assert_eq!(next.list().await.unwrap().len(), 1);
    kill(next.keeper().keeper_pid, Signal::TERM);
    until("the idle keeper to end", || !lives(next.keeper().keeper_pid)).await;
}

#[tokio::test]
async fn a_keeper_that_cannot_start_says_why() {
    let nest = Nest::new();
    fs::write(nest.file("keeper"), "a file where a directory should be").unwrap();
    let error = within(Client::connect_or_start(nest.dir(), &nest.keeper_argv())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot use the directory") && text.contains("exit status: 1"), "{text}");
    let missing = within(Client::connect_or_start(nest.dir(), &["/no/such/keeper".into()])).await.unwrap_err();
    assert!(missing.to_string().contains("No such file"), "{missing}");
}
