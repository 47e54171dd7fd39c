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

/// How long, in milliseconds, a statement waits for a table that another program keeps locked. `scheduled_provisions`
/// is everybody's, so any of them may; it should hold up those who need that table, and for no longer than they mind.
pub(crate) const TABLE_WAIT: &str = "1000";

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

    /// What follows the lock of the head, in the same round trip. For its turn a transaction waits long, because
    /// whoever has the turn is another node and gives it up soon. While it has the turn itself all others wait for
    /// it, so it must not wait long for anybody. A file is locked as a whole, and then there is nothing else to wait
    /// for.
    pub(crate) fn wait_little(self) -> String {
        match self {
            Dialect::Sqlite => String::new(),
            Dialect::Postgres => format!("; SET LOCAL lock_timeout = {TABLE_WAIT}"),
        }
    }

    /// What precedes the end of such a transaction: to commit a notification is to wait for a turn as well.
    pub(crate) fn wait_long(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => "SET LOCAL lock_timeout TO DEFAULT; ",
        }
    }

    /// Asks, outside of any transaction, whether somebody keeps the table of scheduled provisions locked: two
    /// statements are one transaction, which ends with them.
    pub(crate) fn try_provisions(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => {
                Some("SET LOCAL lock_timeout = 50; LOCK TABLE scheduled_provisions IN ROW EXCLUSIVE MODE")
            }
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
