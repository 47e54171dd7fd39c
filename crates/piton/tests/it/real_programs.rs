//! Servers that many people keep running, kept running: nginx, PostgreSQL, redis, and one in Python.
//!
//! Each is started and found ready by its probe, told to read its configuration again where it can, outlives a daemon that
//! is killed, and is stopped by the signal that it wants, with nothing left of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::site::{Site, kill, until};
use crate::wire::{done, get, request};

/// What a server is asked, and what it answers.
type Ask<'a> = &'a dyn Fn() -> Option<String>;

struct Kept<'a> {
    name: &'a str,
    /// The rest of its declaration, in TOML.
    declared: String,
    ask: Ask<'a>,
    answer: &'a str,
    /// Changes its configuration, and what it answers once it has read that.
    reload: Option<(&'a dyn Fn(), &'a str)>,
}

#[test]
fn nginx() {
    let site = Site::new();
    let (dir, port) = (site.path().to_owned(), free_port());
    let configure = |text: &str| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {}/{what};", dir.display()))
            .join(" ");
        let text = format!(
            "pid {0}/nginx.pid; worker_processes 2; events {{ }}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{text}'; }} }} }}\n",
            dir.display()
        );
        fs::write(dir.join("nginx.conf"), text).unwrap();
    };
    configure("one");
    let program = program("PITON_TEST_NGINX", &["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]);
    let declared = format!(
        "args = [{program:?}, \"-e\", \"stderr\", \"-c\", \"{}/nginx.conf\", \"-g\", \"daemon off;\"]\n\
         stop_signal = \"SIGQUIT\"\n[spec.readiness_probe]\nhttp = \"http://127.0.0.1:{port}/\"\nperiod = \"100ms\"\n",
        dir.display()
    );
    let ask = || http(port);
    keep(
        &site,
        &Kept { name: "nginx", declared, ask: &ask, answer: "one", reload: Some((&|| configure("two"), "two")) },
    );
}

#[test]
fn postgresql() {
    let site = Site::new();
    let place = PathBuf::from(std::env::var_os("PITON_TEST_POSTGRES_BIN").expect("run scripts/setup-tests"));
    let dir = tempfile::Builder::new().prefix("piton-pg-").tempdir().unwrap();
    // It does not run as the superuser, who finds out here that it has to be somebody else.
    let owner = (fs::metadata(dir.path()).unwrap().uid() == 0).then_some("postgres");
    if let Some(owner) = owner {
        let id = |which| said(Command::new("id").args([which, owner])).trim().parse().unwrap();
        chown(dir.path(), Some(id("-u")), Some(id("-g"))).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let data = dir.path().join("data");
    let mut initdb = match owner {
        Some(owner) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={owner}")).arg(format!("--regid={owner}")).arg("--init-groups");
            command.arg(place.join("initdb"));
            command
        }
        None => Command::new(place.join("initdb")),
    };
    initdb.args(["--auth=trust", "--username=postgres", "--no-locale", "--no-sync", "-D"]).arg(&data);
    said(initdb.current_dir(dir.path()));
    let configure = |text: &str| {
        let path = data.join("postgresql.auto.conf");
        fs::write(path, format!("log_line_prefix = '{text}'\n")).unwrap();
    };
    configure("one");
    let who = owner.map_or_else(String::new, |owner| format!("user = {owner:?}\n"));
    let declared = format!(
        "args = [{:?}, \"-D\", {data:?}, \"-k\", {:?}, \"-c\", \"listen_addresses=\"]\nwork_dir = {:?}\n{who}\
         stop_signal = \"SIGINT\"\nstop_timeout = \"20s\"\n\
         [spec.readiness_probe]\nexec = [{:?}, \"-q\", \"-h\", {:?}]\nperiod = \"100ms\"\ntimeout = \"5s\"\n",
        place.join("postgres"),
        dir.path(),
        dir.path(),
        place.join("pg_isready"),
        dir.path(),
    );
    let ask = || {
        let mut psql = Command::new(place.join("psql"));
        psql.args(["-X", "-t", "-A", "-U", "postgres", "-c", "SHOW log_line_prefix", "-h"]).arg(dir.path());
        let output = psql.stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let again = || configure("two");
    let reload = Some((&again as &dyn Fn(), "two"));
    keep(&site, &Kept { name: "postgresql", declared, ask: &ask, answer: "one", reload });
}

#[test]
fn redis() {
    let site = Site::new();
    let socket = site.path().join("redis.sock");
    let program = program("PITON_TEST_REDIS", &["/usr/bin/redis-server", "/usr/local/bin/redis-server"]);
    let declared = format!(
        "args = [{program:?}, \"--port\", \"0\", \"--unixsocket\", {socket:?}, \"--dir\", {:?}, \"--save\", \"\"]\n\
         [spec.readiness_probe]\nexec = \"test -S {}\"\nperiod = \"100ms\"\n",
        site.path(),
        socket.display(),
    );
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).trim().to_owned())
    };
    keep(&site, &Kept { name: "redis", declared, ask: &ask, answer: "+PONG", reload: None });
}

