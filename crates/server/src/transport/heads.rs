//! Requests that name two lengths.
//!
//! The HTTP library believes in chunks where a request has `Transfer-Encoding`, and hides the `Content-Length` that came
//! with it: whoever answers cannot tell. So the heads are watched as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much of a line as is looked at: more than the names that matter, and the longest length.
const LINE: usize = 64;

/// Says whether a request of the connection that is sent in chunks also named a length.
#[derive(Debug, Clone, Default)]
pub(super) struct Contradiction(Arc<AtomicBool>);

impl Contradiction {
    /// To be asked about a request that is sent in chunks. It is the last of its connection, so it is the only one.
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose requests are watched.
pub(super) struct Watched<S> {
    inner: S,
    heads: Heads,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S) -> (Watched<S>, Contradiction) {
        let contradiction = Contradiction::default();
        (Watched { inner, heads: Heads::new(contradiction.clone()) }, contradiction)
    }
}

/// Where in the stream it is.
enum At {
    Head {
        line: Vec<u8>,
        first: bool,
        length: Option<u64>,
        chunks: bool,
    },
    Body {
        left: u64,
    },
    /// Chunks, or no HTTP/1 at all: nothing that follows matters.
    Rest,
}

struct Heads {
    at: At,
    contradiction: Contradiction,
}

impl Heads {
    const HEAD: At = At::Head { line: Vec::new(), first: true, length: None, chunks: false };

    fn new(contradiction: Contradiction) -> Heads {
        Heads { at: Heads::HEAD, contradiction }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            match &mut self.at {
                At::Rest => return,
                At::Body { left } => {
                    let skipped = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        self.at = Heads::HEAD;
                    }
                }
                At::Head { line, .. } => {
                    bytes = &bytes[1..];
                    if byte == b'\n' {
                        self.end_line();
                    } else if line.len() < LINE {
                        line.push(byte);
                    }
                }
            }
        }
    }

    fn end_line(&mut self) {
        let At::Head { line, first, length, chunks } = &mut self.at else { return };
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.is_empty() {
            // Empty lines before a request are nothing.
            if !*first {
                self.at = match (*length, *chunks) {
                    (length, true) => {
                        self.contradiction.0.store(length.is_some(), Ordering::Relaxed);
                        At::Rest
                    }
                    (None | Some(0), false) => Heads::HEAD,
                    (Some(left), false) => At::Body { left },
                };
            }
            return;
        }
        if *first && text.starts_with(b"PRI ") {
            self.at = At::Rest;
            return;
        }
        if let Some(colon) = text.iter().position(|byte| *byte == b':') {
            let name = text[..colon].trim_ascii();
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                *chunks = true;
            } else if name.eq_ignore_ascii_case(b"content-length") {
                // One that is no number is refused by the library, and with it the connection.
                let value = std::str::from_utf8(&text[colon + 1..]).ok().and_then(|text| text.trim().parse().ok());
                *length = Some(value.unwrap_or(0));
            }
        }
        *first = false;
        line.clear();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if polled.is_ready() {
            self.heads.see(buffer.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contradicts(text: &str, piece: usize) -> bool {
        let mut heads = Heads::new(Contradiction::default());
        for bytes in text.as_bytes().chunks(piece) {
            heads.see(bytes);
        }
        heads.contradiction.is_there()
    }

    #[test]
    fn two_lengths_of_one_request_contradict_each_other() {
        let both = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let turned = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:0\r\n\r\n";
        let table = [
            (both.to_owned(), true),
            (turned.to_owned(), true),
            (both.replace('\r', ""), true),
            (format!("\r\n\r\n{both}"), true),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{both}"), true),
            (format!("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd{both}"), true),
            (format!("POST / HTTP/1.1\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n{both}", "x".repeat(1000)), true),
            // A body is no head, whatever is in it.
            (format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{both}", both.len()), false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(), false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd".to_owned(), false),
            (format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{both}"), false),
        ];
        for (text, wanted) in table {
            for piece in [1, 7, text.len()] {
                assert_eq!(contradicts(&text, piece), wanted, "in pieces of {piece}: {text}");
            }
        }
    }
}
