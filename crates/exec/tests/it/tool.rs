//! The real tools on this machine.

use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) path: PathBuf,
}

impl Tool {
    /// `tofu` as `PITON_TEST_TOFU` names it or as it is on PATH, and `terraform` as it is on PATH.
    pub(crate) fn all() -> Vec<Tool> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path =
            |program: &str| std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
        let named = std::env::var_os("PITON_TEST_TOFU").map(PathBuf::from);
        let tofu = named.or_else(|| on_path("tofu")).map(|path| Tool { program: "tofu", path });
        let terraform = on_path("terraform").map(|path| Tool { program: "terraform", path });
        tofu.into_iter().chain(terraform).collect()
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)
    }
}
