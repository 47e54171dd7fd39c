//! HTTPS: certificates from files, and new ones without a restart.
//!
//! Whether the files have changed is looked at when somebody connects, at most once a second. New files that cannot be
//! used are told of once, and what was read before stays in use; connections that are open notice nothing either way.

mod files;
mod generate;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use piton_engine::Clock;
use piton_spec::{Tls as Settings, TlsIdentity};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::transport::{Prefixed, Stream};
use files::Fingerprint;

/// How often the files are looked at.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Why there is no certificate to serve with.
#[derive(Debug)]
pub enum TlsError {
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Others can read a private key.
    Exposed {
        /// Its file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A certificate could not be made.
    Generate(String),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::File { path, source } => write!(f, "cannot use {}: {source}", path.display()),
            TlsError::Content { path, what } => write!(f, "{}: {what}", path.display()),
            TlsError::Exposed { path, mode } => {
                write!(f, "others may read or change the private key {} (mode {mode:04o})", path.display())
            }
            TlsError::Generate(what) => write!(f, "cannot make a certificate: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            TlsError::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            TlsError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "check `[server.tls]`; `auto_generate = true` makes a certificate for development in `dir`".to_owned(),
            ),
            _ => None,
        }
    }
}

/// What TLS connections are accepted with. Clones share it.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    clock: Clock,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    looked: Instant,
}

impl Tls {
    /// Reads the certificate, or makes one where that is wanted.
    pub fn open(settings: Settings, clock: Clock) -> Result<Tls, TlsError> {
        renew(&settings, &clock)?;
        let fingerprint = Fingerprint::of(&settings);
        let config = files::config(&settings)?;
        let current = Mutex::new(Current { config, fingerprint, looked: Instant::now() });
        Ok(Tls(Arc::new(Shared { settings, clock, current })))
    }

    /// Shakes hands. Whoever speaks plain HTTP is told what is spoken here.
    pub(crate) async fn accept(&self, mut stream: Box<dyn Stream>) -> io::Result<TlsStream<Prefixed<Box<dyn Stream>>>> {
        const HANDSHAKE: u8 = 0x16;
        let first = stream.read_u8().await?;
        if first.is_ascii_alphabetic() {
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
        }
        if first != HANDSHAKE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no TLS"));
        }
        TlsAcceptor::from(self.config()).accept(Prefixed::new(first, stream)).await
    }

    /// What the next connection is accepted with.
    fn config(&self) -> Arc<ServerConfig> {
        let Shared { settings, clock, current } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_AFTER {
            current.looked = Instant::now();
            if let Err(error) = renew(settings, clock) {
                tracing::warn!(%error, "the certificate was not renewed");
            }
            let found = Fingerprint::of(settings);
            if found != current.fingerprint {
                current.fingerprint = found;
                match files::config(settings) {
                    Ok(config) => {
                        current.config = config;
                        tracing::info!(file = %settings.identity.certificate().display(), "there is a new certificate");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the new certificate cannot be used; the old one stays in use");
                    }
                }
            }
        }
        current.config.clone()
    }
}

/// Makes a certificate where one is to be made, and there is none or it is over.
fn renew(settings: &Settings, clock: &Clock) -> Result<(), TlsError> {
    let TlsIdentity::Generated { directory, subject } = &settings.identity else { return Ok(()) };
    let now = clock.now();
    if files::expires(&settings.identity.certificate()).is_some_and(|expires| now < expires)
        && settings.identity.key().is_file()
    {
        return Ok(());
    }
    generate::generate(directory, subject, now)?;
    tracing::info!(directory = %directory.display(), "made a self-signed certificate");
    Ok(())
}

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 222\r\n\
Connection: close\r\n\r\n{\"type\":\"/docs/errors/tls_required\",\"title\":\"tls required\",\"status\":400,\
\"detail\":\"this port speaks HTTPS, and the request came without\",\"code\":\"tls_required\",\
\"error\":\"this port speaks HTTPS, and the request came without\"}\n";

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_to_plain_http_is_well_formed() {
        let text = std::str::from_utf8(super::PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        let problem: piton_api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem, piton_api::Problem::new(400, "tls_required", problem.detail.clone(), None));
    }
}
