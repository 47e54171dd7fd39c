//! What makes Piton at home on a machine: version, completions, manual pages, names.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use piton_api::Version;

use crate::args::Cli;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed};
use crate::output::raw;
use crate::seed::Program;

/// Which build this is.
pub fn version(context: &Context) -> Result<Exit, Failure> {
    let version = this();
    context.out.show(&version, || format!("piton {}\n", full()))?;
    Ok(Exit::Ok)
}

fn this() -> Version {
    Version { version: env!("CARGO_PKG_VERSION").to_owned(), commit: option_env!("PITON_COMMIT").map(str::to_owned) }
}

/// `0.1.0 (commit abc, linux x86_64)`
pub fn full() -> String {
    let commit = option_env!("PITON_COMMIT").unwrap_or("unknown");
    format!("{} (commit {commit}, {} {})", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)
}

/// Completions for a shell.
pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "piton", &mut script);
    raw(&script)?;
    Ok(Exit::Ok)
}

/// Manual pages of every command and of the compatibility names.
pub fn man(context: &Context, directory: &Path) -> Result<Exit, Failure> {
    let cannot = |error: io::Error| failed(format!("cannot write manual pages to {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(cannot)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(cannot)?;
    for program in Program::ALL {
        clap_mangen::generate_to(program.command(), directory).map_err(cannot)?;
    }
    context.out.say(&format!("manual pages are in {}", directory.display()));
    Ok(Exit::Ok)
}

/// Links the compatibility names to this program.
pub fn link(context: &Context, directory: &Path, force: bool) -> Result<Exit, Failure> {
    let cannot = |error: io::Error| failed(format!("cannot link in {}: {error}", directory.display()));
    let exe = std::env::current_exe().map_err(cannot)?;
    fs::create_dir_all(directory).map_err(cannot)?;
    for program in Program::ALL {
        let path = directory.join(program.name());
        place_link(&exe, &path, force)?;
        context.out.say(&format!("{} -> {}", path.display(), exe.display()));
    }
    Ok(Exit::Ok)
}

fn place_link(exe: &Path, path: &Path, force: bool) -> Result<(), Failure> {
    let cannot = |error: io::Error| failed(format!("cannot link {}: {error}", path.display()));
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => {
            return Err(CommandError::new(Exit::Conflict, format!("{} is a directory", path.display())).into());
        }
        Ok(there) if !there.is_symlink() && !force => {
            let error = CommandError::new(Exit::Conflict, format!("{} exists and is no link", path.display()));
            return Err(error.hint("`--force` replaces it").into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    // By renaming, so that the name is never missing.
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let partial = Path::new(&partial);
    let _ = fs::remove_file(partial);
    symlink(exe, partial).and_then(|()| fs::rename(partial, path)).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_replace_links_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (exe, path) = (directory.path().join("piton"), directory.path().join("jobctl"));
        fs::write(&exe, "").unwrap();
        place_link(&exe, &path, false).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), exe);
        place_link(&exe, &path, false).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(place_link(&exe, &path, false).unwrap_err().exit(), Exit::Conflict);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        place_link(&exe, &path, true).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), exe);
    }
}
