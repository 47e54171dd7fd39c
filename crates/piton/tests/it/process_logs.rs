//! What processes print, as it is read while they run and after they have ended.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::site::{Site, kill, until};
use crate::wire::{self, connect, get, request, send};

fn texts(page: &Value) -> Vec<&str> {
    page["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect()
}

fn page(address: &str, query: &str) -> Value {
    wire::done(&get(address, &format!("/api/processes/talker/logs?{query}")))
}

/// A process that begins when there is a file `go`, and stays if there is a file `stay`.
fn talker(site: &Site, says: &str) -> Value {
    let script = format!(
        "cd {}; until [ -e go ]; do sleep 0.01; done; rm go; {says}; while [ -e stay ]; do sleep 0.01; done",
        site.path().display()
    );
    json!({ "name": "talker", "command": format!("sh -c '{script}'") })
}

/// The lines of a followed log, as they come.
struct Followed {
    stream: TcpStream,
    text: String,
}

impl Followed {
    fn begin(address: &str, query: &str) -> Followed {
        let mut stream = connect(address);
        let head = format!("GET /api/processes/talker/logs?follow=true&{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut followed = Followed { stream, text: String::new() };
        // What is told first is where the log begins.
        followed.until("id: ");
        followed
    }

    fn until(&mut self, wanted: &str) {
        let mut chunk = [0; 1024];
        while !self.text.contains(wanted) {
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the stream ended without {wanted}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
    }

    fn lines(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}

#[test]
fn the_last_words_of_a_process_are_a_line_once_it_has_ended() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    site.write("stay", "").write("go", "");
    wire::done(&send(&address, "/api/register", &talker(&site, "echo first; printf unfinished")));
    let log = site.data().join("logs/talker.stdout.log");
    let written = || fs::read_to_string(&log).unwrap_or_default();
    until("it has spoken", || written() == "first\nunfinished");
    assert_eq!(texts(&page(&address, "tail=5")), ["first"], "the line may go on");
    let mut followed = Followed::begin(&address, "tail=1");
    fs::remove_file(site.path().join("stay")).unwrap();
    until("it has ended", || get(&address, "/api/status?name=talker").json()["running"] == false);
    assert_eq!(texts(&page(&address, "tail=5")), ["first", "unfinished"]);
    assert_eq!(texts(&page(&address, "tail=1")), ["unfinished"]);
    assert_eq!(texts(&site.json(["process", "logs", "talker", "--tail", "1"])), ["unfinished"]);
    assert_eq!(written(), "first\nunfinished", "the file is what was written");
    followed.until("data: unfinished");

    // The next one begins a line of its own.
    wire::done(&request(&address, "POST", "/api/start?name=talker", &[], ""));
    until("the line is ended", || written() == "first\nunfinished\n");
    assert_eq!(texts(&page(&address, "tail=1")), ["unfinished"]);
    let count = || page(&address, "since=0")["lines"].as_array().unwrap().len();
    site.write("go", "");
    until("it has ended again", || count() == 4);
    assert_eq!(texts(&page(&address, "since=0")), ["first", "unfinished", "first", "unfinished"]);
    assert_eq!(written(), "first\nunfinished\nfirst\nunfinished");
    site.write("go", "").write("stay", "");
    wire::done(&request(&address, "POST", "/api/start?name=talker", &[], ""));
    until("it has spoken again", || count() == 5);
    fs::remove_file(site.path().join("stay")).unwrap();
    until("that ends too", || count() == 6);
    let end = page(&address, "since=0")["next"].clone();
    followed.until(&format!("id: {end}\ndata: unfinished\n\n"));
    assert_eq!(followed.lines(), ["first", "unfinished", "first", "unfinished", "first", "unfinished"]);
}

#[test]
fn none_of_the_last_lines_are_none() {
    let site = Site::new();
    let (_daemon, address) = site.serve_at();
    site.write("stay", "").write("go", "");
    let says = "echo old; until [ -e go ]; do sleep 0.01; done; echo new";
    wire::done(&send(&address, "/api/register", &talker(&site, says)));
    until("it has spoken", || texts(&page(&address, "tail=5")) == ["old"]);
    let none = page(&address, "tail=0");
    assert_eq!((texts(&none), &none["next"]), (vec![], &page(&address, "tail=1")["next"]));
    assert_eq!(texts(&page(&address, "limit=0")), ["old"], "who goes from page to page gets on");
    let said = site.piton(["process", "logs", "talker", "--tail", "0"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said}");
    let mut followed = Followed::begin(&address, "tail=0");
    site.write("go", "");
    followed.until("data: new\n");
    assert_eq!(followed.lines(), ["new"]);
}

#[test]
fn a_keeper_that_dies_is_told_of_with_whose_output_is_lost() {
    let site = Site::new();
    let (daemon, address) = site.serve_at();
    wire::done(&send(&address, "/api/register", &json!({ "name": "web", "command": "sleep 60" })));
    let status = || wire::done(&get(&address, "/api/status?name=web"));
    let before = status();
    let keeper = site.keeper().unwrap();
    kill(keeper, "KILL");
    let is_told = |status: &Value| status["reason"].as_str().is_some_and(|reason| reason.contains("output is lost"));
    until("it is told", || is_told(&status()));
    assert_eq!((&status()["running"], &status()["pid"]), (&json!(true), &before["pid"]));
    let said = site.piton(["process", "status", "web"]);
    assert!(said.out.contains("output is lost"), "{said}");
    until("it is logged", || site.daemon_log().contains("the keeper is gone"));
    let log = site.daemon_log();
    let line = log.lines().find(|line| line.contains("the keeper is gone"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && line.contains(&format!("keeper={keeper} ")), "{line}");
    assert!(line.contains("processes=\"web\""), "{line}");
    until("another has taken its place", || site.keeper().is_some_and(|next| next != keeper));
    // Who looks without a daemon, and the next daemon, are told too.
    assert_eq!(daemon.terminate(), 0);
    let seen = site.json(["process", "status", "web"]);
    assert!(is_told(&seen[0]), "{seen}");
    let (_daemon, address) = site.serve_at();
    until("the next one logs it", || site.daemon_log().contains("a keeper before is gone"));
    wire::done(&request(&address, "POST", "/api/restart?name=web", &[], ""));
    let after = wire::done(&get(&address, "/api/status?name=web"));
    assert_eq!((&after["reason"], &after["running"]), (&Value::Null, &json!(true)));
}
