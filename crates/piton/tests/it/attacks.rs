//! What people send who mean no good, and people who do not know better: rows of the threat table, by their numbers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::site::{Daemon, Site, until};
use super::wire::{Reply, connect, exchange, get, read_reply, request};

/// The daemon's share of a processor, in seconds.
fn processor_time(daemon: &Daemon<'_>) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in ticks of which Linux has a hundred in a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_kilobytes(daemon: &Daemon<'_>) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends a byte each half second until the other side has had enough: what it said, and after how long.
fn drip(mut stream: TcpStream, byte: u8) -> (Option<Reply>, Duration) {
    let begin = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while begin.elapsed() < Duration::from_secs(60) {
        let _ = stream.write_all(&[byte]);
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    (read_reply(&mut said.as_slice()), begin.elapsed())
}

/// A33
#[test]
fn slow_clients_are_given_up_and_disturb_nobody() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let begun = |text: String| {
        let mut stream = connect(&address);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let silent = connect(&address);
    let head = begun(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nX-Slow: "));
    let body = begun(format!(
        "POST /api/templates HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n"
    ));
    let slow = std::thread::spawn(move || drip(head, b'x'));
    let slower = std::thread::spawn(move || drip(body, b' '));
    let mut silent = silent;
    let begin = Instant::now();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "silence is borne for a while only");
    assert!(begin.elapsed() < Duration::from_secs(30));
    let begin = Instant::now();
    assert_eq!(get(&address, "/health").status, 200);
    assert!(begin.elapsed() < Duration::from_secs(2), "others wait");
    let (reply, took) = slow.join().unwrap();
    assert!(reply.is_none_or(|reply| reply.status == 408), "half a head is no request");
    assert!(took < Duration::from_secs(31), "{took:?}");
    let (reply, took) = slower.join().unwrap();
    assert_eq!(reply.map(|reply| (reply.status, reply.code())), Some((408, "request_timeout".to_owned())));
    assert!(took < Duration::from_secs(35), "{took:?}");
}

/// A33
#[test]
fn a_reader_that_never_reads_is_dropped() {
    let site = Site::new();
    site.write(
        "jobs/loud.json",
        r#"{ "name": "loud", "type": "command", "command": "head -c 30000000 /dev/zero | tr '\\0' x | fold -w 1000" }"#,
    );
    let daemon = site.serve();
    let address = daemon.address();
    assert_eq!(site.piton(["job", "run", "loud"]).code, 0);
    let run = site.json(["job", "status", "loud"])["last_run_id"].as_str().unwrap().to_owned();
    let mut stream = connect(&address);
    let ask = format!("GET /api/runs/{run}/logs HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let streams = || {
        let text = get(&address, "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix("piton_http_streams ")).unwrap().to_owned()
    };
    until("the stream is open", || streams() == "1");
    let before = resident_kilobytes(&daemon);
    until("the reader is given up", || streams() == "0");
    let after = resident_kilobytes(&daemon);
    assert!(after < before + 8 * 1024, "what nobody takes is not held: {before} KB, then {after} KB");
    drop(stream);
}

/// A34
#[test]
fn connections_and_streams_have_a_limit_for_each_and_for_all() {
    let site = Site::new().env("PITON_SERVER__MAX_CONNECTIONS_PER_ADDRESS", "20").env("PITON_SERVER__MAX_STREAMS", "5");
    let daemon = site.serve();
    let address = daemon.address();
    let open: Vec<TcpStream> = (0..20).map(|_| connect(&address)).collect();
    let reply = get(&address, "/health");
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_connections"));
    assert!(reply.header("retry-after").is_some());
    drop(open);
    until("there is room again", || get(&address, "/health").status == 200);

    let follow = || {
        let mut stream = connect(&address);
        stream.write_all(format!("GET /api/events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let streams: Vec<_> = (0..5).map(|_| follow()).collect();
    assert!(streams.iter().all(|(_, head)| head.ends_with("200")));
    let reply = get(&address, "/api/events");
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_streams"));
    assert!(reply.header("retry-after").is_some());
    drop(streams);
    until("there is room again", || follow().1.ends_with("200"));
    drop(daemon);

    let site = Site::new().env("PITON_SERVER__MAX_CONNECTIONS", "10");
    let daemon = site.serve();
    let address = daemon.address();
    let open: Vec<TcpStream> = (0..10).map(|_| connect(&address)).collect();
    let reply = get(&address, "/health");
    assert_eq!((reply.status, reply.code().as_str()), (503, "overloaded"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(site.piton(["status"]).code, 0, "whoever owns the data directory is always let in");
    drop(open);
}

/// A34
#[test]
fn thousands_of_idle_connections_cost_little() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let before = resident_kilobytes(&daemon);
    let open: Vec<TcpStream> = (0..2000).map(|_| connect(&address)).collect();
    assert_eq!(get(&address, "/health").status, 200);
    let after = resident_kilobytes(&daemon);
    assert!(after < before + 2000 * 20, "{before} KB, then {after} KB");
    until("they are closed", || {
        let text = get(&address, "/metrics").text();
        let left = text.lines().find_map(|line| line.strip_prefix("piton_http_connections ")).unwrap().to_owned();
        left.parse::<usize>().unwrap() < 5
    });
    drop(open);
}

/// One caller gets so much, and is told when there is more.
#[test]
fn requests_have_a_rate() {
    let site = Site::new().env("PITON_SERVER__RATE_LIMIT", "5");
    let daemon = site.serve();
    let address = daemon.address();
    let mut refused = None;
    for _ in 0..200 {
        let reply = get(&address, "/health");
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("nobody was refused");
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"second\";q=5;w=1"));
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(site.piton(["status"]).code, 0, "whoever owns the data directory is not counted");
    until("there is more", || get(&address, "/health").status == 200);
}

/// A36
#[test]
fn requests_that_are_none_are_refused() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let post = |headers: &str, body: &str| {
        let text = format!(
            "POST /api/templates HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        );
        exchange(&address, text.as_bytes()).map(|reply| (reply.status, reply))
    };
    let status = |headers: &str, body: &str| post(headers, body).map(|(status, _)| status);
    assert_eq!(status("Content-Length: 2\r\nContent-Length: 3\r\n", "{}x"), Some(400));
    assert_eq!(status("Content-Length: 2x\r\n", "{}"), Some(400));
    assert_eq!(status("Transfer-Encoding: gzip\r\n", "{}"), Some(400));
    assert_eq!(status("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), Some(400));
    assert_eq!(status("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n{}"), Some(400));
    let (_, reply) = post("Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\u{1f}abc").unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (415, "unsupported_media_type"), "nothing is unpacked");
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    let (_, reply) = post(&format!("Content-Length: {}\r\n", large.len()), &large).unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    let asking = "Expect: 100-continue\r\nContent-Length: 99999999\r\n";
    assert_eq!(status(asking, ""), Some(413), "it is not asked to send what is not wanted");
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    assert_eq!(status("Transfer-Encoding: chunked\r\n", &chunk), Some(413));

    let head = |text: &str| exchange(&address, text.as_bytes()).map(|reply| reply.status);
    let long = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nX-Long: {}\r\n\r\n", "x".repeat(1024 * 1024));
    assert_eq!(head(&long), Some(431));
    let many = format!("GET /health HTTP/1.1\r\nHost: {address}\r\n{}\r\n", "X-Many: x\r\n".repeat(1000));
    assert_eq!(head(&many), Some(431));
    assert_eq!(head(&format!("GET /health HTTP/1.1\r\nHost: {address}\r\n folded: x\r\n\r\n")), Some(400));
    assert_eq!(head(&format!("GET /health HTTP/1.1\r\nHost : {address}\r\n\r\n")), Some(400));
    assert_eq!(head("GET /health HTTP/1.1\r\n\r\n"), Some(400));
    assert_eq!(head(&format!("GET /health HTTP/1.1\r\nHost: {address}\r\nHost: {address}\r\n\r\n")), Some(400));
    let raw = [b"GET /api/workspaces/\xff HTTP/1.1\r\nHost: ".as_slice(), address.as_bytes(), b"\r\n\r\n"].concat();
    assert!(exchange(&address, &raw).is_none_or(|reply| [400, 404].contains(&reply.status)));
    let reply = get(&address, "/api/workspaces/%ff");
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_path"));
    assert_eq!(request(&address, "GET", "/health", &[], "").status, 200, "it still runs");
}

/// A36: a length and chunks together are two opinions of where a request ends. It is refused, and nothing that follows is
/// taken for a request.
#[test]
fn nothing_is_smuggled_behind_a_request() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    for headers in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let mut stream = connect(&address);
        let text = format!(
            "POST /api/templates HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n\r\n0\r\n\r\n\
             GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{headers}: {said}");
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("ambiguous_length"), "{headers}: {said}");
        assert!(!said.contains("healthy"), "{headers}: {said}");
    }
}

/// HTTP/2, as bytes.
mod h2 {
    use super::{Duration, Read, TcpStream, Write, connect};

    pub const HEADERS: u8 = 1;
    pub const RESET: u8 = 3;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    const GOAWAY: u8 = 7;

    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// `:method`, `:scheme http`, `:path` and `:authority`; HPACK without its tables.
    pub fn head(post: bool, path: &str) -> Vec<u8> {
        let mut bytes = vec![if post { 0x83 } else { 0x82 }, 0x86, 0x04];
        for (text, next) in [(path, Some(0x01)), ("localhost", None)] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend(next);
        }
        bytes
    }

    pub fn open(address: &str) -> TcpStream {
        let mut stream = connect(address);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).unwrap();
        stream
    }

    /// Whether the server says that it is over, or just closes.
    pub fn is_over(mut stream: TcpStream) -> bool {
        let mut head = [0; 9];
        loop {
            match stream.read_exact(&mut head) {
                Ok(()) if head[3] == GOAWAY => return true,
                Ok(()) => {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                    let mut payload = vec![0; length as usize];
                    if stream.read_exact(&mut payload).is_err() {
                        return true;
                    }
                }
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// A35
#[test]
fn floods_of_http_2_end_the_connection_and_nothing_else() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let get_health = h2::head(false, "/health");
    let mut stream = h2::open(&address);
    stream.write_all(&h2::frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &get_health)).unwrap();
    let mut said = vec![0; 4096];
    until("it is answered", || {
        let count = stream.read(&mut said).unwrap();
        String::from_utf8_lossy(&said[..count]).contains("healthy")
    });

    let mut resets = Vec::new();
    for number in 0..20_000 {
        let id = 2 * number + 1;
        resets.extend(h2::frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, id, &get_health));
        resets.extend(h2::frame(h2::RESET, 0, id, &[0, 0, 0, 8]));
    }
    let mut continued = h2::frame(h2::HEADERS, h2::END_STREAM, 1, &get_health);
    for _ in 0..2_000 {
        // A header that is never the same, and never the last.
        continued.extend(h2::frame(
            h2::CONTINUATION,
            0,
            1,
            &[&[0x00, 0x01, b'x', 0x7f, 0x81, 0x7e], [b'y'; 384].as_slice()].concat(),
        ));
    }
    let mut empty = h2::frame(h2::HEADERS, h2::END_HEADERS, 1, &h2::head(true, "/api/templates"));
    for _ in 0..200_000 {
        empty.extend(h2::frame(0, 0, 1, &[]));
    }
    for (what, bytes) in [("resets", resets), ("continuations", continued), ("empty data", empty)] {
        let mut stream = h2::open(&address);
        // The server may close before it has all of it.
        let _ = stream.write_all(&bytes);
        assert!(h2::is_over(stream), "{what}: the connection goes on");
        assert_eq!(get(&address, "/health").status, 200, "{what}");
    }
    let (before, begin) = (processor_time(&daemon), Instant::now());
    until("a second is over", || begin.elapsed() > Duration::from_secs(1));
    let used = processor_time(&daemon) - before;
    assert!(used < 0.3, "the processor is still busy: {used} s of 1 s");
}
