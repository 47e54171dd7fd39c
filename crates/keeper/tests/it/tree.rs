//! Signals and sweeps reach the whole tree, and nobody else.

use piton_keeper::protocol::{RefusalKind, SweepReport, Target};
use piton_keeper::{ExitStatus, Signal};

use crate::nest::{Nest, lives, status_line, token, until, within};

#[tokio::test]
async fn a_sweep_finds_the_escaped_and_the_stubborn() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "
        (setsid sh -c 'echo $$ > escaped; exec sleep 1000' &)
        sh -c 'trap \"\" TERM; echo $$ > stubborn; exec sleep 1000' &
        env -i sh -c 'echo $$ > nameless; exec sleep 1000' &
        exit 0";
    client.spawn(&token("run/a"), &nest.script(script)).await.unwrap();
    let bystander = client.spawn(&token("run/b"), &nest.script("sleep 1000")).await.unwrap();
    assert_eq!(within(client.wait(&token("run/a"))).await.unwrap(), ExitStatus::Code(0));
    let mut left = Vec::new();
    for name in ["escaped", "stubborn", "nameless"] {
        left.push(nest.pid_in(name).await);
    }
    let polite = client.signal(&token("run/a"), Signal::Term, Target::Tree).await;
    polite.unwrap();
    until("the polite ones to end", || !lives(left[0]) && !lives(left[2])).await;
    assert!(lives(left[1]));

    let report = within(client.sweep(&token("run/a"))).await.unwrap();
    assert_eq!(report, SweepReport { killed: 1, survivors: vec![] });
    assert!(left.iter().all(|pid| !lives(*pid)));
    assert!(lives(bystander.identity.pid));
    let nobody = client.signal(&token("run/a"), Signal::Term, Target::Tree).await.unwrap_err();
    assert_eq!(nobody.refusal(), Some(RefusalKind::NotRunning));
    assert_eq!(within(client.sweep(&token("run/a"))).await.unwrap(), SweepReport::default());
}

#[tokio::test]
async fn a_sweep_kills_a_running_child_with_all_it_started() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "
        (setsid sh -c 'echo $$ > escaped; exec sleep 1000' &)
        env -i setsid sh -c 'echo $$ > nameless; exec sleep 1000' &
        sleep 1000";
    let child = client.spawn(&token("a"), &nest.script(script)).await.unwrap();
    let left = [nest.pid_in("escaped").await, nest.pid_in("nameless").await, child.identity.pid];
    let report = within(client.sweep(&token("a"))).await.unwrap();
    assert!(report.killed >= 4, "{report:?}");
    assert!(report.survivors.is_empty());
    assert!(left.iter().all(|pid| !lives(*pid)));
    // Whoever swept may acknowledge at once.
    client.acknowledge(&token("a")).await.unwrap();
}

#[tokio::test]
async fn a_sweep_outruns_a_child_that_keeps_forking() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "echo $$ > up; while :; do (setsid sleep 1000 &); done";
    client.spawn(&token("hydra"), &nest.script(script)).await.unwrap();
    nest.pid_in("up").await;
    let report = within(client.sweep(&token("hydra"))).await.unwrap();
    assert!(report.survivors.is_empty());
    assert_eq!(within(client.sweep(&token("hydra"))).await.unwrap(), SweepReport::default());
}

#[tokio::test]
async fn a_stopped_child_is_continued_to_hear_its_end() {
    let nest = Nest::new();
    let client = nest.client().await;
    for target in [Target::Process, Target::Group, Target::Tree] {
        let token = token(&format!("stopped/{}", target as u8));
        let script = "trap 'exit 7' TERM; kill -STOP $$; while :; do :; done";
        let child = client.spawn(&token, &nest.script(script)).await.unwrap();
        let pid = child.identity.pid;
        until("the child to stop", || status_line(pid, "State").is_some_and(|state| state.starts_with('T'))).await;
        client.signal(&token, Signal::Term, target).await.unwrap();
        assert_eq!(within(client.wait(&token)).await.unwrap(), ExitStatus::Code(7), "{target:?}");
    }
}

#[tokio::test]
async fn targets_reach_as_far_as_they_say() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "
        trap 'echo got it > main' USR1
        sh -c 'trap \"echo got it > grandchild\" USR1; echo $$ > pid; while :; do sleep 0.01; done' &
        while :; do sleep 0.01; done";
    client.spawn(&token("a"), &nest.script(script)).await.unwrap();
    nest.pid_in("pid").await;
    client.signal(&token("a"), Signal::Usr1, Target::Process).await.unwrap();
    until("the child's answer", || nest.file("main").exists()).await;
    assert!(!nest.file("grandchild").exists());
    client.signal(&token("a"), Signal::Usr1, Target::Tree).await.unwrap();
    until("the grandchild's answer", || nest.file("grandchild").exists()).await;
    within(client.sweep(&token("a"))).await.unwrap();
}
