//! What cannot be done, and what is said about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use piton_model::{Process, Program};
use piton_supervisor::{Error, InstanceState, Memory, Remembering, Selector, Supervisor, Wish};

use crate::scene::{Scene, declared, idle, lives, name_of, process, settings};

pub(crate) async fn what_cannot_start_says_why() {
    let broken = |name: &str, change: fn(&mut Process)| {
        let mut process = idle(name);
        process.auto_start = false;
        change(&mut process);
        process
    };
    let cases = [
        (
            broken("command", |p| p.program = Program::Exec { argv: vec!["no-such-command".to_owned()] }),
            "no-such-command",
        ),
        (broken("directory", |p| p.work_dir = Some("/no/such/dir".into())), "/no/such/dir"),
        (broken("user", |p| p.confinement.user = Some("no-such-user".to_owned())), "there is no user `no-such-user`"),
        (
            broken("group", |p| p.confinement.group = Some("no-such-group".to_owned())),
            "there is no group `no-such-group`",
        ),
        (
            broken("variable", |p| drop(p.env.insert("LD_PRELOAD".to_owned(), piton_model::Secret::default()))),
            "LD_PRELOAD",
        ),
        (broken("empty", |p| p.program = Program::Exec { argv: Vec::new() }), "empty"),
    ];
    let scene = Scene::with(cases.iter().map(|(process, _)| process.clone())).await;
    for (process, expected) in cases {
        let name = process.name.as_str();
        let error = scene.supervisor.start(&name_of(name)).await.unwrap_err();
        assert!(matches!(&error, Error::Start { instance, .. } if instance == name), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let status = scene.status(name);
        assert_eq!(status.state, InstanceState::Fatal);
        assert!(status.reason.unwrap().contains(expected));
    }
}

pub(crate) async fn what_nobody_declared_is_unknown() {
    let scene = Scene::with([idle("web")]).await;
    assert!(matches!(scene.supervisor.start(&name_of("api")).await, Err(Error::UnknownProcess(name)) if name == "api"));
    assert!(scene.supervisor.log_files("api").is_err() && scene.supervisor.measurements("api").is_err());
    assert!(scene.supervisor.process("api").is_none() && scene.supervisor.process("web").is_some());
    assert_eq!(scene.supervisor.stop(&Selector::base("api").unwrap(), None).await.unwrap(), []);
    assert_eq!(scene.supervisor.status(&Selector::wildcard("a*").unwrap()).unwrap(), []);
    assert_eq!(scene.supervisor.status(&Selector::wildcard("w*").unwrap()).unwrap().len(), 1);
}

/// Remembers nothing.
#[derive(Debug)]
struct Full;

impl Memory for Full {
    fn load(&self) -> Remembering<'_, BTreeMap<String, Wish>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn save<'a>(&'a self, _: &'a str, _: &'a Wish) -> Remembering<'a, ()> {
        Box::pin(async { Err("the disk is full".to_owned()) })
    }
}

pub(crate) async fn what_cannot_be_remembered_is_not_done() {
    let scene = Scene::new().await;
    let supervisor = Supervisor::open(settings(&scene.file("")), Arc::new(Full)).await.unwrap();
    supervisor.apply(declared([process("web", "exec sleep 100000")])).await.unwrap();
    supervisor.start(&name_of("web")).await.unwrap();
    let pid = supervisor.status(&name_of("web")).unwrap()[0].pid.unwrap();
    let error = supervisor.stop(&name_of("web"), None).await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(matches!(supervisor.scale("web", 2).await, Err(Error::Memory(_))));
    assert!(lives(pid));
}
