//! What surrounds declarations: the global environment, and what holds where they say nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use piton_model::{OutputPolicy, Secret};

use super::dotenv::Variables;
use super::template::{Template, resolve};
use crate::diagnostic::{Diagnostic, Place};
use crate::fields::shown;

/// What the configuration says about all processes, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessDefaults {
    /// Relative paths in declarations are relative to this directory.
    pub base: PathBuf,
    /// `use_os_env`
    pub inherit_env: bool,
    /// `env`, each with its references.
    pub env: BTreeMap<String, Secret<String>>,
    /// Where each of `env` stands, if in a file.
    pub env_places: BTreeMap<String, Place>,
    /// `env_files`
    pub env_files: Vec<PathBuf>,
    /// `[log]`, as far as it is about the output of processes.
    pub output: OutputPolicy,
    /// The environment of the daemon, which references may name: all of it where processes inherit it.
    pub daemon: Arc<BTreeMap<String, Secret<String>>>,
}

/// What surrounds the declaration of a process: [`ProcessDefaults`] with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub(crate) base: PathBuf,
    pub(crate) inherit_env: bool,
    /// `env` and `env_files`, a later file over an earlier one.
    pub(crate) global: BTreeMap<String, Secret<String>>,
    pub(crate) daemon: Arc<BTreeMap<String, Secret<String>>>,
    pub(crate) output: OutputPolicy,
}

/// What of the daemon's environment references may name where processes do not inherit it: nothing that is secret.
const HARMLESS: [&str; 10] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "HOSTNAME", "PWD"];

impl ProcessDefaults {
    /// The defaults of declarations in `base`, where nothing is configured.
    pub fn new(base: &Path) -> ProcessDefaults {
        ProcessDefaults { base: base.to_path_buf(), ..ProcessDefaults::default() }
    }

    /// Resolves references, given the content of the environment files in their order. `file` is what diagnostics are
    /// about.
    pub(crate) fn resolve(&self, files: &[(PathBuf, Variables)], file: &Path) -> (Surroundings, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let mut around = Surroundings {
            base: self.base.clone(),
            inherit_env: self.inherit_env,
            global: BTreeMap::new(),
            daemon: Arc::clone(&self.daemon),
            output: self.output.clone(),
        };
        let own = Variables {
            values: self.env.iter().map(|(name, value)| (name.clone(), Template::parse(value.expose()))).collect(),
            places: self.env_places.clone(),
        };
        let files = files.iter().map(|(file, layer)| (Diagnostic::error(&**file, "", ""), layer));
        let layers = std::iter::once((Diagnostic::error(file, "", "").field("env"), &own)).chain(files);
        for (about, layer) in layers {
            let (values, unknown) = around.resolve(&layer.values);
            around.global.extend(values);
            found.extend(unknown.into_iter().map(|unknown| {
                let about = match layer.places.get(unknown.variable()) {
                    Some(place) => about.clone().at(*place),
                    None => about.clone(),
                };
                unknown.diagnostic(about)
            }));
        }
        (around, found)
    }
}

impl Surroundings {
    /// What a reference in a declaration sees.
    fn lookup(&self, name: &str) -> Option<&str> {
        let daemon = || {
            let visible = self.inherit_env || HARMLESS.contains(&name);
            self.daemon.get(name).filter(|_| visible)
        };
        self.global.get(name).or_else(daemon).map(|value| value.expose().as_str())
    }

    /// Resolves a layer over the global environment.
    pub(crate) fn resolve(
        &self,
        layer: &BTreeMap<String, Template>,
    ) -> (BTreeMap<String, Secret<String>>, Vec<Unresolved>) {
        self.resolve_over(layer, &BTreeMap::new())
    }

    /// Resolves a layer over another one and the global environment.
    pub(crate) fn resolve_over(
        &self,
        layer: &BTreeMap<String, Template>,
        below: &BTreeMap<String, Secret<String>>,
    ) -> (BTreeMap<String, Secret<String>>, Vec<Unresolved>) {
        let below = |name: &str| below.get(name).map(|value| value.expose().as_str()).or_else(|| self.lookup(name));
        let resolved = resolve(layer, below);
        let unknown =
            resolved.unknown.into_iter().map(|(variable, reference)| Unresolved::Unknown { variable, reference });
        let unresolved = unknown.chain(resolved.too_long.into_iter().map(|variable| Unresolved::TooLong { variable }));
        let unresolved = unresolved.collect();
        (resolved.values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(), unresolved)
    }
}

/// A reference that could not be resolved.
#[derive(Debug)]
pub(crate) enum Unresolved {
    Unknown { variable: String, reference: String },
    TooLong { variable: String },
}

impl Unresolved {
    /// The variable whose value it is about.
    pub(crate) fn variable(&self) -> &str {
        match self {
            Unresolved::Unknown { variable, .. } | Unresolved::TooLong { variable } => variable,
        }
    }

    /// The diagnostic, at the place where `at` is.
    pub(crate) fn diagnostic(self, at: Diagnostic) -> Diagnostic {
        match self {
            Unresolved::Unknown { variable, reference } => {
                let message = format!("`{}` refers to `{}`, which is not set", shown(&variable), shown(&reference));
                let severity = crate::Severity::Warning;
                Diagnostic { severity, code: "unknown_reference", message, ..at }
                    .hint(format!("it stays empty; `${{{}:-VALUE}}` says what to take instead", shown(&reference)))
            }
            Unresolved::TooLong { variable } => {
                let message = format!("the value of `{}` is longer than the kernel takes", shown(&variable));
                Diagnostic { code: "too_large", message, ..at }
            }
        }
    }
}
