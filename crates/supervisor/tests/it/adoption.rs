//! The supervisor goes and another comes; the keeper dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use piton_keeper::ExitStatus;
use piton_model::RestartWhen;
use piton_supervisor::{FileMemory, InstanceState, InstanceStatus, Selector, Supervisor};
use rustix::process::Signal;

use crate::scene::{Scene, declared, idle, kill, lives, name_of, process, send, settings, until};

pub(crate) async fn a_supervisor_that_comes_back_finds_everything_as_it_was() {
    let declared = || {
        let mut workers = idle("worker");
        workers.instances = 3;
        [workers, idle("web")]
    };
    let mut scene = Scene::with(declared()).await;
    scene.until_state("web", InstanceState::Running).await;
    kill(scene.pid("web"));
    scene.until_status("web", "replaced", |status| status.restarts == 1 && status.pid.is_some()).await;
    for worker in ["worker-1", "worker-2", "worker-3"] {
        scene.until_state(worker, InstanceState::Running).await;
    }
    let what_counts = |scene: &Scene| {
        let all = scene.supervisor.status(&Selector::All).unwrap();
        let parts = |s: InstanceStatus| (s.name, s.state, s.pid, s.started_at, s.restarts);
        all.into_iter().map(parts).collect::<Vec<_>>()
    };
    let before = what_counts(&scene);
    assert_eq!(before.len(), 4);
    for _ in 0..10 {
        scene = scene.come_back().await;
        assert_eq!(what_counts(&scene), [], "nothing is touched before it is declared");
        let mut changes = scene.supervisor.changes();
        scene.apply(declared()).await;
        assert_eq!(what_counts(&scene), before);
        assert!(changes.try_recv().is_err(), "another supervisor is no change");
    }
    kill(scene.pid("web"));
    scene.until_status("web", "replaced", |status| status.restarts == 2 && status.pid.is_some()).await;
}

