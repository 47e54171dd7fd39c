//! What every command works with.

use crate::args::Global;
use crate::clock::Clock;
use crate::error::{Exit, Failure};
use crate::output::{Output, Voice};
use crate::session::{Purpose, Session};

/// What every command works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options that every command takes.
    pub global: Global,
    /// Where it prints.
    pub out: Output,
    /// The time at which it began.
    pub clock: Clock,
}

impl Context {
    /// For a command with these options.
    pub fn new(global: Global, voice: Voice) -> Context {
        Context { out: Output::new(&global, voice), clock: Clock::system(), global }
    }

    /// Does something with a session, and ends the session properly whatever comes out.
    pub async fn with_session(
        &self,
        purpose: Purpose,
        work: impl AsyncFnOnce(&Session) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let session = Session::open(&self.global, purpose).await?;
        let result = work(&session).await;
        if !session.is_local() {
            return result;
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
}
