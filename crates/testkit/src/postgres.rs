//! A real PostgreSQL: one cluster for each test process, one fresh database for each test.
//!
//! The cluster lives below the directory for temporary files and listens on a socket there. A shell watches over it:
//! it waits for the end of its standard input, which comes when the test process ends in whatever way, then stops the
//! server and removes the directory. A [`Cluster`] is one of its own, for whoever wants to stop and kill it.

mod cluster;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

pub use cluster::Cluster;

/// Names a server to use in place of one that is started here. Its user must be allowed to create databases.
pub const URL_VARIABLE: &str = "PITON_TEST_POSTGRES_URL";

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server is installed and none is named.
    #[error("no PostgreSQL server: install one (`initdb` and `postgres`), or name one in {URL_VARIABLE}")]
    NotInstalled,
    /// The server could not be prepared or started.
    #[error("{what}: {detail}")]
    NotStarted {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        detail: String,
    },
    /// The server does not do what it is asked.
    #[error("PostgreSQL: {0}")]
    Server(#[from] sqlx::Error),
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);
static DATABASES: AtomicU32 = AtomicU32::new(0);

const ATTEMPTS: u32 = 600;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// The address of a new, empty database.
pub async fn database() -> Result<String, Error> {
    let server = server_url()?;
    let mut admin = connect(&server).await?;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("piton_test_{}_{number}", std::process::id());
    for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await?;
    }
    admin.close().await?;
    Ok(in_database(&server, &name))
}

/// Does to a database what another program does that shares it.
pub async fn execute(url: &str, sql: &str) -> Result<(), Error> {
    let mut other = connect(url).await?;
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut other).await?;
    other.close().await?;
    Ok(())
}

/// The transaction of another program, which stays open until it is [ended](Transaction::end) or dropped.
#[derive(Debug)]
pub struct Transaction(PgConnection);

impl Transaction {
    /// Begins one with a statement.
    pub async fn begin(url: &str, sql: &str) -> Result<Transaction, Error> {
        let mut other = connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}"))).execute(&mut other).await?;
        Ok(Transaction(other))
    }

    /// Undoes what it did.
    pub async fn end(self) -> Result<(), Error> {
        Ok(self.0.close().await?)
    }
}

/// Stops the server that was started here, if any, and waits for its end. Only for programs that are no tests: a test
/// process just ends.
pub fn stop() {
    let server = SERVER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut server) = server {
        drop(server.watcher.stdin.take());
        // Whether the shell could be waited for changes nothing: it ends by itself.
        let _ = server.watcher.wait();
    }
}

struct Server {
    url: String,
    watcher: Child,
}

fn server_url() -> Result<String, Error> {
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Ok(url);
    }
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if server.is_none() {
        *server = Some(start()?);
    }
    Ok(server.as_ref().map(|server| server.url.clone()).unwrap_or_default())
}

/// The same server, another database.
fn in_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let scheme_end = address.find("://").map_or(0, |at| at + 3);
    let path = address[scheme_end..].find('/').map_or(address.len(), |at| scheme_end + at);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{}/{name}{query}", &address[..path])
}

#[expect(clippy::disallowed_methods, reason = "a server that is starting is real and takes real time")]
async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    let mut attempt = 0;
    loop {
        attempt += 1;
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if attempt == ATTEMPTS => return Err(error.into()),
            Err(_) => tokio::time::sleep(BETWEEN_ATTEMPTS).await,
        }
    }
}

/// A cluster that no server runs on yet.
struct Ground {
    programs: PathBuf,
    owner: Option<Owner>,
    dir: tempfile::TempDir,
}

impl Ground {
    /// A shell that watches over the server, with the program and the directory as its `$0` and `$1`.
    fn shell(&self, script: &str) -> Command {
        let mut shell = command(self.owner.as_ref(), "sh", self.dir.path());
        shell.args(["-c", script]).arg(self.programs.join("postgres")).arg(self.dir.path());
        // Ctrl-C is for the tests; the server ends after them.
        shell.stdin(Stdio::piped()).process_group(0);
        shell
    }

    /// Keeps the directory, which the shell removes in the end.
    fn url(self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.dir.keep().display())
    }
}

fn prepare() -> Result<Ground, Error> {
    let programs = programs().ok_or(Error::NotInstalled)?;
    let owner = owner()?;
    let dir =
        tempfile::Builder::new().prefix("piton-pg-").tempdir().map_err(|error| failed("temporary directory", error))?;
    if let Some(owner) = &owner {
        chown(dir.path(), Some(owner.user), Some(owner.group)).map_err(|error| failed("chown", error))?;
        let for_its_owner = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir.path(), for_its_owner).map_err(|error| failed("chmod", error))?;
    }
    let data = dir.path().join("data");
    let initialised = command(owner.as_ref(), programs.join("initdb"), dir.path())
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .map_err(|error| failed("initdb", error))?;
    if !initialised.status.success() {
        return Err(failed("initdb", String::from_utf8_lossy(&initialised.stderr)));
    }
    Ok(Ground { programs, owner, dir })
}

fn start() -> Result<Server, Error> {
    let ground = prepare()?;
    let log = std::fs::File::create(ground.dir.path().join("log")).map_err(|error| failed("log", error))?;
    // `cat` ends when the test process does.
    let script = r#""$0" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=200 & server=$!
        cat >/dev/null; kill -QUIT $server; wait $server; rm -rf "$1""#;
    let shell = ground.shell(script).stdout(Stdio::null()).stderr(log).spawn();
    let watcher = shell.map_err(|error| failed("postgres", error))?;
    Ok(Server { url: ground.url(), watcher })
}

fn failed(what: &'static str, detail: impl ToString) -> Error {
    Error::NotStarted { what, detail: detail.to_string() }
}

/// The directory of the server's programs: on the path, or where Debian keeps them, the newest version first.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut versions: BTreeMap<u32, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = entry.file_name().to_str().and_then(|name| name.parse().ok());
        versions.extend(version.map(|version| (version, entry.path().join("bin"))));
    }
    let mut places = on_path.unwrap_or_default().into_iter().chain(versions.into_values().rev());
    places.find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

/// A user to run the server as.
struct Owner {
    user: u32,
    group: u32,
}

/// PostgreSQL refuses to run as root: then another user is needed.
fn owner() -> Result<Option<Owner>, Error> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| failed("/proc/self/status", error))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    if effective != Some("0") {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| failed("/etc/passwd", error))?;
    let find = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
        Some(Owner { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .ok_or_else(|| failed("/etc/passwd", "neither `postgres` nor `nobody` is there to run the server as"))
}

#[expect(clippy::disallowed_methods, reason = "tests start a real server")]
fn command(owner: Option<&Owner>, program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(owner) = owner {
        command.gid(owner.group).uid(owner.user);
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        let local = "postgres://postgres@localhost/postgres?host=/tmp/x";
        assert_eq!(in_database(local, "a"), "postgres://postgres@localhost/a?host=/tmp/x");
        assert_eq!(in_database("postgres://me:pw@host:5433", "a"), "postgres://me:pw@host:5433/a");
    }
}
