//! The one seam to the database drivers: connections, parameters and rows of both engines.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Database, Encode, Row as _, Type};

use crate::dialect::{Dialect, TABLE_WAIT};
use crate::statement::{Column, In, Rows, SIZES, cuts, padded};
use crate::writer::within;
use crate::{Error, Options, peers, sqlite_file};

/// How many statements a connection keeps prepared: all the writer has, in each of their sizes.
const STATEMENTS: usize = 512;

/// How many rows a statement on SQLite may be ahead of its reader: those of a claim.
const ROWS: usize = 256;

/// How many rows one statement writes on PostgreSQL.
const MOST_ROWS: usize = 5_000;

/// How long a server may take to let somebody in at the start.
const LET_IN: Duration = Duration::from_secs(5);

/// The text of a statement.
pub(crate) type Sql = Cow<'static, str>;

/// A parameter of a statement. Two types (and their nulls) are all the schema needs.
#[derive(Debug, Clone)]
pub(crate) enum Param<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Param::Int(Some(value))
    }
}

impl From<Option<i64>> for Param<'_> {
    fn from(value: Option<i64>) -> Self {
        Param::Int(value)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Param::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Param<'_> {
    fn from(value: String) -> Self {
        Param::Text(Some(Cow::Owned(value)))
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Param::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Param<'_> {
    fn from(value: Option<String>) -> Self {
        Param::Text(value.map(Cow::Owned))
    }
}

/// The parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Param::from($value)),*] };
}
pub(crate) use params;

/// A text that both engines take. PostgreSQL has no NUL in texts, and a statement with one would be refused however often it
/// is tried. What stands in its place is nobody's name, where nothing would make one name of two.
fn storable(text: Cow<'_, str>) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.into_owned() }
}

fn arguments<'a, DB>(params: Vec<Param<'a>>) -> Result<DB::Arguments, Error>
where
    DB: Database,
    Option<i64>: Encode<'a, DB> + Type<DB>,
    Option<String>: Encode<'a, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    arguments.reserve(params.len(), 0);
    for param in params {
        let added = match param {
            Param::Int(value) => arguments.add(value),
            Param::Text(value) => arguments.add(value.map(storable)),
        };
        added.map_err(|error| Error::Refused(error.to_string()))?;
    }
    Ok(arguments)
}

/// Adds each column of `count` rows as one array.
fn add_arrays<'a>(
    arguments: &mut PgArguments,
    columns: &[Column],
    params: impl Iterator<Item = Param<'a>>,
    count: usize,
) -> Result<(), Error> {
    enum Values {
        Ints(Vec<Option<i64>>),
        Texts(Vec<Option<String>>),
    }
    let empty = |column: &Column| match column {
        Column::Int => Values::Ints(Vec::with_capacity(count)),
        Column::Text => Values::Texts(Vec::with_capacity(count)),
    };
    let mut arrays: Vec<Values> = columns.iter().map(empty).collect();
    for (index, param) in params.enumerate() {
        match (&mut arrays[index % columns.len()], param) {
            (Values::Ints(values), Param::Int(value)) => values.push(value),
            (Values::Texts(values), Param::Text(value)) => values.push(value.map(storable)),
            (Values::Ints(_), Param::Text(_)) | (Values::Texts(_), Param::Int(_)) => {
                return Err(Error::Refused("a value is not of the type of its column".to_owned()));
            }
        }
    }
    for array in arrays {
        let added = match array {
            Values::Ints(values) => arguments.add(values),
            Values::Texts(values) => arguments.add(values),
        };
        added.map_err(|error| Error::Refused(error.to_string()))?;
    }
    Ok(())
}

/// A row of a result.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn int(&self, index: usize) -> Result<i64, Error> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }

    pub(crate) fn maybe_int(&self, index: usize) -> Result<Option<i64>, Error> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }

    pub(crate) fn maybe_text(&self, index: usize) -> Result<Option<String>, Error> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }

    pub(crate) fn text(&self, index: usize) -> Result<String, Error> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }
}

/// Where the database is and how to connect to it.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Sqlite { path: PathBuf, options: SqliteConnectOptions },
    Postgres { options: PgConnectOptions },
}

