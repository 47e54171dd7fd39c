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

fn missing(applied: &[(i64, String)]) -> Result<&'static [Migration], Error> {
    if let Some((found, _)) = applied.last()
        && *found > newest()
    {
        return Err(Error::NewerSchema { found: *found, known: newest() });
    }
    for ((version, stored), known) in applied.iter().zip(MIGRATIONS) {
        if *version != known.version || *stored != checksum(known.text) {
            return Err(Error::OtherMigration { version: *version });
        }
    }
    Ok(MIGRATIONS.get(applied.len()..).unwrap_or_default())
}

fn checksum(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=newest()).collect::<Vec<_>>());
    }

    #[test]
    fn another_path_is_refused() {
        assert_eq!(missing(&[]).map(<[_]>::len), Ok(MIGRATIONS.len()));
        let other = [(1, "other".to_owned())];
        assert_eq!(missing(&other).map(<[_]>::len), Err(Error::OtherMigration { version: 1 }));
    }
}
