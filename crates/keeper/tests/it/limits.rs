//! As whom and within which limits children run.

use std::collections::BTreeMap;
use std::fs;

use piton_keeper::protocol::RefusalKind;
use piton_keeper::{Child, ExitStatus, Identity, Limits, Spec};

use crate::nest::{Nest, lives, processes, status_line, token, until, within};

fn limited(nest: &Nest, script: &str, limits: Limits) -> Spec {
    Spec { limits, ..nest.script(script) }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The fields of `/proc/PID/limits`: soft and hard by the first words of the line.
fn limit_of(child: &Child, line: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{}/limits", child.identity.pid)).unwrap();
    let rest = text.lines().find_map(|one| one.strip_prefix(line)).unwrap();
    let mut fields = rest.split_whitespace();
    (fields.next().unwrap().to_owned(), fields.next().unwrap().to_owned())
}

fn rlimits(all: &[(&str, Option<u64>, Option<u64>)]) -> BTreeMap<String, (Option<u64>, Option<u64>)> {
    all.iter().map(|(name, soft, hard)| ((*name).to_owned(), (*soft, *hard))).collect()
}

#[tokio::test]
async fn what_was_asked_is_what_the_kernel_says() {
    let nest = Nest::new();
    let client = nest.client().await;
    fs::write(nest.file("in"), "from a file\n").unwrap();
    let limits = Limits {
        umask: Some(0o027),
        nice: Some(5),
        oom_score_adj: Some(321),
        no_new_privileges: true,
        stdin: Some(nest.file("in")),
        rlimits: rlimits(&[
            ("nofile", Some(123), Some(456)),
            ("core", Some(0), Some(0)),
            ("cpu", Some(1000), Some(2000)),
            ("stack", Some(1 << 20), Some(2 << 20)),
        ]),
        ..Limits::default()
    };
    let mut spec = limited(&nest, "cat; umask; touch made; echo $0 $1; exec sleep 1000", limits);
    spec.argv.extend(["zero".into(), "one".into()]);
    let child = client.spawn(&token("a"), &spec).await.unwrap();
    assert_eq!(child.warnings, Vec::<String>::new());
    until("the child", || nest.read("out").ends_with("zero one\n")).await;
    assert_eq!(nest.read("out"), "from a file\n0027\nzero one\n");
    let pid = child.identity.pid;
    assert_eq!(limit_of(&child, "Max open files"), ("123".into(), "456".into()));
    assert_eq!(limit_of(&child, "Max core file size"), ("0".into(), "0".into()));
    assert_eq!(limit_of(&child, "Max cpu time"), ("1000".into(), "2000".into()));
    assert_eq!(limit_of(&child, "Max stack size"), ((1 << 20).to_string(), (2 << 20).to_string()));
    assert_eq!(status_line(pid, "NoNewPrivs").as_deref(), Some("1"));
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap(), "321\n");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let keeper = client.keeper().keeper_pid.to_string();
    assert_eq!(fields[1..4], [keeper.clone(), pid.to_string(), keeper], "parent, group, session");
    assert_eq!(fields[16], "5", "nice");
    for set in ["SigIgn", "SigBlk"] {
        let bits = u64::from_str_radix(&status_line(pid, set).unwrap(), 16).unwrap() & !(0b11 << 31);
        assert_eq!(bits, 0, "{set}");
    }
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut names: Vec<_> =
        environ.split(|byte| *byte == 0).filter_map(|one| one.split(|c| *c == b'=').next()).collect();
    names.sort_unstable();
    names
        .retain(|name| !name.is_empty() && *name != b"PWD" && *name != b"OLDPWD" && *name != b"SHLVL" && *name != b"_");
    assert_eq!(names, [&b"PATH"[..], b"PITON_KEEPER", b"PITON_TOKEN"]);
    // Nothing of the launcher is left in it.
    until("only three descriptors", || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() == 3).await;
    within(client.sweep(&token("a"))).await.unwrap();
}

#[tokio::test]
async fn standard_input_alone_is_simply_opened() {
    let nest = Nest::new();
    let client = nest.client().await;
    fs::write(nest.file("in"), "text\n").unwrap();
    let limits = |name: &str| Limits { stdin: Some(nest.file(name)), ..Limits::default() };
    client.spawn(&token("a"), &limited(&nest, "cat", limits("in"))).await.unwrap();
    within(client.wait(&token("a"))).await.unwrap();
    assert_eq!(nest.read("out"), "text\n");
    std::os::unix::fs::symlink(nest.file("in"), nest.file("link")).unwrap();
    for name in ["link", "missing", "."] {
        for nice in [None, Some(1)] {
            let limits = Limits { nice, ..limits(name) };
            let refused = client.spawn(&token("b"), &limited(&nest, "cat", limits)).await.unwrap_err();
            assert_eq!(refused.refusal(), Some(RefusalKind::Limits), "{refused}");
            assert!(refused.to_string().contains("standard input"), "{refused}");
        }
    }
}