pub(crate) async fn an_end_while_nobody_looked_is_judged_by_the_policy() {
    let once = |name: &str, line: &str| {
        let mut process = process(name, line);
        process.restart.when = RestartWhen::OnFailure;
        process
    };
    let declared = || {
        [
            once("fails", "echo x >> fails; until [ -e go ]; do sleep 0.01; done; rm go; exit 3"),
            once("succeeds", "echo x >> succeeds; until [ -e fine ]; do sleep 0.01; done"),
        ]
    };
    let scene = Scene::with(declared()).await;
    until("both", || scene.read("fails") == "x\n" && scene.read("succeeds") == "x\n").await;
    for name in ["fails", "succeeds"] {
        scene.until_state(name, InstanceState::Running).await;
    }
    let pids = [scene.pid("fails"), scene.pid("succeeds")];
    let scene = scene
        .go_and_come_back_when(|dir| {
            std::fs::write(dir.join("go"), "").unwrap();
            std::fs::write(dir.join("fine"), "").unwrap();
            move || !pids.iter().any(|pid| lives(*pid))
        })
        .await;
    let mut changes = scene.supervisor.changes();
    scene.apply(declared()).await;
    let failed =
        scene.until_status("fails", "started again", |status| status.restarts == 1 && status.pid.is_some()).await;
    assert_eq!(failed.last_exit.unwrap().status, ExitStatus::Code(3));
    let succeeded = scene.until_state("succeeds", InstanceState::Exited).await;
    assert_eq!(succeeded.last_exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!(scene.read("succeeds"), "x\n", "it was not started again");
    assert!(!scene.file("pids/succeeds.pid").exists());
    let mut first = BTreeMap::new();
    while let Ok(change) = changes.try_recv() {
        first.entry(change.now.name.clone()).or_insert((change.from, change.now.pid));
    }
    let running = InstanceState::Running;
    let expected = [("fails", (running, None)), ("succeeds", (running, None))];
    assert_eq!(first, BTreeMap::from(expected.map(|(name, change)| (name.to_owned(), change))));
}

pub(crate) async fn what_changed_meanwhile_is_replaced_and_what_did_not_is_not() {
    let scene = Scene::with([idle("same"), idle("other")]).await;
    for name in ["same", "other"] {
        scene.until_state(name, InstanceState::Running).await;
    }
    let (same, other) = (scene.pid("same"), scene.pid("other"));
    let scene = scene.come_back().await;
    let mut policy = idle("same");
    policy.stop.stages.clear();
    scene.apply([policy, process("other", "exec sleep 200000")]).await;
    scene
        .until_status("other", "replaced", |status| status.state == InstanceState::Running && status.pid != Some(other))
        .await;
    assert_eq!(scene.pid("same"), same);
    assert!(lives(same) && !lives(other));
}

pub(crate) async fn what_is_no_longer_declared_is_stopped() {
    let scene = Scene::with([idle("web"), idle("old")]).await;
    for name in ["web", "old"] {
        scene.until_state(name, InstanceState::Running).await;
    }
    let (web, old) = (scene.pid("web"), scene.pid("old"));
    let scene = scene.come_back().await;
    scene.apply([idle("web")]).await;
    until("its end", || !lives(old)).await;
    until("its absence", || scene.supervisor.status(&name_of("old")).is_err()).await;
    assert_eq!(scene.pid("web"), web);
}

pub(crate) async fn a_killed_keeper_costs_no_process() {
    let scene = Scene::with([idle("web"), idle("api")]).await;
    for name in ["web", "api"] {
        scene.until_state(name, InstanceState::Running).await;
    }
    let (web, api) = (scene.pid("web"), scene.pid("api"));
    for _ in 0..3 {
        scene.kill_keeper().await;
        // Whoever asks a keeper for something starts the next one.
        let keeper = || scene.read("keeper.lock").trim().parse().is_ok_and(lives);
        until("another keeper", keeper).await;
        assert_eq!((scene.pid("web"), scene.pid("api")), (web, api));
    }
    kill(web);
    let status = scene.until_status("web", "replaced", |status| status.restarts == 1 && status.pid.is_some()).await;
    assert_eq!(status.last_exit.unwrap().status, ExitStatus::Unknown, "only its parent could have known");
    scene.supervisor.stop(&name_of("api"), None).await.unwrap();
    assert!(!lives(api));
}

pub(crate) async fn whose_output_died_with_the_keeper_says_so() {
    let scene = Scene::with([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let web = scene.pid("web");
    assert_eq!(scene.status("web").reason, None);
    scene.kill_keeper().await;
    let is_told =
        |status: &InstanceStatus| status.reason.as_ref().is_some_and(|reason| reason.starts_with("its output is lost"));
    let status = scene.until_status("web", "without its output", is_told).await;
    assert_eq!((status.state, status.pid), (InstanceState::Running, Some(web)));
    let scene = scene.come_back().await;
    scene.apply([idle("web")]).await;
    let status = scene.status("web");
    assert!(is_told(&status) && status.pid == Some(web), "the next one finds it so: {status:?}");
    scene.supervisor.restart(&name_of("web"), None).await.unwrap();
    let status = scene.status("web");
    assert!(status.reason.is_none() && status.pid != Some(web), "{status:?}");
}

/// Supervisor and keeper were killed. Who only looks starts neither, and sees what they left.
pub(crate) async fn what_both_left_is_seen_by_who_only_looks() {
    let scene = Scene::with([idle("web"), idle("api")]).await;
    scene.until_state("web", InstanceState::Running).await;
    scene.until_state("api", InstanceState::Running).await;
    let (web, api) = (scene.pid("web"), scene.pid("api"));
    scene.supervisor.leave();
    scene.kill_keeper().await;
    kill(api);
    until("its death", || !lives(api)).await;
    let wishes = scene.file("wishes.json");
    let settings = settings(wishes.parent().unwrap());
    let looking = Supervisor::look(settings, Arc::new(FileMemory::new(wishes)), &declared([])).await.unwrap();
    let seen = looking.status(&Selector::All).unwrap();
    let seen: Vec<_> = seen.iter().map(|status| (status.name.as_str(), status.state, status.pid)).collect();
    assert_eq!(seen, [("web", InstanceState::Running, Some(web))]);
}

pub(crate) async fn what_both_left_is_seen_by_its_own_file() {
    let scene = Scene::new().await;
    let mut web = idle("web");
    web.pid_file = Some(scene.file("own.pid"));
    scene.apply([web.clone()]).await;
    scene.supervisor.scale("web", 2).await.unwrap();
    let mut pids = Vec::new();
    for name in ["web-1", "web-2"] {
        scene.until_state(name, InstanceState::Running).await;
        pids.push((name.to_owned(), Some(scene.pid(name))));
    }
    scene.supervisor.leave();
    scene.kill_keeper().await;
    let wishes = scene.file("wishes.json");
    let settings = settings(wishes.parent().unwrap());
    let looking = Supervisor::look(settings, Arc::new(FileMemory::new(wishes)), &declared([web])).await.unwrap();
    let seen = looking.status(&Selector::All).unwrap();
    let seen: Vec<_> = seen.into_iter().map(|status| (status.name, status.pid)).collect();
    assert_eq!(seen, pids);
}

pub(crate) async fn an_end_that_another_keeper_tells_before_anything_is_declared_counts() {
    let scene = Scene::with([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let web = scene.pid("web");
    let scene = scene.come_back().await;
    let keeper: u32 = scene.read("keeper.lock").trim().parse().unwrap();
    // Nobody hears of the end but the next keeper.
    send(keeper, Signal::STOP);
    kill(web);
    scene.kill_keeper().await;
    until("its death", || !lives(web)).await;
    let exited = |child: &piton_keeper::Child| child.identity.pid == web && child.exit().is_some();
    assert!(scene.held().await.iter().any(exited));
    scene.apply([idle("web")]).await;
    let status = scene.until_status("web", "replaced", |status| status.pid.is_some_and(|pid| pid != web)).await;
    assert_eq!((status.restarts, status.last_exit.unwrap().status), (1, ExitStatus::Unknown));
}

pub(crate) async fn what_was_stopped_by_hand_stays_stopped() {
    let mut by_hand = idle("by-hand");
    by_hand.auto_start = false;
    let declared = || [idle("web"), by_hand.clone()];
    let scene = Scene::with(declared()).await;
    scene.until_state("web", InstanceState::Running).await;
    scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    scene.supervisor.start(&name_of("by-hand")).await.unwrap();
    scene.supervisor.stop_all().await.unwrap();
    let scene = scene.come_back().await;
    scene.apply(declared()).await;
    scene.until_state("by-hand", InstanceState::Running).await;
    assert_eq!(scene.status("web").state, InstanceState::Stopped);
}
