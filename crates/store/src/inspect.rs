//! Looking at the whole database, for `piton doctor` and for tests.

use piton_model::audit::{Violation, audit};
use piton_model::{LedgerEntry, Run};
use piton_vault::Vault;

use crate::batch;
use crate::db::{Conn, params};
use crate::dialect::Dialect;
use crate::events::{self, entry};
use crate::row;
use crate::statement::Rows;
use crate::{
    Error, Store, accounts, census, claim, followers, holds, process_history, projections, provisions, query, remote,
    removal, requests, retention, schedules, secrets, tokens, turns, wishes,
};

pub(crate) const ALL_RUNS: &str = "SELECT body, due_at FROM runs UNION ALL SELECT body, NULL FROM run_history";
pub(crate) const SQLITE_CHECK: &str = "PRAGMA quick_check";

const PAGE: i64 = 10_000;

impl Store {
    /// Checks the whole ledger, as it is at one moment, against every invariant.
    pub async fn audit(&self) -> Result<Vec<Violation>, Error> {
        let mut conn = self.address().connect().await?;
        let loaded = snapshot(&mut conn, self.vault()).await;
        conn.close().await?;
        let (entries, runs) = loaded?;
        Ok(audit(&entries, &runs))
    }

    /// What is wrong with the database as such: damage that the engine finds, values that cannot be read.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        let mut problems = Vec::new();
        if self.dialect() == Dialect::Sqlite {
            for row in self.readers().rows(SQLITE_CHECK, params![]).await? {
                let text = row.text(0)?;
                if text != "ok" {
                    problems.push(text);
                }
            }
        }
        for row in self.readers().rows(ALL_RUNS, params![]).await? {
            match row::run(self.vault(), &row.text(0)?, row.maybe_int(1)?) {
                Ok(Run { id, sealed: Some(sealed), .. }) => {
                    problems.push(format!(
                        "the secrets of run {id} are sealed with the key {}, which is not known",
                        sealed.key
                    ));
                }
                Ok(_) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok(problems)
    }
}

async fn snapshot(conn: &mut Conn, vault: &Vault) -> Result<(Vec<LedgerEntry>, Vec<Run>), Error> {
    conn.script(conn.dialect().begin_snapshot()).await?;
    let mut entries: Vec<LedgerEntry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.seq);
        let rows = conn.rows(events::AFTER, params![after, PAGE]).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            entries.push(entry(row)?);
        }
    }
    let mut runs = Vec::new();
    for row in conn.rows(ALL_RUNS, params![]).await? {
        runs.push(row::run(vault, &row.text(0)?, row.maybe_int(1)?)?);
    }
    conn.script("ROLLBACK").await?;
    Ok((entries, runs))
}

/// Prepares every statement of this crate that both engines share, and tells which of them an engine refuses.
#[doc(hidden)]
pub async fn refused_statements(store: &Store) -> Result<Vec<String>, Error> {
    let mut refused = Vec::new();
    let mut conn = store.address().connect().await?;
    for sql in statements(store.dialect()) {
        if let Err(error) = conn.prepare(sql.clone()).await {
            refused.push(format!("{sql}: {error}"));
        }
    }
    conn.close().await?;
    Ok(refused)
}

/// How the engine would run the statements whose speed must not depend on what has piled up, on the connection that
/// runs them: each with its text.
#[doc(hidden)]
pub async fn hot_plans(store: &Store) -> Result<Vec<(&'static str, String)>, Error> {
    let mut conn = store.address().connect().await?;
    let (explain, column) = match store.dialect() {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
        Dialect::Postgres => ("EXPLAIN", 0),
    };
    let provisions = provisions::statements(store.dialect());
    let hot = [
        (provisions.due.as_str(), params![0, 10]),
        (provisions.due_after.as_str(), params![0, 10, 0, "00000000-0000-4000-8000-000000000000"]),
        (provisions.again.as_str(), params![0, 10]),
        (provisions.next.as_str(), params![]),
        (provisions.behind.as_str(), params![]),
        (provisions.refused.as_str(), params![]),
        (claim::PRIORITIES, params![]),
        (claim::CLAIMABLE, params![0, 0, 10]),
        (claim::FIRST_CLAIMABLE, params![0, 10]),
        (claim::CLAIMABLE_SCAFFOLDS, params![0, 10]),
        (claim::NEXT_DUE, params![]),
        (claim::NEXT_SCAFFOLD, params![]),
        (claim::NEXT_CLAIM, params![]),
        (claim::OVERDUE, params![0, 10]),
        (turns::CLAIMABLE_TURNS, params![0, 10]),
        (turns::NEXT_TURN, params![]),
        (turns::FIRST_WAITING, params![]),
        (turns::LAST_BEGUN, params![]),
        (turns::LAST_OF_CALLER, params!["user/x"]),
        (claim::RENEW, params![0, "worker"]),
        (query::LIVE_OF, params!["job/x"]),
        (remote::LATEST, params!["scaffold/x"]),
        (events::AFTER, params![0, 10]),
        (events::OF_TOPIC, params!["audit", 10, 10]),
        (accounts::USER_NAMED, params!["anna"]),
        (tokens::OWNER, params!["x", "y", "z"]),
        (events::SKIPS, params![100, 0, 10]),
        (events::SKIPS_OF, params![100, 0, 10, "job/x"]),
    ];
    let mut plans = Vec::new();
    for (sql, params) in hot {
        let mut plan = String::new();
        for row in conn.rows(format!("{explain} {sql}"), params).await? {
            plan.push_str(&row.text(column)?);
            plan.push('\n');
        }
        plans.push((sql, plan));
    }
    conn.close().await?;
    Ok(plans)
}

