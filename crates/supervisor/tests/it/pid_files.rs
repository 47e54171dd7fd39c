//! Files with process ids, and all that they may claim.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use piton_model::{FailureMode, Hook, Process, Program, RunMode, Secret};
use piton_process::identity::{ProcessIdentity, after_boot, boot_time};
use piton_supervisor::InstanceState;
use piton_supervisor::pid_file::{Named, declaration, read, remove, write};
use serde_json::{Value, json};

use crate::children::{Children, kill, lives, until};
use crate::scene::{Scene, idle, name_of};

pub(crate) async fn what_was_written_is_read_and_removed() {
    let children = Children::new();
    let child = children.script("a", "exec sleep 1000").await.identity;
    let path = children.file("web.pid");
    write(&path, &child, &json!({"name": "web"})).unwrap();
    let meta = fs::symlink_metadata(&path).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], [&*child.pid.to_string(), r#"{"name":"web"}"#]);
    let start: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(start["start_ticks"], json!(child.start_ticks));
    assert!(start["start_unix"].as_u64().unwrap() > 1_600_000_000);
    assert_eq!(read(&path).unwrap(), Named::Alive(child.clone()));
    let other = ProcessIdentity { start_ticks: child.start_ticks + 1, ..child.clone() };
    remove(&path, &other).unwrap();
    assert!(path.exists(), "it names another process");
    kill(child.pid);
    until("its death", || !lives(child.pid)).await;
    assert_eq!(read(&path).unwrap(), Named::Dead);
    remove(&path, &child).unwrap();
    assert!(!path.exists());
    assert_eq!(read(&path).unwrap(), Named::Dead);
    remove(&path, &child).unwrap();
}

pub(crate) async fn no_lie_is_believed() {
    let children = Children::new();
    let child = children.script("a", "exec sleep 1000").await.identity;
    let path = children.file("web.pid");
    let boot = child.boot_id.as_str();
    let third = |boot: &str, ticks: u64| format!(r#"{{"start_unix":1,"boot_id":"{boot}","start_ticks":{ticks}}}"#);
    let pid = child.pid;
    let invalid = |reason: &str| Named::Invalid(reason.to_owned());
    for (text, named) in [
        (String::new(), invalid("it is empty")),
        ("\n\n".to_owned(), invalid("it is empty")),
        ("0\n".to_owned(), invalid("0 is no process id")),
        ("1\n".to_owned(), invalid("process 1 is the machine's own")),
        ("-1\n".to_owned(), invalid("-1 is no process id")),
        ("-2147483648\n".to_owned(), invalid("-2147483648 is no process id")),
        ("4294967297\n".to_owned(), invalid("4294967297 is no process id")),
        ("99999999999999999999999999999999999999999999\n".to_owned(), invalid("its first line is not a process id")),
        ("12 13\n".to_owned(), invalid("its first line is not a process id")),
        ("2147483647\n".to_owned(), Named::Dead),
        (std::process::id().to_string(), invalid(&format!("process {} is this daemon", std::process::id()))),
        (format!("{pid}\n{{}}\nno JSON\n"), invalid("its third line does not say when it was started")),
        (format!("{pid}\n{{}}\n{}\n", third(boot, child.start_ticks)), Named::Alive(child.clone())),
        (format!("{pid}\n{{}}\n{}\n", third(boot, child.start_ticks + 1)), Named::Reused),
        (format!("{pid}\n{{}}\n{}\n", third("another", child.start_ticks)), Named::Dead),
        (format!("{pid}\n{{}}\n{{\"start_unix\":1}}\n"), Named::Reused),
        (format!("  {pid}  \r\n"), Named::Alive(child.clone())),
    ] {
        fs::write(&path, &text).unwrap();
        assert_eq!(read(&path).unwrap(), named, "{text:?}");
    }
    fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    assert_eq!(read(&path).unwrap(), invalid("it is not text"));
    fs::write(&path, vec![b'1'; 2 << 20]).unwrap();
    assert_eq!(read(&path).unwrap(), invalid("it is too long"));
    // Written before that process was started: its id belonged to another then.
    fs::write(&path, pid.to_string()).unwrap();
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + boot_time() + after_boot(child.start_ticks) - Duration::from_secs(60))
        .unwrap();
    assert_eq!(read(&path).unwrap(), Named::Reused);
    let link = children.file("link.pid");
    symlink(&path, &link).unwrap();
    assert_eq!(read(&link).unwrap(), invalid("it is a symbolic link"));
    assert_eq!(read(children.path()).unwrap(), invalid("it is not a regular file"));
    let fifo = children.file("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert_eq!(read(&fifo).unwrap(), invalid("it is not a regular file"));
    // A file of one user that names a process of another.
    if rustix::process::geteuid().is_root() {
        fs::write(&path, pid.to_string()).unwrap();
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        assert_eq!(read(&path).unwrap(), invalid(&format!("process {pid} belongs to another user than the file")));
    }
    assert!(lives(pid), "nobody was signalled");
}

pub(crate) async fn one_of_provisr_is_accepted() {
    let children = Children::new();
    let child = children.script("a", "exec sleep 1000").await.identity;
    let path = children.file("web.pid");
    let began = (boot_time() + after_boot(child.start_ticks)).as_secs();
    for (seconds, named) in [
        (began, Named::Alive(child.clone())),
        (began + 1, Named::Alive(child.clone())),
        (began - 1, Named::Alive(child.clone())),
        (began + 10, Named::Reused),
        (began - 10, Named::Reused),
    ] {
        fs::write(&path, format!("{}\n{{\"name\":\"web\"}}\n{{\"start_unix\":{seconds}}}\n", child.pid)).unwrap();
        assert_eq!(read(&path).unwrap(), named, "{seconds}");
    }
}

pub(crate) async fn nothing_but_a_pid_file_is_replaced() {
    let children = Children::new();
    let child = children.script("a", "exec sleep 1000").await.identity;
    let precious = children.file("precious");
    for content in ["root:x:0:0\n", "12abc\n", "-\nx", "\nnot empty"] {
        fs::write(&precious, content).unwrap();
        let error = write(&precious, &child, &json!({})).unwrap_err();
        assert!(error.to_string().contains("something else than a process id"), "{error}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), content);
    }
    let link = children.file("web.pid");
    symlink(&precious, &link).unwrap();
    write(&link, &child, &json!({})).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "\nnot empty");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    for old in ["", "77\n", "-1\n", "1\n{}\n{}\n"] {
        fs::write(&link, old).unwrap();
        fs::set_permissions(&link, fs::Permissions::from_mode(0o644)).unwrap();
        write(&link, &child, &json!({})).unwrap();
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&link).unwrap(), Named::Alive(child.clone()));
    }
    assert!(write(&children.file("missing/web.pid"), &child, &json!({})).is_err());
    assert!(write(children.path(), &child, &json!({})).is_err());
}

