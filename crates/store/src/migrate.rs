//! Brings a database to the newest schema, forward only.

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::db::{Conn, params};

struct Migration {
    version: i64,
    text: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, text: include_str!("../migrations/0001_init.sql") },
    Migration { version: 2, text: include_str!("../migrations/0002_auth.sql") },
    Migration { version: 3, text: include_str!("../migrations/0003_idempotency.sql") },
    Migration { version: 4, text: include_str!("../migrations/0004_turns.sql") },
    Migration { version: 5, text: include_str!("../migrations/0005_processes.sql") },
    Migration { version: 6, text: include_str!("../migrations/0006_provisions.sql") },
    Migration { version: 8, text: include_str!("../migrations/0008_approval_reason.sql") },
    Migration { version: 9, text: include_str!("../migrations/0009_lanes.sql") },
    Migration { version: 10, text: include_str!("../migrations/0010_held_jobs.sql") },
    Migration { version: 11, text: include_str!("../migrations/0011_refused_provisions.sql") },
];

const CREATE: &str = "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL)";
const APPLIED: &str = "SELECT version, checksum FROM migrations ORDER BY version";
const RECORD: &str = "INSERT INTO migrations (version, checksum) VALUES ($1, $2)";

/// The newest schema this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Applies what is missing, all in one transaction; refuses a database that is newer or took another path.
pub(crate) async fn migrate(conn: &mut Conn) -> Result<(), Error> {
    conn.script(conn.dialect().begin()).await?;
    if let Some(lock) = conn.dialect().migration_lock() {
        conn.script(lock).await?;
    }
    conn.script(CREATE).await?;
    let mut applied = Vec::new();
    for row in conn.rows(APPLIED, params![]).await? {
        applied.push((row.int(0)?, row.text(1)?));
    }
    let missing = match missing(&applied) {
        Ok(missing) => missing,
        Err(error) => {
            conn.script("ROLLBACK").await?;
            return Err(error);
        }
    };
    for migration in missing {
        conn.script(conn.dialect().migration(migration.text)).await?;
        conn.run(RECORD, params![migration.version, checksum(migration.text)]).await?;
        tracing::info!(version = migration.version, "migrated the database");
    }
    conn.script("COMMIT").await
}

/// What has not been applied yet. A version below the newest one may be missing: changes that do not touch one another
/// may come in any order.
fn missing(applied: &[(i64, String)]) -> Result<Vec<&'static Migration>, Error> {
    if let Some((found, _)) = applied.last()
        && *found > newest()
    {
        return Err(Error::NewerSchema { found: *found, known: newest() });
    }
    for (version, stored) in applied {
        let known = MIGRATIONS.iter().find(|known| known.version == *version);
        if known.is_none_or(|known| *stored != checksum(known.text)) {
            return Err(Error::OtherMigration { version: *version });
        }
    }
    Ok(MIGRATIONS.iter().filter(|known| applied.iter().all(|(version, _)| *version != known.version)).collect())
}

fn checksum(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert!(versions.is_sorted_by(|a, b| a < b) && versions.first() == Some(&1), "{versions:?}");
    }

    #[test]
    fn what_is_missing_is_applied_wherever_it_stands() {
        let found = |applied: &[(i64, String)]| missing(applied).map(|list| list.len());
        let done: Vec<_> = MIGRATIONS.iter().map(|known| (known.version, checksum(known.text))).collect();
        assert_eq!(found(&[]), Ok(MIGRATIONS.len()));
        assert_eq!(found(&done), Ok(0));
        for left_out in 0..done.len() {
            let mut done = done.clone();
            let (version, _) = done.remove(left_out);
            let versions: Vec<i64> = missing(&done).unwrap().iter().map(|known| known.version).collect();
            assert_eq!(versions, [version]);
        }
    }

    #[test]
    fn another_path_is_refused() {
        let refused = |version: i64, sum: &str| missing(&[(version, sum.to_owned())]).map(|list| list.len());
        assert_eq!(refused(1, "other"), Err(Error::OtherMigration { version: 1 }));
        assert_eq!(refused(0, "other"), Err(Error::OtherMigration { version: 0 }));
        assert_eq!(refused(newest() + 1, "x"), Err(Error::NewerSchema { found: newest() + 1, known: newest() }));
    }
}
