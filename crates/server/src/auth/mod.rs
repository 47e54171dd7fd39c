//! Who is who: logging in and out, users, clients, keys, and the door that finds out who asks.
//!
//! What somebody may do is read from the store with every request, so what is taken from them is gone at once. Only
//! that a password was right is remembered for a moment, since finding out is made slow on purpose.

mod audit;
mod clients;
mod cookie;
mod door;
mod keys;
mod login;
mod memory;
mod refusals;
mod setup;
mod users;
mod verify;
mod view;
mod worker;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use piton_auth::{Hasher, Throttle};
use piton_engine::Clock;
use piton_model::Secret;
use piton_store::Store;
use tokio::sync::Semaphore;

use crate::route::Table;
use keys::Keys;
use memory::Memory;

pub(crate) use door::authenticated;
pub use setup::{FirstAdmin, SetupError};

/// How people and programs log in.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Requests over TCP need credentials.
    pub enabled: bool,
    /// How long a token is valid.
    pub token_ttl: Duration,
    /// What signs tokens; none for keys of its own.
    pub secret: Option<Secret<String>>,
    /// The key that workers elsewhere report with; none where nobody but users and clients may.
    pub worker_key: Option<Secret<String>>,
    /// Web origins, besides its own, from which a browser may act with its cookie.
    pub allowed_origins: Vec<String>,
    /// Only this host can reach the API. There a weak password is no more than a nuisance, and is taken: the samples of
    /// documentation have some. A daemon that others can reach does not start while somebody has one.
    pub loopback: bool,
    /// Requests come over TLS, so cookies travel over nothing else.
    pub https: bool,
}

/// Everything about who is who. Clones share it.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    settings: AuthSettings,
    keys: Keys,
    /// What is kept of the key of workers.
    worker_key: Option<String>,
    hasher: Hasher,
    /// Hashing a password takes 19 MiB and a core: not more at once than there are cores.
    turns: Semaphore,
    throttle: Mutex<Throttle>,
    memory: Mutex<Memory>,
    /// Lets somebody who has no account yet make the first one.
    setup_token: Secret<String>,
}

impl Auth {
    /// Users and the rest live in `store`.
    pub fn new(store: Store, clock: Clock, settings: AuthSettings) -> Auth {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Auth(Arc::new(Inner {
            keys: Keys::new(settings.secret.as_ref()),
            worker_key: settings.worker_key.as_ref().map(|key| piton_auth::digest(key.expose())),
            store,
            clock,
            settings,
            hasher: Hasher::default(),
            turns: Semaphore::new(cores),
            throttle: Mutex::default(),
            memory: Mutex::new(Memory::new(rand::random())),
            setup_token: Secret::new(piton_auth::new_id(rand::random())),
        }))
    }

    /// Whether requests over TCP need credentials.
    pub(crate) fn is_enabled(&self) -> bool {
        self.0.settings.enabled
    }

    /// Where users live.
    pub fn store(&self) -> &Store {
        &self.0.store
    }
}

/// The routes below `{base}`.
pub(crate) fn routes() -> Table {
    login::routes().merge(users::routes()).merge(clients::routes()).merge(keys::routes()).merge(audit::routes())
}
