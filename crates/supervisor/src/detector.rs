//! Further ways to see that a process is alive.

use std::time::Duration;

use piton_model::Detector;
use piton_process::Keeping;
use tokio_util::sync::CancellationToken;

use crate::command::{Surroundings, ask};
use crate::pid_file::{self, Named};

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a detector sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A process that lives, and its id where the detector can tell.
    Alive(Option<u32>),
    /// None that lives.
    Nothing,
}

/// Whether the detector sees a living process. The error says why it cannot tell.
pub async fn look(keeping: &Keeping, detector: &Detector, around: &Surroundings) -> Result<Seen, String> {
    match detector {
        Detector::PidFile { path } => match pid_file::read(path).map_err(|error| error.to_string())? {
            Named::Alive(identity) => Ok(Seen::Alive(Some(identity.pid))),
            Named::Dead | Named::Reused => Ok(Seen::Nothing),
            Named::Invalid(reason) => Err(format!("{}: {reason}", path.display())),
        },
        Detector::Command { program } => {
            let stop = CancellationToken::new();
            let (keeping, around, program) = (keeping.clone(), around.clone(), program.clone());
            // A task of its own, so that the command is ended and forgotten also where nobody waits for the answer.
            let _ends = stop.clone().drop_guard();
            let asking = tokio::spawn(async move { ask(&keeping, &around, &program, TIMEOUT, &stop).await });
            // A command that fails is an answer, whatever made it fail.
            Ok(match asking.await {
                Ok(Ok(())) => Seen::Alive(None),
                _ => Seen::Nothing,
            })
        }
    }
}
