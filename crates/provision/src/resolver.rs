//! The rules of [`piton_model::guard`] where names are resolved, so that a name cannot mean one thing when it is checked
//! and another when it is connected to.

use piton_model::guard::Guard;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver, less the addresses that may not be called.
#[derive(Debug, Clone)]
pub(crate) struct Resolver(pub(crate) Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver(guard) = self.clone();
        Box::pin(async move {
            guard.check_host(name.as_str())?;
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(guard.permitted(found)?.into_iter()) as Addrs)
        })
    }
}
