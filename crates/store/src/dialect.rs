//! The few words in which the two engines differ.
//!
//! Everything else in this crate is one text for both. A new difference needs a reason and a line here.

/// Which database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite, in the process.
    Sqlite,
    /// PostgreSQL, over the network.
    Postgres,
}

/// The channel on which nodes tell each other that the ledger has grown.
pub(crate) const CHANNEL: &str = "piton";
/// The channel on which everybody is told that scheduled provisions were changed.
pub(crate) const PROVISIONS: &str = "piton_provisions";

impl Dialect {
    /// The engine's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        }
    }

    /// SQLite must take its write lock at the start: a read transaction that becomes a writer later fails with
    /// `SQLITE_BUSY_SNAPSHOT`, which no timeout retries.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        }
    }

    /// Begins a transaction that sees one moment of the whole database and writes nothing.
    pub(crate) fn begin_snapshot(self) -> &'static str {
        match self {
            Dialect::Sqlite => "BEGIN DEFERRED",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Keeps two nodes from migrating at once, before there is a table to lock.
    pub(crate) fn migration_lock(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some("SELECT CAST(pg_advisory_xact_lock(8101241314) AS TEXT)"),
        }
    }

    /// What follows the write of the head: PostgreSQL tells the other nodes in the same round trip.
    pub(crate) fn announce(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " RETURNING CAST(pg_notify('piton', CAST(head AS TEXT)) AS TEXT)",
        }
    }

    /// Tells the other nodes that scheduled provisions were changed.
    pub(crate) fn announce_provisions(self) -> Option<String> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(format!("SELECT CAST(pg_notify('{PROVISIONS}', '') AS TEXT)")),
        }
    }

    /// Turns the text of a migration into this engine's.
    pub(crate) fn migration(self, text: &str) -> String {
        // Ids and subjects are compared byte by byte on both engines, whatever locale the database has.
        let (text_type, bigint_key, own, other) = match self {
            Dialect::Sqlite => ("TEXT", "INTEGER PRIMARY KEY", "--sqlite ", "--postgres "),
            Dialect::Postgres => ("TEXT COLLATE \"C\"", "BIGINT PRIMARY KEY", "--postgres ", "--sqlite "),
        };
        let mut out = String::with_capacity(text.len());
        for line in text.lines().filter(|line| !line.starts_with(other)) {
            out.push_str(line.strip_prefix(own).unwrap_or(line));
            out.push('\n');
        }
        out.replace("{{text}}", text_type).replace("{{bigint_key}}", bigint_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_keeps_only_its_engines_lines() {
        let text = "CREATE TABLE t (a {{text}})\n--postgres WITH (fillfactor = 50)\n--sqlite STRICT\n;";
        assert_eq!(Dialect::Sqlite.migration(text), "CREATE TABLE t (a TEXT)\nSTRICT\n;\n");
        assert_eq!(
            Dialect::Postgres.migration(text),
            "CREATE TABLE t (a TEXT COLLATE \"C\")\nWITH (fillfactor = 50)\n;\n"
        );
    }

    #[test]
    fn the_channel_is_the_one_that_is_notified() {
        assert!(Dialect::Postgres.announce().contains(&format!("'{CHANNEL}'")));
    }
}
