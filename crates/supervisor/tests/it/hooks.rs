//! Hooks that run, fail, hang, and are found again.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use piton_keeper::Output;
use piton_model::{FailureMode, Hook, HookOutcome, HookPhase, Process, RunMode, Secret};
use piton_supervisor::InstanceState;
use piton_supervisor::hook::{HookOwner, HookReport, run_phase};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::children::{Children, lives, until};
use crate::scene::{Scene, idle, name_of};

fn hook(name: &str, command: &str) -> Hook {
    Hook {
        name: name.parse().unwrap(),
        command: command.to_owned(),
        failure_mode: FailureMode::Fail,
        run_mode: RunMode::Blocking,
        timeout: Duration::from_secs(60),
        env: BTreeMap::new(),
        work_dir: None,
    }
}

fn owner(children: &Children, prefix: &str) -> (HookOwner, UnboundedReceiver<HookReport>) {
    let (reports, told) = unbounded_channel();
    let owner = HookOwner {
        name: "web-1".to_owned(),
        token_prefix: prefix.to_owned(),
        env: Children::env(),
        work_dir: children.path().to_owned(),
        log: Output::File(children.file("log")),
        reports,
    };
    (owner, told)
}

pub(crate) async fn run_in_order_with_their_environment_and_a_headed_log() {
    let children = Children::new();
    let (owner, mut told) = owner(&children, "process/web-1/1");
    let mut second = hook(
        "second",
        r#"echo "$0 $PROVISR_PROCESS_NAME $PROVISR_HOOK_NAME $PROVISR_HOOK_PHASE $OWN $EXTRA"; ls -d /"#,
    );
    second.env.insert("EXTRA".to_owned(), Secret::new("more".to_owned()));
    let elsewhere = children.file("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let third = Hook { work_dir: Some(elsewhere.clone()), ..hook("third", "pwd >&2") };
    let hooks = [hook("first", "echo it\\'s 1"), second, third];
    run_phase(&children.keeping, &owner, HookPhase::PreStart, &hooks, &mut JoinSet::new()).await.unwrap();
    let expected = format!(
        "$ hook first (pre_start)\nit's 1\n$ hook second (pre_start)\n/bin/sh web-1 second pre_start owner's more\n/\n\
         $ hook third (pre_start)\n{}\n",
        elsewhere.display()
    );
    assert_eq!(children.text("log"), expected);
    for name in ["first", "second", "third"] {
        let report = told.recv().await.unwrap();
        assert_eq!((report.hook.as_str(), report.attempt, report.outcome), (name, 1, HookOutcome::Code(0)));
        assert!(report.started_at.unwrap() <= report.ended_at);
        assert_eq!((report.owner.as_str(), report.phase), ("web-1", HookPhase::PreStart));
    }
    // The keeper remembers, until it is told to forget.
    assert_eq!(children.keeping.held().await.unwrap().len(), 3);
    children.keeping.release("process/web-1/1/").await.unwrap();
    assert_eq!(children.keeping.held().await.unwrap(), []);
}

pub(crate) async fn each_failure_mode_is_honoured() {
    let children = Children::new();
    for (mode, tries, fails) in
        [(FailureMode::Fail, 1, true), (FailureMode::Ignore, 1, false), (FailureMode::Retry, 2, true)]
    {
        let (owner, mut told) = owner(&children, &format!("process/{mode:?}"));
        let ledger = format!("{mode:?}");
        let failing = Hook { failure_mode: mode, ..hook("bad", &format!("echo try >> {ledger}; exit 3")) };
        let hooks = [failing, hook("next", &format!("echo next >> {ledger}"))];
        let end = run_phase(&children.keeping, &owner, HookPhase::PreStop, &hooks, &mut JoinSet::new()).await;
        let next = if fails { "" } else { "next\n" };
        assert_eq!(children.text(&ledger), format!("{}{next}", "try\n".repeat(tries)));
        assert_eq!(end.is_err(), fails);
        if let Err(failure) = end {
            assert_eq!(failure.to_string(), "the pre_stop hook `bad` failed: exit code 3");
        }
        for attempt in 1..=tries {
            let report = told.recv().await.unwrap();
            assert_eq!((report.attempt as usize, report.outcome), (attempt, HookOutcome::Code(3)));
        }
    }
    // The second try may succeed.
    let (owner, _told) = owner(&children, "process/second");
    let lucky = Hook { failure_mode: FailureMode::Retry, ..hook("h", "test -e been || { touch been; exit 1; }") };
    run_phase(&children.keeping, &owner, HookPhase::PostStop, &[lucky], &mut JoinSet::new()).await.unwrap();
}

pub(crate) async fn one_that_takes_too_long_is_killed_with_all_it_started() {
    let children = Children::new();
    let (owner, mut told) = owner(&children, "process/a");
    let command = "trap '' TERM; setsid sleep 1000 & echo $! > pid; echo $$ >> pid; wait";
    let slow = Hook { timeout: Duration::from_millis(700), ..hook("slow", command) };
    let failure =
        run_phase(&children.keeping, &owner, HookPhase::PreStart, &[slow], &mut JoinSet::new()).await.unwrap_err();
    assert_eq!(failure.outcome, HookOutcome::TimedOut);
    assert_eq!(told.recv().await.unwrap().outcome, HookOutcome::TimedOut);
    let pids = children.numbers_in("pid", 2).await;
    until("its processes to be gone", || pids.iter().all(|pid| !lives(*pid))).await;
}

pub(crate) async fn an_asynchronous_one_goes_on_and_is_told() {
    let children = Children::new();
    let (owner, mut told) = owner(&children, "process/a");
    let aside = |name, command| Hook { run_mode: RunMode::Async, ..hook(name, command) };
    let slow = Hook { timeout: Duration::from_millis(500), ..aside("slow", "sleep 1000") };
    let hooks = [
        aside("waits", "echo begun >> ledger; while ! test -e go; do sleep 0.01; done; echo ended >> ledger"),
        Hook { failure_mode: FailureMode::Retry, ..aside("fails", "echo tried >> tries; exit 4") },
        slow,
        hook("blocks", "while ! test -e ledger; do sleep 0.01; done"),
    ];
    let mut beside = JoinSet::new();
    run_phase(&children.keeping, &owner, HookPhase::PostStart, &hooks, &mut beside).await.unwrap();
    assert_eq!(children.text("ledger"), "begun\n");
    fs::write(children.file("go"), "").unwrap();
    let mut outcomes = BTreeMap::new();
    for _ in 0..5 {
        let report = told.recv().await.unwrap();
        outcomes.insert((report.hook.to_string(), report.attempt), report.outcome);
    }
    assert_eq!(children.text("ledger"), "begun\nended\n");
    assert_eq!(children.text("tries"), "tried\ntried\n");
    let expected = [
        (("blocks".to_owned(), 1), HookOutcome::Code(0)),
        (("fails".to_owned(), 1), HookOutcome::Code(4)),
        (("fails".to_owned(), 2), HookOutcome::Code(4)),
        (("slow".to_owned(), 1), HookOutcome::TimedOut),
        (("waits".to_owned(), 1), HookOutcome::Code(0)),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected));
}

