//! Bytes on a connection, as no well-meant client would send them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the problem in it.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that gives up after a while.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

/// Sends the bytes and reads one answer, until the end that it names or the end of the connection. None where the
/// connection was closed without one.
pub fn exchange(address: &str, bytes: &[u8]) -> Option<Reply> {
    let mut stream = connect(address);
    // The server may have closed already.
    let _ = stream.write_all(bytes);
    read_reply(&mut stream)
}

/// Reads one answer.
pub fn read_reply(stream: &mut impl Read) -> Option<Reply> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut chunk) {
            // A wait with a timeout is not taken up again by the kernel after a signal, or after the machine was paused.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply { status, head, body: bytes[end + 4..].to_vec() };
    let length = reply.header("content-length").map(|length| length.parse::<usize>().unwrap());
    let chunked = reply.header("transfer-encoding") == Some("chunked");
    let is_whole = |body: &[u8]| match length {
        Some(length) => body.len() >= length,
        None => chunked && body.ends_with(b"0\r\n\r\n"),
    };
    while !is_whole(&reply.body) && status != 304 && status != 204 {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(count) => reply.body.extend_from_slice(&chunk[..count]),
        }
    }
    if chunked {
        reply.body = unchunk(&reply.body);
    }
    Some(reply)
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// One request with these headers and this body.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        write!(text, "Host: {address}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            text.push_str("Content-Type: application/json\r\n");
        }
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("Connection: close\r\n\r\n");
    text.push_str(body);
    exchange(address, text.as_bytes()).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// POST of a value.
pub fn send(address: &str, path: &str, body: &Value) -> Reply {
    request(address, "POST", path, &[], &body.to_string())
}

/// The answer to something that must work.
pub fn done(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// GET without more.
pub fn get(address: &str, path: &str) -> Reply {
    request(address, "GET", path, &[], "")
}
