//! Starts, ends, restarts, and what depends on what.

use std::time::Duration;

use piton_model::{
    Dependency, DependencyCondition, Detector, FailureMode, Hook, Name, Probe, ProbeCheck, Program, RestartWhen,
    RunMode,
};
use piton_supervisor::{Error, GroupState, InstanceState, InstanceStatus, Selector};

use crate::scene::{Scene, declared, group, idle, kill, lives, name_of, process, until};

pub(crate) async fn it_starts_restarts_and_stops() {
    let mut web = idle("web");
    web.auto_start = false;
    let scene = Scene::with([web]).await;
    assert_eq!(scene.status("web").state, InstanceState::Stopped);

    let started = scene.supervisor.start(&name_of("web")).await.unwrap();
    assert_eq!((started.len(), started[0].state), (1, InstanceState::Running));
    assert!(started[0].ready && started[0].started_at.is_some() && started[0].detected_by == "exec:pid");
    let first = scene.pid("web");
    assert!(lives(first));
    assert!(scene.read("pids/web.pid").starts_with(&format!("{first}\n")));
    scene.supervisor.start(&name_of("web")).await.unwrap();
    assert_eq!(scene.pid("web"), first, "what runs is left alone");

    let again = scene.supervisor.restart(&name_of("web"), None).await.unwrap();
    assert_eq!((again[0].state, again[0].restarts), (InstanceState::Running, 0));
    assert!(again[0].pid != Some(first) && !lives(first));

    let second = scene.pid("web");
    let stopped = scene.supervisor.stop(&Selector::All, None).await.unwrap();
    assert_eq!((stopped[0].state, stopped[0].pid), (InstanceState::Stopped, None));
    let exit = stopped[0].last_exit.clone().unwrap();
    assert!(!exit.unexpected && exit.status == piton_keeper::ExitStatus::Signal(15), "{exit:?}");
    assert!(!lives(second) && !scene.file("pids/web.pid").exists());
}

