//! What a child is given.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use piton_keeper::protocol::RefusalKind;
use piton_keeper::{ExitStatus, Output, ProcessIdentity, Spec, State, is_alive};
use rustix::process::Signal;

use crate::nest::{Nest, kill, status_line, token, until, within};

#[tokio::test]
async fn a_token_is_started_once() {
    let nest = Nest::new();
    let client = nest.client().await;
    let token = token("run/1:2/apply");
    let spec = nest.script("echo once; read never < /dev/null; sleep 1000");
    let first = client.spawn(&token, &spec).await.unwrap();
    assert_eq!(client.spawn(&token, &spec).await.unwrap(), first);
    assert_eq!(ProcessIdentity::of(first.identity.pid), Some(first.identity.clone()));
    assert!(is_alive(&first.identity));

    until("the first output", || nest.read("out") == "once\n").await;
    kill(first.identity.pid, Signal::KILL);
    assert_eq!(within(client.wait(&token)).await.unwrap(), ExitStatus::Signal(9));
    let again = client.spawn(&token, &spec).await.unwrap();
    assert_eq!((again.exit(), again.identity), (Some(ExitStatus::Signal(9)), first.identity));
    assert_eq!(nest.read("out"), "once\n");

    client.acknowledge(&token).await.unwrap();
    client.acknowledge(&token).await.unwrap();
    assert_eq!(client.list().await.unwrap(), []);
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given() {
    let nest = Nest::new();
    let client = nest.client().await;
    let mut spec = nest.script("exec cat /proc/self/environ");
    spec.env.insert("EMPTY".into(), "".into());
    spec.env.insert("LINES".into(), "a\nb".into());
    client.spawn(&token("env"), &spec).await.unwrap();
    assert_eq!(within(client.wait(&token("env"))).await.unwrap(), ExitStatus::Code(0));
    let out = nest.read("out");
    let mut seen: Vec<_> = out.split_terminator('\0').filter(|entry| !entry.starts_with("PWD=")).collect();
    seen.sort_unstable();
    let keeper = format!("PITON_KEEPER={}", nest.dir().display());
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    assert_eq!(seen, ["EMPTY=", "LINES=a\nb", path, &keeper, "PITON_TOKEN=env"]);
}

/// The keeper is started as a careless shell would: signals ignored, a descriptor left open.
#[tokio::test]
async fn nothing_the_keeper_inherited_reaches_the_child() {
    let nest = Nest::new();
    let client = nest.client_of(&nest.keeper_argv_after("trap '' INT QUIT HUP TERM USR1; exec 7</dev/null")).await;
    let mut spec = nest.script("");
    spec.argv = vec!["sleep".into(), "1000".into()];
    let child = client.spawn(&token("fds"), &spec).await.unwrap();
    let pid = child.identity.pid;
    let fds = || {
        let mut fds: Vec<_> =
            fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().map(|fd| fd.file_name()).collect();
        fds.sort();
        fds
    };
    // What the dynamic loader opens it closes again; what was inherited would stay.
    until("only three descriptors", || fds() == ["0", "1", "2"]).await;
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().to_str(), Some("/dev/null"));
    for set in ["SigIgn", "SigBlk"] {
        // Bits 31 and 32 are the C library's own signals, which its posix_spawn leaves ignored.
        let bits = u64::from_str_radix(&status_line(pid, set).unwrap(), 16).unwrap() & !(0b11 << 31);
        assert_eq!(bits, 0, "{set}");
    }
    let score = |pid: &str| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score(&pid.to_string()), score("self"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let keeper = client.keeper().keeper_pid.to_string();
    assert_eq!(fields[1..4], [keeper.clone(), pid.to_string(), keeper], "parent, group, session");
}

#[tokio::test]
async fn output_is_complete_and_appended() {
    let nest = Nest::new();
    fs::write(nest.file("out"), "before\n").unwrap();
    let client = nest.client().await;
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end >&2";
    let child = client.spawn(&token("lines"), &nest.script(script)).await.unwrap();
    assert_eq!(child.stdout, Output::File(nest.file("out")));
    assert_eq!(within(client.wait(&token("lines"))).await.unwrap(), ExitStatus::Code(0));
    let lines = (0..20000).map(|i| format!("line {i}"));
    let expected = ["before".to_owned()].into_iter().chain(lines).chain(["end".to_owned()]);
    assert!(nest.read("out").lines().eq(expected), "output differs");

    let fresh =
        Spec { stdout: Output::File(nest.file("fresh")), stderr: Output::Null, ..nest.script("echo a; echo b >&2") };
    client.spawn(&token("fresh"), &fresh).await.unwrap();
    within(client.wait(&token("fresh"))).await.unwrap();
    assert_eq!(nest.read("fresh"), "a\n");
    let mode = fs::metadata(nest.file("fresh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn says_precisely_why_nothing_was_started() {
    let nest = Nest::new();
    let client = nest.client().await;
    let base = nest.script("true");
    let write = |name: &str, text: &str, mode| {
        fs::write(nest.file(name), text).unwrap();
        fs::set_permissions(nest.file(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", "#!/bin/sh\n", 0o644);
    write("dangling", "#!/no/such/interpreter\n", 0o755);
    write("shapeless", "echo hello\n", 0o755);
    std::os::unix::fs::symlink(nest.file("plain"), nest.file("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        nest.file("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();

    let argv = |program: &str| Spec { argv: vec![program.into()], ..base.clone() };
    let out = |name: &str| Spec { stdout: Output::File(nest.file(name)), ..base.clone() };
    let here = || [("PATH".into(), nest.dir().into())].into();
    let huge: std::ffi::OsString = "x".repeat(300_000).into();
    let cases = [
        (argv("no-such-program"), RefusalKind::ProgramNotFound, "not found in PATH /usr/local/bin"),
        (argv("./no-such-program"), RefusalKind::ProgramNotFound, "no such program"),
        (argv("./plain"), RefusalKind::PermissionDenied, "not executable"),
        (Spec { env: here(), ..argv("plain") }, RefusalKind::PermissionDenied, "not executable"),
        (argv("/"), RefusalKind::PermissionDenied, "not executable"),
        (argv("./dangling"), RefusalKind::ProgramNotFound, "interpreter"),
        (argv("./shapeless"), RefusalKind::NotExecutable, "#!"),
        (Spec { cwd: "/no/such/dir".into(), ..base.clone() }, RefusalKind::WorkingDirectory, "/no/such/dir"),
        (Spec { cwd: nest.file("plain"), ..base.clone() }, RefusalKind::WorkingDirectory, "not a directory"),
        (Spec { cwd: "relative".into(), ..base.clone() }, RefusalKind::BadSpec, "absolute"),
        (Spec { argv: vec!["true".into(), huge], ..base.clone() }, RefusalKind::BadSpec, "too long"),
        (out("no/such/dir/out"), RefusalKind::Output, "no/such/dir/out"),
        (out("fifo"), RefusalKind::Output, "fifo"),
        (out("link"), RefusalKind::Output, "link"),
    ];
    for (index, (spec, kind, words)) in cases.into_iter().enumerate() {
        let error = client.spawn(&token(&format!("bad/{index}")), &spec).await.unwrap_err();
        assert_eq!(error.refusal(), Some(kind), "case {index}: {error}");
        assert!(error.to_string().contains(words), "case {index}: {error}");
    }
    // Nothing of it sticks, so the same token may be used once the cause is gone.
    assert_eq!(client.list().await.unwrap(), []);
    fs::set_permissions(nest.file("plain"), fs::Permissions::from_mode(0o755)).unwrap();
    let child = client.spawn(&token("bad/0"), &Spec { env: here(), ..argv("plain") }).await.unwrap();
    assert_eq!(child.state, State::Running);
    assert_eq!(within(client.wait(&token("bad/0"))).await.unwrap(), ExitStatus::Code(0));
}

#[tokio::test]
async fn a_keeper_short_of_descriptors_recovers() {
    let nest = Nest::new();
    let client = nest.client_of(&nest.keeper_argv_after("ulimit -n 24")).await;
    let crowd: Vec<_> =
        (0..30).map(|_| std::os::unix::net::UnixStream::connect(nest.file("keeper.sock")).unwrap()).collect();
    // Whether there is one descriptor left or none, the answer comes and is right.
    until("the crowd to be let in", || {
        fs::read_dir(format!("/proc/{}/fd", client.keeper().keeper_pid)).unwrap().count() >= 23
    })
    .await;
    let refused = within(client.spawn(&token("a"), &nest.script("exit 3"))).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(RefusalKind::Resources), "{refused}");
    drop(crowd);
    let other = nest.client().await;
    assert_eq!(other.keeper().keeper_pid, client.keeper().keeper_pid);
    other.spawn(&token("a"), &nest.script("exit 3")).await.unwrap();
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Code(3));
}