/// Every phase, failure mode and run mode: the supervisor goes away while the hook runs, and another comes.
pub(crate) async fn a_supervisor_that_comes_back_counts_each_once() {
    let mut children = Children::new();
    for phase in HookPhase::ALL {
        for failure_mode in [FailureMode::Fail, FailureMode::Ignore, FailureMode::Retry] {
            for run_mode in [RunMode::Blocking, RunMode::Async] {
                let case = format!("{phase}-{failure_mode:?}-{run_mode:?}");
                let (before, _told) = owner(&children, &format!("process/{case}"));
                let command = format!(
                    "echo ran >> {case}; while ! test -e {case}.go; do sleep 0.01; done; test $(wc -l < {case}) = 2"
                );
                let hooks = [Hook { failure_mode, run_mode, ..hook("h", &command) }];
                {
                    let mut beside = JoinSet::new();
                    let phase = run_phase(&children.keeping, &before, phase, &hooks, &mut beside);
                    tokio::pin!(phase);
                    let begun = until("the hook to run", || children.text(&case) == "ran\n");
                    tokio::pin!(begun);
                    tokio::select! {
                        () = &mut begun => {}
                        // An asynchronous one is not waited for.
                        result = phase => { result.unwrap(); begun.await }
                    }
                }
                children.restart();
                let (after, mut told) = owner(&children, &format!("process/{case}"));
                fs::write(children.file(&format!("{case}.go")), "").unwrap();
                let mut beside = JoinSet::new();
                let end = run_phase(&children.keeping, &after, phase, &hooks, &mut beside).await;
                let first = told.recv().await.unwrap();
                assert_eq!((first.attempt, &first.outcome), (1, &HookOutcome::Code(1)), "{case}");
                let ran = if failure_mode == FailureMode::Retry {
                    let second = told.recv().await.unwrap();
                    assert_eq!((second.attempt, second.outcome), (2, HookOutcome::Code(0)), "{case}");
                    2
                } else {
                    1
                };
                assert_eq!(children.text(&case), "ran\n".repeat(ran), "{case}");
                let fails = (failure_mode, run_mode) == (FailureMode::Fail, RunMode::Blocking);
                assert_eq!(end.is_err(), fails, "{case}");
            }
        }
    }
}