impl Address {
    pub(crate) fn parse(url: &str, options: &Options) -> Result<Address, Error> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if path.as_os_str().is_empty() {
                return Err(Error::Address { url: url.to_owned(), problem: "it names no file".to_owned() });
            }
            let options = SqliteConnectOptions::new()
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // NORMAL would lose the last commits at a power failure, after they were acknowledged.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(options.lock_timeout)
                .foreign_keys(false)
                .disable_statement_logging();
            return Ok(Address::Sqlite { path, options });
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let parsed = PgConnectOptions::from_str(url)
                .map_err(|error| Error::Address { url: without_password(url), problem: error.to_string() })?;
            let options = parsed
                .application_name(&peers::name_of(&options.node))
                .statement_cache_capacity(STATEMENTS)
                .options([
                    ("statement_timeout", millis(options.statement_timeout)),
                    ("lock_timeout", millis(options.lock_timeout)),
                    ("idle_in_transaction_session_timeout", millis(options.statement_timeout)),
                    // Tells the triggers of the tables that other programs write, too, whose write it is.
                    ("piton.own", "on".to_owned()),
                ])
                .disable_statement_logging();
            return Ok(Address::Postgres { options });
        }
        Err(Error::Address {
            url: without_password(url),
            problem: "it begins with neither `sqlite:` nor `postgres:`".to_owned(),
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Address::Sqlite { .. } => Dialect::Sqlite,
            Address::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Says where an error happened.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self {
            Address::Sqlite { path, .. } => in_file(path, error),
            Address::Postgres { .. } => error,
        }
    }

    /// Looks at the file before the engine does, which would take a foreign one for an empty database or worse, and
    /// makes a new one that only its owner may read: what runs are to do holds secrets.
    pub(crate) fn make_ready(&self) -> Result<(), Error> {
        match self {
            Address::Sqlite { path, .. } => sqlite_file::inspect(path).and_then(|()| sqlite_file::create(path)),
            Address::Postgres { .. } => Ok(()),
        }
    }

    /// A connection of its own, for writing.
    pub(crate) async fn connect(&self) -> Result<Conn, Error> {
        let connected = match self {
            Address::Sqlite { options, .. } => {
                // A longer log between checkpoints: fewer syncs of the main file. A statement over many rows keeps a
                // journal of its own, which nobody needs after a crash: it stays in memory.
                let options = options
                    .clone()
                    .statement_cache_capacity(STATEMENTS)
                    // The thread of the database need not wait for whoever reads what it has found.
                    .row_buffer_size(ROWS)
                    .pragma("wal_autocheckpoint", "16000")
                    .pragma("cache_size", "-16000")
                    .pragma("temp_store", "MEMORY");
                options.connect().await.map(Conn::Sqlite)
            }
            Address::Postgres { options } => {
                // Every statement of the writer goes to few rows through an index. The planner must not change its
                // mind because it believes, from old statistics, that a table is empty.
                let options = options.clone().options([
                    ("enable_seqscan", "off"),
                    ("enable_bitmapscan", "off"),
                    ("enable_hashjoin", "off"),
                    ("enable_mergejoin", "off"),
                    // Of several indexes that is wanted which has the order, not one that finds all and sorts them.
                    ("enable_sort", "off"),
                    ("enable_incremental_sort", "off"),
                    ("jit", "off"),
                    // Between the statements of a transaction it only thinks. One that is silent for longer is stopped or
                    // cut off, and keeps all others from writing.
                    ("idle_in_transaction_session_timeout", "5000"),
                ]);
                options.connect().await.map(Conn::Postgres)
            }
        };
        connected.map_err(|error| self.explain(error.into()))
    }

    /// Whether the database says anything at all to somebody new, be it that there is no room.
    pub(crate) async fn answers(&self) -> bool {
        match self {
            Address::Sqlite { .. } => true,
            Address::Postgres { options } => match options.connect().await {
                Ok(conn) => {
                    // How it takes the farewell says no more.
                    let _ = conn.close().await;
                    true
                }
                Err(error) => matches!(error, sqlx::Error::Database(_)),
            },
        }
    }

    /// The first connection, for writing. A server that takes the call and then says nothing is as good as away; a file may
    /// have a long log to read through first.
    pub(crate) async fn let_in(&self) -> Result<Conn, Error> {
        match self {
            Address::Sqlite { .. } => self.connect().await,
            Address::Postgres { .. } => within(LET_IN, self.connect()).await,
        }
    }

    /// A connection for reading.
    pub(crate) async fn connect_reader(&self) -> Result<Conn, Error> {
        let connected = match self {
            Address::Sqlite { options, .. } => {
                let options = options.clone().create_if_missing(false).pragma("query_only", "ON");
                options.connect().await.map(Conn::Sqlite)
            }
            Address::Postgres { options } => {
                // Who reads waits for nobody but whoever keeps a whole table locked.
                let options = options.clone().options([("jit", "off"), ("lock_timeout", TABLE_WAIT)]);
                options.connect().await.map(Conn::Postgres)
            }
        };
        connected.map_err(|error| self.explain(error.into()))
    }
}

