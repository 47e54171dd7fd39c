//! Clients that do not behave.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use piton_keeper::frame::{Decoder, MAX_FRAME, encode};
use piton_keeper::protocol::{Hello, PROTOCOL_VERSION, RefusalKind, ToClient};

use crate::nest::{Nest, PATIENCE, token, within};

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
