//! Further ways to see that a process is alive.

use std::time::Duration;

use piton_model::Detector;
use piton_process::Keeping;
use tokio_util::sync::CancellationToken;

use crate::command::{Surroundings, ask};
use crate::pid_file::{self, Named};

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the detector sees a living process. The error says why it cannot tell.
pub async fn alive(keeping: &Keeping, detector: &Detector, around: &Surroundings) -> Result<bool, String> {
    match detector {
        Detector::PidFile { path } => match pid_file::read(path).map_err(|error| error.to_string())? {
            Named::Alive(_) => Ok(true),
            Named::Dead | Named::Reused => Ok(false),
            Named::Invalid(reason) => Err(format!("{}: {reason}", path.display())),
        },
        Detector::Command { program } => {
            let stop = CancellationToken::new();
            let (keeping, around, program) = (keeping.clone(), around.clone(), program.clone());
            // A task of its own, so that the command is ended and forgotten also where nobody waits for the answer.
            let _ends = stop.clone().drop_guard();
            let asking = tokio::spawn(async move { ask(&keeping, &around, &program, TIMEOUT, &stop).await });
            // A command that fails is an answer, whatever made it fail.
            Ok(asking.await.is_ok_and(|answer| answer.is_ok()))
        }
    }
}
