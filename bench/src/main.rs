//! Measures Piton beside its goals and its peers, in one run on one machine.
//!
//! Each part is a module with one entry, which returns rows of the table. Nothing is simulated: databases are on disk
//! and commit durably, time is the machine's, tools and peers are the real programs.
//! `docs/reference/performance.md` says how each figure is taken.
#![expect(clippy::disallowed_methods, reason = "measures real programs in real time")]

mod capture;
mod client;
mod daemon;
mod databases;
mod deploy;
mod deployments;
mod latency;
mod machine;
mod noop;
mod peers;
mod process_use;
mod provisions;
mod python;
mod queue;
mod report;
mod requests;
mod scaffold;
mod schedules;
mod spread;
mod subscribers;
mod supervision;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::databases::Databases;
use crate::peers::Peers;
use crate::report::Table;

/// Measures Piton beside its goals and its peers.
#[derive(Debug, Parser)]
#[command(name = "bench/run")]
struct Arguments {
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// So many runs have finished before the queue is measured the second time.
    #[arg(long, default_value_t = 100_000)]
    runs: usize,
    /// So many provisions are delivered before their rate is measured the second time.
    #[arg(long, default_value_t = 200_000)]
    churn: usize,
    /// How many schedules are held.
    #[arg(long, default_value_t = 100_000)]
    schedules: usize,
    /// Rounds of each measurement that is repeated.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many subscribers a log has.
    #[arg(long, default_value_t = 5_000)]
    subscribers: usize,
    /// How many processes are kept running. The goals are for a thousand.
    #[arg(long, default_value_t = 1_000, alias = "children")]
    processes: usize,
    /// Megabytes that a child prints.
    #[arg(long, default_value_t = 1_000)]
    megabytes: u64,
    /// How long requests are made, and lines received.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Leave out the peers.
    #[arg(long)]
    no_peers: bool,
    /// Where the release binaries are.
    #[arg(long, hide = true)]
    binaries: PathBuf,
    /// Where the sources are.
    #[arg(long, hide = true)]
    sources: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// No-op runs per second with durable commits.
    Queue,
    /// From the due time to the executor.
    Latency,
    /// Scheduled provisions delivered to a target.
    Provisions,
    /// Blueprints rendered and pushed, messages taken from the queue.
    Scaffold,
    /// Many schedules held.
    Schedules,
    /// Memory and start of the daemon.
    Daemon,
    /// A deployment of a workspace beside the same commands by hand.
    Deploy,
    /// A deployment from git over HTTP beside the same commands by hand.
    Deployments,
    /// Output of a child into the log.
    Capture,
    /// Reads and creates over HTTP.
    Requests,
    /// Many subscribers to one log.
    Subscribers,
    /// Many processes kept running, beside other supervisors.
    Supervision,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Asked for by whoever makes an HTTPS client. There is no other one yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(measure(&arguments));
    piton_testkit::postgres::stop();
    done
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let parts = if arguments.parts.is_empty() { Part::value_variants().to_vec() } else { arguments.parts.clone() };
    let mut table = Table::default();
    report::say(&machine::facts()?);
    let mut databases = Databases::new()?;
    let queues = parts.iter().any(|part| matches!(part, Part::Queue | Part::Latency | Part::Provisions));
    let peers = if queues && !arguments.no_peers {
        Peers::build(&arguments.sources, &arguments.binaries)
    } else {
        Peers::left_out()
    };
    for part in parts {
        let measured = match part {
            Part::Queue => queue::measure(&mut databases, &peers, arguments.runs, arguments.rounds, &mut table).await,
            Part::Latency => latency::measure(&mut databases, &peers, &mut table).await,
            Part::Provisions => provisions::measure(&mut databases, &peers, arguments.churn, &mut table).await,
            Part::Scaffold => {
                let Arguments { binaries, sources, no_peers, .. } = arguments;
                scaffold::measure(&mut databases, sources, binaries, !no_peers, &mut table).await
            }
            Part::Schedules => schedules::measure(&mut databases, arguments.schedules, &mut table).await,
            Part::Daemon => daemon::measure(&arguments.binaries, &arguments.sources, arguments.rounds, &mut table),
            Part::Deploy => deploy::measure(&arguments.binaries, arguments.rounds.max(10), &mut table),
            Part::Deployments => deployments::measure(&arguments.binaries, arguments.rounds.max(10), &mut table).await,
            Part::Capture => capture::measure(&arguments.binaries, arguments.megabytes, &mut table),
            Part::Requests => requests::measure(&arguments.binaries, arguments.seconds, &mut table).await,
            Part::Subscribers => {
                let (subscribers, seconds) = (arguments.subscribers, arguments.seconds);
                subscribers::measure(&arguments.binaries, subscribers, seconds, &mut table).await
            }
            Part::Supervision => {
                let Arguments { binaries, sources, processes, rounds, no_peers, .. } = arguments;
                supervision::measure(binaries, sources, *processes, *rounds, !no_peers, &mut table).await
            }
        };
        if let Err(error) = measured {
            table.not_measured(&format!("{part:?}").to_lowercase(), &format!("{error:#}"));
        }
    }
    report::say(&format!("load average at the end: {}", machine::load_average()?));
    report::say(&table.to_string());
    Ok(())
}
