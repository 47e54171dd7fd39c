//! What stands before the routes for what comes over TCP, where browsers are among the callers.
//!
//! From outside to inside: the name by which the server was called and the page that calls are judged ([`host`],
//! [`origin`]), then the door finds out who asks.

mod host;
mod origin;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use piton_spec::Server as Settings;

use crate::caller;
use host::Hosts;
use origin::Origins;

/// The routes for those who come over TCP.
///
/// Where people must log in (`guarded`), nobody is let in who did not: there is no way to log in yet, so only what is
/// public is answered. Elsewhere everybody who can reach the address is an administrator.
pub fn outward(routes: Router, settings: &Settings, guarded: bool) -> Router {
    let hosts = Arc::new(Hosts::new(&settings.allowed_hosts, guarded));
    let origins = Arc::new(Origins::new(&settings.allowed_origins));
    let routes = if guarded { routes } else { routes.layer(from_fn(caller::anybody)) };
    routes
        .layer(from_fn(move |request, next| origin::check(origins.clone(), request, next)))
        .layer(from_fn(move |request, next| host::check(hosts.clone(), request, next)))
}
