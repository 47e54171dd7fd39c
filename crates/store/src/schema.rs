//! Where the tables are in a PostgreSQL database that other programs use too.
//!
//! Delayed provisioning shares a database with the programs that schedule, and names like `users` may be theirs. So the
//! tables of this crate lie in a schema of their own; only `scheduled_provisions`, which is for everybody, lies in
//! `public`. Who chose a search path decides otherwise, and tables that are elsewhere already stay there.

use crate::Error;
use crate::db::{Address, Conn, params};

/// The schema. Found before `public` by every connection of this program.
const PATH: &str = "piton,public";

/// Whether this program's tables are where the search path leads, and whether somebody chose that path.
const LOOK: &str = "SELECT CAST(CASE WHEN to_regclass('run_keys') IS NOT NULL AND to_regclass('ledger') IS NOT NULL \
     OR current_setting('search_path') <> '\"$user\", public' THEN 1 ELSE 0 END AS BIGINT)";
const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS piton";
const EXISTS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM pg_namespace WHERE nspname = 'piton'";

/// A connection to where the tables are or shall be, and the address of that place.
pub(crate) async fn settle(address: Address, mut conn: Conn) -> Result<(Address, Conn), Error> {
    let Address::Postgres { options } = &address else { return Ok((address, conn)) };
    let found = conn.rows(LOOK, params![]).await?;
    if found.first().map_or(Ok(0), |row| row.int(0))? != 0 {
        return Ok((address, conn));
    }
    if let Err(error) = conn.script(CREATE).await {
        // Another node may have created it at the same moment, or somebody who may do that.
        let there = conn.rows(EXISTS, params![]).await?;
        if there.first().map_or(Ok(0), |row| row.int(0))? == 0 {
            tracing::warn!(%error, "no schema of its own can be created, so Piton's tables are put among the others");
            return Ok((address, conn));
        }
    }
    conn.close().await?;
    let settled = Address::Postgres { options: options.clone().options([("search_path", PATH)]) };
    let conn = settled.connect().await?;
    Ok((settled, conn))
}
