//! The rules of [`piton_model::guard`] where names are resolved: for `ssh`, and for clients of the `reqwest` crate.

use std::net::SocketAddr;

use piton_model::guard::{Blocked, Guard};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    #[error(transparent)]
    Blocked(#[from] Blocked),
    #[error("the name cannot be resolved: {0}")]
    Unknown(#[source] std::io::Error),
}

/// The addresses of `host` that may be connected to; whoever is given none was told why.
pub(crate) async fn resolve(guard: &Guard, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    guard.check_host(host)?;
    let found = tokio::net::lookup_host((host, port)).await.map_err(Unresolved::Unknown)?;
    let permitted = guard.permitted(found)?;
    if permitted.is_empty() {
        return Err(Unresolved::Unknown(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(permitted)
}

/// For clients. Addresses that are written as such in a URL never come here: those are for [`Guard::check_host`].
#[derive(Debug, Clone)]
pub(crate) struct Resolver(pub(crate) Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver(guard) = self.clone();
        Box::pin(async move {
            let found = resolve(&guard, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
