//! What every command works with.

use std::collections::BTreeMap;
use std::time::Duration;

use piton_api::Client;

use crate::args::Global;
use crate::clock::Clock;
use crate::error::{CommandError, Exit, Failure};
use crate::logins::{Login, Logins};
use crate::output::{Output, Voice};
use crate::place::{Place, environment};
use crate::remote::{self, Remote};
use crate::session::{self, Purpose, Session};

/// How long the usual daemon may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What every command works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options that every command takes.
    pub global: Global,
    /// Where it prints.
    pub out: Output,
    /// The time at which it began.
    pub clock: Clock,
    /// The variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// Whose sessions are used.
    pub sessions: Sessions,
}

/// Whose sessions are used, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// Piton's own, of the server that is named.
    Piton,
    /// Those of the process manager's program: where no server is named, the latest.
    Provisr,
}

impl Context {
    /// For a command with these options.
    pub fn new(global: Global, voice: Voice) -> Context {
        Context {
            out: Output::new(&global, voice),
            clock: Clock::system(),
            environment: environment(),
            sessions: Sessions::Piton,
            global,
        }
    }

    /// The server elsewhere that is asked, if it is not the daemon of the directory.
    pub fn remote(&self) -> Result<Option<Remote>, CommandError> {
        match self.out.voice {
            Voice::Piton => match Remote::find(&self.global, &self.environment)? {
                None if self.sessions == Sessions::Provisr && self.global.config.is_none() => self.latest(),
                found => Ok(found),
            },
            // Their tools work on the directories that their variables name.
            Voice::Scheduler => Ok(None),
        }
    }

    /// The server of the latest session.
    fn latest(&self) -> Result<Option<Remote>, CommandError> {
        let url = self.logins().read()?.latest().and_then(Login::server);
        url.map(|url| Remote::at(url, &self.global, &self.environment)).transpose()
    }

    /// Who is logged in where.
    pub fn logins(&self) -> Logins {
        let directory = match self.sessions {
            Sessions::Piton => ".piton",
            Sessions::Provisr => ".provisr",
        };
        Logins::of_home(&self.environment, directory)
    }

    /// How a command line begins that reaches the same server: `piton`, or `piton --server URL`.
    pub fn piton(&self) -> String {
        match &self.global.server.server {
            Some(url) => format!("piton --server {}", url.trim()),
            None => "piton".to_owned(),
        }
    }

    async fn session(&self, purpose: Purpose) -> Result<Session, Failure> {
        let remote = match self.remote()? {
            Some(remote) => remote,
            None => match self.usual().await? {
                Some(remote) => remote,
                None => match self.configured().await? {
                    Some(remote) => remote,
                    None => return Ok(Session::open(&self.global, purpose).await?),
                },
            },
        };
        if remote.tls.insecure && remote.url.is_secure() {
            self.out.say("warning: the server's certificate is not checked, so anybody may be answering");
        }
        let client = remote.client(&self.environment, &self.logins(), self.clock.now).await?;
        Ok(Session::elsewhere(client, self.global.server.timeout))
    }

    /// The daemon that listens where the process manager's usually does, if it is asked for, the directory has none of
    /// its own, and there is one.
    async fn usual(&self) -> Result<Option<Remote>, CommandError> {
        const USUAL: &str = "http://127.0.0.1:8080/api";
        if !self.global.server.usual || self.global.config.is_some() {
            return Ok(None);
        }
        if session::answers(&Place::resolve(&self.global)?).await {
            return Ok(None);
        }
        let remote = Remote::at(remote::parse_url(USUAL, "--api-url")?, &self.global, &self.environment)?;
        well(remote).await
    }

    /// The daemon that listens where the configuration that the command line names says, if nothing of Piton's is in the
    /// directory that this command was called in, and there is one: it serves another directory by the same file.
    async fn configured(&self) -> Result<Option<Remote>, CommandError> {
        if self.global.config.is_none() || self.global.dir.is_some() {
            return Ok(None);
        }
        let place = Place::resolve(&self.global)?;
        let Some(url) = place.listener().filter(|_| !place.data_dir.exists()) else { return Ok(None) };
        let remote = Remote::at(remote::parse_url(&url, "server.listen")?, &self.global, &self.environment)?;
        well(remote).await
    }

    /// Does something with a session, and ends the session properly whatever comes out.
    pub async fn with_session(
        &self,
        purpose: Purpose,
        work: impl AsyncFnOnce(&Session) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let session = self.session(purpose).await?;
        for warning in session.warnings() {
            self.out.talk(&warning.to_string());
        }
        let result = work(&session).await;
        if !session.is_local() {
            return result.map_err(|failure| self.in_its_words(failure));
        }
        if matches!(result, Ok(Exit::Interrupted)) {
            // Somebody does not want to wait. Children that still run belong to the keeper.
            return result;
        }
        let closed = tokio::select! {
            closed = session.close() => closed,
            _ = tokio::signal::ctrl_c() => {
                self.out.talk("not waiting any longer; `piton serve` takes over what still runs");
                return Ok(Exit::Interrupted);
            }
        };
        let exit = result?;
        closed?;
        Ok(exit)
    }

    /// Says where to log in, which the server does not know.
    fn in_its_words(&self, failure: Failure) -> Failure {
        match (failure, self.remote()) {
            (Failure::Problem(mut problem), Ok(Some(remote))) if problem.status == 401 => {
                problem.hint = Some(remote.how_to_log_in(&self.environment));
                Failure::Problem(problem)
            }
            (failure, _) => failure,
        }
    }
}

/// The server, if it answers and is well.
async fn well(remote: Remote) -> Result<Option<Remote>, CommandError> {
    let health = Client::of_server(remote.anonymous()?).at_root().with_patience(PATIENCE);
    let well = health.get::<serde_json::Value>("/health").await;
    Ok(well.is_ok_and(|answer| answer["status"] == "healthy").then_some(remote))
}
