//! Sockets that a service manager has bound and passed on: `piton.socket`.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use piton_spec::Listen;

use crate::error::{CommandError, Exit};

/// The sockets that were passed on: the first for the API, the second for metrics.
#[derive(Debug, Default)]
pub struct Activation {
    /// For the API.
    pub api: Option<TcpListener>,
    /// For metrics.
    pub metrics: Option<TcpListener>,
}

impl Activation {
    /// Takes what was passed on to this process; nothing where nothing was.
    pub fn take() -> Result<Activation, CommandError> {
        let mut passed = ListenFd::from_env();
        if passed.len() > 2 {
            let message = format!("{} sockets were passed on, but there are two uses for them", passed.len());
            return Err(
                CommandError::new(Exit::BadConfig, message).hint("the first is for the API, the second for metrics")
            );
        }
        let mut take = |place| {
            if place < passed.len() { passed.take_tcp_listener(place).map_err(unusable) } else { Ok(None) }
        };
        Ok(Activation { api: take(0)?, metrics: take(1)? })
    }

    /// Where the API will be, if that was decided by who passed the socket on.
    pub fn listen(&self) -> Result<Option<Listen>, CommandError> {
        let address = self.api.as_ref().map(TcpListener::local_addr).transpose().map_err(unusable)?;
        Ok(address.map(|address| Listen { address: Some(address.ip()), port: address.port() }))
    }
}

fn unusable(error: io::Error) -> CommandError {
    CommandError::new(Exit::BadConfig, format!("a socket that was passed on cannot be used: {error}"))
        .hint("`ListenStream=` must name an address and a port")
}
