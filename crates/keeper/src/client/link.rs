//! One connection: two tasks that carry frames, and the book of who waits for what.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::Error;
use crate::frame::{self, Decoder};
use crate::protocol::{Event, Hello, Refusal, Reply, Request, ToClient, ToKeeper, Welcome};
use crate::{Child, Exited, SOCKET_NAME, Token};

/// So much is read at once.
const CHUNK: usize = 16 * 1024;

/// So many requests that were made meanwhile are sent at once.
const TOGETHER: usize = 32;

/// How long a keeper may take to introduce itself. It never does anything slow, but the machine may.
const GREETING: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Link {
    welcome: Arc<Welcome>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    next_id: Arc<AtomicU64>,
    book: Arc<Mutex<Book>>,
}

/// Who waits for what.
#[derive(Debug, Default)]
struct Book {
    closed: bool,
    answers: HashMap<u64, oneshot::Sender<Result<Reply, Refusal>>>,
    ends: HashMap<Token, Vec<oneshot::Sender<Exited>>>,
    /// Those who want to know of every end.
    listeners: Vec<mpsc::UnboundedSender<Child>>,
}

impl Link {
    pub(super) async fn open(dir: &Path, protocol_version: u32) -> Result<Self, Error> {
        let absent = |source| Error::Absent { dir: dir.to_owned(), source };
        let stream = connect(dir).await.map_err(absent)?;
        let uid = stream.peer_cred().map_err(absent)?.uid();
        if uid != rustix::process::geteuid().as_raw() && uid != 0 {
            return Err(Error::Foreign(uid));
        }
        let (mut reader, mut writer) = stream.into_split();
        let greeting = async {
            let hello = frame::encode(&Hello { protocol_version })?;
            writer.write_all(&hello).await.map_err(|_| Error::Disconnected)?;
            let mut decoder = Decoder::default();
            let first = read_message::<ToClient>(&mut reader, &mut decoder, &mut vec![0; CHUNK]).await?;
            Ok::<_, Error>((first, decoder))
        };
        let timed_out = |_| absent(io::Error::new(io::ErrorKind::TimedOut, "it accepts connections but says nothing"));
        let (welcome, decoder) = match tokio::time::timeout(GREETING, greeting).await.map_err(timed_out)?? {
            (ToClient::Welcome(welcome), decoder) => (welcome, decoder),
            (ToClient::Refused(refusal), _) => return Err(refusal.into()),
            (other, _) => return Err(Error::Protocol(format!("it greeted with {other:?}"))),
        };
        let book = Arc::new(Mutex::new(Book::default()));
        let (frames, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(write_frames(writer, outgoing));
        tokio::spawn(read_frames(reader, decoder, Arc::clone(&book)));
        Ok(Self { welcome: Arc::new(welcome), frames, next_id: Arc::default(), book })
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = frame::encode(&ToKeeper { id, request })?;
        let (sender, answer) = oneshot::channel();
        {
            let mut book = lock(&self.book);
            if book.closed {
                return Err(Error::Disconnected);
            }
            book.answers.insert(id, sender);
        }
        self.frames.send(frame).map_err(|_| Error::Disconnected)?;
        Ok(answer.await.map_err(|_| Error::Disconnected)??)
    }

    /// The end of this child, if it comes from now on.
    pub(super) fn watch(&self, token: &Token) -> Result<impl Future<Output = Result<Exited, Error>> + use<>, Error> {
        let (sender, end) = oneshot::channel();
        let mut book = lock(&self.book);
        if book.closed {
            return Err(Error::Disconnected);
        }
        let watchers = book.ends.entry(token.clone()).or_default();
        // Those that were dropped meanwhile leave here at the latest.
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.push(sender);
        Ok(async move { end.await.map_err(|_| Error::Disconnected) })
    }
}

impl Link {
    /// The end of every child, from now on.
    pub(super) fn listen(&self) -> Result<mpsc::UnboundedReceiver<Child>, Error> {
        let (sender, ends) = mpsc::unbounded_channel();
        let mut book = lock(&self.book);
        if book.closed {
            return Err(Error::Disconnected);
        }
        book.listeners.push(sender);
        Ok(ends)
    }
}

/// Connects by way of the directory's descriptor, because a socket address holds only 107 bytes of path.
async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_NAME}", dir.as_raw_fd())).await
}

async fn write_frames(mut writer: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    while frames.recv_many(&mut waiting, TOGETHER).await > 0 {
        let together = match waiting.as_mut_slice() {
            [one] => std::mem::take(one),
            several => several.concat(),
        };
        waiting.clear();
        if writer.write_all(&together).await.is_err() {
            // The reader sees the end of the connection too, and tells all who wait.
            return;
        }
    }
    // The last client is gone. The keeper hangs up in turn, which ends the reader.
    let _ = writer.shutdown().await;
}

async fn read_frames(mut reader: OwnedReadHalf, mut decoder: Decoder, book: Arc<Mutex<Book>>) {
    let mut chunk = vec![0; CHUNK];
    // Any failure ends the connection: frames after a bad one cannot be found.
    while let Ok(message) = read_message(&mut reader, &mut decoder, &mut chunk).await {
        let mut book = lock(&book);
        match message {
            ToClient::Reply { id, reply } => book.answer(id, Ok(reply)),
            ToClient::Failed { id, refusal } => book.answer(id, Err(refusal)),
            ToClient::Event(Event::Exited(child)) => {
                if let Some(exited) = child.exited() {
                    for watcher in book.ends.remove(&child.token).unwrap_or_default() {
                        let _ = watcher.send(exited);
                    }
                }
                book.listeners.retain(|listener| listener.send(child.clone()).is_ok());
            }
            ToClient::Welcome(_) | ToClient::Refused(_) => break,
        }
    }
    *lock(&book) = Book { closed: true, ..Book::default() };
}

impl Book {
    fn answer(&mut self, id: u64, answer: Result<Reply, Refusal>) {
        if let Some(sender) = self.answers.remove(&id) {
            // Whoever asked may have stopped waiting.
            let _ = sender.send(answer);
        }
    }
}

async fn read_message<T: DeserializeOwned>(
    reader: &mut OwnedReadHalf,
    decoder: &mut Decoder,
    chunk: &mut [u8],
) -> Result<T, Error> {
    loop {
        if let Some(body) = decoder.next_body()? {
            return serde_json::from_slice(&body).map_err(|error| Error::Protocol(error.to_string()));
        }
        match reader.read(chunk).await {
            Ok(0) | Err(_) => return Err(Error::Disconnected),
            Ok(count) => decoder.extend(&chunk[..count]),
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // Nothing panics while it holds the book, and every entry stands alone.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
