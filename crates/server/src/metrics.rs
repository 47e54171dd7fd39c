//! What is counted and measured, for Prometheus.
//!
//! Three kinds: what happens to requests is counted as it happens; what happens to runs and schedules is counted by
//! following the ledger from the start of the process ([`ledger`]); and what is so at this moment is asked when somebody
//! looks ([`moment`]): of the database in one question, and what it does not answer in time is absent. Other parts put
//! series of their own into the same registry.

mod deployments;
mod jobs;
mod ledger;
mod moment;
mod process;
mod processes;
mod provisions;
mod scaffolds;
mod sometimes;

use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use piton_store::{Census, Scope, hurried};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};
use crate::state::App;

pub use ledger::follow;
pub use processes::follow as follow_processes;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted and measured. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    connections: Gauge,
    streams: Gauge,
    ledger: ledger::Counters,
    moment: moment::Gauges,
    deployments: deployments::Deployments,
    processes: processes::Processes,
    jobs: jobs::Jobs,
    provisions: provisions::Provisions,
    scaffolds: scaffolds::Scaffolds,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::<RouteLabels, Histogram>::new_with_constructor(|| Histogram::new(FAST));
        let (connections, streams) = (Gauge::<i64, AtomicI64>::default(), Gauge::<i64, AtomicI64>::default());
        let piton = registry.sub_registry_with_prefix("piton");
        piton.register("http_requests", "Requests that were answered", requests.clone());
        let help = "Time until the head of the answer";
        piton.register_with_unit("http_request_duration", help, Unit::Seconds, durations.clone());
        piton.register("http_connections", "Connections that are open", connections.clone());
        piton.register("http_streams", "Streams of logs and events that are read", streams.clone());
        let ledger = ledger::Counters::register(piton);
        let moment = moment::Gauges::register(piton);
        let deployments = deployments::Deployments::register(&mut registry);
        let provisions = provisions::Provisions::register(&mut registry);
        let scaffolds = scaffolds::Scaffolds::register(&mut registry);
        let provisr = registry.sub_registry_with_prefix("provisr");
        let (processes, jobs) = (processes::Processes::register(provisr), jobs::Jobs::register(provisr));
        registry.register_collector(Box::new(process::Process));
        let registry = Mutex::new(registry);
        Metrics(Arc::new(Shared {
            registry,
            requests,
            durations,
            connections,
            streams,
            ledger,
            moment,
            deployments,
            processes,
            jobs,
            provisions,
            scaffolds,
        }))
    }

    /// Puts further series into the registry, under the names they have.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many messages of the queue wait to be taken.
    pub fn queue_depth(&self, ready: u64) {
        self.0.scaffolds.depth(ready);
    }

    /// A message of the queue became no run, and never will.
    pub fn job_refused(&self) {
        self.0.scaffolds.refused();
    }

    /// A request was answered.
    pub(crate) fn http(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method, route: route.to_owned(), status };
        self.0.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { method, route: labels.route };
        self.0.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// So many more streams are read.
    pub(crate) fn streams(&self, more: i64) {
        self.0.streams.inc_by(more);
    }

    /// So many more connections are open.
    pub(crate) fn connections(&self, more: i64) {
        self.0.connections.inc_by(more);
    }

    fn processes(&self) -> &processes::Processes {
        &self.0.processes
    }

    /// Asks the database for all that is so now, of which the most is told at once. None where it does not answer.
    async fn look(&self, app: &App) -> Option<Census> {
        let Shared { deployments, jobs, provisions, .. } = &*self.0;
        let scope = provisions.scope(app.engine.clock().now());
        let (begun, store) = (Instant::now(), app.engine.store());
        let census = async {
            match store.census(scope).await {
                // Somebody keeps the table of their rows locked, which says nothing about anything else.
                Err(piton_store::Error::Locked(_)) if scope == Scope::Provisions => {
                    provisions.forget();
                    store.census(Scope::Runs).await
                }
                census => census,
            }
        };
        match hurried(PATIENCE, census).await {
            Ok(census) => {
                deployments.look(&census.begun);
                // One more question, perhaps, for which there is the rest of the time.
                hurried(PATIENCE.saturating_sub(begun.elapsed()), jobs.look(app, &census)).await;
                provisions.look(census.provisions.as_ref());
                Some(census)
            }
            Err(error) => {
                tracing::debug!(%error, "the database cannot be measured at the moment");
                deployments.forget();
                jobs.forget();
                provisions.forget();
                None
            }
        }
    }

    fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// How long the database may be away for one answer, whatever it is asked: who looks has little patience, and much
/// else to learn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Buckets for what takes less than a second, as a rule.
const FAST: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// `public` lets everybody read them.
pub(crate) fn routes(public: bool) -> Table {
    Table::new().at(if public { Permission::Public } else { Permission::Read }, routes!(show))
}

/// Metrics in the text format of Prometheus, or in that of OpenMetrics for those who accept it.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, content((String = "text/plain"), (String = "application/openmetrics-text")))))]
pub(crate) async fn show(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let metrics = &app.front.metrics;
    let seen = metrics.look(&app).await;
    metrics.0.moment.look(&app, seen.as_ref()).await;
    // Where nothing can be asked, nothing is told.
    metrics.0.processes.look(&app.supervisor.status(&piton_supervisor::Selector::All).unwrap_or_default());
    let text = metrics.encode().map_err(|error| Refusal::internal(&error))?;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, text) = if accepted.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        (OPEN_METRICS, text)
    } else {
        (PLAIN, plain(&text))
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The older format: there, the name of a counter is the name of its samples, and units and the end are not told. Pure.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // Writing to a String cannot fail.
    let mut help = None;
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // What it is follows in the next line.
            (Some("#"), Some("HELP"), Some(name), words) => help = Some((name, words.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let end = if kind == "counter" { "_total" } else { "" };
                if let Some((_, words)) = help.take().filter(|(about, _)| *about == name) {
                    let _ = writeln!(text, "# HELP {name}{end} {words}");
                }
                let kind = if kind == "unknown" { "untyped" } else { kind };
                let _ = writeln!(text, "# TYPE {name}{end} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn the_older_format_calls_counters_by_the_names_of_their_samples() {
        let open = "# HELP runs Runs that ended.\n# TYPE runs counter\nruns_total{kind=\"job\"} 3\n\
                    # HELP took_seconds How long.\n# TYPE took_seconds gauge\n# UNIT took_seconds seconds\n\
                    took_seconds 0.5\n# EOF\n";
        let wanted = "# HELP runs_total Runs that ended.\n# TYPE runs_total counter\nruns_total{kind=\"job\"} 3\n\
                      # HELP took_seconds How long.\n# TYPE took_seconds gauge\ntook_seconds 0.5\n";
        assert_eq!(plain(open), wanted);
    }
}
