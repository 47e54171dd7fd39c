//! Workspaces that are deployed although nothing declares them any more: their directory is gone, or holds nothing valid
//! since before the daemon was started.
//!
//! Nothing is due for them, and they cannot be deployed. They are still seen, and what they deployed can be destroyed: with
//! the code that was laid out for it, as their last run says.

use std::collections::BTreeMap;

use piton_model::{
    Action, By, CustomCommands, Iac, Name, Operation, Projection, Run, Subject, SubjectKind, WorkspacePhase,
    WorkspaceState,
};
use piton_store::RunQuery;

use crate::{Engine, Error};

/// How many of the latest runs are looked at for what a destroy needs to know.
const RUNS: usize = 100;

impl Engine {
    /// Every workspace that is deployed, or may be, and that nothing declares.
    pub async fn leftovers(&self) -> Result<BTreeMap<Name, WorkspaceState>, Error> {
        let loaded = self.loaded();
        let states = self.0.store.projections(SubjectKind::Workspace).await?;
        let left = states.into_iter().filter_map(|(subject, projection)| match (subject, projection) {
            (Subject::Workspace(name), Projection::Workspace(state)) if may_exist(&state) => Some((name, state)),
            _ => None,
        });
        Ok(left.filter(|(name, _)| !loaded.catalog.workspaces.contains_key(name)).collect())
    }

    /// The state of a workspace that is deployed, or may be, although nothing declares it.
    pub async fn leftover(&self, name: &str) -> Result<Option<(Name, WorkspaceState)>, Error> {
        let Ok(name) = Name::parse(name) else { return Ok(None) };
        if self.loaded().catalog.workspaces.contains_key(&name) {
            return Ok(None);
        }
        let state = self.0.workspace_state(&Subject::Workspace(name.clone())).await?;
        Ok(may_exist(&state).then_some((name, state)))
    }

    /// What is said of a workspace that is not declared, where it is one that is left.
    pub(crate) async fn not_declared(&self, name: &str, error: Error) -> Error {
        match self.leftover(name).await {
            Ok(Some((name, _))) => Error::NotDeclared { workspace: name, destroyable: true },
            Ok(None) => error,
            Err(failed) => failed,
        }
    }

    /// Destroys what is left of a workspace that nothing declares.
    pub(crate) async fn destroy_leftover(&self, name: Name, by: By) -> Result<Run, Error> {
        let query = RunQuery { subject: Some(Subject::Workspace(name.clone())), limit: RUNS, ..RunQuery::default() };
        let runs = self.0.store.runs(&query).await?.runs;
        let Some(mut iac) = destroying(&runs) else {
            return Err(Error::NotDeclared { workspace: name, destroyable: false });
        };
        let subject = Subject::Workspace(name);
        iac.state_at = self.0.workspace_state(&subject).await?.state_at;
        self.change(subject, Action::Iac(iac), by).await
    }
}

/// Whether something of the workspace may exist. Pure.
fn may_exist(state: &WorkspaceState) -> bool {
    let settled_there = match state.phase() {
        WorkspacePhase::Deploying { .. } | WorkspacePhase::Deployed { .. } | WorkspacePhase::Destroying => true,
        WorkspacePhase::Pending | WorkspacePhase::Destroyed => false,
        // A failure before anything was applied left nothing, but what was there before.
        WorkspacePhase::Failed => state.last_deployed > state.last_destroyed,
    };
    settled_there || state.state_at.is_some()
}

/// What destroys what `runs`, the newest first, have deployed. Nothing where it took commands to deploy it and nobody
/// knows those that destroy it. Pure.
fn destroying(runs: &[Run]) -> Option<Iac> {
    let mut changes = runs.iter().filter_map(|run| run.action.iac()).filter(|iac| iac.operation.changes());
    let last = changes.clone().next()?;
    let commands = match changes.find(|iac| iac.operation == Operation::Destroy) {
        Some(destroy) => destroy.commands.clone(),
        None if last.commands.is_empty() => CustomCommands::default(),
        None => return None,
    };
    Some(Iac { operation: Operation::Destroy, commands, ..last.clone() })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::WorkerId;

    use super::*;

    #[test]
    fn only_what_was_destroyed_or_never_applied_leaves_nothing() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let state = |settled, last_deployed, last_destroyed, applied: bool| WorkspaceState {
            settled,
            last_deployed,
            last_destroyed,
            state_at: applied.then(|| WorkerId::new("w")),
            ..WorkspaceState::default()
        };
        use WorkspacePhase::{Deployed, Destroyed, Failed, Pending};
        for (state, expected) in [
            (state(Pending, None, None, false), false),
            (state(Deployed { mode: None }, at(1), None, true), true),
            // As the workspace scheduler's state was taken over.
            (state(Deployed { mode: None }, at(1), None, false), true),
            (state(Destroyed, at(1), at(2), false), false),
            (state(Failed, None, None, false), false),
            (state(Failed, None, None, true), true),
            (state(Failed, at(3), at(2), false), true),
            (state(Failed, at(1), at(2), false), false),
        ] {
            assert_eq!(may_exist(&state), expected, "{state:?}");
        }
    }
}
