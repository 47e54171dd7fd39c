//! As whom and within which limits a child runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use crate::os_text;

/// As whom and within which limits a child runs. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// User, group and supplementary groups, by number; names are the caller's business.
    pub identity: Option<Identity>,
    /// The file mode creation mask.
    pub umask: Option<u32>,
    /// The scheduling priority.
    pub nice: Option<i32>,
    /// How readily the kernel kills it when memory is short.
    pub oom_score_adj: Option<i32>,
    /// It may gain no privileges by executing programs.
    pub no_new_privileges: bool,
    /// A regular file to read standard input from; none for `/dev/null`.
    #[serde(with = "os_text::optional")]
    pub stdin: Option<PathBuf>,
    /// Soft and hard limits by the lower-case name of the resource, such as `nofile`; none for no limit.
    pub rlimits: BTreeMap<String, (Option<u64>, Option<u64>)>,
    /// Memory in bytes, where control groups are delegated.
    pub memory_max: Option<u64>,
    /// Share of the processor in percent of one core, where control groups are delegated.
    pub cpu_percent: Option<u32>,
    /// Processes, where control groups are delegated.
    pub pids_max: Option<u32>,
}

impl Limits {
    /// Whether nothing is changed.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it takes a program of its own between the keeper and the child to bring them about.
    pub(crate) fn need_launcher(&self) -> bool {
        // Standard input is opened by the keeper.
        !Self { stdin: None, ..self.clone() }.is_default()
    }

    /// Whether it takes a control group.
    pub(crate) fn need_group(&self) -> bool {
        self.memory_max.is_some() || self.cpu_percent.is_some() || self.pids_max.is_some()
    }

    /// Says what means nothing on any machine.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let within = |what: &str, value: Option<i32>, least: i32, most: i32| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(format!("{what} is a number from {least} to {most}, not {value}"))
            }
            _ => Ok(()),
        };
        within("nice", self.nice, -20, 19)?;
        within("oom_score_adj", self.oom_score_adj, -1000, 1000)?;
        if let Some(mask) = self.umask.filter(|mask| *mask > 0o777) {
            return Err(format!("a umask has at most the bits 0777, not {mask:#o}"));
        }
        for (name, (soft, hard)) in &self.rlimits {
            if resource(name).is_none() {
                return Err(format!("{name:?} is no resource that can be limited; those are {}", names()));
            }
            // None is no limit, hence above all.
            if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
                return Err(format!("the soft limit of {name} is above the hard one"));
            }
        }
        let zero = [
            ("memory_max", self.memory_max == Some(0)),
            ("cpu_percent", self.cpu_percent == Some(0)),
            ("pids_max", self.pids_max == Some(0)),
        ];
        match zero.iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(format!("{name} must not be zero")),
            None => Ok(()),
        }
    }
}

/// Every resource by its name in lower case.
const RESOURCES: &[(&str, Resource)] = &[
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

pub(crate) fn resource(name: &str) -> Option<Resource> {
    RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
}

fn names() -> String {
    RESOURCES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Who a child is to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Numbers of the supplementary groups.
    pub groups: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_named() {
        let rlimit =
            |name: &str, soft, hard| Limits { rlimits: [(name.to_owned(), (soft, hard))].into(), ..Limits::default() };
        let cases = [
            (Limits { nice: Some(20), ..Limits::default() }, "nice is a number from -20 to 19, not 20"),
            (Limits { oom_score_adj: Some(-1001), ..Limits::default() }, "oom_score_adj is a number from -1000"),
            (Limits { umask: Some(0o1000), ..Limits::default() }, "not 0o1000"),
            (Limits { pids_max: Some(0), ..Limits::default() }, "pids_max must not be zero"),
            (rlimit("files", None, None), "\"files\" is no resource that can be limited; those are as, core"),
            (rlimit("nofile", Some(2), Some(1)), "the soft limit of nofile is above the hard one"),
            (rlimit("nofile", None, Some(1)), "the soft limit of nofile is above the hard one"),
        ];
        for (limits, words) in cases {
            let error = limits.validate().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for good in [rlimit("nofile", Some(1), None), rlimit("core", Some(0), Some(0)), Limits::default()] {
            assert_eq!(good.validate(), Ok(()));
        }
    }

    #[test]
    fn a_limit_this_version_does_not_know_is_refused() {
        assert!(serde_json::from_str::<Limits>(r#"{"nice":1}"#).is_ok());
        assert!(serde_json::from_str::<Limits>(r#"{"levitate":1}"#).is_err());
    }
}