pub(crate) async fn one_whose_keeper_died_is_interrupted() {
    let children = Children::new();
    let (owner, mut told) = owner(&children, "process/a");
    let command = "echo ran >> ledger; while ! test -e go; do sleep 0.01; done";
    let hooks = [Hook { failure_mode: FailureMode::Ignore, ..hook("h", command) }, hook("next", "true")];
    let mut beside = JoinSet::new();
    let phase = run_phase(&children.keeping, &owner, HookPhase::PreStart, &hooks, &mut beside);
    let killing = async {
        until("the hook to run", || children.text("ledger") == "ran\n").await;
        children.kill_keeper().await;
        fs::write(children.file("go"), "").unwrap();
    };
    let (end, ()) = tokio::join!(phase, killing);
    end.unwrap();
    let report = told.recv().await.unwrap();
    assert!(matches!(report.outcome, HookOutcome::Interrupted(_)), "{:?}", report.outcome);
    assert_eq!(children.text("ledger"), "ran\n");
    assert_eq!(told.recv().await.unwrap().hook.as_str(), "next");
}

pub(crate) async fn what_cannot_start_fails() {
    let children = Children::new();
    let (owner, mut told) = owner(&children, "process/a");
    let missing = Hook { work_dir: Some(children.file("missing")), ..hook("h", "true") };
    let failure =
        run_phase(&children.keeping, &owner, HookPhase::PreStart, &[missing], &mut JoinSet::new()).await.unwrap_err();
    assert!(failure.to_string().contains("could not be started: working directory"), "{failure}");
    let report = told.recv().await.unwrap();
    assert_eq!((report.started_at, report.outcome), (None, failure.outcome));
}

pub(crate) async fn those_beside_a_start_are_attended_to_their_end() {
    let mut web = idle("web");
    web.hooks.post_start = (0..8)
        .map(|number| {
            let command =
                format!("setsid sleep 100000 & echo $! > left-{number}.new; mv left-{number}.new left-{number}");
            Hook { run_mode: RunMode::Async, ..hook(&format!("h{number}"), &command) }
        })
        .collect();
    let scene = Scene::with([web]).await;
    let mut left = Vec::new();
    for number in 0..8 {
        left.push(scene.pid_in(&format!("left-{number}")).await);
    }
    until("all that they left behind to be killed", || !left.iter().any(|pid| lives(*pid))).await;
    scene.until_no_hook_is_held().await;
}

pub(crate) async fn one_left_before_a_start_is_taken_back() {
    let declared = || {
        let mut web = idle("web");
        web.hooks.pre_start = vec![hook("h", "echo ran >> ran; until [ -e go ]; do sleep 0.01; done")];
        [web]
    };
    let scene = Scene::with(declared()).await;
    until("the hook to run", || scene.read("ran") == "ran\n").await;
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    scene.touch("go");
    scene.until_state("web", InstanceState::Running).await;
    assert_eq!(scene.read("ran"), "ran\n");
    scene.until_no_hook_is_held().await;
}

