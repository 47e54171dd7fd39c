//! A server whose answers are a function, and which remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What goes back.
pub enum Reply {
    /// Status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Never,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    pub fn text(status: u16, body: &str) -> Reply {
        Reply::Answer(status, Vec::new(), body.to_owned())
    }

    pub fn with(status: u16, name: &'static str, value: &str) -> Reply {
        Reply::Answer(status, vec![(name, value.to_owned())], String::new())
    }
}

pub struct Fake {
    pub url: String,
    asked: watch::Sender<Vec<Asked>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let sender = watch::Sender::new(Vec::new());
        let (remember, answer) = (sender.clone(), Arc::new(Mutex::new(answer)));
        let handle = move |request: Request| {
            let (remember, answer) = (remember.clone(), Arc::clone(&answer));
            async move {
                let asked = read(request).await;
                let reply = (answer.lock().unwrap())(&asked);
                remember.send_modify(|all: &mut Vec<Asked>| all.push(asked));
                let Reply::Answer(status, headers, body) = reply else { return std::future::pending().await };
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(body)).unwrap()
            }
        };
        let router = Router::new().fallback(handle);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake { url, asked: sender, task }
    }

    /// Everything that came so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Method and path of everything that came so far.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }

    /// Waits until so many came.
    pub async fn wait_for(&self, count: usize) {
        self.asked.subscribe().wait_for(|asked| asked.len() >= count).await.unwrap();
    }

    pub fn forget(&self) {
        self.asked.send_modify(Vec::clear);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned()
    };
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    Asked {
        method: parts.method,
        path: percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8().unwrap().into_owned(),
        query: pairs.map(|(name, value)| (decode(name), decode(value))).collect(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A form as a map.
pub fn form(body: &str) -> HashMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}
