//! Giving memory back that a process needed to start and does not need to wait.
//!
//! The keeper stays for as long as its children, the daemon for weeks, and both are one large program, most of whose code
//! and tables run once.

use std::fs;

/// Gives back the memory that shows files as they are: the program's own code and constants, and those of its libraries.
/// What is needed again is read from the file again, mostly from the cache of the kernel.
#[expect(unsafe_code, reason = "there is no safe way to speak of memory by its address")]
pub fn forget_files() {
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
pub fn trim_heap() {
    // SAFETY: it takes nothing that could be wrong, and locks what it looks at.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// There is nothing of the kind elsewhere.
#[cfg(not(target_env = "gnu"))]
pub fn trim_heap() {}

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
        forget_files();
        trim_heap();
        forget_files();
        assert_eq!(words.join(" "), "one two");
    }
}