/// The one that ran when the supervisor went is waited for, those before it are not run again, those behind it are run.
pub(crate) async fn a_chain_after_a_start_goes_on() {
    let declared = || {
        let mut web = idle("web");
        web.hooks.post_start = vec![
            hook("first", "echo first >> ran"),
            hook("second", "echo second >> ran; until [ -e go ]; do sleep 0.01; done"),
            hook("third", "echo third >> ran"),
        ];
        [web]
    };
    let scene = Scene::with(declared()).await;
    until("the second to run", || scene.read("ran") == "first\nsecond\n").await;
    let pid = scene.pid("web");
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    scene.touch("go");
    until("the third to run", || scene.read("ran") == "first\nsecond\nthird\n").await;
    scene.until_no_hook_is_held().await;
    // Through with them once, it is not announced again.
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    assert_eq!((scene.status("web").state, scene.pid("web")), (InstanceState::Running, pid));
    scene.until_no_hook_is_held().await;
    assert_eq!(scene.read("ran"), "first\nsecond\nthird\n");
}

/// They had not begun when the supervisor went: the child was too young to count as started.
pub(crate) async fn those_after_a_start_come_when_another_supervisor_sees_it_grow() {
    let declared = || {
        let mut web = idle("web");
        web.start.duration = Duration::from_secs(3);
        web.hooks.post_start = vec![hook("h", "echo ran >> ran")];
        [web]
    };
    let scene = Scene::with(declared()).await;
    scene.until_status("web", "to have a child", |status| status.pid.is_some()).await;
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    scene.until_state("web", InstanceState::Running).await;
    until("the hook to run", || scene.read("ran") == "ran\n").await;
    scene.until_no_hook_is_held().await;
}

pub(crate) async fn one_that_nobody_takes_back_ends_in_its_time() {
    let timeout = Duration::from_secs(1);
    let declared = |auto_start| {
        let (mut web, mut beside) = (idle("web"), idle("beside"));
        let command = "echo $$ >> ran; [ -e go ] || exec sleep 100000";
        web.hooks.pre_start = vec![Hook { timeout, ..hook("h", command) }];
        web.auto_start = auto_start;
        let aside = Hook { timeout, run_mode: RunMode::Async, ..hook("h", "echo $$ > aside; exec sleep 100000") };
        beside.hooks.post_start = vec![aside];
        [web, beside]
    };
    let scene = Scene::with(declared(true)).await;
    let (before, aside) = (scene.pid_in("ran").await, scene.pid_in("aside").await);
    let scene = scene.come_back().await;
    scene.apply(declared(false)).await;
    until("both to be killed", || !lives(before) && !lives(aside)).await;
    scene.until_no_hook_is_held().await;
    scene.touch("go");
    scene.supervisor.start(&name_of("web")).await.unwrap();
    assert_eq!(scene.read("ran").lines().count(), 2, "what was left counts for no other start");
}

pub(crate) async fn a_stop_takes_its_hooks_back() {
    let declared = || {
        let mut web = idle("web");
        web.hooks.pre_stop = vec![
            hook("first", "echo first >> ran"),
            hook("second", "echo second >> ran; until [ -e go ]; do sleep 0.01; done"),
        ];
        [web]
    };
    let scene = Scene::with(declared()).await;
    scene.until_state("web", InstanceState::Running).await;
    let supervisor = scene.supervisor.clone();
    let stopping = tokio::spawn(async move { supervisor.stop(&name_of("web"), None).await });
    until("the hooks to run", || scene.read("ran") == "first\nsecond\n").await;
    stopping.abort();
    assert!(stopping.await.unwrap_err().is_cancelled());
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    scene.touch("go");
    scene.until_state("web", InstanceState::Stopped).await;
    assert_eq!(scene.read("ran"), "first\nsecond\n");
    scene.until_no_hook_is_held().await;
}

