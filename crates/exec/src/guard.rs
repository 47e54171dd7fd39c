//! The rules of [`piton_model::guard`] where names are resolved: for git, and for clients of the `reqwest` crate.

use std::net::SocketAddr;

pub use piton_model::guard::{Blocked, Guard, InvalidNetwork, Network, literal};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why a name did not lead to an address that may be reached.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// Every address that it has is forbidden.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// It has none, or nobody could tell.
    #[error("the name {host} cannot be resolved: {source}")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The addresses of `host` that `guard` lets be connected to. To be safe from a name that changes what it means, connect
/// to one of these and not to the name.
pub async fn resolve(guard: &Guard, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    guard.check_host(host)?;
    let unknown = |source| Unresolved::Unknown { host: host.to_owned(), source };
    let found: Vec<SocketAddr> = match literal(host) {
        Some(address) => vec![SocketAddr::new(address, port)],
        None => tokio::net::lookup_host((host, port)).await.map_err(unknown)?.collect(),
    };
    let permitted = guard.permitted(found)?;
    if permitted.is_empty() {
        return Err(unknown(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(permitted)
}

/// For clients of the `reqwest` crate. Addresses that are written as such in a URL never come here: those are for
/// [`Guard::check_host`].
#[derive(Debug, Clone)]
pub struct Resolver(pub Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver(guard) = self.clone();
        Box::pin(async move {
            let found = resolve(&guard, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
