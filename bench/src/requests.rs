//! Requests per second and their latencies: reads and creates, beside a bare server that gives the same answers.

use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use piton_testkit::hosting::Hosting;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Ask, Client};
use crate::daemon::{Daemon, Place, program};
use crate::report::{Figure, Goal, Table, say, shown};
use crate::spread::Spread;

/// Connections that ask at once.
const CONNECTIONS: usize = 32;
/// Deployments that are there before reads are measured.
const EXISTING: usize = 200;

pub async fn measure(binaries: &Path, seconds: u64, table: &mut Table) -> anyhow::Result<()> {
    say(&format!("requests: {CONNECTIONS} connections, {seconds} s each"));
    let program = program(binaries)?;
    let place = Place::new()?;
    // Nothing is limited here; and one deployment at a time, which waits for a server that never answers, so that what
    // is created is kept and the machine has nothing else to do.
    let settings = "[server]\nrate_limit = 0\n[iac]\nmax_concurrent_deployments = 1\n\
                    max_queued_deployments = 1000000\nmax_queued_deployments_each = 1000000\n";
    std::fs::write(place.dir.path().join("piton.toml"), settings)?;
    let hosting = Hosting::start(place.dir.path())?;
    let daemon = Daemon::start(&program, &place)?;
    let address = place.address(&program)?;

    let new = json!({ "tool": "tofu", "git_url": hosting.url("stuck/code.git"), "git_ref": "main" });
    let create = Ask::post("/deploy", &new);
    let mut client = Client::connect(&address).await?;
    let mut last = String::new();
    for _ in 0..EXISTING {
        let started = client.json(&create).await?;
        started["deployment_id"].as_str().context("no id")?.clone_into(&mut last);
    }
    let reads = [
        ("GET /health", Ask::get("/health")),
        ("GET /deploy/{id}/status", Ask::get(format!("/deploy/{last}/status"))),
        ("GET /api/runs, 50 of them", Ask::get("/api/runs?limit=50")),
    ];
    let duration = Duration::from_secs(seconds);
    for (name, ask) in reads.iter().map(|(name, ask)| (*name, ask)).chain([("POST /deploy", &create)]) {
        let answer = client.ask(ask).await?;
        let peer = Peer::start(answer)?;
        let (ours, bare) = (load(&address, ask, duration).await?, load(&peer.address, ask, duration).await?);
        let ratio =
            format!("bare hyper {} /s; {} of it", shown(bare.per_second), shown(ours.per_second / bare.per_second));
        let per_second = Figure { value: ours.per_second, unit: "/s" };
        table.add(name, per_second, "", Goal::None, &ratio);
        let p99 = Figure { value: ours.spread.percentile(99.0), unit: "ms" };
        let note = format!(" (median {}, max {})", shown(ours.spread.median()), shown(ours.spread.max()));
        let peer = format!("bare hyper {} ms", shown(bare.spread.percentile(99.0)));
        table.add(&format!("{name}: p99"), p99, &note, Goal::None, &peer);
    }
    daemon.end()
}

struct Loaded {
    per_second: f64,
    /// Milliseconds.
    spread: Spread,
}

/// Asks on all connections until the time is over; each asks again as soon as it has its answer.
async fn load(address: &str, ask: &Ask, duration: Duration) -> anyhow::Result<Loaded> {
    let mut asking = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let (address, ask) = (address.to_owned(), ask.clone());
        asking.spawn(async move {
            let mut client = Client::connect(&address).await?;
            let mut took = vec![];
            while begun.elapsed() < duration {
                let asked = Instant::now();
                client.ask(&ask).await?;
                took.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(took)
        });
    }
    let mut all = vec![];
    while let Some(took) = asking.join_next().await {
        all.extend(took??);
    }
    let per_second = all.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Loaded { per_second, spread: Spread::of(all) })
}

/// A server that does nothing but answer with the same bytes: what the machine and the client allow at most.
struct Peer {
    address: String,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Peer {
    fn start(answer: Bytes) -> anyhow::Result<Peer> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let answer = answer.clone();
                        async move {
                            // A body that is not read would end the connection.
                            drop(request.into_body().collect().await);
                            let mut response = Response::new(Full::new(answer));
                            let json = hyper::header::HeaderValue::from_static("application/json");
                            response.headers_mut().insert(CONTENT_TYPE, json);
                            Ok::<_, Infallible>(response)
                        }
                    });
                    // The connection ends when the client leaves.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
            #[expect(unreachable_code, reason = "names the type of the errors")]
            std::io::Result::Ok(())
        });
        Ok(Peer { address, runtime: Some(runtime) })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It is dropped in a task, where nobody may wait for a runtime to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
