//! Giving memory back that a process needed to start and does not need to wait.
//!
//! The keeper stays for as long as its children, the daemon for weeks, and both are one large program, most of whose code
//! and tables run once.

use std::fs;
use std::time::{Duration, Instant};

/// So much of what needs memory is a burst.
const MANY: u64 = 200;
/// It is over once nothing more has happened for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Much that happens at once, such as starts and ends of processes, after which it is worth the while to give back what
/// it needed. Pure.
#[derive(Debug, Default)]
pub struct Burst {
    count: u64,
    last: Option<Instant>,
}

impl Burst {
    /// So much has happened since this was last said.
    pub fn note(&mut self, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        // What happens now and then is none, however much it comes to in a week. One that is over and was not asked about
        // yet still counts.
        let is_near = |last: Instant| now.saturating_duration_since(last) <= QUIET;
        let goes_on = self.count >= MANY || self.last.is_some_and(is_near);
        self.count = if goes_on { self.count.saturating_add(count) } else { count };
        self.last = Some(now);
    }

    /// When it may be over.
    pub fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.count >= MANY).map(|last| last + QUIET)
    }

    /// Whether it is over. Once for each.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.due().is_some_and(|due| due <= now);
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

/// So much more than after it last gave back is worth the while.
const MUCH: u64 = 4 * 1024 * 1024;
/// Whoever has worked for no longer since the last look is at rest.
const REST: Duration = Duration::from_millis(100);
/// After so much work there may be much that is free, also where there is no more memory than was left.
const LONG: Duration = Duration::from_secs(2);

/// What a process uses.
#[derive(Debug, Clone, Copy)]
struct Used {
    /// Bytes of memory that are its own, and no file's.
    memory: u64,
    /// For how long it has worked, all threads together.
    worked: Duration,
}

impl Used {
    /// What this process uses now; nothing where the kernel does not say.
    fn now() -> Option<Used> {
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
        let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        let worked = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let worked = Duration::new(worked.tv_sec.try_into().ok()?, worked.tv_nsec.try_into().ok()?);
        Some(Used { memory: resident.saturating_sub(shared).saturating_mul(page), worked })
    }
}

/// Notices that much memory was needed for what is over: there is more of it than at the lowest since some was last given
/// back, or much was done since then, and nothing is going on. While something is, what is given back would be needed
/// again at once.
#[derive(Debug, Default)]
pub struct Ebb {
    low: u64,
    worked: Duration,
    /// What had been worked when memory was last given back.
    left_at: Duration,
}

impl Ebb {
    /// Gives free memory back, where that is worth the while now. To be called every few seconds.
    pub fn give_back(&mut self) {
        if let Some(used) = Used::now().filter(|used| self.is_worth_it(*used)) {
            trim_heap();
            self.left(Used::now().unwrap_or(used));
        }
    }

    /// Whether it is worth the while. Pure.
    fn is_worth_it(&mut self, now: Used) -> bool {
        let since = now.worked.saturating_sub(std::mem::replace(&mut self.worked, now.worked));
        // Some of it may be given back by others.
        self.low = self.low.min(now.memory);
        let was_long = now.worked.saturating_sub(self.left_at) >= LONG;
        since <= REST && (was_long || now.memory > self.low.saturating_add(MUCH))
    }

    /// This is what was left.
    fn left(&mut self, now: Used) {
        (self.low, self.left_at) = (now.memory, now.worked);
    }
}

/// Gives back all that was needed for what is over.
pub fn give_back() {
    trim_heap();
    forget_files();
}

