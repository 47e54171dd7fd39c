//! Keeps a command from files that are none of its business.
//!
//! Landlock, which the kernel offers to every process, only ever allows: whoever restricts himself names the hierarchies
//! that stay open to him. So what shall be hidden is hidden by naming everything beside it, from the root of the file
//! system down ([`open_beside`]). The restriction is taken on by a program of our own, which then becomes the command:
//! `piton confine … -- PROGRAM …` ([`enter`]).
//!
//! A confined process, and whatever it starts, also may not look into processes outside (`/proc/PID/environ`, `fd`,
//! `mem`), nor signal them, nor gain privileges. The superuser loses the powers that see past all that ([`BEYOND`]), and
//! nobody reads the disks behind the file systems. The kernel does not hold anybody back from sockets: who serves one has
//! to look who comes ([`lineage`](piton_keeper::lineage)).

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};

/// The newest version of Landlock that is made use of. Older kernels do what they know of it.
const NEWEST: ABI = ABI::V6;

/// As a shell says that a program cannot be started.
const NOT_STARTED: u8 = 126;

/// What the superuser may do that no rule about files and processes holds for: read the memory and the environment of any
/// process (`PERFMON` is enough for that on newer kernels), mount, make devices and read them, open files by their number
/// instead of their path, and change the kernel. Files of others can still be read: they are what rules are about.
const BEYOND: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::MAC_ADMIN)
    .union(CapabilitySet::MAC_OVERRIDE);

/// Why a command was not confined, and so not started.
#[derive(Debug, thiserror::Error)]
enum Unconfined {
    #[error(transparent)]
    Rules(#[from] RulesetError),
    #[error("its powers cannot be taken away: {0}")]
    Powers(#[from] Errno),
}

/// What a command may not see, and what of it it may after all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files and directories that are hidden.
    pub hidden: Vec<PathBuf>,
    /// What may be read and executed nevertheless.
    pub read: Vec<PathBuf>,
    /// What may be read, executed and changed nevertheless.
    pub write: Vec<PathBuf>,
}

impl Confinement {
    /// The command line that runs `argv` confined. `launcher` is a program that calls [`enter`] with what follows it.
    pub fn wrap(&self, launcher: &[String], argv: Vec<String>) -> Vec<String> {
        let option = |name: &str, path: &PathBuf| [name.to_owned(), path.display().to_string()];
        let mut wrapped = launcher.to_vec();
        wrapped.extend(self.hidden.iter().flat_map(|path| option("--hide", path)));
        wrapped.extend(self.read.iter().flat_map(|path| option("--read", path)));
        wrapped.extend(self.write.iter().flat_map(|path| option("--write", path)));
        wrapped.push("--".to_owned());
        wrapped.extend(argv);
        wrapped
    }

    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<(Confinement, Vec<OsString>)> {
        let mut arguments = arguments.into_iter();
        let mut confinement = Confinement::default();
        loop {
            let option = arguments.next()?;
            let list = match option.to_str()? {
                "--hide" => &mut confinement.hidden,
                "--read" => &mut confinement.read,
                "--write" => &mut confinement.write,
                "--" => break,
                _ => return None,
            };
            list.push(arguments.next()?.into());
        }
        Some((confinement, arguments.collect()))
    }

    /// Confines the calling thread, and what it starts, for good.
    fn take_on(&self) -> Result<(), Unconfined> {
        give_up_powers()?;
        // A link to what is hidden hides nothing: what counts is where it leads.
        let hidden = self.hidden.iter().filter_map(|path| path.canonicalize().ok());
        let hidden: Vec<PathBuf> = hidden.chain(disks()).collect();
        let all = AccessFs::from_all(NEWEST);
        let status = Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(open_beside(Path::new("/"), &hidden), all))?
            .add_rules(path_beneath_rules(&self.read, AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(&self.write, all))?
            .restrict_self()?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Ok(demand().map(|_| ())?),
        }
    }
}

/// For good: no program that is executed later, whoever owns it, brings them back.
fn give_up_powers() -> Result<(), Errno> {
    let has = capabilities(None)?;
    if !has.permitted.union(has.inheritable).intersects(BEYOND) {
        return Ok(());
    }
    for power in BEYOND.iter() {
        match remove_capability_from_bounding_set(power) {
            // This kernel does not know it, or it cannot come back anyway, since no program gives privileges here.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    let mut keeps = has;
    keeps.effective.remove(BEYOND);
    keeps.permitted.remove(BEYOND);
    keeps.inheritable.remove(BEYOND);
    set_capabilities(None, keeps)
}

/// What the file systems lie on.
fn disks() -> impl Iterator<Item = PathBuf> {
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten();
    devices.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device())).map(|entry| entry.path())
}

