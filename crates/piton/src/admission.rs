//! Deployed code may not speak for whoever runs Piton.
//!
//! The unix socket lets in whoever the file system lets, and the confinement of deployed code, which hides files, does not
//! hold for sockets. So those who connect are looked at: what descends from the keeper, and can gain no privileges, as all
//! that is confined, is let in only where the child that it belongs to is no tool at work on infrastructure code.

use std::fs;
use std::path::{Path, PathBuf};

use piton_model::{IacStep, RunId, Step};
use piton_process::Runner;
use piton_server::Admission;

/// The steps in which code from elsewhere runs. They stand in the tokens of children: `<run>/<attempt>/<step>/<what>`.
const CONFINED: [IacStep; 4] = [IacStep::Init, IacStep::Plan, IacStep::Apply, IacStep::Outputs];

/// Keeps confined code away from the socket of this data directory.
pub fn admission(runner: Runner, data_dir: PathBuf) -> Admission {
    Admission::by(move |pid| {
        let (runner, data_dir) = (runner.clone(), data_dir.clone());
        Box::pin(async move {
            if !piton_keeper::is_held_down(pid) {
                return true;
            }
            // Whoever is gone needs no answer, and cannot be told from somebody else.
            let Some(lineage) = piton_keeper::lineage(pid) else { return false };
            let Some(keeper) = keeper(&data_dir).filter(|keeper| lineage.contains(keeper)) else { return true };
            let Ok(held) = runner.held().await else { return false };
            let admitted = held
                .iter()
                .find(|child| lineage.contains(&child.identity.pid))
                .is_some_and(|child| !is_confined(child.token.as_str()));
            if !admitted {
                tracing::warn!(pid, keeper, "deployed code asked for the socket of the commands, and was turned away");
            }
            admitted
        })
    })
}

fn is_confined(token: &str) -> bool {
    let mut parts = token.split('/');
    // Supervised processes have other tokens.
    let is_of_run = parts.next().is_some_and(|run| run.parse::<RunId>().is_ok());
    let is_confined = |step: &str| CONFINED.into_iter().any(|confined| Step::Iac(confined).as_str() == step);
    is_of_run && parts.nth(1).is_some_and(is_confined)
}

/// The keeper of a data directory, if one runs.
fn keeper(data_dir: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(data_dir.join("keeper.lock")).ok()?.trim().parse().ok()?;
    // The number may be left over, and be somebody else's by now.
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.split(|byte| *byte == 0).any(|word| word == b"keeper").then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_tells_whose_code_it_is() {
        let run = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(is_confined(&format!("{run}/1/apply/apply")));
        assert!(is_confined(&format!("{run}/1/outputs/outputs")));
        assert!(!is_confined(&format!("{run}/1/execute/execute")));
        assert!(!is_confined(run));
        assert!(!is_confined("service/web/init/1/0"));
    }
}
