//! A provisioning API that does what it is asked once for each idempotency key, and fails in every way while it does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How it is.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    Well,
    /// It does what it is asked, and takes that long to say so.
    Slow(Duration),
    /// It does nothing and says so.
    Down,
    /// The first call for a row may fail in whatever way: before or after it was done, with or without an answer.
    Capricious,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    pub row: String,
    pub at: Instant,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    calls: Vec<Call>,
    /// What was done, by the key that it was done under.
    done: BTreeMap<String, String>,
}

/// The API, until the test is over.
pub struct Api {
    address: String,
    state: Arc<Mutex<State>>,
}

/// What becomes of a call.
enum Reply {
    Status(&'static str),
    /// The connection is cut.
    Cut,
    /// Nothing is ever answered.
    Silence,
}

impl Api {
    pub fn start(mood: Mood) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { mood, calls: vec![], done: BTreeMap::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Api { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/provision", self.address)
    }

    pub fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Everything was done, each for one row and each row once.
    pub fn has_done_once(&self, rows: &BTreeSet<String>) {
        let done: Vec<String> = self.state.lock().unwrap().done.values().cloned().collect();
        assert_eq!(done.len(), rows.len(), "so many keys, and so many rows");
        assert_eq!(done.iter().cloned().collect::<BTreeSet<_>>(), *rows);
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some(headers) = read(&mut stream) else { return };
    let (row, key) = (headers["x-piton-schedule"].clone(), headers["idempotency-key"].clone());
    let (mood, first) = {
        let mut state = state.lock().unwrap();
        let first = state.calls.iter().all(|call| call.row != row);
        state.calls.push(Call { row: row.clone(), at: Instant::now() });
        (state.mood, first)
    };
    // Seldom enough that the host is not left alone for it.
    let kind = row.bytes().map(u32::from).sum::<u32>() % 64;
    let (done, reply) = match mood {
        Mood::Well | Mood::Slow(_) => (true, Reply::Status("201 Created")),
        Mood::Down => (false, Reply::Status("500 Internal Server Error")),
        Mood::Capricious if !first => (true, Reply::Status("200 OK")),
        Mood::Capricious => match kind {
            0 => (false, Reply::Status("500 Internal Server Error")),
            1 => (true, Reply::Status("503 Service Unavailable")),
            2 => (false, Reply::Cut),
            3 => (true, Reply::Cut),
            4 => (true, Reply::Silence),
            _ => (true, Reply::Status("204 No Content")),
        },
    };
    if done {
        state.lock().unwrap().done.insert(key, row);
    }
    if let Mood::Slow(pause) = mood {
        std::thread::sleep(pause);
    }
    match reply {
        Reply::Status(status) => {
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Reply::Cut => {}
        Reply::Silence => {
            // Until the other side has enough.
            let _ = stream.read(&mut [0; 1]);
        }
    }
}

/// The headers of a request, when all of it has come.
fn read(stream: &mut TcpStream) -> Option<BTreeMap<String, String>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let mut wanted = usize::MAX;
    let mut headers = BTreeMap::new();
    while bytes.len() < wanted {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| wanted == usize::MAX) {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
            let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            wanted = end + 4 + length;
        }
    }
    Some(headers)
}
