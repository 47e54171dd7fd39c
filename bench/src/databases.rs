//! New databases to measure on.

use std::fmt;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
        })
    }
}

/// Makes databases. SQLite files are removed with it, the server of PostgreSQL ends with the program.
#[derive(Debug)]
pub struct Databases {
    dir: TempDir,
    count: u32,
    prepared: bool,
}

impl Databases {
    pub fn new() -> anyhow::Result<Databases> {
        Ok(Databases { dir: tempfile::tempdir()?, count: 0, prepared: false })
    }

    /// The address of a new, empty database.
    pub async fn fresh(&mut self, engine: Engine) -> anyhow::Result<String> {
        self.count += 1;
        match engine {
            Engine::Sqlite => Ok(format!("sqlite:{}", self.dir.path().join(format!("{}.db", self.count)).display())),
            Engine::Postgres => {
                let url = piton_testkit::postgres::database().await?;
                if !self.prepared {
                    without_autovacuum(&url).await?;
                    self.prepared = true;
                }
                Ok(url)
            }
        }
    }
}

/// The server is otherwise as it comes. Nothing may tidy up behind anybody, peers included: otherwise it would be a
/// matter of luck whether a round is measured before or after that.
async fn without_autovacuum(url: &str) -> anyhow::Result<()> {
    let mut server = PgConnection::connect(url).await?;
    for statement in ["ALTER SYSTEM SET autovacuum = off", "VALUES (pg_reload_conf())"] {
        sqlx::raw_sql(statement).execute(&mut server).await?;
    }
    Ok(server.close().await?)
}