/// Keeps others of the same user from looking into this process, and its memory from a core dump. What it executes is not
/// affected.
pub fn hide_this_process() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // Fails on no kernel that is known; without it, this process is as open as any other.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Whether this kernel can confine.
pub fn is_supported() -> bool {
    demand().is_ok()
}

/// Fails where the kernel does not know the oldest version.
fn demand() -> Result<landlock::RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .create()
}

/// Confines the process as its arguments say and becomes the program that they name. Returns only if it cannot.
pub fn enter(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let complain = |message: &str| {
        // Nobody listens if this fails; the code still says it.
        let _ = writeln!(std::io::stderr(), "piton: {message}");
        ExitCode::from(NOT_STARTED)
    };
    let Some((confinement, argv)) = Confinement::parse(arguments) else {
        return complain("confine: wrong arguments");
    };
    let [program, arguments @ ..] = argv.as_slice() else { return complain("confine: no program is named") };
    // Who runs beside what shall not be seen does not run at all.
    if let Err(error) = confinement.take_on() {
        return complain(&format!("the command cannot be confined: {error}"));
    }
    #[expect(clippy::disallowed_methods, reason = "nothing is started: this process becomes the program")]
    let error = Command::new(program).args(arguments).exec();
    complain(&format!("cannot start {}: {error}", program.display()))
}

/// The hierarchies that, together, are everything below `from` but what is `hidden`, which has to be canonical.
///
/// The directories on the way to what is hidden cannot be among them, so they cannot be listed, and nothing can be
/// created directly in them.
pub fn open_beside(from: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    if hidden.iter().any(|hidden| from.starts_with(hidden)) {
        return Vec::new();
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(from)) {
        return vec![from.to_owned()];
    }
    let Ok(entries) = fs::read_dir(from) else { return Vec::new() };
    entries
        .flatten()
        // Where a link leads is open, or not, by its own name.
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .flat_map(|entry| open_beside(&entry.path(), hidden))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_what_is_hidden_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["etc", "var/lib/piton/runs", "var/lib/other", "var/log"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("var/lib/file"), "").unwrap();
        std::os::unix::fs::symlink(root.join("var/lib/piton"), root.join("var/lib/link")).unwrap();
        let open = |hidden: &[&str]| {
            let hidden: Vec<PathBuf> = hidden.iter().map(|name| root.join(name)).collect();
            let mut found: Vec<String> = open_beside(&root, &hidden)
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .collect();
            found.sort();
            found
        };
        assert_eq!(open(&[]), [""]);
        assert_eq!(open(&["var/lib/piton"]), ["etc", "var/lib/file", "var/lib/other", "var/log"]);
        assert_eq!(open(&["var/lib/piton", "var/lib/file"]), ["etc", "var/lib/other", "var/log"]);
        assert_eq!(open(&["var/lib/piton", "var/lib/piton/runs"]), ["etc", "var/lib/file", "var/lib/other", "var/log"]);
        assert_eq!(open(&["var/lib/pit"]), ["etc", "var/lib/file", "var/lib/other", "var/lib/piton", "var/log"]);
        assert!(open(&[""]).is_empty());
    }

    #[test]
    fn the_command_line_is_read_as_it_was_written() {
        let confinement =
            Confinement { hidden: vec!["/a".into()], read: vec!["/b".into(), "/c".into()], write: vec!["--".into()] };
        let argv = vec!["sh".to_owned(), "--".to_owned(), "--hide".to_owned()];
        let line = confinement.wrap(&["piton".to_owned(), "confine".to_owned()], argv.clone());
        assert_eq!(line[..2], ["piton", "confine"]);
        let (read, rest) = Confinement::parse(line.into_iter().skip(2).map(OsString::from)).unwrap();
        assert_eq!(read, confinement);
        assert_eq!(rest, argv.into_iter().map(OsString::from).collect::<Vec<_>>());
        let parse = |line: &[&str]| Confinement::parse(line.iter().map(OsString::from));
        for nonsense in [&[] as &[&str], &["sh"], &["--hide"], &["--hide", "/a"], &["--show", "/a", "--", "sh"]] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }
}