fn statements(dialect: Dialect) -> Vec<String> {
    let plain = [
        accounts::USER,
        accounts::USER_NAMED,
        accounts::USERS,
        accounts::COUNT_USERS,
        accounts::OTHER_ADMINS,
        accounts::WRITE_USER,
        accounts::DELETE_USER,
        accounts::CLIENT,
        accounts::CLIENTS,
        accounts::COUNT_CLIENTS,
        accounts::WRITE_CLIENT,
        accounts::DELETE_CLIENT,
        events::SKIPS,
        events::SKIPS_OF,
        batch::LOCK_HEAD,
        claim::PRIORITIES,
        claim::CLAIMABLE,
        claim::FIRST_CLAIMABLE,
        claim::CLAIMABLE_SCAFFOLDS,
        claim::NEXT_DUE,
        claim::NEXT_SCAFFOLD,
        claim::NEXT_CLAIM,
        turns::LAST_OF_CALLER,
        turns::FIRST_WAITING,
        turns::LAST_BEGUN,
        turns::WAITING,
        turns::AHEAD,
        turns::NEXT_TURN,
        turns::CLAIMABLE_TURNS,
        claim::RENEW,
        claim::HELD_BY,
        claim::OVERDUE,
        events::HEAD,
        events::AFTER,
        events::OF_RUN,
        events::OF_TOPIC,
        followers::POSITION,
        followers::MOVE_POSITION,
        holds::HOLD,
        holds::RELEASE,
        holds::FORGET,
        holds::ONE,
        holds::ALL,
        process_history::LAST,
        process_history::CUT,
        process_history::FORGET,
        process_history::LATEST,
        process_history::LATEST_OF,
        projections::ONE,
        projections::OF_KIND,
        query::ONE,
        query::LIVE,
        query::LIVE_OF,
        query::OF_KEY,
        requests::FIND,
        requests::BEGIN,
        requests::TAKE_OVER,
        requests::ANSWER,
        requests::ABANDON,
        requests::FORGET,
        retention::CANDIDATES,
        retention::DELETE_ENTRIES,
        retention::FIRST_ENTRY,
        retention::ENTRY_TIME,
        retention::SLOWEST_FOLLOWER,
        secrets::REWRITE_HISTORY,
        secrets::REWRITE_LIVE,
        secrets::SEALED_HISTORY,
        secrets::SEALED_LIVE,
        query::LIVE_OF_KIND,
        query::LATEST_OF_KIND,
        remote::LATEST,
        removal::WITH_TTL,
        removal::ENDED_OF,
        schedules::CURSOR,
        schedules::CURSORS,
        schedules::MOVE_CURSOR,
        schedules::SUSPEND,
        schedules::RESUME,
        schedules::SUSPENDED,
        tokens::KEYS,
        tokens::WRITE_KEY,
        tokens::DELETE_KEYS,
        tokens::REVOKE,
        tokens::FORGET_REVOKED,
        tokens::OWNER,
        wishes::ALL,
        wishes::WRITE,
        wishes::FORGET,
        ALL_RUNS,
    ];
    let rows = [
        batch::WRITE_RUNS,
        batch::MOVE_RUNS,
        batch::WRITE_HISTORY,
        batch::WRITE_KEYS,
        batch::WRITE_PROJECTIONS,
        batch::WRITE_EVENTS,
        process_history::WRITE,
        projections::IMPORT,
    ];
    let lists = [
        batch::LOAD_LIVE,
        batch::LOAD_ENDED,
        batch::LOAD_PROJECTIONS,
        batch::LOAD_KEYS,
        batch::DELETE_RUNS,
        retention::DELETE_HISTORY,
        retention::DELETE_KEYS,
        removal::WITH_TTL_AMONG,
    ];
    let mut texts: Vec<String> = plain.into_iter().map(str::to_owned).collect();
    texts.push(batch::write_head(1, dialect));
    for size in crate::statement::SIZES {
        texts.extend(rows.iter().map(|rows| rows.sql(dialect, size).to_owned()));
        texts.extend(lists.iter().map(|list| list.sql(dialect, size).to_owned()));
    }
    if dialect == Dialect::Postgres {
        // Every choice of two or more of them.
        for choice in 0_u32..1 << batch::TOGETHER.len() {
            let chosen = (0..).zip(batch::TOGETHER).filter(|(bit, _)| choice >> bit & 1 == 1);
            let chosen: Vec<&Rows> = chosen.map(|(_, rows)| rows).collect();
            if chosen.len() > 1 {
                texts.push(Rows::together(&chosen).to_owned());
            }
        }
    }
    texts.extend(census::statements());
    texts.extend(query::statements());
    texts.extend(provisions::texts(dialect));
    texts
}