pub(crate) async fn those_before_a_start_end_with_a_stop() {
    let (mut web, mut stubborn) = (idle("web"), idle("stubborn"));
    web.stop.stages[0].wait = Duration::from_secs(60);
    web.hooks.pre_start = vec![
        hook("first", "trap 'echo asked >> ran; exit 0' TERM; echo $$ > polite; while :; do sleep 0.02; done"),
        hook("second", "echo second >> ran"),
    ];
    stubborn.hooks.pre_start = vec![hook(
        "h",
        "trap '' TERM; setsid sleep 100000 & echo $! > left; echo $$ > deaf; while :; do sleep 0.02; done",
    )];
    let scene = Scene::with([web, stubborn]).await;
    let pids = [scene.pid_in("polite").await, scene.pid_in("deaf").await, scene.pid_in("left").await];
    for (name, wait) in [("web", None), ("stubborn", Some(Duration::from_millis(50)))] {
        let stopped = scene.supervisor.stop(&name_of(name), wait).await.unwrap();
        assert_eq!(stopped[0].state, InstanceState::Stopped);
    }
    assert_eq!(scene.read("ran"), "asked\n", "it was asked before it was killed, and none followed");
    until("all of them to be gone", || !pids.iter().any(|pid| lives(*pid))).await;
    scene.until_no_hook_is_held().await;
}

/// It ends well after it was asked to, which says nothing of what it was for.
fn ends_well_when_asked() -> [Process; 1] {
    let mut web = idle("web");
    web.stop.stages[0].wait = Duration::from_secs(600);
    let command = "echo $$ >> ran; [ -e go ] && exit 0; \
        trap 'echo asked > asked; until [ -e go ]; do sleep 0.01; done; exit 0' TERM; while :; do sleep 0.02; done";
    web.hooks.pre_start = vec![hook("h", command)];
    [web]
}

/// The scene in which that one was asked to end by a restart, and its process id.
async fn cut_short() -> (Scene, u32) {
    let scene = Scene::with(ends_well_when_asked()).await;
    let pid = scene.pid_in("ran").await;
    let supervisor = scene.supervisor.clone();
    let restarting = tokio::spawn(async move { supervisor.restart(&name_of("web"), None).await });
    until("the hook to be asked", || scene.read("asked") == "asked\n").await;
    restarting.abort();
    assert!(restarting.await.unwrap_err().is_cancelled());
    (scene, pid)
}

pub(crate) async fn one_that_was_cut_short_is_done_for_no_later_supervisor() {
    let (scene, pid) = cut_short().await;
    let scene = scene
        .go_and_come_back_when(|dir| {
            fs::write(dir.join("go"), "").unwrap();
            move || !lives(pid)
        })
        .await;
    scene.apply(ends_well_when_asked()).await;
    scene.until_state("web", InstanceState::Running).await;
    assert_eq!(scene.read("ran").lines().count(), 2, "it was run once more");
    scene.until_no_hook_is_held().await;
}

pub(crate) async fn a_later_supervisor_waits_for_one_that_was_cut_short() {
    let (scene, pid) = cut_short().await;
    let scene = scene.come_back().await;
    scene.apply(ends_well_when_asked()).await;
    let waits = scene.until_state("web", InstanceState::Waiting).await;
    assert_eq!(waits.reason.unwrap(), "waits for its hooks to end that were stopped before");
    assert_eq!((scene.read("ran").lines().count(), lives(pid)), (1, true));
    scene.touch("go");
    scene.until_state("web", InstanceState::Running).await;
    assert_eq!((scene.read("ran").lines().count(), lives(pid)), (2, false));
    scene.until_no_hook_is_held().await;
}

pub(crate) async fn less_patience_with_one_before_a_start_may_be_asked_for_later() {
    let mut web = idle("web");
    web.stop.stages[0].wait = Duration::from_secs(600);
    let deaf = "trap 'echo asked > asked' TERM; echo $$ > deaf; while :; do sleep 0.02; done";
    web.hooks.pre_start = vec![Hook { timeout: Duration::from_secs(3600), ..hook("h", deaf) }];
    let scene = Scene::with([web]).await;
    let pid = scene.pid_in("deaf").await;
    let supervisor = scene.supervisor.clone();
    let patient = tokio::spawn(async move { supervisor.stop(&name_of("web"), None).await });
    until("the hook to be asked", || scene.read("asked") == "asked\n").await;
    let stopped = scene.supervisor.stop(&name_of("web"), Some(Duration::from_millis(50))).await.unwrap();
    assert_eq!((stopped[0].state, lives(pid)), (InstanceState::Stopped, false));
    assert_eq!(patient.await.unwrap().unwrap()[0].state, InstanceState::Stopped);
    scene.until_no_hook_is_held().await;
}
