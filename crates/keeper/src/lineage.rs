//! Who a process descends from.

use crate::proc_table::Stat;

/// How often a walk begins again because somebody on the way ended. Their children go to another parent at once.
const TRIES: usize = 3;

/// The process itself, its parent, and so on up to the first one that can be seen. None if the process is gone.
///
/// A keeper is the parent of all orphans among its descendants, so as long as it lives it is in the lineage of each of
/// them, whatever they did to leave.
pub fn lineage(pid: u32) -> Option<Vec<u32>> {
    (0..TRIES).find_map(|_| walk(pid))
}

fn walk(pid: u32) -> Option<Vec<u32>> {
    let mut lineage = vec![pid];
    let mut parent = Stat::read(pid)?.parent;
    while parent != 0 && !lineage.contains(&parent) {
        lineage.push(parent);
        parent = Stat::read(parent)?.parent;
    }
    Some(lineage)
}

/// Whether the process, and whatever it becomes, can gain no privileges: as confinement demands, and passes on. True if
/// that cannot be told.
pub fn is_held_down(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:")).is_none_or(|value| value.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_the_process_and_goes_on_with_its_parent() {
        let found = lineage(std::process::id()).unwrap();
        assert_eq!(found[..2], [std::process::id(), std::os::unix::process::parent_id()]);
        assert_eq!(lineage(u32::MAX), None);
        assert!(is_held_down(u32::MAX));
    }
}
