//! Asks the tool whether a template is good code.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use piton_model::Name;
use piton_tools::Installed;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Error;
use crate::{said, tree};

/// What the tool thinks of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Validation {
    /// The template.
    pub name: Name,
    /// No error was found.
    pub valid: bool,
    /// Everything that was found, errors first.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that the tool found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// More, where there is more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The file, relative to the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The tool would refuse the code.
    Error,
    /// Worth knowing.
    Warning,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    diagnostics: Vec<Reported>,
}

#[derive(Deserialize)]
struct Reported {
    severity: Severity,
    summary: String,
    #[serde(default)]
    detail: String,
    range: Option<Range>,
}

#[derive(Deserialize)]
struct Range {
    filename: String,
    start: Start,
}

#[derive(Deserialize)]
struct Start {
    line: u32,
}

/// `copy` holds the template's files, and may be written to.
pub(super) async fn validate(
    name: &Name,
    copy: &Path,
    files: &[PathBuf],
    tool: &Installed,
    environment: &BTreeMap<String, String>,
) -> Result<Validation, Error> {
    let result = |diagnostics: Vec<Diagnostic>| Validation {
        name: name.clone(),
        valid: !diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error),
        diagnostics,
    };
    let is_root = |file: &&PathBuf| file.parent() == Some(Path::new(""));
    if !files.iter().filter(is_root).any(|file| file.to_str().is_some_and(tree::is_code)) {
        return Ok(result(vec![complaint("the template has no code: there is no `*.tf` file at its root")]));
    }
    let settings = tempfile::NamedTempFile::new().map_err(Error::io("create a file below", &std::env::temp_dir()))?;
    let tool = Asked { tool, copy, settings: settings.path(), environment };

    // Modules and providers are needed to check anything more than the syntax.
    let init = tool.ask(["init", "-backend=false", "-input=false", "-no-color"]).await?;
    let checked = tool.ask(["validate", "-json", "-no-color"]).await?;
    let unreadable = |error: serde_json::Error| Error::Tool {
        problem: said::error(&printed(&checked))
            .unwrap_or_else(|| format!("the tool's answer is not readable: {error}")),
    };
    let report: Report = serde_json::from_slice(&checked.stdout).map_err(unreadable)?;
    let mut diagnostics: Vec<Diagnostic> = report.diagnostics.into_iter().map(Diagnostic::from).collect();
    if !init.status.success() {
        // That something is not installed is no news then, and not the template's fault; why it is not, may be.
        let complaint_of_init = said::error(&printed(&init)).unwrap_or_else(|| "init failed".to_owned());
        diagnostics.retain(|diagnostic| !diagnostic.is_about_installation());
        if !diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            diagnostics.push(complaint(&complaint_of_init));
        }
    }
    diagnostics.sort_by(|a, b| (a.severity, &a.file, a.line).cmp(&(b.severity, &b.file, b.line)));
    Ok(result(diagnostics))
}

impl Diagnostic {
    fn is_about_installation(&self) -> bool {
        ["Missing required provider", "Module not installed", "Required plugins are not installed"]
            .iter()
            .any(|summary| self.summary.starts_with(summary))
    }
}

impl From<Reported> for Diagnostic {
    fn from(reported: Reported) -> Diagnostic {
        let (file, line) = match reported.range {
            Some(range) => (Some(range.filename), Some(range.start.line)),
            None => (None, None),
        };
        Diagnostic { severity: reported.severity, summary: reported.summary, detail: reported.detail, file, line }
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.summary)?,
            (Some(file), None) => write!(f, "{file}: {}", self.summary)?,
            (None, _) => write!(f, "{}", self.summary)?,
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail.split_whitespace().collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

fn complaint(summary: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Error, summary: summary.to_owned(), detail: String::new(), file: None, line: None }
}

struct Asked<'a> {
    tool: &'a Installed,
    copy: &'a Path,
    settings: &'a Path,
    environment: &'a BTreeMap<String, String>,
}

impl Asked<'_> {
    async fn ask<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Output, Error> {
        Command::new(&self.tool.path)
            .args(args)
            .current_dir(self.copy)
            .env_clear()
            .envs(self.environment)
            .env("TF_CLI_CONFIG_FILE", self.settings)
            .envs(crate::environment::AUTOMATION)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Error::Tool { problem: format!("cannot start {}: {error}", self.tool.path.display()) })
    }
}

fn printed(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
