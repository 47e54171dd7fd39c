//! What a new declaration changes, and what it leaves alone.

use std::time::Duration;

use piton_model::{Dependency, DependencyCondition, Name, RestartWhen};
use piton_supervisor::{Error, InstanceState, Selector};

use crate::scene::{Scene, declared, idle, kill, lives, name_of, process, until};

fn pids(scene: &Scene) -> Vec<(String, Option<u32>)> {
    scene.supervisor.status(&Selector::All).unwrap().into_iter().map(|status| (status.name, status.pid)).collect()
}

pub(crate) async fn what_did_not_change_is_left_alone() {
    let scene = Scene::with([idle("a"), idle("b"), idle("c")]).await;
    for name in ["a", "b", "c"] {
        scene.until_state(name, InstanceState::Running).await;
    }
    let before = pids(&scene);
    scene.apply([idle("a"), idle("b"), idle("c")]).await;
    assert_eq!(pids(&scene), before);
    let (a, b, c) = (scene.pid("a"), scene.pid("b"), scene.pid("c"));
    scene.apply([idle("a"), process("b", "exec sleep 200000"), idle("d")]).await;
    scene.until_state("d", InstanceState::Running).await;
    scene
        .until_status("b", "replaced", |status| {
            status.state == InstanceState::Running && status.pid != Some(b) && status.restarts == 0
        })
        .await;
    until("the end of what is gone", || scene.supervisor.status(&name_of("c")).is_err()).await;
    assert_eq!(scene.pid("a"), a);
    assert!(!lives(b) && !lives(c));
}

pub(crate) async fn policies_change_in_place() {
    let scene = Scene::with([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let pid = scene.pid("web");
    let mut web = idle("web");
    (web.restart.when, web.priority) = (RestartWhen::Never, 9);
    // What becomes of logs that were put aside is no affair of the child's.
    (web.output.compress, web.output.max_age) = (true, Duration::from_secs(60));
    scene.apply([web]).await;
    assert_eq!(scene.pid("web"), pid);
    kill(pid);
    let status = scene.until_state("web", InstanceState::Exited).await;
    assert_eq!(status.reason.as_deref(), Some("killed by signal 9"));
}

pub(crate) async fn a_circle_changes_nothing() {
    let scene = Scene::with([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let needs = |name: &str, other: &str| {
        let mut process = idle(name);
        let condition = DependencyCondition::Started;
        process.depends_on.push(Dependency { name: Name::parse(other).unwrap(), condition });
        process
    };
    let error = scene.supervisor.apply(declared([needs("a", "b"), needs("b", "a")])).await.unwrap_err();
    assert!(error.to_string().contains("a → b → a"), "{error}");
    assert_eq!(scene.status("web").state, InstanceState::Running);
}

pub(crate) async fn two_processes_cannot_have_one_instance() {
    let scene = Scene::new().await;
    let mut web = idle("web");
    web.instances = 2;
    let error = scene.supervisor.apply(declared([web, idle("web-1")])).await.unwrap_err();
    assert!(matches!(error, Error::Exists(_)), "{error}");
}

pub(crate) async fn scaling_adds_and_removes_the_difference() {
    let mut web = idle("web");
    web.instances = 2;
    let scene = Scene::with([web.clone()]).await;
    scene.until_state("web-2", InstanceState::Running).await;
    scene.until_state("web-1", InstanceState::Running).await;
    let before = pids(&scene);
    let four = scene.supervisor.scale("web", 4).await.unwrap();
    assert!(four.len() == 4 && four.iter().all(|status| status.state == InstanceState::Running), "{four:?}");
    assert_eq!(pids(&scene)[..2], before);

    scene.apply([web.clone()]).await;
    assert_eq!(pids(&scene).len(), 4, "the wish stands over the declaration");
    let scene = scene.come_back().await;
    scene.apply([web]).await;
    assert_eq!(pids(&scene).len(), 4);

    let three = scene.supervisor.scale("web", 3).await.unwrap();
    assert_eq!(three.len(), 3);
    assert_eq!(pids(&scene)[..2], before);
    assert!(matches!(scene.supervisor.scale("api", 3).await, Err(Error::UnknownProcess(_))));
}

pub(crate) async fn another_number_counts_more_than_a_wish_before_it() {
    let declared = |instances| {
        let mut web = idle("web");
        web.instances = instances;
        [web]
    };
    let scene = Scene::with(declared(3)).await;
    scene.supervisor.scale("web", 5).await.unwrap();
    scene.apply(declared(2)).await;
    until("two are left", || pids(&scene).len() == 2).await;
    assert_eq!(scene.supervisor.instances("web"), Some(2));
    scene.apply(declared(3)).await;
    assert_eq!(pids(&scene).len(), 3, "the wish is forgotten");

    // Also where nobody looked while it was declared.
    scene.supervisor.scale("web", 5).await.unwrap();
    let scene = scene.come_back().await;
    scene.apply(declared(4)).await;
    until("four are left", || pids(&scene).len() == 4).await;
    let scene = scene.come_back().await;
    scene.apply(declared(3)).await;
    until("three are left", || pids(&scene).len() == 3).await;
}

pub(crate) async fn from_one_to_several_is_another_name() {
    let mut web = process(
        "web",
        "trap 'sleep 0.2; echo gone >> diary; exit 0' TERM; echo $PITON_INSTANCE >> diary; while :; do sleep 0.02; done",
    );
    web.stop.stages[0].wait = Duration::from_secs(60);
    let scene = Scene::with([web]).await;
    until("its note", || scene.read("diary") == "web\n").await;
    let two = scene.supervisor.scale("web", 2).await.unwrap();
    let names: Vec<&str> = two.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    until("both notes", || scene.read("diary").lines().count() == 4).await;
    assert!(scene.read("diary").starts_with("web\ngone\n"), "the old one goes first: {}", scene.read("diary"));
    scene.supervisor.scale("web", 0).await.unwrap();
    assert_eq!(scene.supervisor.status(&name_of("web")).unwrap(), []);
}

pub(crate) async fn who_is_declared_again_begins_anew() {
    let scene = Scene::with([idle("web")]).await;
    scene.supervisor.stop(&name_of("web"), None).await.unwrap();
    scene.apply([]).await;
    until("its absence", || scene.supervisor.status(&name_of("web")).is_err()).await;
    scene.apply([idle("web")]).await;
    scene.until_state("web", InstanceState::Running).await;
}