/// Names the file in an error that only the file's reader could have.
fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Corrupt { detail, .. } => Error::Corrupt { path: path.display().to_string(), detail },
        Error::Unavailable(detail) => Error::Unavailable(format!("{}: {detail}", path.display())),
        Error::Full(detail) => Error::Full(format!("{}: {detail}", path.display())),
        error => error,
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}")
}

/// One connection.
pub(crate) enum Conn {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Conn {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Conn::Sqlite(_) => Dialect::Sqlite,
            Conn::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement.
    pub(crate) async fn run(&mut self, sql: impl Into<Sql>, params: Vec<Param<'_>>) -> Result<u64, Error> {
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Conn::Sqlite(conn) => {
                sqlx::query_with(sql, arguments::<sqlx::Sqlite>(params)?).execute(conn).await?.rows_affected()
            }
            Conn::Postgres(conn) => {
                sqlx::query_with(sql, arguments::<sqlx::Postgres>(params)?).execute(conn).await?.rows_affected()
            }
        })
    }

    /// Runs a statement that answers with rows.
    pub(crate) async fn rows(&mut self, sql: impl Into<Sql>, params: Vec<Param<'_>>) -> Result<Vec<Row>, Error> {
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Conn::Sqlite(conn) => {
                let rows = sqlx::query_with(sql, arguments::<sqlx::Sqlite>(params)?).fetch_all(conn).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Conn::Postgres(conn) => {
                let rows = sqlx::query_with(sql, arguments::<sqlx::Postgres>(params)?).fetch_all(conn).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs a text of several statements without parameters.
    pub(crate) async fn script(&mut self, sql: impl Into<Sql>) -> Result<(), Error> {
        let sql = AssertSqlSafe(sql.into());
        match self {
            Conn::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn).await.map(|_| ())?,
            Conn::Postgres(conn) => sqlx::raw_sql(sql).execute(conn).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Runs a text of several statements without parameters, in one round trip, and gives the rows of all of them.
    pub(crate) async fn script_rows(&mut self, sql: impl Into<Sql>) -> Result<Vec<Row>, Error> {
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Conn::Sqlite(conn) => sqlx::raw_sql(sql).fetch_all(conn).await?.into_iter().map(Row::Sqlite).collect(),
            Conn::Postgres(conn) => sqlx::raw_sql(sql).fetch_all(conn).await?.into_iter().map(Row::Postgres).collect(),
        })
    }

    /// Prepares a statement and says nothing of what it would do.
    pub(crate) async fn prepare(&mut self, sql: String) -> Result<(), Error> {
        use sqlx::{Executor as _, SqlSafeStr as _};
        let sql = AssertSqlSafe(sql).into_sql_str();
        match self {
            Conn::Sqlite(conn) => conn.prepare(sql).await.map(|_| ())?,
            Conn::Postgres(conn) => conn.prepare(sql).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Writes many rows with as few statements as there can be.
    pub(crate) async fn write_rows(&mut self, rows: &Rows, params: Vec<Param<'_>>) -> Result<(), Error> {
        self.write_rows_returning(rows, params).await.map(drop)
    }

    /// The same with statements that answer with rows.
    pub(crate) async fn write_rows_returning(
        &mut self,
        rows: &Rows,
        params: Vec<Param<'_>>,
    ) -> Result<Vec<Row>, Error> {
        debug_assert_eq!(params.len() % rows.width(), 0, "every row has every column");
        let count = params.len() / rows.width();
        let mut rest = params.into_iter();
        let mut answered = Vec::new();
        match self {
            Conn::Sqlite(_) => {
                for size in cuts(count) {
                    let chunk = rest.by_ref().take(size * rows.width()).collect();
                    answered.extend(self.rows(rows.sql(Dialect::Sqlite, size), chunk).await?);
                }
            }
            Conn::Postgres(conn) => {
                for first in (0..count).step_by(MOST_ROWS) {
                    let size = MOST_ROWS.min(count - first);
                    let mut arrays = PgArguments::default();
                    add_arrays(&mut arrays, rows.columns, rest.by_ref().take(size * rows.width()), size)?;
                    let sql = AssertSqlSafe(rows.sql(Dialect::Postgres, size));
                    let found = sqlx::query_with(sql, arrays).fetch_all(&mut *conn).await?;
                    answered.extend(found.into_iter().map(Row::Postgres));
                }
            }
        }
        Ok(answered)
    }

    /// Writes rows of several tables that have nothing to do with each other. To PostgreSQL each statement is a way there and
    /// back: there it is one for all of them.
    pub(crate) async fn write_together(&mut self, mut all: Vec<(&Rows, Vec<Param<'_>>)>) -> Result<(), Error> {
        all.retain(|(_, params)| !params.is_empty());
        let few = all.iter().all(|(rows, params)| params.len() <= MOST_ROWS * rows.width());
        match self {
            Conn::Postgres(conn) if few && all.len() > 1 => {
                let tables: Vec<&Rows> = all.iter().map(|(rows, _)| *rows).collect();
                let mut arrays = PgArguments::default();
                for (rows, params) in all {
                    let count = params.len() / rows.width();
                    add_arrays(&mut arrays, rows.columns, params.into_iter(), count)?;
                }
                sqlx::query_with(AssertSqlSafe(Rows::together(&tables)), arrays).execute(conn).await?;
            }
            Conn::Postgres(_) | Conn::Sqlite(_) => {
                for (rows, params) in all {
                    self.write_rows(rows, params).await?;
                }
            }
        }
        Ok(())
    }

    /// Streams rows into a table, all or none; whether they were taken. Where they were refused, the transaction goes on as
    /// if nothing had been tried. Only PostgreSQL can do it.
    pub(crate) async fn copy(
        &mut self,
        sql: &'static str,
        chunks: impl Iterator<Item = String> + Send,
    ) -> Result<bool, Error> {
        let Conn::Postgres(conn) = self else { return Ok(false) };
        sqlx::raw_sql("SAVEPOINT before_copy").execute(&mut *conn).await?;
        let mut copy = conn.copy_in_raw(sql).await?;
        for chunk in chunks {
            copy.send(chunk.into_bytes()).await?;
        }
        let (taken, then) = match copy.finish().await.map_err(Error::from) {
            Ok(_) => (true, "RELEASE SAVEPOINT before_copy"),
            Err(Error::Refused(why)) => {
                tracing::debug!(why, "rows are inserted one by one");
                (false, "ROLLBACK TO SAVEPOINT before_copy")
            }
            Err(error) => return Err(error),
        };
        sqlx::raw_sql(then).execute(&mut *conn).await?;
        Ok(taken)
    }

    /// Reads the rows of many keys.
    pub(crate) async fn rows_in(&mut self, list: &In, keys: &[String]) -> Result<Vec<Row>, Error> {
        let mut found = Vec::new();
        for (sql, params) in parts(list, self.dialect(), keys) {
            found.extend(self.rows(sql, params).await?);
        }
        Ok(found)
    }

    /// Runs a statement for many keys.
    pub(crate) async fn run_in(&mut self, list: &In, keys: &[String]) -> Result<u64, Error> {
        let mut changed = 0;
        for (sql, params) in parts(list, self.dialect(), keys) {
            changed += self.run(sql, params).await?;
        }
        Ok(changed)
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        match self {
            Conn::Sqlite(conn) => conn.close().await?,
            Conn::Postgres(conn) => conn.close().await?,
        }
        Ok(())
    }
}

/// The statements that a list of keys comes to.
pub(crate) fn parts<'k>(
    list: &In,
    dialect: Dialect,
    keys: &'k [String],
) -> impl Iterator<Item = (&'static str, Vec<Param<'k>>)> {
    keys.chunks(SIZES[0]).map(move |chunk| (list.sql(dialect, padded(chunk.len())), fill(chunk)))
}

fn fill(keys: &[String]) -> Vec<Param<'_>> {
    let last = keys.last().map_or("", String::as_str);
    let missing = padded(keys.len()) - keys.len();
    keys.iter().map(String::as_str).chain(std::iter::repeat_n(last, missing)).map(Param::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("postgres://me:secret@host/db"), "postgres://me@host/db");
        assert_eq!(without_password("mysql://host/db"), "mysql://host/db");
        let error = Address::parse("mysql://me:secret@host/db", &Options::default()).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[test]
    fn a_list_is_filled_up_with_its_last_key() {
        let keys = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(fill(&keys).len(), 4);
        assert!(matches!(&fill(&keys)[3], Param::Text(Some(text)) if text == "c"));
    }
}
