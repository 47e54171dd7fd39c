//! Seeing whether an instance is up, ready and alive.

mod http;
mod thresholds;

use std::time::Duration;

use piton_model::{Probe, ProbeCheck, Probes};
use piton_process::Keeping;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use thresholds::Thresholds;

use crate::command::{Surroundings, ask};

/// The shortest time between two tries; a period of zero would try without a pause.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);
/// For probes without one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// [`Probes::startup`]
    Startup,
    /// [`Probes::readiness`]
    Readiness,
    /// [`Probes::liveness`]
    Liveness,
}

/// What a probe has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// The instance.
    pub instance: String,
    /// Which start of it.
    pub incarnation: u64,
    /// The probe.
    pub kind: ProbeKind,
    /// Whether it succeeds.
    pub up: bool,
    /// Why not.
    pub message: Option<String>,
}

/// What is probed.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The instance.
    pub instance: String,
    /// Which start of it; verdicts carry it, so that late ones can be told.
    pub incarnation: u64,
    /// Around what commands are run.
    pub around: Surroundings,
}

/// Probes one instance until it is dropped.
///
/// A verdict is sent when it changes, the first one included, and for every failure of a liveness probe that has failed.
/// Readiness and liveness begin once startup has succeeded. A startup probe that failed is not tried again.
#[derive(Debug)]
pub struct Prober {
    _ends: DropGuard,
}

impl Prober {
    /// Begins. Has to be called on a runtime.
    pub fn start(keeping: &Keeping, probed: Probed, probes: &Probes, verdicts: mpsc::Sender<ProbeVerdict>) -> Prober {
        let end = CancellationToken::new();
        let task = Task { keeping: keeping.clone(), probed, verdicts, end: end.clone() };
        let probes = probes.clone();
        tokio::spawn(async move { task.run(probes).await });
        Prober { _ends: end.drop_guard() }
    }
}

#[derive(Clone)]
struct Task {
    keeping: Keeping,
    probed: Probed,
    verdicts: mpsc::Sender<ProbeVerdict>,
    end: CancellationToken,
}

impl Task {
    async fn run(&self, probes: Probes) {
        if let Some(startup) = &probes.startup
            && !self.probe(ProbeKind::Startup, startup).await
        {
            return;
        }
        let one = async |kind, probe: Option<&Probe>| match probe {
            Some(probe) => self.probe(kind, probe).await,
            None => true,
        };
        tokio::join!(
            one(ProbeKind::Readiness, probes.readiness.as_ref()),
            one(ProbeKind::Liveness, probes.liveness.as_ref())
        );
    }

    /// Probes until the end, or a startup probe's verdict, which it gives.
    async fn probe(&self, kind: ProbeKind, probe: &Probe) -> bool {
        let mut thresholds = Thresholds::new(probe.success_threshold, probe.failure_threshold);
        let mut ticks = interval_at(Instant::now() + probe.initial_delay, probe.period.max(SHORTEST_PERIOD));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.end.cancelled() => return false,
                _ = ticks.tick() => {}
            }
            let answer = self.attempt(probe).await;
            if self.end.is_cancelled() {
                return false;
            }
            let changed = thresholds.record(answer.is_ok());
            let again = kind == ProbeKind::Liveness && answer.is_err() && thresholds.verdict() == Some(false);
            if changed.is_some() || again {
                let verdict = ProbeVerdict {
                    instance: self.probed.instance.clone(),
                    incarnation: self.probed.incarnation,
                    kind,
                    up: answer.is_ok(),
                    message: answer.err(),
                };
                tokio::select! {
                    biased;
                    () = self.end.cancelled() => return false,
                    sent = self.verdicts.send(verdict) => if sent.is_err() { return false },
                }
            }
            if let (ProbeKind::Startup, Some(up)) = (kind, changed) {
                return up;
            }
        }
    }

    async fn attempt(&self, probe: &Probe) -> Result<(), String> {
        let limit = if probe.timeout.is_zero() { DEFAULT_TIMEOUT } else { probe.timeout };
        let remote = async |answer| {
            tokio::select! {
                biased;
                () = self.end.cancelled() => Err("ended".to_owned()),
                answer = timeout(limit, answer) =>
                    answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}"))),
            }
        };
        match &probe.check {
            // Not dropped in the middle: the command has to be ended as well.
            ProbeCheck::Exec { program } => ask(&self.keeping, &self.probed.around, program, limit, &self.end).await,
            ProbeCheck::Http { url } => remote(Box::pin(http::get(url)) as Answer<'_>).await,
            ProbeCheck::Tcp { address } => remote(Box::pin(connect(address)) as Answer<'_>).await,
        }
    }
}

type Answer<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

async fn connect(address: &str) -> Result<(), String> {
    TcpStream::connect(address).await.map(drop).map_err(|error| format!("cannot connect: {error}"))
}
