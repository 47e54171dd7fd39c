//! Sockets to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use piton_spec::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::admission::{Admission, Visitor};

/// An address that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address, as it was configured.
    pub listen: Listen,
    /// Why.
    pub source: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => write!(f, "another process already listens on `{}`", self.listen),
            io::ErrorKind::AddrNotAvailable => write!(f, "`{}` is no address of this host", self.listen),
            io::ErrorKind::PermissionDenied => write!(f, "this user may not listen on `{}`", self.listen),
            _ => write!(f, "cannot listen on `{}`: {}", self.listen, self.source),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp { listener: TcpListener, address: SocketAddr },
    Unix { listener: UnixListener, path: PathBuf, admission: Admission },
}

/// What an accepted connection is read from and written to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: Box<dyn Stream>,
    /// From where it comes; none for unix sockets.
    pub(super) peer: Option<SocketAddr>,
    /// Has to be admitted before anything is read.
    pub(super) visitor: Visitor,
}

impl Listener {
    /// Listens on an address. Every address of the host means IPv6 and IPv4 where the host has both.
    pub async fn tcp(listen: Listen) -> Result<Listener, BindError> {
        let bound = match listen.address {
            Some(address) => bind(address, listen.port).await,
            None => match bind(Ipv6Addr::UNSPECIFIED.into(), listen.port).await {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    bind(Ipv4Addr::UNSPECIFIED.into(), listen.port).await
                }
                bound => bound,
            },
        };
        bound.map(Listener).map_err(|source| BindError { listen, source })
    }

    /// Listens on a socket that somebody else has bound.
    pub fn inherited(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Listener(Kind::Tcp { listener: TcpListener::from_std(listener)?, address }))
    }

    /// Listens on the same socket once more: what is accepted by one is not by the other. None for unix sockets.
    pub fn again(&self) -> io::Result<Option<Listener>> {
        match &self.0 {
            Kind::Tcp { listener, .. } => Listener::inherited(listener.as_fd().try_clone_to_owned()?.into()).map(Some),
            Kind::Unix { .. } => Ok(None),
        }
    }

    /// Listens on a unix socket, for its owner only. A socket that is in the way is replaced.
    pub fn unix(path: &Path, admission: Admission) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Listener(Kind::Unix { listener, path: path.to_owned(), admission }))
    }

    /// The address that was bound, with the port that the system chose; none for unix sockets.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp { address, .. } => Some(*address),
            Kind::Unix { .. } => None,
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.0 {
            Kind::Tcp { listener, .. } => {
                let (stream, peer) = listener.accept().await?;
                // Frames of server-sent events are small and must not wait for one another.
                stream.set_nodelay(true)?;
                Ok(Accepted { stream: Box::new(stream), peer: Some(peer), visitor: Visitor::default() })
            }
            Kind::Unix { listener, admission, .. } => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
                let visitor = Visitor::new(admission.clone(), pid);
                Ok(Accepted { stream: Box::new(stream), peer: None, visitor })
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix { path, .. } = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn bind(address: IpAddr, port: u16) -> io::Result<Kind> {
    let listener = TcpListener::bind(SocketAddr::new(address, port)).await?;
    let address = listener.local_addr()?;
    Ok(Kind::Tcp { listener, address })
}
