//! What deployed code may see of what Piton keeps: its own, and nothing else.

use std::path::PathBuf;

use piton_model::{Action, Source};
use piton_process::confinement::Confinement;

use crate::pass::{Child, Pass};
use crate::verdict::Doing;

/// Longer paths leave too little of a socket's address to the names that plugins give theirs.
const LONGEST_TEMP_DIR: usize = 88;

/// Whether, and how, children of infrastructure steps are kept from what is not theirs.
#[derive(Debug, Clone, Default)]
pub enum Confine {
    /// They are not.
    #[default]
    Never,
    /// They are not, and every run says so: this system cannot do it.
    Unavailable,
    /// They have to be, and this system cannot do it: runs fail.
    Impossible,
    /// They are.
    Hide {
        /// The program that takes on the confinement and then becomes the command.
        launcher: Vec<String>,
        /// What they may not see but for what is theirs. Paths that are not there hide nothing.
        hidden: Vec<PathBuf>,
    },
}

impl Pass<'_> {
    /// The command line of a child, and its directory for temporary files if it has one of its own.
    pub(crate) fn confined(&self, child: &Child) -> (Vec<String>, Option<PathBuf>) {
        let Confine::Hide { launcher, hidden } = &self.world.config.confine else { return (child.argv.clone(), None) };
        // What jobs do is declared by who runs Piton, not by code from elsewhere.
        let Action::Iac(iac) = &*self.input.run.action else { return (child.argv.clone(), None) };
        let config = &self.world.config;
        let raw = self.world.logs.raw_path(self.input.run.id, &self.token(child.what));
        let mut confinement = Confinement {
            hidden: hidden.clone(),
            read: vec![config.tools_dir(), config.cli_config()],
            // The output files are open anyway; by name they are `/dev/stdout` and `/dev/stderr`.
            write: vec![config.deployment_dir(&iac.deployment), self.files.work(), raw.with_extension("err"), raw],
        };
        // What one deployment executes, another one must not write.
        let cache = config.plugin_caches_dir();
        match child.doing {
            Doing::Init => confinement.write.push(cache),
            _ => confinement.read.push(cache),
        }
        match &iac.source {
            Source::Directory { path } => confinement.read.push(path.clone()),
            Source::Template { overlay, .. } => confinement.read.extend(overlay.clone()),
            Source::Git(_) => {}
        }
        let temp = self.files.temp();
        let own_temp = !iac.env.contains_key("TMPDIR") && temp.as_os_str().len() <= LONGEST_TEMP_DIR;
        (confinement.wrap(launcher, child.argv.clone()), own_temp.then_some(temp))
    }
}
