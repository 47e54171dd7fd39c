//! The keeper becomes another program without letting go of a child.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use piton_keeper::protocol::{RefusalKind, Target};
use piton_keeper::{ExitStatus, Signal, State};

use crate::nest::{Nest, lives, token, until, within};

#[tokio::test]
async fn an_upgrade_keeps_pid_lock_and_children() {
    let nest = Nest::new();
    let new = nest.file("piton-keeper-new");
    fs::copy(env!("CARGO_BIN_EXE_piton-keeper"), &new).unwrap();
    let client = nest.client().await;
    let keeper = client.keeper().keeper_pid;
    let child =
        client.spawn(&token("a"), &nest.script("while [ ! -e go ]; do sleep 0.01; done; exit 9")).await.unwrap();
    client.spawn(&token("early"), &nest.script("exit 8")).await.unwrap();
    within(client.wait(&token("early"))).await.unwrap();

    client.clone().upgrade(&new).await.unwrap();
    until("the new program", || fs::read_link(format!("/proc/{keeper}/exe")).is_ok_and(|exe| exe == new)).await;
    let client = nest.client().await;
    assert_eq!(client.keeper().keeper_pid, keeper);
    let now = client.get(&token("a")).await.unwrap();
    assert_eq!((now.identity, now.state), (child.identity, State::Running));

    // A second upgrade, and children that end during it.
    client.signal(&token("a"), Signal::Stop, Target::Process).await.unwrap();
    client.signal(&token("a"), Signal::Kill, Target::Process).await.unwrap();
    client.upgrade(env!("CARGO_BIN_EXE_piton-keeper").as_ref()).await.unwrap();
    let client = nest.client().await;
    assert_eq!(client.keeper().keeper_pid, keeper);
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Signal(9));
    assert_eq!(client.wait(&token("early")).await.unwrap(), ExitStatus::Code(8));

    // New children are as free of inheritance as before, and the lock is no stranger to them.
    let mut spec = nest.script("");
    spec.argv = vec!["sleep".into(), "1000".into()];
    let pid = client.spawn(&token("b"), &spec).await.unwrap().identity.pid;
    until("only three descriptors", || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() == 3).await;
    let score = |pid: &str| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score(&pid.to_string()), score("self"));
    within(client.sweep(&token("b"))).await.unwrap();
    client.stop(true).await.unwrap();
    until("the keeper to end", || !lives(keeper)).await;
}

#[tokio::test]
async fn an_upgrade_to_nothing_changes_nothing() {
    let nest = Nest::new();
    let client = nest.client().await;
    client.spawn(&token("a"), &nest.script("sleep 1000")).await.unwrap();
    fs::write(nest.file("shapeless"), "no program").unwrap();
    for exe in [nest.file("missing"), nest.file("shapeless"), "relative".into()] {
        let error = client.clone().upgrade(&exe).await.unwrap_err();
        assert_eq!(error.refusal(), Some(RefusalKind::System), "{error}");
    }
    // Executable, but no program: found out only when it is too late to be careful.
    fs::set_permissions(nest.file("shapeless"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = client.clone().upgrade(&nest.file("shapeless")).await.unwrap_err();
    assert_eq!(error.refusal(), Some(RefusalKind::System), "{error}");
    assert_eq!(client.get(&token("a")).await.unwrap().state, State::Running);
    within(client.sweep(&token("a"))).await.unwrap();
}
