//! What stands before the routes: every request passes it on its way in, and every answer on its way out.
//!
//! From outside to inside: answers are compressed; the request gets its id and is written down ([`access`]); what of it
//! nobody has read is read before the answer is given ([`unread`]); answers get
//! the headers that keep browsers careful ([`headers`]); the name by which the server was called and the page that calls
//! are judged ([`host`], [`origin`]); the door finds out who asks; callers are held to their share ([`rate`],
//! [`streams`]). From the door on, nobody waits long for a database that is away ([`hurry`]). Within the route, what a
//! client knows of an object is compared with what is there ([`condition`]), and what creates something is not done
//! twice ([`keyed`]).

pub(crate) mod access;
pub(crate) mod condition;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod hurry;
pub(crate) mod keyed;
pub(crate) mod origin;
pub(crate) mod rate;
pub(crate) mod streams;
pub(crate) mod trace;
mod unread;

use std::any::Any;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use piton_engine::Engine;
use piton_spec::Server as Settings;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::auth::{Auth, authenticated};
use crate::caller;
use crate::metrics::Metrics;
use crate::problem::Refusal;
use access::Access;
use host::Hosts;
use keyed::{Keys, Working};
use origin::Origins;
use rate::Rates;
use streams::Streams;

/// What requests share beside the engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Front {
    pub(crate) rates: Option<Arc<Rates>>,
    pub(crate) streams: Streams,
    working: Working,
    /// What is counted.
    pub metrics: Metrics,
    /// Cancelled as soon as the daemon is to end: it is not ready any more.
    pub ending: CancellationToken,
    /// Cancelled when streams shall end.
    pub closing: CancellationToken,
    public_metrics: bool,
    guarded: bool,
    hosts: Arc<Hosts>,
    origins: Arc<Origins>,
}

impl Front {
    /// `guarded` tells whether people log in.
    pub fn new(settings: &Settings, guarded: bool, public_metrics: bool) -> Front {
        let metrics = Metrics::new();
        let closing = CancellationToken::new();
        Front {
            rates: settings.rate_limit.map(|rate| Arc::new(Rates::new(rate))),
            streams: Streams::new(settings.max_streams, closing.clone(), metrics.clone()),
            working: Working::default(),
            metrics,
            ending: CancellationToken::new(),
            closing,
            public_metrics,
            guarded,
            hosts: Arc::new(Hosts::new(&settings.allowed_hosts, guarded)),
            origins: Arc::new(Origins::new(&settings.allowed_origins, settings.allow_credentials)),
        }
    }

    /// Whether everybody may read the metrics.
    pub(crate) fn public_metrics(&self) -> bool {
        self.public_metrics
    }

    /// Puts the door and the outer half before routes: what comes over TCP.
    ///
    /// Where people must log in, the door finds out who they are. Elsewhere everybody who can reach the address is an
    /// administrator.
    pub fn outward(&self, routes: Router, auth: &Auth) -> Router {
        let (hosts, origins) = (self.hosts.clone(), self.origins.clone());
        let routes =
            if self.guarded { authenticated(routes, auth.clone()) } else { routes.layer(from_fn(caller::anybody)) };
        let routes = routes
            .layer(from_fn(move |request, next| origin::check(origins.clone(), request, next)))
            .layer(from_fn(move |request, next| host::check(hosts.clone(), request, next)))
            .layer(from_fn(headers::add));
        // Outermost, since a problem is written once more when the id of its request is put into it.
        self.inward(routes).layer(CompressionLayer::new()).layer(map_response(condition::retagged))
    }

    /// The same for those who own the data directory: no browser is among them.
    pub fn inward(&self, routes: Router) -> Router {
        let access = Access::new(self.metrics.clone());
        routes
            .layer(from_fn(hurry::answer))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(unread::read))
            .layer(from_fn(move |request, next| access::write(access.clone(), request, next)))
    }

    /// Puts the inner half before routes, within the door.
    pub(crate) fn within(&self, routes: Router, engine: Engine) -> Router {
        let keys = Keys { engine, working: self.working.clone() };
        let (rates, streams) = (self.rates.clone(), self.streams.clone());
        let plain = routes.clone();
        routes
            .layer(Extension(keys))
            .layer(from_fn(move |request, next| condition::tagged(plain.clone(), request, next)))
            .layer(from_fn(move |request, next| streams::limit(streams.clone(), request, next)))
            .layer(from_fn(move |request, next| rate::limit(rates.clone(), request, next)))
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = words.unwrap_or("?"), "a handler panicked");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "something broke inside piton", None)
        .into_response()
}
