//! A very small HTTP server that can misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What a path answers with.
#[derive(Clone)]
pub enum Answer {
    File(Vec<u8>),
    /// Announces the whole file but hangs up halfway.
    Interrupted(Vec<u8>),
    /// Keeps sending until the client hangs up.
    Endless,
    Status(u16),
    Redirect(String),
    /// Answers once a permit is there.
    Gated(Vec<u8>, Arc<Semaphore>),
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    requests: Vec<Request>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub authorization: Option<String>,
}

/// Serves until it is dropped.
pub struct Server {
    base: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                connections.spawn(async move {
                    // A client that hangs up is part of several tests.
                    let _ = serve(stream, &state).await;
                });
            }
        });
        Server { base, state, task }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn set(&self, path: &str, answer: Answer) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub fn remove(&self, path: &str) {
        assert!(self.state.lock().unwrap().answers.remove(path).is_some(), "{path} was served");
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often paths ending in `suffix` were asked for.
    pub fn count(&self, suffix: &str) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with(suffix)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let authorization = head
        .lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("authorization")))
        .map(|(_, value)| value.trim().to_owned());
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(Request { path: path.clone(), authorization });
        state.answers.get(&path).cloned().unwrap_or(Answer::Status(404))
    };
    match answer {
        Answer::File(body) => send(&mut stream, &body).await,
        Answer::Interrupted(body) => {
            stream.write_all(&ok(body.len())).await?;
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.shutdown().await
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
        Answer::Status(status) => {
            stream
                .write_all(format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
                .await
        }
        Answer::Redirect(location) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
        Answer::Gated(body, gate) => {
            let _permit = gate.acquire().await;
            send(&mut stream, &body).await
        }
    }
}

fn ok(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").into_bytes()
}

async fn send(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(&ok(body.len())).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
