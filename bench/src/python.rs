//! Programs from PyPI, for peers that are written in Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::ensure;

/// The interpreter of an environment that has what `bench/peers/NAME/requirements.txt` asks for. Its programs lie beside it.
pub fn python_of(name: &str, sources: &Path, binaries: &Path) -> anyhow::Result<PathBuf> {
    let place = binaries.join("bench-peers").join(name);
    let python = place.join("bin/python");
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&place).stdout(Stdio::null()).status()?;
        ensure!(made.success(), "no Python environment could be made");
    }
    let needs = sources.join("bench/peers").join(name).join("requirements.txt");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(needs);
    ensure!(pip.status()?.success(), "they could not be installed");
    Ok(python)
}
