//! A server that answers as a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The number of the connection, from 0 on.
    pub connection: usize,
    /// Request line and headers, in lower case but for the request line.
    pub head: String,
    pub body: String,
}

/// What goes out.
pub enum Reply {
    /// A status, headers and a body.
    Whole(u16, &'static str, String),
    /// Just these bytes, then the end of the connection.
    Cut(String),
    /// Nothing, ever.
    Silence,
}

/// A running server; it ends when this goes out of scope.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn plain(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::start(None, reply).await
    }

    pub async fn start(tls: Option<TlsAcceptor>, reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (reply, log) = (Arc::new(reply), asked.clone());
        let task = tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, reply, log) = (tls.clone(), reply.clone(), log.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(stream, connection, &log, &*reply).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, connection, &log, &*reply).await;
                            }
                        }
                    }
                });
                connection += 1;
            }
        });
        Server { address, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    log: &Mutex<Vec<Asked>>,
    reply: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    while let Some(asked) = request(&mut stream, connection).await {
        log.lock().unwrap().push(asked.clone());
        match reply(&asked) {
            Reply::Whole(status, headers, body) => {
                let text = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Cut(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin), connection: usize) -> Option<Asked> {
    let mut bytes = vec![];
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    let (line, headers) = text.split_once("\r\n")?;
    let head = format!("{line}\n{}", headers.to_ascii_lowercase().replace("\r\n", "\n"));
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { connection, head, body: String::from_utf8(body).ok()? })
}