/// A server with a process of its own beside it, as the ones that fork have.
#[test]
fn python() {
    let site = Site::new();
    let port = free_port();
    let script = format!(
        "import http.server, signal, subprocess, sys\n\
         subprocess.Popen(['sleep', '100000'])\n\
         class Answer(http.server.BaseHTTPRequestHandler):\n    \
             def do_GET(self):\n        \
                 self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'one')\n\
         signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n\
         http.server.HTTPServer(('127.0.0.1', {port}), Answer).serve_forever()\n"
    );
    site.write("server.py", &script);
    let declared = format!(
        "args = [\"python3\", {:?}]\n\
         [spec.readiness_probe]\ntcp = \"127.0.0.1:{port}\"\nperiod = \"100ms\"\n",
        site.path().join("server.py"),
    );
    let ask = || http(port);
    keep(&site, &Kept { name: "python", declared, ask: &ask, answer: "one", reload: None });
}

fn keep(site: &Site, kept: &Kept<'_>) {
    let Kept { name, declared, ask, answer, reload } = kept;
    let is = |wanted: &str| ask().as_deref() == Some(wanted);
    site.write(format!("programs/{name}.toml"), &format!("type = \"process\"\n[spec]\nname = \"{name}\"\n{declared}"));
    let (daemon, address) = site.serve_at();
    until_ready(&address, name);
    until("it answers", || is(answer));
    let before = status(&address, name);
    let pid = u32::try_from(before["pid"].as_u64().unwrap()).unwrap();

    let mut answer = *answer;
    if let Some((change, after)) = reload {
        change();
        kill(pid, "HUP");
        until("it has read its configuration again", || is(after));
        answer = after;
    }

    daemon.kill();
    // One that has read its configuration again lets what it had begun with the old one end: it may answer so once more.
    until("it does not notice that there is no daemon", || is(answer));
    let (_daemon, address) = site.serve_at();
    until_ready(&address, name);
    let after = status(&address, name);
    for member in ["pid", "started_at", "restarts"] {
        assert_eq!(after[member], before[member], "{member}: {after}");
    }
    assert_eq!(ask().as_deref(), Some(answer));

    let tree = tree_of(pid);
    assert!(tree.contains(&pid));
    done(&request(&address, "POST", &format!("/api/stop?name={name}"), &[], ""));
    let stopped = status(&address, name);
    assert_eq!(
        (&stopped["state"], &stopped["exit_code"]),
        (&"stopped".into(), &0.into()),
        "it had its time: {stopped}"
    );
    assert_eq!(tree.iter().filter(|pid| lives(**pid)).count(), 0, "nothing is left of {tree:?}");
    assert_eq!(ask(), None);
}

fn status(address: &str, name: &str) -> Value {
    done(&get(address, &format!("/api/status?name={name}")))
}

fn until_ready(address: &str, name: &str) {
    until("it is ready", || status(address, name)["ready"] == true);
}

/// A port that nobody has just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a server answers, if there is one.
fn http(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// A program that scripts/setup-tests has found.
fn program(variable: &str, places: &[&str]) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.or_else(|| places.iter().map(PathBuf::from).find(|place| place.is_file()));
    found.unwrap_or_else(|| panic!("{variable} is not set, and there is none of {places:?}: run scripts/setup-tests"))
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process and all that descends from it.
fn tree_of(pid: u32) -> Vec<u32> {
    let mut tree = vec![pid];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            tree.extend(children.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
        }
        at += 1;
    }
    tree
}

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}
