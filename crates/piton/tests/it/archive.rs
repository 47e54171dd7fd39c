//! Logs are copied to stores of objects as those want it: signed, whole, and again after a failure.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::runner::{Scene, becomes, start};
use crate::wire::get;

/// A request that put an object.
#[derive(Debug)]
struct Put {
    path: String,
    authorization: String,
    body: Vec<u8>,
}

/// A store that refuses the first request, and takes every other.
fn store() -> (String, Receiver<Put>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        let mut first = true;
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, &tell, std::mem::take(&mut first));
        }
    });
    (format!("http://{address}"), told)
}

fn answer(mut stream: TcpStream, tell: &Sender<Put>, refuse: bool) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    let end = loop {
        match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end,
            None => match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            },
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length").expect("stores want to know the length").parse().unwrap();
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let count = stream.read(&mut chunk).unwrap();
        body.extend_from_slice(&chunk[..count]);
    }
    let status = if refuse { "503 Slow Down" } else { "201 Created" };
    let text = format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    if !refuse {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        tell.send(Put { path, authorization: header("authorization").unwrap_or_default(), body }).unwrap();
    }
}

#[test]
fn logs_are_copied_to_s3_and_azure() {
    let cases = [
        ("s3://logs/piton", "/logs/piton/", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"),
        ("az://logs/piton", "/logs/piton/", "SharedKey AKIAEXAMPLE:"),
    ];
    for (url, prefix, signed) in cases {
        let (endpoint, told) = store();
        let scene = Scene::new("output \"x\" { value = 1 }\n")
            .env("PITON_ARCHIVE__URL", url)
            .env("PITON_ARCHIVE__ENDPOINT", &endpoint)
            .env("PITON_ARCHIVE__ACCOUNT", "AKIAEXAMPLE")
            .env("PITON_ARCHIVE__KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
        let daemon = scene.site.serve();
        let address = daemon.address();
        let id = start(&address, &scene.body(json!({ "auto_approve": true })));
        let ended = becomes(&address, &id, "success");
        let day = ended["submitted_at"].as_str().unwrap().split('T').next().unwrap();
        let patience = Duration::from_secs(60);
        let (log, about) = (told.recv_timeout(patience).unwrap(), told.recv_timeout(patience).unwrap());
        assert_eq!(log.path, format!("{prefix}{day}/{id}.log"), "{url}");
        assert_eq!(about.path, format!("{prefix}{day}/{id}.json"), "{url}");
        assert!(log.authorization.starts_with(signed), "{url}: {}", log.authorization);
        assert_eq!(String::from_utf8(log.body).unwrap(), get(&address, &format!("/api/runs/{id}/logs")).text());
        let about: Value = serde_json::from_slice(&about.body).unwrap();
        assert_eq!((&about["run"], &about["outcome"]), (&json!(id), &json!("succeeded")));
        assert!(!scene.site.daemon_log().contains("c2VjcmV0LXNlY3JldC1zZWNyZXQ="));
    }
}
