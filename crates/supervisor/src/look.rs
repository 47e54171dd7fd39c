//! What a keeper holds, for who only looks.

use std::path::Path;

use piton_keeper::client::{Client, Error as KeeperError};
use piton_keeper::{Child, State};

use crate::incarnation::Incarnation;
use crate::real_time::timestamp;
use crate::status::UNREAD;
use crate::{Error, InstanceState, InstanceStatus, Settings, pid_file};

/// The instances that run. No keeper is started to say so: where none is, nothing is held, and something may be left.
pub(crate) async fn look(settings: &Settings) -> Result<Vec<InstanceStatus>, Error> {
    let held = match Client::connect(&settings.keeper_dir).await {
        Ok(client) => client.list().await?,
        Err(KeeperError::Absent { .. } | KeeperError::Disconnected) => return Ok(left(&settings.pid_dir)),
        Err(error) => return Err(error.into()),
    };
    Ok(held.iter().filter_map(seen).collect())
}

/// What a keeper that was killed has left running, as the files with process ids tell. A file is somebody's claim: it is
/// shown, and nothing is done because of it.
fn left(pid_dir: &Path) -> Vec<InstanceStatus> {
    let Ok(files) = std::fs::read_dir(pid_dir) else { return Vec::new() };
    files.flatten().filter_map(|file| named(&file.path())).collect()
}

fn named(file: &Path) -> Option<InstanceStatus> {
    let instance = file.file_name()?.to_str()?.strip_suffix(".pid")?;
    let identity = pid_file::started(file)?;
    Some(InstanceStatus {
        state: InstanceState::Running,
        pid: Some(identity.pid),
        ready: true,
        reason: Some("neither a daemon nor a keeper is there, and the file with its process id names it".to_owned()),
        detected_by: format!("pidfile:{}", file.display()),
        ..InstanceStatus::at_rest(instance, instance)
    })
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