#[tokio::test]
async fn another_user_is_another_user() {
    let nest = Nest::new();
    let client = nest.client().await;
    let identity = Some(Identity { uid: 12_345, gid: 23_456, groups: vec![34_567, 23_456] });
    let limits = Limits { identity, ..Limits::default() };
    let spec = Spec { cwd: "/".into(), ..limited(&nest, "id -u; id -g; exec sleep 1000", limits.clone()) };
    let started = client.spawn(&token("a"), &spec).await;
    if !is_root() {
        let refused = started.unwrap_err();
        assert_eq!(refused.refusal(), Some(RefusalKind::Limits), "{refused}");
        assert!(refused.to_string().contains("supplementary groups to [34567, 23456]: Operation not permitted"));
        assert_eq!(client.list().await.unwrap(), []);
        return;
    }
    let pid = started.unwrap().identity.pid;
    until("the child", || nest.read("out") == "12345\n23456\n").await;
    assert_eq!(status_line(pid, "Uid").as_deref(), Some("12345\t12345\t12345\t12345"));
    assert_eq!(status_line(pid, "Gid").as_deref(), Some("23456\t23456\t23456\t23456"));
    assert_eq!(status_line(pid, "Groups").as_deref(), Some("23456 34567"));
    assert_eq!(status_line(pid, "CapEff").as_deref(), Some("0000000000000000"));
    // What this user may not execute is said before the child counts as started.
    fs::write(nest.file("mine"), "#!/bin/sh\n").unwrap();
    rustix::fs::chmod(nest.file("mine"), rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    let mine = Spec { argv: vec![nest.file("mine").into()], cwd: "/".into(), ..spec.clone() };
    let refused = client.spawn(&token("b"), &mine).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(RefusalKind::PermissionDenied), "{refused}");
    // Its tree is the keeper's to kill all the same.
    assert_eq!(within(client.sweep(&token("a"))).await.unwrap().killed, 1);
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Signal(9));
}

