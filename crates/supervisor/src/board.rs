//! What anybody may read at any time, without asking whoever writes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use piton_logs::Upkeep;
use piton_model::{Group, Name, Process};
use tokio::sync::broadcast;

use crate::launch::Launch;
use crate::measure::History;
use crate::{
    Change, Declared, Error, GroupState, GroupStatus, InstanceState, InstanceStatus, Observed, Selector, Settings,
    Usage,
};

/// So many changes may be unread before a slow reader misses some: more than one for each of ten thousand instances, all
/// of which may be started or stopped at once.
const UNREAD: usize = 16_384;

/// What is declared, and which instances that makes.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) declared: Declared,
    /// With the number of instances that is wanted.
    pub(crate) processes: BTreeMap<Name, Arc<Process>>,
}

#[derive(Debug)]
pub(crate) struct Board {
    settings: Arc<Settings>,
    view: RwLock<Arc<View>>,
    instances: RwLock<BTreeMap<String, Arc<InstanceStatus>>>,
    history: RwLock<History>,
    changes: broadcast::Sender<Change>,
    /// The number of the last one.
    told: AtomicU64,
}

impl Board {
    pub(crate) fn new(settings: Arc<Settings>) -> Board {
        let history = RwLock::new(History::new(settings.measurements));
        Board {
            settings,
            view: RwLock::default(),
            instances: RwLock::default(),
            history,
            changes: broadcast::channel(UNREAD).0,
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn declare(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// Shows an instance of which nothing is told.
    pub(crate) fn show(&self, status: Arc<InstanceStatus>) {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.insert(status.name.clone(), status);
    }

    pub(crate) fn remove(&self, instance: &str) {
        self.instances.write().unwrap_or_else(PoisonError::into_inner).remove(instance);
    }

    /// Shows where an instance is now, and tells everybody from where it came. At once: what is seen was told already,
    /// and what is heard can be seen.
    pub(crate) fn tell(&self, at: Timestamp, from: InstanceState, now: Arc<InstanceStatus>) {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.insert(now.name.clone(), Arc::clone(&now));
        let number = self.told.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody has to listen.
        let _ = self.changes.send(Change { number, at, from, now });
        // Until here nobody looks.
        drop(instances);
    }

    /// The number of the last change, 0 before the first.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// One instance.
    pub(crate) fn one(&self, instance: &str) -> Option<Arc<InstanceStatus>> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).get(instance).cloned()
    }

    /// The names of the instances that are meant.
    pub(crate) fn select(&self, which: &Selector) -> Result<Vec<String>, Error> {
        Ok(self.selected(which)?.iter().map(|status| status.name.clone()).collect())
    }

    pub(crate) fn status(&self, which: &Selector) -> Result<Vec<InstanceStatus>, Error> {
        Ok(self.observe(which)?.into_iter().map(InstanceStatus::from).collect())
    }

    pub(crate) fn observe(&self, which: &Selector) -> Result<Vec<Observed>, Error> {
        let found = self.selected(which)?;
        let history = self.history.read().unwrap_or_else(PoisonError::into_inner);
        let measured = |status: Arc<InstanceStatus>| {
            let usage = status.pid.and_then(|pid| history.latest_of(&status.name, pid));
            Observed { status, usage }
        };
        Ok(found.into_iter().map(measured).collect())
    }

    fn selected(&self, which: &Selector) -> Result<Vec<Arc<InstanceStatus>>, Error> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<_> =
            instances.values().filter(|status| which.matches(&status.name, &status.process)).cloned().collect();
        if let (Selector::Name(name), true) = (which, found.is_empty())
            && !self.view().processes.contains_key(name.as_str())
        {
            return Err(Error::UnknownProcess(name.clone()));
        }
        Ok(found)
    }

    pub(crate) fn groups(&self) -> Vec<GroupStatus> {
        self.view().declared.groups.values().map(|group| self.group_status(group)).collect()
    }

    pub(crate) fn group(&self, name: &str) -> Result<Arc<Group>, Error> {
        self.view().declared.groups.get(name).cloned().ok_or_else(|| Error::UnknownGroup(name.to_owned()))
    }

    pub(crate) fn group_status(&self, group: &Group) -> GroupStatus {
        let instances_of = |member: &Name| {
            let mut found = self.status(&Selector::Name(member.to_string())).unwrap_or_default();
            found.retain(|status| status.process == member.as_str());
            (member.to_string(), found)
        };
        let members: Vec<_> = group.members.iter().map(instances_of).collect();
        let all = || members.iter().flat_map(|(_, instances)| instances);
        let running = all().filter(|status| status.state == InstanceState::Running).count();
        let state = match running {
            0 => GroupState::Stopped,
            some if some == all().count() => GroupState::Running,
            _ => GroupState::Degraded,
        };
        GroupStatus { name: group.name.to_string(), state, members }
    }

    /// The files that an instance's output goes to: standard output, then standard error.
    pub(crate) fn log_files(&self, instance: &str) -> Result<(PathBuf, PathBuf), Error> {
        let view = self.view();
        let unknown = || Error::UnknownProcess(instance.to_owned());
        let (process, number) = view.find(instance).ok_or_else(unknown)?;
        Ok(Launch { settings: &self.settings, process, instance, number }.log_files())
    }

    /// The logs of all that is declared, and what becomes of what is put aside of them.
    pub(crate) fn logs(&self) -> BTreeMap<PathBuf, Upkeep> {
        let mut logs = BTreeMap::new();
        for process in self.view().processes.values() {
            let policy = &process.output;
            let upkeep = Upkeep { max_backups: policy.max_backups, max_age: policy.max_age, compress: policy.compress };
            for number in 1..=process.instances {
                let instance = process.instance_name(number);
                let (stdout, stderr) =
                    Launch { settings: &self.settings, process, instance: &instance, number }.log_files();
                logs.extend([(stdout, upkeep), (stderr, upkeep)]);
            }
        }
        logs
    }

    /// Everything that runs: its name and process id.
    pub(crate) fn running(&self) -> Vec<(String, u32)> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        instances.values().filter_map(|status| Some((status.name.clone(), status.pid?))).collect()
    }

    pub(crate) fn measured(&self, usages: &[(String, Usage)]) {
        let known = self.view();
        let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
        for (instance, usage) in usages {
            history.push(instance, *usage);
        }
        history.retain(|instance| known.find(instance).is_some());
    }

    pub(crate) fn measurements(&self, instance: &str) -> Result<Vec<Usage>, Error> {
        if self.view().find(instance).is_none() {
            return Err(Error::UnknownProcess(instance.to_owned()));
        }
        Ok(self.history.read().unwrap_or_else(PoisonError::into_inner).of(instance))
    }
}

impl View {
    /// The process of an instance, and its number.
    pub(crate) fn find(&self, instance: &str) -> Option<(&Arc<Process>, u32)> {
        if let Some(process) = self.processes.get(instance).filter(|process| process.instances == 1) {
            return Some((process, 1));
        }
        let (name, number) = instance.rsplit_once('-')?;
        let process = self.processes.get(name).filter(|process| process.instances > 1)?;
        let number = number.parse().ok().filter(|number| (1..=process.instances).contains(number))?;
        (process.instance_name(number) == instance).then_some((process, number))
    }
}