/// Gives back the memory that shows files as they are: the program's own code and constants, and those of its libraries.
/// What is needed again is read from the file again, mostly from the cache of the kernel.
#[expect(unsafe_code, reason = "there is no safe way to speak of memory by its address")]
fn forget_files() {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (start, length) in unchanged(&maps) {
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is mapped from a file, may not be written, and holds no page that differs from the file: a
        // page that is needed again, at once or later, is read from there.
        let _ = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Gives back the free memory that the allocator keeps, after something that took a lot of it for a moment.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library offers it no other way")]
fn trim_heap() {
    // SAFETY: it takes nothing that could be wrong, and locks what it looks at.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// There is nothing of the kind elsewhere.
#[cfg(not(target_env = "gnu"))]
fn trim_heap() {}

/// Start and length of every mapping of a file that nobody may write and of which no page was ever changed, as the linker
/// changes some before it makes them read-only.
fn unchanged(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut range = None;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(first) = fields.next() else { continue };
        if let Some((start, length)) = addresses(first) {
            let only_read = fields.next().is_some_and(|rights| ["r-xp", "r--p"].contains(&rights));
            let of_a_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
            range = (only_read && of_a_file).then_some((start, length));
        } else if first == "Anonymous:" && fields.next() == Some("0") {
            found.extend(range.take());
        }
    }
    found
}

/// Start and length of the mapping whose first line begins with this word; nothing where it begins no such line.
fn addresses(word: &str) -> Option<(usize, usize)> {
    let (start, end) = word.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_its_file_says_is_forgotten() {
        let maps = "\
1000-3000 r--p 00000000 fe:00 7                     /usr/bin/piton
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
3000-9000 r-xp 00002000 fe:00 7                     /usr/bin/piton
Anonymous:             0 kB
9000-a000 r--p 00008000 fe:00 7                     /usr/bin/piton
Anonymous:             4 kB
a000-b000 rw-p 00009000 fe:00 7                     /usr/bin/piton
Anonymous:             0 kB
b000-c000 rw-p 00000000 00:00 0                     [heap]
Anonymous:             4 kB
c000-d000 r--s 00000000 fe:00 9                     /var/lib/piton/piton.db-shm
Anonymous:             0 kB
d000-e000 r-xp 00000000 00:00 0                     [vdso]
Anonymous:             0 kB
";
        assert_eq!(unchanged(maps), [(0x1000, 0x2000), (0x3000, 0x6000)]);
    }

    #[test]
    fn a_process_goes_on_without_what_it_forgot() {
        let words = ["one", "two"].map(str::to_owned);
        give_back();
        give_back();
        assert_eq!(words.join(" "), "one two");
    }

    #[test]
    fn memory_is_given_back_at_rest_and_where_there_is_more_than_was_left() {
        let used = |memory: u64, millis: u64| Used { memory, worked: Duration::from_millis(millis) };
        let mut ebb = Ebb::default();
        assert!(!ebb.is_worth_it(used(MUCH * 10, 5_000)), "it works");
        assert!(ebb.is_worth_it(used(MUCH * 10, 5_100)), "it rests");
        ebb.left(used(MUCH * 2, 5_150));
        assert!(!ebb.is_worth_it(used(MUCH * 3, 5_200)), "not much more");
        assert!(ebb.is_worth_it(used(MUCH * 3 + 1, 5_200)));
        ebb.left(used(MUCH * 3, 5_200));
        assert!(!ebb.is_worth_it(used(MUCH * 4, 5_200)), "all of it is needed");
        assert!(!ebb.is_worth_it(used(MUCH, 5_250)), "others gave it back");
        assert!(ebb.is_worth_it(used(MUCH * 2 + 1, 5_300)), "it has grown since");
        // What was needed before is free, and hides behind what was left.
        ebb.left(used(MUCH * 9, 5_300));
        assert!(!ebb.is_worth_it(used(MUCH * 9, 7_250)), "it works");
        assert!(!ebb.is_worth_it(used(MUCH * 9, 7_299)), "it has done little");
        assert!(ebb.is_worth_it(used(MUCH * 9, 7_300)), "it has done much");
        ebb.left(used(MUCH, 7_310));
        assert!(!ebb.is_worth_it(used(MUCH, 7_350)), "once is enough");
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        let before = Used::now().unwrap();
        let much = vec![1_u8; 32 << 20];
        let after = Used::now().unwrap();
        assert!(after.memory > before.memory + (16 << 20), "{before:?} {after:?}");
        assert!(after.worked > before.worked);
        drop(much);
    }

    #[test]
    fn a_burst_is_over_once_when_all_has_been_quiet_for_a_while() {
        let begin = Instant::now();
        let after = |millis: u64| begin + Duration::from_millis(millis);
        // What happens, each after so many milliseconds; and after how many it is over, if there was a burst.
        let check = |notes: &[(u64, u64)], over: Option<u64>, what: &str| {
            let mut burst = Burst::default();
            for (millis, count) in notes {
                burst.note(*count, after(*millis));
            }
            assert_eq!(burst.due(), over.map(after), "{what}");
            let Some(over) = over else { return assert!(!burst.is_over(after(3_600_000)), "{what}") };
            assert!(!burst.is_over(after(over - 1)) && burst.is_over(after(over)), "{what}");
            assert!(burst.due().is_none() && !burst.is_over(after(over)), "{what}: once");
        };
        check(&[], None, "nothing");
        check(&[(0, 199)], None, "not many");
        check(&[(0, 200)], Some(2000), "many");
        check(&[(0, 199), (500, 1), (1000, 1)], Some(3000), "it went on");
        check(&[(0, 100), (2000, 100)], Some(4000), "it went on, only just");
        check(&[(0, 199), (2001, 199), (4002, 199)], None, "now and then");
        check(&[(0, 200), (1500, 0)], Some(2000), "nothing makes it no longer");
        check(&[(0, 200), (5000, 1)], Some(7000), "nobody has asked in between");
        check(&[(0, u64::MAX), (1, 1)], Some(2001), "very many");
    }
}