pub(crate) async fn no_secret_is_written() {
    let program = Program::Exec { argv: vec!["web".to_owned(), "--port".to_owned()] };
    let mut process = Process::new("web".parse().unwrap(), program);
    process.env.insert("PASSWORD".to_owned(), Secret::new("hunter2".to_owned()));
    let spec = declaration(&process, "web-1");
    assert_eq!(spec["name"], json!("web-1"));
    assert_eq!(spec["args"], json!(["web", "--port"]));
    assert!(!spec.to_string().contains("hunter2") && spec.get("env").is_none());
}

pub(crate) async fn another_declared_file_leaves_none_behind() {
    let named = |scene: &Scene, file: &str| {
        let mut web = idle("web");
        web.pid_file = Some(scene.file(file));
        web
    };
    let scene = Scene::new().await;
    scene.apply([named(&scene, "one.pid")]).await;
    scene.until_state("web", InstanceState::Running).await;
    let pid = scene.pid("web");
    assert!(scene.read("one.pid").starts_with(&format!("{pid}\n")));
    scene.apply([named(&scene, "other.pid")]).await;
    let is_replaced =
        |status: &piton_supervisor::InstanceStatus| status.state == InstanceState::Running && status.pid != Some(pid);
    scene.until_status("web", "replaced", is_replaced).await;
    assert!(!scene.file("one.pid").exists(), "its process is gone");
    assert!(scene.read("other.pid").starts_with(&format!("{}\n", scene.pid("web"))));
}

pub(crate) async fn what_another_supervisor_keeps_running_is_not_started_again() {
    let (first, second) = (Scene::new().await, Scene::new().await);
    let path = first.file("web.pid");
    let web = || {
        let mut web = idle("web");
        web.pid_file = Some(path.clone());
        web
    };
    first.apply([web()]).await;
    first.until_state("web", InstanceState::Running).await;
    let (pid, text) = (first.pid("web"), first.read("web.pid"));

    let ran = second.file("ran");
    let hook = Hook {
        name: "before".parse().unwrap(),
        command: format!("touch {}", ran.display()),
        failure_mode: FailureMode::Fail,
        run_mode: RunMode::Blocking,
        timeout: Duration::from_secs(20),
        env: BTreeMap::new(),
        work_dir: None,
    };
    let mut hooked = web();
    hooked.hooks.pre_start = vec![hook];
    for declared in [web(), hooked] {
        second.apply([declared]).await;
        let status = second.until_state("web", InstanceState::Fatal).await;
        let reason = status.reason.unwrap();
        let words = format!("process {pid} runs already, as {} says", path.display());
        assert!(reason.starts_with(&words), "{reason}");
    }
    assert!(second.held().await.is_empty() && !ran.exists(), "nothing was done");
    assert!(lives(pid) && first.read("web.pid") == text);

    // What was started here is nobody else's, and a file that says no start names nobody.
    let mut same = web();
    same.name = "same".parse().unwrap();
    first.apply([web(), same]).await;
    first.until_state("same", InstanceState::Running).await;
    first.supervisor.stop(&name_of("web"), None).await.unwrap();
    first.supervisor.stop(&name_of("same"), None).await.unwrap();
    fs::write(&path, format!("{}\n", std::os::unix::process::parent_id())).unwrap();
    second.supervisor.start(&name_of("web")).await.unwrap();
    second.until_state("web", InstanceState::Running).await;
}
