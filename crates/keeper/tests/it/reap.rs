//! Ends are noticed, rightly and at once.

use piton_keeper::protocol::{RefusalKind, Target};
use piton_keeper::{ExitStatus, Signal};

use crate::nest::{Nest, lives, processes, status_line, token, until, within};

fn zombies_of(keeper: u32) -> usize {
    let of = |pid: &u32| {
        status_line(*pid, "PPid").is_some_and(|parent| parent == keeper.to_string())
            && status_line(*pid, "State").is_some_and(|state| state.starts_with('Z'))
    };
    processes().filter(of).count()
}

#[tokio::test]
async fn tells_code_from_signal() {
    let nest = Nest::new();
    let client = nest.client().await;
    for (script, expected) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -TERM $$; sleep 1000", ExitStatus::Signal(15)),
        ("kill -SEGV $$; sleep 1000", ExitStatus::Signal(11)),
    ] {
        let token = token(script.split(' ').nth(1).unwrap().trim_end_matches(';'));
        client.spawn(&token, &nest.script(script)).await.unwrap();
        assert_eq!(within(client.wait(&token)).await.unwrap(), expected, "{script}");
    }
}

#[tokio::test]
async fn a_thousand_quick_children() {
    let nest = Nest::new();
    let client = nest.client().await;
    let mut waiting = Vec::new();
    for index in 0..1000 {
        let token = token(&format!("quick/{index:03}"));
        let mut spec = nest.script("exit $0");
        spec.argv.push((index % 256).to_string().into());
        client.spawn(&token, &spec).await.unwrap();
        let client = client.clone();
        waiting.push(tokio::spawn(async move { (index, client.wait(&token).await.unwrap()) }));
    }
    for one in waiting {
        let (index, status) = within(one).await.unwrap();
        assert_eq!(status, ExitStatus::Code(index % 256), "child {index}");
    }
    let listed = client.list().await.unwrap();
    assert_eq!(listed.len(), 1000);
    assert!(listed.windows(2).all(|pair| pair[0].token < pair[1].token));
    let keeper = client.keeper().keeper_pid;
    assert_eq!(zombies_of(keeper), 0);

    // An unoptimised keeper that has seen a thousand children and remembers them all; a release build takes a fraction.
    let kilobytes = |name| status_line(keeper, name).unwrap().trim_end_matches(" kB").parse::<u64>().unwrap();
    println!(
        "keeper with 1000 exited children: {} kB resident, {} kB anonymous",
        kilobytes("VmRSS"),
        kilobytes("RssAnon")
    );
    assert!(kilobytes("VmRSS") < 16 * 1024);

    for child in listed {
        client.acknowledge(&child.token).await.unwrap();
    }
    assert_eq!(client.list().await.unwrap(), []);
    client.stop(true).await.unwrap();
    until("the keeper to end", || !lives(keeper)).await;
    assert!(std::fs::metadata(nest.file("keeper/journal")).unwrap().len() < 2 << 20, "the journal is compacted");
}

#[tokio::test]
async fn orphans_leave_no_zombies() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "for i in 1 2 3 4 5; do (sh -c 'read x < gate' &) ; done; echo $$ > up";
    let gate = nest.file("gate");
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    client.spawn(&token("parent"), &nest.script(script)).await.unwrap();
    assert_eq!(within(client.wait(&token("parent"))).await.unwrap(), ExitStatus::Code(0));
    let keeper = client.keeper().keeper_pid;
    let adopted = || {
        let of = |pid: &u32| status_line(*pid, "PPid").is_some_and(|parent| parent == keeper.to_string());
        processes().filter(of).count()
    };
    until("five adopted orphans", || adopted() == 5).await;
    // Holding the other end open as a writer lets all five open and then read the end of the file.
    let writer = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(gate).unwrap());
    drop(within(writer).await.unwrap());
    until("no orphan, dead or alive", || {
        // Late readers need a writer of their own.
        drop(
            rustix::fs::open(
                nest.file("gate"),
                rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
                rustix::fs::Mode::empty(),
            )
            .ok(),
        );
        adopted() == 0
    })
    .await;
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_delays_nothing() {
    let nest = Nest::new();
    let client = nest.client().await;
    client.spawn(&token("a"), &nest.script("sh -c 'echo $$ > pid; exec sleep 1000' & exit 4")).await.unwrap();
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Code(4));
    let grandchild = nest.pid_in("pid").await;
    assert!(lives(grandchild));
    // Its group is still there to be signalled, though the child is not.
    let none = client.signal(&token("a"), Signal::Term, Target::Process).await.unwrap_err();
    assert_eq!(none.refusal(), Some(RefusalKind::NotRunning));
    client.signal(&token("a"), Signal::Term, Target::Group).await.unwrap();
    until("the grandchild to end", || !lives(grandchild)).await;
}

#[tokio::test]
async fn waits_may_be_dropped_and_repeated() {
    let nest = Nest::new();
    let client = nest.client().await;
    client.spawn(&token("a"), &nest.script("sleep 1000")).await.unwrap();
    let token_a = token("a");
    for _ in 0..10 {
        let wait = client.wait(&token_a);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), wait).await.is_err());
    }
    let (first, second) = (client.wait(&token_a), client.wait(&token_a));
    let kill = client.signal(&token_a, Signal::Kill, Target::Process);
    let (first, second, kill) = within(async { tokio::join!(first, second, kill) }).await;
    kill.unwrap();
    assert_eq!((first.unwrap(), second.unwrap()), (ExitStatus::Signal(9), ExitStatus::Signal(9)));
    assert_eq!(client.wait(&token("a")).await.unwrap(), ExitStatus::Signal(9));
    let unknown = client.wait(&token("b")).await.unwrap_err();
    assert_eq!(unknown.refusal(), Some(RefusalKind::UnknownToken));
}
