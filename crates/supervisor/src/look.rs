//! What a keeper holds, for who only looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_keeper::client::{Client, Error as KeeperError};
use piton_keeper::{Child, State};
use piton_model::{Name, Process};

use crate::incarnation::Incarnation;
use crate::launch::Launch;
use crate::real_time::timestamp;
use crate::status::UNREAD;
use crate::{Error, InstanceState, InstanceStatus, Settings, pid_file};

/// The instances that run. No keeper is started to say so: where none is, nothing is held, and something may be left of these
/// processes and of others.
pub(crate) async fn look(
    settings: &Settings,
    processes: &BTreeMap<Name, Arc<Process>>,
) -> Result<Vec<InstanceStatus>, Error> {
    let held = match Client::connect(&settings.keeper_dir).await {
        Ok(client) => client.list().await?,
        Err(KeeperError::Absent { .. } | KeeperError::Disconnected) => return Ok(left(settings, processes)),
        Err(error) => return Err(error.into()),
    };
    Ok(held.iter().filter_map(seen).collect())
}

/// What a keeper that was killed has left running, as the files with process ids tell: those in their directory, and those
/// that a process names itself. A file is somebody's claim: it is shown, and nothing is done because of it.
fn left(settings: &Settings, processes: &BTreeMap<Name, Arc<Process>>) -> Vec<InstanceStatus> {
    let mut own: BTreeMap<PathBuf, String> = BTreeMap::new();
    for process in processes.values().filter(|process| process.pid_file.is_some()) {
        for number in 1..=process.instances {
            let instance = process.instance_name(number);
            let file = Launch { settings, process, instance: &instance, number }.pid_file();
            own.insert(file, instance);
        }
    }
    let files = std::fs::read_dir(&settings.pid_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_others = files.filter(|file| !own.contains_key(file)).filter_map(|file| {
        let instance = file.file_name()?.to_str()?.strip_suffix(".pid")?;
        named(instance, &file)
    });
    of_others.chain(own.iter().filter_map(|(file, instance)| named(instance, file))).collect()
}

fn named(instance: &str, file: &Path) -> Option<InstanceStatus> {
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
