//! Where the daemon listens, and how it stops to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use piton_broker::Status;
use piton_engine::Clock;
use piton_server::{App, BindError, Limits, Listener, Server, Tls, TlsError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::activation::Activation;
use crate::error::{CommandError, Exit};
use crate::place::Place;

/// Addresses that are bound, before anything answers there: what is wrong with them is told before anything begins.
pub struct Listeners {
    api: Listener,
    tls: Option<Tls>,
    metrics: Option<Listener>,
}

/// What answers there.
pub struct Serving {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// Binds what the configuration names, but for what was passed on.
    pub async fn bind(place: &Place, activation: Activation) -> Result<Listeners, CommandError> {
        let config = &place.config;
        let tls = config.server.tls.clone().map(|tls| Tls::open(tls, Clock::system())).transpose()?;
        let api = match activation.api {
            Some(socket) => inherit(socket)?,
            None => Listener::tcp(config.server.listen).await?,
        };
        let metrics = match (activation.metrics, config.metrics.listen) {
            (Some(socket), _) => Some(inherit(socket)?),
            (None, Some(listen)) => Some(Listener::tcp(listen).await?),
            (None, None) => None,
        };
        Ok(Listeners { api, tls, metrics })
    }

    /// The address of the API.
    pub fn address(&self) -> Option<SocketAddr> {
        self.api.address()
    }

    /// Begins to answer that the daemon lives and is not ready, until that is closed.
    pub fn wait(&self, place: &Place) -> Result<Serving, CommandError> {
        let stop = CancellationToken::new();
        let failed = |error| CommandError::new(Exit::Failed, format!("cannot answer while waiting: {error}"));
        let server = |tls| Server::new(piton_server::waiting_router(), limits(&place.config.server)).with_tls(tls);
        let api = self.api.again().map_err(failed)?.map(|api| server(self.tls.clone()).serve(api, stop.clone()));
        Ok(Serving { tasks: api.into_iter().map(tokio::spawn).collect(), stop })
    }

    /// Begins to answer. `local` are the routes for commands, which are the same where the base is.
    pub fn serve(self, place: &Place, app: &App, local: &Router) -> Serving {
        let stop = CancellationToken::new();
        let front = &app.front;
        let limits = limits(&place.config.server);
        let base = place.config.server.base_path.as_str();
        let routes = if base == piton_server::BASE { local.clone() } else { piton_server::router(app, base) };
        let routes = front.outward(routes, &app.auth);
        let api = Server::new(routes, limits.clone()).with_tls(self.tls).counted_by(front.metrics.clone());
        let mut tasks = vec![tokio::spawn(api.serve(self.api, stop.clone()))];
        if let Some(listener) = self.metrics {
            let metrics = Server::new(piton_server::metrics_router(app.clone()), limits);
            tasks.push(tokio::spawn(metrics.serve(listener, stop.clone())));
        }
        let counting = piton_server::follow_ledger(front.metrics.clone(), app.engine.store().clone(), stop.clone());
        tasks.push(tokio::spawn(counting));
        let counting = piton_server::follow_processes(front.metrics.clone(), app.supervisor.clone(), stop.clone());
        tasks.push(tokio::spawn(counting));
        Serving { stop, tasks }
    }
}

impl Listeners {
    /// Shows nothing but how the worker is doing.
    pub fn serve_health(self, place: &Place, app: &App, status: watch::Receiver<Status>) -> Serving {
        let stop = CancellationToken::new();
        let routes = crate::inlet::health::routes(app, status).merge(piton_server::metrics_router(app.clone()));
        let server = Server::new(routes, limits(&place.config.server));
        let metrics = app.front.metrics.clone();
        let counting = piton_server::follow_ledger(metrics, app.engine.store().clone(), stop.clone());
        let tasks = vec![tokio::spawn(server.serve(self.api, stop.clone())), tokio::spawn(counting)];
        Serving { stop, tasks }
    }
}

impl Serving {
    /// Accepts nothing any more, and waits for the requests that are under way.
    pub async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

fn inherit(socket: TcpListener) -> Result<Listener, CommandError> {
    let failed = |error| CommandError::new(Exit::Failed, format!("cannot use a socket that was passed on: {error}"));
    Listener::inherited(socket).map_err(failed)
}

/// What the configuration holds connections to.
fn limits(server: &piton_spec::Server) -> Limits {
    Limits {
        connections: server.max_connections,
        connections_per_address: server.max_connections_per_address,
        drain: server.drain_timeout,
        ..Limits::default()
    }
}

impl From<BindError> for CommandError {
    fn from(error: BindError) -> CommandError {
        let (exit, hint) = match error.source.kind() {
            io::ErrorKind::AddrInUse => (Exit::Running, "stop that process, or choose another address with `--listen`"),
            io::ErrorKind::PermissionDenied => (Exit::BadConfig, "ports below 1024 are for the superuser"),
            io::ErrorKind::AddrNotAvailable => (Exit::BadConfig, "`:8080` listens on every address of this host"),
            _ => return CommandError::new(Exit::Failed, error.to_string()),
        };
        CommandError::new(exit, error.to_string()).hint(hint)
    }
}

impl From<TlsError> for CommandError {
    fn from(error: TlsError) -> CommandError {
        let failed = CommandError::new(Exit::BadConfig, format!("server.tls: {error}"));
        match error.hint() {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}
