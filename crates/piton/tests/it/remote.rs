//! A server elsewhere: another directory, another home, and nothing in between but TCP.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use crate::site::{PITON, Site, kill, until};

/// Prints three lines, waits for a file, and prints three more.
fn waiting_job(site: &Site) {
    let go = site.path().join("go");
    let command = format!(
        "for i in 1 2 3; do echo line $i; done; until [ -e {0} ]; do sleep 0.05; done; for i in 4 5 6; do echo line $i; done",
        go.display()
    );
    let job = serde_json::json!({ "name": "wait", "type": "command", "command": command });
    site.write("jobs/wait.json", &job.to_string());
}

const SIX_LINES: &str = "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n";

/// A command that goes on, with what it prints in files.
fn start(site: &Site, name: &str, args: &[&str]) -> Child {
    let file = |kind: &str| File::create(site.path().join(format!("{name}.{kind}"))).unwrap();
    let mut command = site.command(PITON);
    command.args(args).stdout(file("out")).stderr(file("err")).stdin(Stdio::null()).spawn().unwrap()
}

fn printed(site: &Site, file: &str) -> String {
    fs::read_to_string(site.path().join(file)).unwrap_or_default()
}

fn lines(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| line.starts_with("line ")).collect()
}

#[test]
fn every_command_works_from_elsewhere() {
    let home = Site::new();
    home.write("jobs/well.json", r#"{ "name": "well", "type": "command", "command": "echo all is well" }"#);
    home.write("jobs/ill.json", r#"{ "name": "ill", "type": "command", "command": "echo ill; exit 3" }"#);
    let daemon = home.serve();
    let url = format!("http://{}", daemon.address());
    let away = Site::new().env("PITON_SERVER", &url);

    assert_eq!(away.json(["status"])["directory"], home.json(["status"])["directory"]);
    let said = away.piton(["job", "run", "well"]);
    assert_eq!((said.code, said.out.contains("all is well\n")), (0, true), "{said}");
    let said = away.piton(["job", "run", "ill"]);
    assert_eq!((said.code, said.out.contains("ill\n")), (1, true), "{said}");
    let run = away.json(["job", "status", "well"])["last_run_id"].as_str().unwrap().to_owned();
    assert!(away.log(&run).contains("all is well\n"));
    let said = away.piton(["run", "logs", &run, "-f", "--tail", "1"]);
    assert_eq!((said.code, said.out.lines().count()), (0, 1), "{said}");
    assert_eq!(away.piton(["doctor"]).code, 0);
    assert_eq!(away.piton(["run", "show", "00000000-0000-7000-8000-000000000000"]).code, 3);
    assert_eq!(away.piton(["job", "suspend", "well"]).code, 0);
    assert_eq!(away.piton(["job", "kill", "well"]).code, 5, "it does not run");
    assert_eq!(away.piton(["run", "list", "--state", "nonsense"]).code, 2);

    // The directory on the command line is meant, whatever the environment says.
    let directory = away.path().display().to_string();
    assert_eq!(away.json(["--dir", &directory, "job", "list"]), serde_json::json!([]));
    let said = away.piton(["shutdown"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(away.piton(["status"]).code, 7, "nobody is there any more");
    drop(daemon);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let away = Site::new();
    for (args, code, word) in [
        (vec!["--server", "http://ada:hush@x", "status"], 2, "piton login"),
        (vec!["--server", "nonsense", "status"], 2, "http://HOST"),
        (vec!["--server", "http://x", "tool", "list"], 2, "this machine"),
        (vec!["--server", "http://x", "serve"], 64, "this machine"),
        (vec!["--server", "https://x", "--ca-cert", "/no/such/file", "status"], 2, "/no/such/file"),
        (vec!["--server", "http://piton.invalid:1", "status"], 7, "is the address right"),
        (vec!["--server", "http://x", "template", "add", "t", "."], 2, "cannot fetch"),
    ] {
        let said = away.piton(args);
        assert_eq!((said.code, said.err.contains(word)), (code, true), "{word}: {said}");
        assert!(!said.err.contains("hush"), "{said}");
    }
    assert!(!away.data().exists(), "nothing was opened here");
}

/// The daemon is killed while its log is followed from elsewhere, and comes back.
#[test]
fn a_followed_log_has_no_gap_and_no_repetition() {
    let home = Site::new();
    waiting_job(&home);
    let daemon = home.serve();
    let address = daemon.address();
    let url = format!("http://{address}");
    let away = Site::new().env("PITON_SERVER", &url);
    let run = away.piton(["job", "run", "wait", "--detach"]).out.trim().to_owned();
    until("the job has begun", || away.log(&run).contains("line 3\n"));
    let mut whole = start(&away, "whole", &["run", "logs", "-f", &run]);
    let mut latest = start(&away, "latest", &["run", "logs", "-f", &run, "--tail", "2"]);
    let mut none = start(&away, "none", &["run", "logs", "-f", &run, "--tail", "0"]);
    until("the first lines are shown", || {
        printed(&away, "whole.out").contains("line 3\n") && printed(&away, "latest.out").contains("line 3\n")
    });
    // The third one shows nothing, and must know where the log ends now.
    until("all three follow", || printed(&away, "none.err").contains("following from here"));
    daemon.kill();
    until("it is noticed", || {
        ["whole", "latest", "none"].iter().all(|name| printed(&away, &format!("{name}.err")).contains("trying again"))
    });
    // These lines are written while nobody serves.
    home.write("go", "");
    let daemon = home.serve_with(&["--listen", &address]);
    for child in [&mut whole, &mut latest, &mut none] {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(lines(&printed(&away, "whole.out")), SIX_LINES);
    assert_eq!(lines(&printed(&away, "latest.out")), SIX_LINES.replace("line 1\n", ""));
    assert_eq!(lines(&printed(&away, "none.out")), "line 4\nline 5\nline 6\n");
    assert_eq!(daemon.shutdown(), 0);
}

#[test]
fn ctrl_c_leaves_and_the_run_goes_on() {
    let home = Site::new();
    waiting_job(&home);
    let daemon = home.serve();
    let url = format!("http://{}", daemon.address());
    let away = Site::new();
    let mut child = start(&away, "left", &["--server", &url, "job", "run", "wait"]);
    until("it has begun", || printed(&away, "left.out").contains("line 3\n"));
    kill(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let said = printed(&away, "left.err");
    let again = said.split("to see it: ").nth(1).unwrap().split(',').next().unwrap();
    assert!(again.starts_with(&format!("piton --server {url} run logs -f ")), "{said}");
    home.write("go", "");
    let again = away.piton(again.split(' ').skip(1));
    assert_eq!((again.code, lines(&again.out).as_str()), (0, SIX_LINES), "{again}");
}

/// A server that notes what it is told, and knows nothing.
struct Noting {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Noting {
    fn new() -> Noting {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = vec![0; 16 * 1024];
                let length = stream.read(&mut head).unwrap_or(0);
                noted.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).to_ascii_lowercase());
                let _ = stream.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Noting { url, heads }
    }

    fn authorizations(&self) -> Vec<Option<String>> {
        let heads = self.heads.lock().unwrap();
        let of = |head: &String| head.lines().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned));
        heads.iter().map(of).collect()
    }
}

fn session(site: &Site, url: &str, expires_at: &str) -> std::path::PathBuf {
    let text = serde_json::json!({ "token": "tok", "token_type": "Bearer", "expires_at": expires_at, "username": "ada",
        "user_id": "1", "roles": ["viewer"], "server_url": url });
    site.write(".piton/session.json", &text.to_string());
    let path = site.path().join(".piton/session.json");
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A08
#[test]
fn a_token_goes_to_its_own_server_only() {
    let (own, other) = (Noting::new(), Noting::new());
    let away = Site::new();
    session(&away, &format!("{}/api", own.url), "2100-01-01T00:00:00Z");
    let status = |url: &str| assert_eq!(away.piton(["--server", url, "status"]).code, 3);
    status(&own.url);
    status(&other.url);
    status(&format!("{}/other", own.url));
    assert_eq!(own.authorizations(), [Some("bearer tok".to_owned()), None]);
    assert_eq!(other.authorizations(), [None]);

    // The same of a token in the environment, where that names a server too.
    let away = away.env("PITON_TOKEN", "env").env("PITON_SERVER", &own.url);
    assert_eq!(away.piton(["status"]).code, 3);
    assert_eq!(away.piton(["--server", &other.url, "status"]).code, 3);
    assert_eq!(own.authorizations()[2], Some("bearer env".to_owned()));
    assert_eq!(other.authorizations()[1], None);
}

/// A08
#[test]
fn a_session_that_others_can_read_is_not_used() {
    let server = Noting::new();
    let away = Site::new();
    let path = session(&away, &server.url, "2100-01-01T00:00:00Z");
    for bad in [0o644, 0o640, 0o604] {
        fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
        for args in [vec!["--server", &server.url, "status"], vec!["logout"], vec!["login", "--server", &server.url]] {
            let said = away.piton(args);
            assert_eq!(said.code, 77, "{said}");
            assert!(said.err.contains(&format!("chmod 600 {}", path.display())), "{said}");
        }
        assert_eq!(mode(&path), bad, "nobody but its owner decides about it");
    }
    assert!(server.authorizations().is_empty(), "nothing was sent");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(away.piton(["--server", &server.url, "status"]).code, 3);
    assert_eq!(server.authorizations(), [Some("bearer tok".to_owned())]);
}

#[test]
fn a_session_that_has_ended_says_so_and_is_gone() {
    let server = Noting::new();
    let away = Site::new();
    let path = session(&away, &server.url, "2001-01-01T00:00:00Z");
    let said = away.piton(["--server", &server.url, "status"]);
    assert_eq!(said.code, 4, "{said}");
    assert!(said.err.contains("piton login --server"), "{said}");
    assert!(server.authorizations().is_empty() && !path.exists());
}

/// A21: only the client reads files, and only those that are named as files.
#[test]
fn at_signs_and_files_of_the_server_are_nothing_special() {
    let home = Site::new();
    home.write("secret.json", r#"{ "name": "of-the-server", "type": "command", "command": "true" }"#);
    let daemon = home.serve();
    let away = Site::new().env("PITON_SERVER", &format!("http://{}", daemon.address()));
    let there = home.path().join("secret.json").display().to_string();
    let at = format!("@{there}");
    // A path that only means something to the server is not found here.
    assert_eq!(away.piton(["job", "create", "--file", "secret.json"]).code, 3);
    assert_eq!(away.piton(["job", "create", "--file", &at]).code, 3);
    away.write("here.json", &format!(r#"{{ "name": "here", "type": "command", "command": "echo {at}" }}"#));
    assert_eq!(away.piton(["job", "create", "--file", "here.json"]).code, 0);
    let said = away.piton(["job", "run", "here"]);
    assert!(said.code == 0 && said.out.contains(&format!("{at}\n")), "{said}");
    // Everywhere else it is text.
    for args in [vec!["run", "show", &at], vec!["workspace", "status", &at], vec!["job", "status", &at]] {
        let said = away.piton(args);
        assert!(said.code != 0 && !said.err.contains("of-the-server"), "{said}");
    }
}
