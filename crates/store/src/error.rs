//! What can go wrong, by what the caller can do about it.

use std::borrow::Cow;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address of the database cannot be understood.
    #[error("`{url}` is not the address of a database: {problem}")]
    Address {
        /// The address, without its password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The database was written by a newer version of Piton.
    #[error("the database has schema {found}, and this version of Piton knows up to {known}")]
    NewerSchema {
        /// The schema of the database.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// The database was migrated by a program whose migration of the same number was another.
    #[error("migration {version} of the database is not the one this version of Piton knows")]
    OtherMigration {
        /// Which migration.
        version: i64,
    },
    /// The database file is damaged, or is no database.
    #[error("the database {path} is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A stored value cannot be read back.
    #[error("{what} cannot be read: {detail}")]
    Unreadable {
        /// Which value.
        what: String,
        /// Why.
        detail: String,
    },
    /// A row of the scheduled provisions holds what none may hold: another program has written it.
    #[error("`{column}` of the scheduled provision {id} cannot be read: {detail}")]
    UnreadableProvision {
        /// Which row.
        id: String,
        /// Where in it.
        column: String,
        /// Why.
        detail: String,
    },
    /// The database cannot be reached or is locked by somebody else. Nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Somebody keeps a table locked that is needed for this. Nothing was written.
    #[error("a table of the database is locked by another program: {0}")]
    Locked(String),
    /// The disk of the database has no room left. Nothing was written.
    #[error("the disk of the database is full, so nothing was recorded: {0}")]
    Full(String),
    /// The connection was lost while the write was being committed: it may or may not have happened.
    #[error("the connection was lost during a commit, whose outcome is not known: {0}")]
    Unknown(String),
    /// The database refused a statement. Nothing was written.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// The request itself is not allowed. Nothing was written.
    #[error("{0}")]
    Misuse(&'static str),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// What a person may try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Address { .. } => Some("use `sqlite:PATH` or `postgres://USER@HOST/DATABASE`"),
            Error::NewerSchema { .. } => Some("start the newer version of Piton, or restore a backup from before it"),
            Error::OtherMigration { .. } => Some("was the database written by an unreleased version of Piton?"),
            Error::Corrupt { .. } => {
                Some("restore a backup, or save what is left with `sqlite3 FILE .recover`; Piton changes nothing")
            }
            Error::Unreadable { .. } => Some("`piton doctor` lists what cannot be read"),
            Error::UnreadableProvision { .. } => {
                Some("mend that column of the row, or delete the row; `piton doctor` lists all such rows")
            }
            Error::Unavailable(_) => Some("check that the database runs and can be reached"),
            Error::Locked(_) => Some("try again in a moment; `pg_locks` tells who keeps it locked"),
            Error::Full(_) => Some("free some space on the disk of the database; piton goes on by itself then"),
            Error::Unknown(_) => Some("look whether it happened before trying again"),
            Error::Refused(_) | Error::Misuse(_) | Error::Closed => None,
        }
    }

    /// Whether trying the same again later may work.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Locked(_) | Error::Full(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or(Cow::Borrowed(""));
                match code_class(&code) {
                    CodeClass::Unavailable => Error::Unavailable(text),
                    CodeClass::Locked => Error::Locked(text),
                    CodeClass::Full => Error::Full(text),
                    CodeClass::Corrupt => Error::Corrupt { path: String::new(), detail: text },
                    CodeClass::Refused => Error::Refused(text),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed => Error::Unavailable(text),
            sqlx::Error::PoolClosed => Error::Closed,
            _ => Error::Refused(text),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum CodeClass {
    Unavailable,
    Locked,
    Full,
    Corrupt,
    Refused,
}

/// SQLite reports its extended result code as a number, PostgreSQL an SQLSTATE of five characters.
fn code_class(code: &str) -> CodeClass {
    if code.len() == 5 {
        // No lock within `lock_timeout`: the connection is as good as before.
        match code {
            "53100" => return CodeClass::Full,
            "55P03" => return CodeClass::Locked,
            _ => {}
        }
        let lost = code.starts_with("08") || code.starts_with("57P") || code.starts_with("53");
        // Serialisation failure, deadlock, statement timeout, idle transaction ended, a server that only reads.
        let again = matches!(code, "40001" | "40P01" | "57014" | "25P03" | "25006");
        return if lost || again { CodeClass::Unavailable } else { CodeClass::Refused };
    }
    match code.parse::<u32>().map(|extended| extended & 0xff) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CANTOPEN, PROTOCOL
        Ok(5 | 6 | 7 | 8 | 9 | 10 | 14 | 15) => CodeClass::Unavailable,
        // A write that found no room is given up before anything of it counts, at a commit too.
        Ok(13) => CodeClass::Full,
        Ok(11 | 26) => CodeClass::Corrupt,
        _ => CodeClass::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_engines_are_told_apart() {
        let classes = [
            (CodeClass::Unavailable, ["08006", "57P01", "40P01", "53300", "5", "517", "778"].as_slice()),
            (CodeClass::Locked, &["55P03"]),
            (CodeClass::Full, &["53100", "13"]),
            (CodeClass::Corrupt, &["11", "26", "267"]),
            (CodeClass::Refused, &["23505", "22021", "1", "2067", ""]),
        ];
        for (class, codes) in classes {
            for code in codes {
                assert_eq!(code_class(code), class, "{code}");
            }
        }
    }
}