pub(crate) async fn what_crashes_is_replaced_at_once() {
    let scene = Scene::with([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let mut changes = scene.supervisor.changes();
    let before = scene.supervisor.happened();
    for restarts in 1..=5 {
        let pid = scene.pid("web");
        kill(pid);
        let status = scene
            .until_status("web", "replaced", |status| {
                status.restarts == restarts && status.state == InstanceState::Running
            })
            .await;
        assert!(status.pid != Some(pid) && status.last_exit.unwrap().unexpected);
    }
    // What is seen was told.
    let mut heard = Vec::new();
    while let Ok(change) = changes.try_recv() {
        heard.push((change.number, change.from, change.now.state));
    }
    let each = [(InstanceState::Running, InstanceState::Starting), (InstanceState::Starting, InstanceState::Running)];
    let expected = (before + 1..).zip(each.into_iter().cycle()).map(|(number, (from, now))| (number, from, now));
    assert_eq!(heard, expected.take(10).collect::<Vec<_>>(), "each was on its way, and then up");
    assert_eq!(scene.supervisor.happened(), before + 10);
}

pub(crate) async fn flapping_is_given_up_until_a_hand_starts_it() {
    let mut web = process("web", "echo x >> starts; exit 3");
    web.restart.flap_limit = Some(4);
    let scene = Scene::with([web]).await;
    let status = scene.until_state("web", InstanceState::Fatal).await;
    assert_eq!(scene.read("starts").lines().count(), 5);
    assert_eq!(status.restarts, 4);
    let reason = status.reason.unwrap();
    assert!(reason.contains("4 times within 60s") && reason.contains("exit code 3"), "{reason}");
    let _ = scene.supervisor.start(&name_of("web")).await;
    until("another life", || scene.read("starts").lines().count() == 10).await;
}

pub(crate) async fn a_start_counts_after_its_time() {
    let mut slow = idle("slow");
    slow.start.duration = Duration::from_millis(300);
    let mut broken = process("broken", "echo x >> tries; exit 1");
    broken.restart.when = RestartWhen::Never;
    broken.start.duration = Duration::from_secs(60);
    (broken.start.retries, broken.start.retry_interval) = (2, Duration::from_millis(10));
    broken.auto_start = false;
    let scene = Scene::with([slow, broken]).await;
    assert_eq!(
        scene.until_status("slow", "has a pid", |status| status.pid.is_some()).await.state,
        InstanceState::Starting
    );
    scene.until_state("slow", InstanceState::Running).await;
    let error = scene.supervisor.start(&name_of("broken")).await.unwrap_err();
    assert!(matches!(&error, Error::Start { instance, .. } if instance == "broken"), "{error}");
    assert!(error.to_string().contains("exit code 1, before it had run for 60s"), "{error}");
    assert_eq!(scene.read("tries").lines().count(), 3);
}

fn needs(name: &str, condition: DependencyCondition) -> Dependency {
    Dependency { name: Name::parse(name).unwrap(), condition }
}

/// Writes down when it comes and goes.
fn diary(name: &str) -> piton_model::Process {
    let line =
        format!("trap 'echo -{name} >> diary; exit 0' TERM; echo +{name} >> diary; while :; do sleep 0.02; done");
    process(name, &line)
}

pub(crate) async fn lower_priorities_start_earlier() {
    let ranked = |number: i32| {
        // The names say the opposite.
        let mut one = idle(&format!("p{}", 20 - number));
        (one.priority, one.instances) = (number, 2);
        one
    };
    let scene = Scene::with((0..20).map(ranked)).await;
    for _ in 0..3 {
        until("all run", || {
            let all = scene.supervisor.status(&Selector::All).unwrap();
            all.len() == 40 && all.iter().all(|status| status.state == InstanceState::Running)
        })
        .await;
        let mut children = scene.held().await;
        children.retain(|child| child.exit().is_none());
        children.sort_by_key(|child| child.spawned_at_unix_us);
        let order: Vec<String> =
            children.iter().map(|child| child.token.as_str().split('/').nth(1).unwrap().to_owned()).collect();
        let expected: Vec<String> =
            (0..20).flat_map(|number| [1, 2].map(|instance| format!("p{}-{instance}", 20 - number))).collect();
        assert_eq!(order, expected);
        scene.supervisor.stop(&Selector::All, None).await.unwrap();
        scene.supervisor.start(&Selector::All).await.unwrap();
    }
}

pub(crate) async fn dependencies_come_first_and_go_last() {
    let (mut web, mut api, db) = (diary("a-web"), diary("api"), diary("z-db"));
    web.depends_on = vec![needs("api", DependencyCondition::Started)];
    api.depends_on =
        vec![needs("z-db", DependencyCondition::Started), needs("setup", DependencyCondition::CompletedSuccessfully)];
    let mut setup = process("setup", "echo +setup >> diary");
    setup.restart.when = RestartWhen::OnFailure;
    let scene = Scene::with([web, api, db, setup]).await;
    scene.until_state("a-web", InstanceState::Running).await;
    until("everybody's note", || scene.read("diary").lines().count() == 4).await;
    let place = |what: &str| scene.read("diary").lines().position(|line| line == what).unwrap();
    assert!(place("+setup") < place("+api"), "{}", scene.read("diary"));
    scene.supervisor.stop_all().await.unwrap();
    assert!(place("-a-web") < place("-api") && place("-api") < place("-z-db"), "{}", scene.read("diary"));

    // By hand, with all that it needs but what did its work already.
    scene.supervisor.start(&name_of("a-web")).await.unwrap();
    for name in ["api", "z-db"] {
        assert_eq!(scene.status(name).state, InstanceState::Running, "{name}");
    }
}

pub(crate) async fn a_dependency_that_fails_is_told() {
    let mut web = idle("web");
    web.auto_start = false;
    web.depends_on = vec![needs("db", DependencyCondition::Started)];
    let mut db = process("db", "true");
    db.program = Program::Exec { argv: vec!["/nowhere/db".to_owned()] };
    let scene = Scene::with([web, db]).await;
    let error = scene.supervisor.start(&name_of("web")).await.unwrap_err();
    assert!(error.to_string().contains("waits for `db` to be started; it is fatal"), "{error}");
    assert_eq!(scene.status("web").state, InstanceState::Waiting);
}

pub(crate) async fn a_restart_starts_first_what_is_needed() {
    let mut db = process("db", "[ ! -e broken ] && exec sleep 100000");
    (db.restart.when, db.start.duration) = (RestartWhen::Never, Duration::from_millis(100));
    let mut web = idle("web");
    web.depends_on = vec![needs("db", DependencyCondition::Started)];
    let scene = Scene::with([web, db]).await;
    scene.until_state("web", InstanceState::Running).await;
    let before = scene.pid("web");
    scene.supervisor.stop(&name_of("db"), None).await.unwrap();
    let again = scene.supervisor.restart(&name_of("web"), None).await.unwrap();
    assert_eq!((again[0].state, scene.status("db").state), (InstanceState::Running, InstanceState::Running));
    assert_ne!(again[0].pid, Some(before));

    // Without it nobody would come back.
    scene.supervisor.stop(&name_of("db"), None).await.unwrap();
    scene.touch("broken");
    let error = scene.supervisor.restart(&name_of("web"), None).await.unwrap_err();
    assert!(matches!(&error, Error::Start { instance, .. } if instance == "db"), "{error}");
    assert_eq!((scene.status("web").state, scene.status("web").pid), (InstanceState::Running, again[0].pid));
}

pub(crate) async fn groups_start_and_stop_in_order() {
    let scene = Scene::new().await;
    let mut processes = ["one", "two", "three"].map(diary);
    for process in &mut processes {
        process.auto_start = false;
    }
    let mut declared = declared(processes);
    declared.groups.extend([group("all", &["three", "one", "two"])]);
    scene.supervisor.apply(declared).await.unwrap();
    assert_eq!(scene.supervisor.group("all").unwrap().state, GroupState::Stopped);
    assert!(matches!(scene.supervisor.group("none"), Err(Error::UnknownGroup(_))));

    scene.supervisor.start_group("all").await.unwrap();
    let status = scene.supervisor.group("all").unwrap();
    assert_eq!(status.state, GroupState::Running);
    let members: Vec<&str> = status.members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(members, ["three", "one", "two"]);
    until("everybody's note", || scene.read("diary").lines().count() == 3).await;

    scene.supervisor.stop(&name_of("one"), None).await.unwrap();
    assert_eq!(scene.supervisor.groups()[0].state, GroupState::Degraded);
    scene.supervisor.stop_group("all", None).await.unwrap();
    assert_eq!(scene.supervisor.group("all").unwrap().state, GroupState::Stopped);
    let diary = scene.read("diary");
    assert!(diary.ends_with("-one\n-two\n-three\n"), "{diary}");
}

fn hook(name: &str, command: &str) -> Hook {
    Hook {
        name: Name::parse(name).unwrap(),
        command: command.to_owned(),
        failure_mode: FailureMode::Fail,
        run_mode: RunMode::Blocking,
        timeout: Duration::from_secs(20),
        env: std::collections::BTreeMap::new(),
        work_dir: None,
    }
}

pub(crate) async fn hooks_run_around_a_start_and_a_stop() {
    let mut web = diary("web");
    web.hooks.pre_start.push(hook("a", "echo pre_start $PROVISR_HOOK_NAME >> diary"));
    web.hooks.post_start.push(hook("b", "echo post_start >> started"));
    web.hooks.pre_stop.push(hook("c", "echo pre_stop >> diary"));
    web.hooks.post_stop.push(hook("d", "echo post_stop >> diary"));
    let scene = Scene::with([web.clone()]).await;
    scene.until_state("web", InstanceState::Running).await;
    until("the hook after the start", || scene.read("started").ends_with('\n')).await;
    until("its note", || scene.read("diary").contains("+web\n")).await;
    kill(scene.pid("web"));
    scene.until_status("web", "replaced", |status| status.restarts == 1 && status.pid.is_some()).await;
    until("its second note", || scene.read("diary").matches("+web\n").count() == 2).await;
    scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    assert_eq!(scene.read("diary"), "pre_start a\n+web\n+web\npre_stop\n-web\npost_stop\n", "none at the crash");

    web.hooks.pre_start = vec![hook("a", "exit 7")];
    scene.apply([web]).await;
    let error = scene.supervisor.start(&name_of("web")).await.unwrap_err();
    assert!(error.to_string().contains("`a`"), "{error}");
    assert_eq!(scene.status("web").state, InstanceState::Fatal);
}

pub(crate) async fn output_goes_to_the_files_that_are_named() {
    let web = process("web", "echo out $PITON_INSTANCE; echo err >&2; exec sleep 100000");
    let scene = Scene::with([web]).await;
    let (stdout, stderr) = scene.supervisor.log_files("web").unwrap();
    assert_eq!((stdout, stderr), (scene.file("logs/web.stdout.log"), scene.file("logs/web.stderr.log")));
    until("both", || scene.read("logs/web.stdout.log") == "out web\n" && scene.read("logs/web.stderr.log") == "err\n")
        .await;
    until("a measurement", || scene.status("web").usage.is_some_and(|usage| usage.rss > 0)).await;
    assert!(!scene.supervisor.measurements("web").unwrap().is_empty());
}

pub(crate) async fn a_process_that_detaches_is_seen_by_its_pid_file() {
    let mut web = process(
        "web",
        "setsid sh -c 'echo $$ > real.pid; exec sleep 100000' & until [ -s real.pid ]; do sleep 0.01; done",
    );
    web.restart.when = RestartWhen::Never;
    let scene = Scene::new().await;
    web.detectors.push(Detector::PidFile { path: scene.file("real.pid") });
    let mut api = idle("api");
    api.depends_on = vec![needs("web", DependencyCondition::Healthy)];
    scene.apply([web, api]).await;
    let status = scene.until_status("web", "detached", |status| status.detected_by.starts_with("pidfile:")).await;
    let pid = scene.pid_in("real.pid").await;
    assert_eq!((status.state, status.pid, status.ready), (InstanceState::Running, Some(pid), true));
    scene.until_state("api", InstanceState::Running).await;
    let again = scene.supervisor.restart(&name_of("api"), None).await.unwrap();
    assert_eq!(again[0].state, InstanceState::Running, "who needs it healthy does not wait");
    scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    assert!(!lives(pid));
}

pub(crate) async fn a_process_that_detaches_is_probed() {
    let mut web = process(
        "web",
        "setsid sh -c 'echo $$ > real.pid; exec sleep 100000' & until [ -s real.pid ]; do sleep 0.01; done",
    );
    web.restart.when = RestartWhen::Never;
    web.probes.readiness = Some(there_is("ready"));
    web.probes.liveness = Some(there_is("alive"));
    let scene = Scene::new().await;
    scene.touch("alive");
    web.detectors.push(Detector::PidFile { path: scene.file("real.pid") });
    scene.apply([web]).await;
    let is_detached = |status: &InstanceStatus| status.detected_by.starts_with("pidfile:");
    let status =
        scene.until_status("web", "detached, unready", |status| is_detached(status) && status.reason.is_some()).await;
    assert_eq!((status.state, status.ready), (InstanceState::Running, false));
    scene.touch("ready");
    let status = scene.until_status("web", "ready", |status| status.ready).await;
    assert!(is_detached(&status) && status.reason.is_none(), "{status:?}");
    std::fs::remove_file(scene.file("ready")).unwrap();
    scene.until_status("web", "not ready any more", |status| is_detached(status) && !status.ready).await;
    let pid = scene.pid_in("real.pid").await;
    std::fs::remove_file(scene.file("alive")).unwrap();
    until("it is stopped for its liveness probe", || !lives(pid)).await;
}

/// A probe that succeeds once there is a file.
fn there_is(file: &str) -> Probe {
    let check = ProbeCheck::Exec { program: Program::Shell { line: format!("test -e {file}") } };
    Probe {
        check,
        initial_delay: Duration::ZERO,
        period: Duration::from_millis(20),
        timeout: Duration::from_secs(20),
        success_threshold: 1,
        failure_threshold: 1,
    }
}

pub(crate) async fn one_is_ready_before_the_next_is_stopped() {
    let mut web = idle("web");
    web.instances = 2;
    web.probes.readiness = Some(there_is("ready-$PITON_INSTANCE_NUMBER"));
    let scene = Scene::new().await;
    scene.touch("ready-1");
    scene.touch("ready-2");
    scene.apply([web]).await;
    for name in ["web-1", "web-2"] {
        scene.until_status(name, "ready", |status| status.ready).await;
    }
    let before = [scene.pid("web-1"), scene.pid("web-2")];
    std::fs::remove_file(scene.file("ready-1")).unwrap();
    let supervisor = scene.supervisor.clone();
    let rolling = tokio::spawn(async move { supervisor.roll(&name_of("web"), None).await });
    scene
        .until_status("web-1", "replaced and not ready", |status| {
            status.pid.is_some_and(|pid| pid != before[0]) && !status.ready && status.reason.is_some()
        })
        .await;
    assert_eq!((scene.pid("web-2"), scene.status("web-2").ready), (before[1], true), "it serves meanwhile");
    scene.touch("ready-1");
    let after = rolling.await.unwrap().unwrap();
    assert!(after.iter().zip(before).all(|(status, before)| status.ready && status.pid != Some(before)), "{after:?}");

    // One that cannot be started ends it.
    let mut web = process("web", "[ ! -e broken ] && exec sleep 100000");
    web.instances = 2;
    (web.restart.when, web.start.duration) = (RestartWhen::Never, Duration::from_secs(1));
    scene.apply([web]).await;
    for name in ["web-1", "web-2"] {
        scene.until_status(name, "up", |status| status.state == InstanceState::Running && status.ready).await;
    }
    let second = scene.pid("web-2");
    scene.touch("broken");
    let error = scene.supervisor.roll(&name_of("web"), None).await.unwrap_err();
    assert!(error.to_string().contains("web-1"), "{error}");
    assert_eq!((scene.pid("web-2"), scene.status("web-2").state), (second, InstanceState::Running));
}

pub(crate) async fn an_unready_process_holds_up_who_needs_it_healthy() {
    let mut db = idle("db");
    db.probes.readiness = Some(there_is("ready"));
    let mut web = idle("web");
    web.depends_on = vec![needs("db", DependencyCondition::Healthy)];
    let scene = Scene::with([db, web]).await;
    let status = scene.until_status("db", "unready", |status| status.reason.is_some()).await;
    assert!(!status.ready && status.state == InstanceState::Running, "{status:?}");
    let waiting = scene.status("web");
    assert_eq!(waiting.state, InstanceState::Waiting);
    assert_eq!(waiting.reason.as_deref(), Some("waits for `db` to be ready; it is running"));
    scene.touch("ready");
    scene.until_state("web", InstanceState::Running).await;
    assert!(scene.status("db").ready);
}
