//! Clients that do not behave.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use piton_keeper::client::{Client, Error};
use piton_keeper::frame::{Decoder, MAX_FRAME, encode};
use piton_keeper::protocol::{Hello, PROTOCOL_VERSION, RefusalKind, Reply, Request, ToClient, ToKeeper, Welcome};
use piton_keeper::{Limits, LogFile, Output, Spec};

use crate::nest::{Nest, PATIENCE, token, until, within};

fn raw(nest: &Nest) -> UnixStream {
    let stream = UnixStream::connect(nest.file("keeper.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn hello(protocol_version: u32) -> Vec<u8> {
    encode(&Hello { protocol_version }).unwrap()
}

/// Every message until the keeper hangs up.
fn read_to_end(mut stream: UnixStream) -> Vec<ToClient> {
    let mut bytes = Vec::new();
    // A reset, because the keeper did not read all that was sent, is also an end.
    let _ = stream.read_to_end(&mut bytes);
    let mut decoder = Decoder::default();
    decoder.extend(&bytes);
    std::iter::from_fn(|| decoder.next_body().unwrap().map(|body| serde_json::from_slice(&body).unwrap())).collect()
}

#[tokio::test]
async fn a_version_too_far_away_is_refused() {
    let nest = Nest::new();
    let client = nest.client().await;
    for version in [0, PROTOCOL_VERSION + 2, u32::MAX] {
        let mut stream = raw(&nest);
        stream.write_all(&hello(version)).unwrap();
        match read_to_end(stream).as_slice() {
            [ToClient::Refused(refusal)] => {
                assert_eq!(refusal.kind, RefusalKind::Version);
                assert!(refusal.message.contains(&format!("not version {version}")), "{refusal}");
            }
            other => panic!("version {version}: {other:?}"),
        }
    }
    let mut newer = raw(&nest);
    newer.write_all(&hello(PROTOCOL_VERSION + 1)).unwrap();
    newer.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(
        matches!(read_to_end(newer).as_slice(), [ToClient::Welcome(us)] if us.protocol_version == PROTOCOL_VERSION)
    );
    assert_eq!(client.list().await.unwrap(), []);
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let nest = Nest::new();
    let client = nest.client().await;
    client.spawn(&token("a"), &nest.script("sleep 1000")).await.unwrap();
    let hello = hello(PROTOCOL_VERSION);
    let oversized = (MAX_FRAME as u32 + 1).to_be_bytes();
    for (greeted, noise) in [
        (false, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (false, frame(b"{}")),
        (false, frame(b"")),
        (true, frame(b"\xff\xfe{")),
        (true, frame(b"[[[[[[")),
        (true, frame(&b"[".repeat(500_000))),
        (true, oversized.to_vec()),
        (true, hello.clone()),
    ] {
        let mut stream = raw(&nest);
        let before = if greeted { hello.as_slice() } else { &[] };
        // The keeper may hang up before all of it is written.
        let _ = stream.write_all(&[before, &noise].concat());
        let messages = read_to_end(stream);
        assert_eq!(messages.len(), usize::from(greeted), "{messages:?}");
    }
    // Half a frame is not an error, only a wait.
    let mut slow = raw(&nest);
    slow.write_all(&hello[..6]).unwrap();
    assert_eq!(client.list().await.unwrap().len(), 1);
    slow.write_all(&hello[6..]).unwrap();
    slow.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(read_to_end(slow).as_slice(), [ToClient::Welcome(_)]));
}

#[tokio::test]
async fn a_request_from_the_future_is_answered() {
    let nest = Nest::new();
    let client = nest.client().await;
    let mut stream = raw(&nest);
    let bad_token = frame(br#"{"id":8,"request":{"get":{"token":"no token"}}}"#);
    let request = [hello(PROTOCOL_VERSION), frame(br#"{"id":7,"request":{"levitate":{}}}"#), bad_token].concat();
    stream.write_all(&request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let messages = read_to_end(stream);
    let refused = |message: &ToClient| match message {
        ToClient::Failed { id, refusal } => Some((*id, refusal.kind)),
        _ => None,
    };
    let refusals: Vec<_> = messages.iter().filter_map(refused).collect();
    assert_eq!(refusals, [(7, RefusalKind::BadRequest), (8, RefusalKind::BadRequest)]);
    drop(client);
}

#[tokio::test]
async fn children_that_are_held_down_are_not_listened_to() {
    let nest = Nest::new();
    let client = nest.client().await;
    std::fs::write(nest.file("hello"), hello(PROTOCOL_VERSION)).unwrap();
    // Once as the child itself, and once as an orphan in a session of its own; before that, one that is free.
    let ask = "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"keeper.sock\")
s.sendall(open(\"hello\", \"rb\").read()); print(len(s.recv(100)))'";
    let script = r#"sh -c "$ASK" 2>&1 | tail -n 1 >free; setpriv --no-new-privs sh -c "$ASK" 2>&1 | tail -n 1 >child
(setpriv --no-new-privs setsid sh -c "$ASK" 2>&1 | tail -n 1 >orphan.new; mv orphan.new orphan) &"#;
    let mut spec = nest.script(script);
    spec.env.insert("ASK".into(), ask.into());
    client.spawn(&token("a"), &spec).await.unwrap();
    until("both have asked", || nest.file("orphan").exists()).await;
    for who in ["child", "orphan"] {
        let said = nest.read(who);
        assert!(said.trim() == "0" || said.contains("Error"), "{who}: {said}");
    }
    assert!(nest.read("free").trim().parse::<u32>().unwrap() > 0);
    // Those who are no children are.
    let mut other = raw(&nest);
    other.write_all(&hello(PROTOCOL_VERSION)).unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(read_to_end(other).as_slice(), [ToClient::Welcome(_)]));
}

/// A subscriber that never reads is dropped; the others are served meanwhile.
#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    let nest = Nest::new();
    let client = nest.client().await;
    for index in 0..200 {
        client.spawn(&token(&format!("{index}/{}", "x".repeat(150))), &nest.script("exit 0")).await.unwrap();
    }
    let mut greedy = raw(&nest);
    greedy.set_write_timeout(Some(PATIENCE)).unwrap();
    greedy.write_all(&hello(PROTOCOL_VERSION)).unwrap();
    let list = frame(br#"{"id":1,"request":{"list":{"after":null}}}"#);
    let mut hung_up = false;
    for _ in 0..100_000 {
        if let Err(error) = greedy.write_all(&list) {
            hung_up =
                error.kind() == std::io::ErrorKind::BrokenPipe || error.kind() == std::io::ErrorKind::ConnectionReset;
            break;
        }
    }
    assert!(hung_up, "the keeper should have dropped the connection");
    assert_eq!(within(client.list()).await.unwrap().len(), 200);
}

/// Answers as a keeper of these versions, one connection each, until it is told to become another program; gives what
/// it was asked.
fn impostor(nest: &Nest, versions: &'static [u32]) -> std::thread::JoinHandle<Vec<Request>> {
    let listener = UnixListener::bind(nest.file("keeper.sock")).unwrap();
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        for version in versions {
            let (mut stream, _) = listener.accept().unwrap();
            let mut decoder = Decoder::default();
            let mut chunk = [0; 4096];
            let mut greeted = false;
            loop {
                while let Some(body) = decoder.next_body().unwrap() {
                    if !greeted {
                        greeted = true;
                        let keeper_version = env!("CARGO_PKG_VERSION").to_owned();
                        let welcome = Welcome { protocol_version: *version, keeper_version, keeper_pid: 77 };
                        stream.write_all(&encode(&ToClient::Welcome(welcome)).unwrap()).unwrap();
                        continue;
                    }
                    let ToKeeper { id, request } = serde_json::from_slice(&body).unwrap();
                    asked.push(request);
                    let answer = ToClient::Reply { id, reply: Reply::Done };
                    if !matches!(asked.last(), Some(Request::Upgrade { .. })) {
                        stream.write_all(&encode(&answer).unwrap()).unwrap();
                    }
                }
                let upgraded = matches!(asked.last(), Some(Request::Upgrade { .. })) && *version == versions[0];
                let count = if upgraded { 0 } else { stream.read(&mut chunk).unwrap_or(0) };
                if count == 0 {
                    break;
                }
                decoder.extend(&chunk[..count]);
            }
        }
        asked
    })
}

/// What the impostor was asked, once every connection is closed, for which the client's tasks have to go on.
async fn asked_of(keeper: std::thread::JoinHandle<Vec<Request>>) -> Vec<Request> {
    within(tokio::task::spawn_blocking(|| keeper.join().unwrap())).await.unwrap()
}

#[tokio::test]
async fn an_older_keeper_is_not_asked_for_what_it_would_ignore() {
    let nest = Nest::new();
    let keeper = impostor(&nest, &[1]);
    let client = within(Client::connect(nest.dir())).await.unwrap();
    let limited = Spec { limits: Limits { nice: Some(1), ..Limits::default() }, ..nest.script("true") };
    let log = LogFile { path: nest.file("log"), max_size: 0, max_backups: 0, timestamps: false };
    let logging = Spec { stderr: Output::Log(log), ..nest.script("true") };
    for spec in [limited, logging] {
        let refused = within(client.spawn(&token("a"), &spec)).await.unwrap_err();
        assert!(matches!(refused, Error::Outdated(_)), "{refused}");
    }
    // What it understands it is still asked; the answer of this one makes no sense, but is one.
    let answered = within(client.spawn(&token("b"), &nest.script("true"))).await.unwrap_err();
    assert!(matches!(answered, Error::Protocol(_)), "{answered}");
    drop(client);
    let asked = asked_of(keeper).await;
    assert!(matches!(asked.as_slice(), [Request::Subscribe, Request::Spawn { .. }]), "{asked:?}");
}

#[tokio::test]
async fn an_older_keeper_goes_on_as_a_newer_one() {
    let nest = Nest::new();
    let keeper = impostor(&nest, &[1, 2]);
    let client = within(Client::connect(nest.dir())).await.unwrap();
    let exe = nest.file("new");
    let client = within(client.ensure_current(nest.dir(), &exe)).await.unwrap();
    assert_eq!(client.keeper().protocol_version, 2);
    // Now it is current, and nothing is asked.
    drop(within(client.ensure_current(nest.dir(), &exe)).await.unwrap());
    let asked = asked_of(keeper).await;
    assert_eq!(asked, [Request::Subscribe, Request::Upgrade { exe }, Request::Subscribe]);
}
