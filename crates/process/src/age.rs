//! How long a process has lived, by the clock that nobody sets.

use std::time::Duration;

use piton_keeper::ProcessIdentity;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// How long ago this process was started; none if that was before this boot.
pub fn age_of(identity: &ProcessIdentity) -> Option<Duration> {
    if piton_keeper::BootId::current().as_ref() != Some(&identity.boot_id) {
        return None;
    }
    Some(since_boot().saturating_sub(after_boot(identity.start_ticks)))
}

/// When this boot was, by the clock as it is set now, since 1970. A start of a process in ticks is added to it to tell
/// people, and other programs, when it was.
pub fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    duration(now.tv_sec, now.tv_nsec).saturating_sub(since_boot())
}

/// Clock ticks, as in `/proc/PID/stat`, as a duration.
pub fn after_boot(ticks: u64) -> Duration {
    let each = clock_ticks_per_second().max(1);
    Duration::from_secs(ticks / each) + Duration::from_nanos((ticks % each) * 1_000_000_000 / each)
}

/// How long ago this boot was. Nobody sets this clock, and every process of the boot counts alike.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    duration(now.tv_sec, now.tv_nsec)
}

fn duration(seconds: i64, nanos: i64) -> Duration {
    let nanos = u32::try_from(nanos).unwrap_or_default();
    Duration::new(u64::try_from(seconds).unwrap_or_default(), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_young_and_was_started_after_the_boot() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        let age = age_of(&me).unwrap();
        assert!(age < Duration::from_secs(600), "{age:?}");
        assert!(after_boot(me.start_ticks) + age <= since_boot());
        let json = serde_json::json!({"pid": me.pid, "start_ticks": me.start_ticks, "boot_id": "another"});
        assert_eq!(age_of(&serde_json::from_value(json).unwrap()), None);
    }
}
