//! A13: a tool that does not come from its makers is not executed, whatever else the mirror says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::site::Site;

const VERSION: &str = "1.8.0";

/// A mirror with one release, whose program leaves a mark; what is said to prove it is `signature`.
fn mirror(root: &Path, marker: &Path, signature: Option<&str>) {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let release = root.join(format!("tofu/v{VERSION}"));
    fs::create_dir_all(&release).unwrap();
    fs::write(root.join("tofu/api.json"), format!(r#"{{ "versions": [{{ "id": "{VERSION}" }}] }}"#)).unwrap();
    let program = format!("#!/bin/sh\ntouch {}\necho '{{\"terraform_version\": \"{VERSION}\"}}'\n", marker.display());
    fs::write(release.join("tofu"), program).unwrap();
    let archive = format!("tofu_{VERSION}_linux_{machine}.tar.gz");
    let made = Command::new("tar").args(["czf", &archive, "tofu"]).current_dir(&release).status().unwrap();
    assert!(made.success());
    let sums = Command::new("sha256sum").arg(&archive).current_dir(&release).output().unwrap();
    assert!(sums.status.success());
    fs::write(release.join(format!("tofu_{VERSION}_SHA256SUMS")), sums.stdout).unwrap();
    if let Some(text) = signature {
        fs::write(release.join(format!("tofu_{VERSION}_SHA256SUMS.gpgsig")), text).unwrap();
    }
}

/// Serves the files of a directory, for as long as the test process lives.
fn serve(root: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head: Vec<String> =
                BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").trim_start_matches('/');
            let (status, body) = fs::read(root.join(path)).map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
            let told = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // Whoever has gone does not want it.
            let _ = stream.write_all(told.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

fn holds_program(directory: &Path) -> bool {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).any(|entry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entry.file_name() == "tofu" && !is_directory || is_directory && holds_program(&entry.path())
    })
}

#[test]
fn a_tool_of_nobody_is_not_executed() {
    for (signature, code) in [(None, "tool_missing_signature"), (Some("<html>Sign in</html>"), "tool_bad_signature")] {
        let root = tempfile::tempdir().unwrap();
        let marker = root.path().join("it-ran");
        mirror(root.path(), &marker, signature);
        let site = Site::new()
            .env("PATH", "/usr/bin:/bin")
            .env("PITON_IAC__MIRROR", &format!("http://{}", serve(root.path().to_owned())));
        let config = format!(
            r#"{{ "deploy_schedule": "0 0 29 2 *", "catch_up": "skip", "tool": "tofu", "version": "{VERSION}" }}"#
        );
        site.workspace("everest", &config, "output \"x\" { value = 1 }\n");
        let said = site.piton(["workspace", "deploy", "everest"]);
        assert_eq!(said.code, 1, "{said}");
        let run = site.runs("workspace/everest").pop().unwrap();
        assert_eq!((run["outcome"].as_str(), run["failure"]["code"].as_str()), (Some("failed"), Some(code)), "{run:#}");
        assert!(!marker.exists(), "it was executed");
        assert!(!holds_program(&site.data().join("tools")), "it was kept");
        site.audit();
    }
}