#[tokio::test]
async fn says_which_limit_cannot_be_kept() {
    let nest = Nest::new();
    // A hard limit that even root's keeper does not have to raise: a child may not have more than its keeper.
    let client = nest.client().await;
    let with = |limits: Limits| limited(&nest, "true", limits);
    let unknown = Limits { rlimits: rlimits(&[("files", Some(1), Some(1))]), ..Limits::default() };
    let impossible = Limits { rlimits: rlimits(&[("nofile", Some(1 << 40), Some(1 << 40))]), ..Limits::default() };
    let cases = [
        (with(unknown), RefusalKind::BadSpec, "\"files\" is no resource"),
        (with(Limits { nice: Some(99), ..Limits::default() }), RefusalKind::BadSpec, "nice is a number"),
        (with(Limits { stdin: Some("in".into()), ..Limits::default() }), RefusalKind::BadSpec, "absolute"),
        (with(impossible), RefusalKind::Limits, "nofile to 1099511627776 of 1099511627776: Operation not permitted"),
        (
            Spec { argv: vec!["/bin/false/x".into()], ..with(Limits { nice: Some(1), ..Limits::default() }) },
            RefusalKind::ProgramNotFound,
            "no such program",
        ),
    ];
    for (spec, kind, words) in cases {
        let refused = client.spawn(&token("bad"), &spec).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(kind), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    fs::write(nest.file("shapeless"), "no program").unwrap();
    rustix::fs::chmod(nest.file("shapeless"), rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    let shapeless = Spec { argv: vec!["./shapeless".into()], ..with(Limits { nice: Some(1), ..Limits::default() }) };
    let refused = client.spawn(&token("bad"), &shapeless).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(RefusalKind::NotExecutable), "{refused}");
    assert_eq!(client.list().await.unwrap(), []);
    let keeper = client.keeper().keeper_pid.to_string();
    until("no launcher is left", || {
        !processes().any(|pid| status_line(pid, "PPid").as_deref() == Some(keeper.as_str()))
    })
    .await;
}

/// The keeper takes all the descriptors it can get; its children are given what it was given.
#[tokio::test]
async fn the_keepers_own_limit_of_files_is_its_own() {
    let nest = Nest::new();
    let client = nest.client_of(&nest.keeper_argv_after("ulimit -Sn 321")).await;
    let other = nest.file("other");
    fs::copy(env!("CARGO_BIN_EXE_piton-keeper"), &other).unwrap();
    let soft = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let child = client.spawn(&token("a"), &nest.script("exec sleep 1000")).await.unwrap();
    assert_eq!(soft(child.identity.pid), "321");
    assert_ne!(soft(client.keeper().keeper_pid), "321");
    client.upgrade(&other).await.unwrap();
    let client = nest.client().await;
    let child = client.spawn(&token("b"), &nest.script("exec sleep 1000")).await.unwrap();
    assert_eq!(soft(child.identity.pid), "321", "also after an upgrade");
    let nice = Limits { nice: Some(1), ..Limits::default() };
    let child = client.spawn(&token("c"), &limited(&nest, "exec sleep 1000", nice)).await.unwrap();
    assert_eq!(soft(child.identity.pid), "321", "also by way of the launcher");
    for name in ["a", "b", "c"] {
        within(client.sweep(&token(name))).await.unwrap();
    }
}

/// Fork fails for the child, and then for what the child starts: a refusal that is worth another try, or the child's
/// own affair, but never the keeper's end.
#[tokio::test]
async fn no_room_for_processes_is_survived() {
    let nest = Nest::new();
    let client = nest.client().await;
    let identity = Some(Identity { uid: 54_321, gid: 54_321, groups: Vec::new() }).filter(|_| is_root());
    let limits = Limits { identity, rlimits: rlimits(&[("nproc", Some(1), Some(1))]), ..Limits::default() };
    let script = "(exit 0) & (exit 0) & wait; exit 7";
    let spec = Spec { cwd: "/".into(), ..limited(&nest, script, limits.clone()) };
    match client.spawn(&token("a"), &spec).await {
        Ok(_) => {
            let status = within(client.wait(&token("a"))).await.unwrap();
            assert_ne!(status, ExitStatus::Code(7), "the shell should not have been able to fork");
            assert!(nest.read("out").to_lowercase().contains("fork"), "{}", nest.read("out"));
        }
        // Somebody has a process already, so the limit is reached by the child itself.
        Err(refused) => assert_eq!(refused.refusal(), Some(RefusalKind::Resources), "{refused}"),
    }
    client.spawn(&token("b"), &nest.script("exit 3")).await.unwrap();
    assert_eq!(within(client.wait(&token("b"))).await.unwrap(), ExitStatus::Code(3));
    assert!(lives(client.keeper().keeper_pid));
}

/// Where control groups are delegated they count; where not, the child starts and its warnings say what it lacks.
#[tokio::test]
async fn control_groups_are_used_where_they_are() {
    let nest = Nest::new();
    let client = nest.client().await;
    let limits = Limits { memory_max: Some(64 << 20), cpu_percent: Some(50), pids_max: Some(20), ..Limits::default() };
    let script = "setsid env -i sleep 1000 & setsid env -i sh -c 'sleep 1000 & sleep 1000' & echo up; exec sleep 1000";
    let child = client.spawn(&token("a"), &limited(&nest, script, limits)).await.unwrap();
    until("the child", || nest.read("out") == "up\n").await;
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", child.identity.pid)).unwrap();
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    println!("group {group:?}, warnings {:?}", child.warnings);
    if !group.contains("/piton-child-") {
        assert_eq!(child.warnings.len(), 1, "without a group it says so: {:?}", child.warnings);
        within(client.sweep(&token("a"))).await.unwrap();
        return;
    }
    let root = std::path::Path::new(mount.unwrap().split(' ').nth(1).unwrap()).join(group.trim_start_matches('/'));
    for (file, text, name) in [
        ("memory.max", "67108864", "memory_max"),
        ("cpu.max", "50000 100000", "cpu_percent"),
        ("pids.max", "20", "pids_max"),
    ] {
        let is_set = fs::read_to_string(root.join(file)).is_ok_and(|set| set.trim() == text);
        let is_told = child.warnings.iter().any(|warning| warning.starts_with(&format!("{name} is not enforced")));
        assert!(is_set != is_told, "{file}: set {is_set}, told {is_told}: {:?}", child.warnings);
    }
    let procs = || fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    until("all that it starts", || procs().lines().count() >= 4).await;
    // Out of session, group and environment, but not out of this.
    let report = within(client.sweep(&token("a"))).await.unwrap();
    assert_eq!(report.survivors, Vec::<u32>::new());
    assert!(report.killed >= 4, "{report:?}");
    assert_eq!(fs::read_to_string(root.join("cgroup.procs")).unwrap(), "");
    within(client.wait(&token("a"))).await.unwrap();
    client.acknowledge(&token("a")).await.unwrap();
    assert!(!root.exists(), "the group is removed with the child");
}
