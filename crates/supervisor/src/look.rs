//! What a keeper holds, for who only looks.

use piton_keeper::client::{Client, Error as KeeperError};
use piton_keeper::{Child, State};

use crate::incarnation::Incarnation;
use crate::real_time::timestamp;
use crate::status::UNREAD;
use crate::{Error, InstanceState, InstanceStatus, Settings};

/// The instances that run. No keeper is started to say so: where none is, nothing is held.
pub(crate) async fn look(settings: &Settings) -> Result<Vec<InstanceStatus>, Error> {
    let held = match Client::connect(&settings.keeper_dir).await {
        Ok(client) => client.list().await?,
        Err(KeeperError::Absent { .. } | KeeperError::Disconnected) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(held.iter().filter_map(seen).collect())
}

fn seen(child: &Child) -> Option<InstanceStatus> {
    let (instance, of) = Incarnation::parse(&child.token)?;
    let runs = match child.state {
        State::Running | State::Orphaned => true,
        State::Exited { .. } => false,
    };
    runs.then(|| InstanceStatus {
        state: InstanceState::Running,
        pid: Some(child.identity.pid),
        started_at: timestamp(child.spawned_at_unix_us),
        restarts: of.restarts,
        ready: true,
        reason: (child.state == State::Orphaned).then(|| UNREAD.to_owned()),
        detected_by: "exec:pid".to_owned(),
        ..InstanceStatus::at_rest(instance, instance)
    })
}
