//! What others do with the same deliveries on the same server, in words for the table.

use crate::databases::{Databases, Engine as Database};
use crate::peers::{Peer, Peers};
use crate::report::{say, shown};
use crate::spread::Spread;

/// What peers did.
#[derive(Debug, Default)]
pub struct Theirs {
    pub inserted: String,
    pub late: String,
    pub delivered: String,
    pub after: String,
}

impl Theirs {
    /// Measures each of them, tuned: with their defaults they are slower.
    pub async fn measure(
        databases: &mut Databases,
        peers: &Peers,
        target: &str,
        due: usize,
        churn: usize,
        rows: usize,
    ) -> Theirs {
        let mut theirs = Theirs::default();
        for peer in peers.all() {
            let name = peer.name();
            let [inserted, late, delivered, after] =
                one(databases, peer, target, due, churn, rows).await.unwrap_or_else(|error| {
                    let why = format!("{name} not available: {error:#}");
                    [why.clone(), why.clone(), why.clone(), why]
                });
            let columns = [&mut theirs.inserted, &mut theirs.late, &mut theirs.delivered, &mut theirs.after];
            for (all, one) in columns.into_iter().zip([inserted, late, delivered, after]) {
                if !all.is_empty() {
                    all.push_str("; ");
                }
                all.push_str(&one);
            }
        }
        say(&format!("  peers: {theirs:?}"));
        theirs
    }
}

async fn one(
    databases: &mut Databases,
    peer: &Peer,
    target: &str,
    due: usize,
    churn: usize,
    rows: usize,
) -> anyhow::Result<[String; 4]> {
    let name = peer.name();
    let waits = Spread::of(peer.waits(&databases.fresh(Database::Postgres).await?, true, rows)?.due_ms);
    let rates = peer.deliveries(&databases.fresh(Database::Postgres).await?, due, churn, target).await?;
    Ok([
        format!("{name} {}", shown(rates.inserts_per_s)),
        format!("{name} {} / {}", shown(waits.median()), shown(waits.percentile(99.0))),
        format!("{name} {}", shown(rates.jobs_per_s)),
        format!("{name} {}", shown(rates.after_finished_per_s.unwrap_or(f64::NAN))),
    ])
}
