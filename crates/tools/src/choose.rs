//! The choice itself: a pure function of what is asked, what is installed and what was released.

use std::cmp::Reverse;
use std::fmt;
use std::path::PathBuf;

use crate::claim::{Claim, Place};
use crate::constraint::Constraints;
use crate::error::Error;
use crate::inventory::{Found, Installed};
use crate::pins::Pin;
use crate::required::Required;
use crate::tool::{Tool, ToolChoice};
use crate::version::Version;
use crate::want::Want;

/// How many neighbours of a missing version are offered.
const NEAREST: usize = 3;

/// Everything that has a say in the choice.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The configured tool.
    pub tool: ToolChoice,
    /// The configured version; it silences version files.
    pub configured: Option<Want>,
    /// What version files ask for. Only the pin of the chosen tool is heeded.
    pub pins: Vec<Pin>,
    /// What the code requires. Only what the chosen tool reads is heeded.
    pub required: Vec<Required>,
}

impl Request {
    /// Whether the demand on `tool` can only be honoured by knowing every release.
    pub(crate) fn needs_catalogue(&self, tool: Tool) -> bool {
        let pinned = self.pins.iter().find(|pin| pin.tool == tool).map(|pin| &pin.want);
        self.configured.as_ref().or(pinned).is_some_and(Want::needs_catalogue)
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A program that is already there.
    Use(Installed),
    /// A release that must be fetched first.
    Download(Tool, Version),
}

impl Choice {
    /// The tool, wherever it comes from.
    pub fn tool(&self) -> Tool {
        match self {
            Choice::Use(installed) => installed.tool,
            Choice::Download(tool, _) => *tool,
        }
    }

    /// The version, wherever it comes from.
    pub fn version(&self) -> &Version {
        match self {
            Choice::Use(installed) => &installed.version,
            Choice::Download(_, version) => version,
        }
    }
}

/// One step of the reasoning behind a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The configuration names the tool.
    ToolConfigured(Tool),
    /// The tool is the first that `auto` finds on PATH.
    ToolOnPath(Tool),
    /// Neither tool is on PATH.
    ToolByDefault(Tool),
    /// A demand that was heeded.
    Heeded(Claim),
    /// A version file that the configuration overrules.
    Overruled(Claim),
    /// A program on PATH that a demand rules out.
    PassedOver(Installed, Claim),
    /// A program on PATH that does not answer.
    Broken(PathBuf, String),
    /// The list of releases could not be had, so only installed versions were considered.
    IndexUnreachable(String),
    /// The chosen program is on PATH.
    OnPath(PathBuf),
    /// The chosen program was downloaded earlier.
    Cached(PathBuf),
    /// Nothing installed will do.
    ToBeDownloaded(Tool, Version),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ToolConfigured(tool) => write!(f, "{} is configured", tool.title()),
            Reason::ToolOnPath(tool) => write!(f, "`{tool}` is on PATH"),
            Reason::ToolByDefault(tool) => {
                write!(f, "neither tool is on PATH, so {} is the default", tool.title())
            }
            Reason::Heeded(claim) => write!(f, "{} asks for `{}`", claim.place, claim.text),
            Reason::Overruled(claim) => {
                write!(f, "{} asks for `{}`, which the configuration overrules", claim.place, claim.text)
            }
            Reason::PassedOver(installed, claim) => {
                write!(f, "{} is {}, which {claim} rules out", installed.path.display(), installed.version)
            }
            Reason::Broken(path, why) => write!(f, "{} does not work: {why}", path.display()),
            Reason::IndexUnreachable(why) => write!(f, "only installed versions were considered: {why}"),
            Reason::OnPath(path) => write!(f, "{} is on PATH and will do", path.display()),
            Reason::Cached(path) => write!(f, "{} was downloaded earlier and will do", path.display()),
            Reason::ToBeDownloaded(tool, version) => {
                write!(f, "nothing installed will do, so {} {version} is downloaded", tool.title())
            }
        }
    }
}

/// A choice and the reasoning that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to run.
    pub choice: Choice,
    /// Why, in order.
    pub reasons: Vec<Reason>,
}

/// The tool that `choice` means among the `available` programs.
pub fn pick_tool(choice: ToolChoice, available: &[Installed]) -> Tool {
    pick_tool_with_reason(choice, available).0
}

fn pick_tool_with_reason(choice: ToolChoice, available: &[Installed]) -> (Tool, Reason) {
    if let ToolChoice::Exactly(tool) = choice {
        return (tool, Reason::ToolConfigured(tool));
    }
    let on_path = |tool: &Tool| available.iter().any(|it| it.tool == *tool && it.found == Found::Path);
    match Tool::ALL.into_iter().find(on_path) {
        Some(tool) => (tool, Reason::ToolOnPath(tool)),
        None => (Tool::OpenTofu, Reason::ToolByDefault(Tool::OpenTofu)),
    }
}

/// Chooses what to run; see [`decide`], which also says why.
pub fn choose(request: &Request, available: &[Installed], catalogue: Option<&[Version]>) -> Result<Choice, Error> {
    decide(request, available, catalogue).map(|verdict| verdict.choice)
}

/// Chooses what to run.
///
/// `available` holds what is installed, PATH in its own order; `catalogue` the releases of the tool that
/// [`pick_tool`] names, if they are known. A program on PATH that satisfies every demand wins, then the newest
/// downloaded one, then the newest release. Demands for the newest or oldest release (`latest`, `min-required`) look at
/// the releases first, and at what is installed only when those are unknown.
pub fn decide(request: &Request, available: &[Installed], catalogue: Option<&[Version]>) -> Result<Verdict, Error> {
    let (tool, reason) = pick_tool_with_reason(request.tool, available);
    let demands = Demands::of(request, tool);
    let mut reasons = vec![reason];
    demands.explain(&mut reasons);
    demands.check_for_contradiction()?;

    let available: Vec<&Installed> = available.iter().filter(|installed| installed.tool == tool).collect();
    let target = match (&demands.want, catalogue) {
        (want, Some(releases)) if want.needs_catalogue() => Some(demands.best_release(releases, &available)?),
        _ => None,
    };
    let suits = |installed: &Installed| match &target {
        Some(version) => installed.version == *version,
        None => demands.allow_installed(installed),
    };

    let on_path = available.iter().filter(|installed| installed.found == Found::Path);
    let cached = available.iter().filter(|installed| installed.found == Found::Cache);
    // Offline, `min-required` still means the oldest of what there is, and `latest` the newest.
    let chosen = match (&demands.want, &target) {
        (Want::OldestAllowed, None) => available.iter().filter(|it| suits(it)).min_by_key(|it| &it.version),
        (Want::Newest(_) | Want::NewestAllowed, None) => {
            available.iter().filter(|it| suits(it)).min_by_key(|it| Reverse(&it.version))
        }
        _ => {
            for installed in on_path.clone().take_while(|installed| !suits(installed)) {
                if let Some(claim) = demands.objection(installed) {
                    reasons.push(Reason::PassedOver((*installed).clone(), claim));
                }
            }
            on_path
                .clone()
                .find(|it| suits(it))
                .or_else(|| cached.clone().filter(|it| suits(it)).min_by_key(|it| Reverse(&it.version)))
        }
    };
    if let Some(installed) = chosen {
        reasons.push(match installed.found {
            Found::Path => Reason::OnPath(installed.path.clone()),
            Found::Cache => Reason::Cached(installed.path.clone()),
        });
        return Ok(Verdict { choice: Choice::Use((*installed).clone()), reasons });
    }

    let version = match (target, &demands.want, catalogue) {
        (Some(version), _, _) => version,
        (None, Want::Exactly(version), None) => version.clone(),
        (None, Want::Exactly(version), Some(releases)) => {
            if !releases.contains(version) {
                return Err(not_found(tool, version, releases));
            }
            version.clone()
        }
        (None, _, Some(releases)) => demands.best_release(releases, &available)?,
        (None, _, None) => return Err(Error::NoneInstalled { tool, claims: demands.claims() }),
    };
    reasons.push(Reason::ToBeDownloaded(tool, version.clone()));
    Ok(Verdict { choice: Choice::Download(tool, version), reasons })
}

/// The error for a version that was never released, with its neighbours.
pub(crate) fn not_found(tool: Tool, version: &Version, releases: &[Version]) -> Error {
    let [major, minor, patch] = version.numbers();
    let mut nearest: Vec<&Version> =
        releases.iter().filter(|it| !it.is_prerelease() || version.is_prerelease()).collect();
    nearest.sort_by_key(|it| {
        let [a, b, c] = it.numbers();
        (a.abs_diff(major), b.abs_diff(minor), c.abs_diff(patch), Reverse((*it).clone()))
    });
    let mut nearest: Vec<Version> = nearest.into_iter().take(NEAREST).cloned().collect();
    nearest.sort_by(|a, b| b.cmp(a));
    Error::NotFound { tool, version: version.clone(), nearest }
}

/// What must hold for one tool.
struct Demands<'a> {
    tool: Tool,
    want: Want,
    /// Who wants it; nobody, when any version will do.
    claim: Option<Claim>,
    overruled: Option<Claim>,
    required: Vec<&'a Required>,
}

impl<'a> Demands<'a> {
    fn of(request: &'a Request, tool: Tool) -> Demands<'a> {
        let pin = request.pins.iter().find(|pin| pin.tool == tool);
        let required = request.required.iter().filter(|required| required.tool == tool).collect();
        let (want, claim, overruled) = match (&request.configured, pin) {
            (Some(want), pin) => {
                let claim = Claim { text: want.to_string(), place: Place::Configuration };
                (want.clone(), Some(claim), pin.map(Pin::claim))
            }
            (None, Some(pin)) => (pin.want.clone(), Some(pin.claim()), None),
            (None, None) => (Want::Any, None, None),
        };
        Demands { tool, want, claim, overruled, required }
    }

    fn explain(&self, reasons: &mut Vec<Reason>) {
        reasons.extend(self.overruled.clone().map(Reason::Overruled));
        reasons.extend(self.claims().into_iter().map(Reason::Heeded));
    }

    fn claims(&self) -> Vec<Claim> {
        self.claim.iter().cloned().chain(self.required.iter().map(|required| required.claim())).collect()
    }

    /// Finds demands that exclude each other whatever was released.
    fn check_for_contradiction(&self) -> Result<(), Error> {
        if let Want::Exactly(version) = &self.want {
            return self.check_against_code(version);
        }
        let wanted = match &self.want {
            Want::Within(constraints) => Some(constraints),
            _ => None,
        };
        let required = self.required.iter().map(|required| &required.constraints);
        let sets: Vec<&Constraints> = wanted.into_iter().chain(required).collect();
        if Constraints::satisfiable(&sets) {
            return Ok(());
        }
        Err(Error::Conflict { tool: self.tool, claims: self.claims() })
    }

    /// The code must accept a version that the want fixes.
    fn check_against_code(&self, version: &Version) -> Result<(), Error> {
        let objections: Vec<Claim> =
            self.required.iter().filter(|it| !it.constraints.allow(version)).map(|it| it.claim()).collect();
        if objections.is_empty() {
            return Ok(());
        }
        let fixed = self.claim.clone().map(|claim| match self.want {
            Want::Exactly(_) => claim,
            _ => Claim { text: format!("{}, which is {version}", claim.text), ..claim },
        });
        Err(Error::Conflict { tool: self.tool, claims: fixed.into_iter().chain(objections).collect() })
    }

    fn code_allows(&self, version: &Version) -> bool {
        self.required.iter().all(|required| required.constraints.allow(version))
    }

    /// The demand that rules `installed` out, if one does.
    fn objection(&self, installed: &Installed) -> Option<Claim> {
        if !self.want.accepts(&installed.version) {
            return self.claim.clone();
        }
        self.required.iter().find(|it| !it.constraints.allow(&installed.version)).map(|it| it.claim())
    }

    /// Whether an installed program will do. A pre-release on PATH was put there on purpose; one in the cache is left
    /// over from an exact pin and is used for nothing else.
    fn allow_installed(&self, installed: &Installed) -> bool {
        let version = &installed.version;
        let on_purpose = installed.found == Found::Path || self.admits_prereleases();
        self.want.accepts(version) && self.code_allows(version) && (on_purpose || !version.is_prerelease())
    }

    fn admits_prereleases(&self) -> bool {
        match &self.want {
            Want::Exactly(_) => true,
            Want::Within(constraints) => constraints.name_a_prerelease(),
            _ => false,
        }
    }

    /// The release to aim for: the newest (or oldest) that satisfies every demand.
    fn best_release(&self, releases: &[Version], available: &[&Installed]) -> Result<Version, Error> {
        let known = releases.iter().chain(available.iter().map(|installed| &installed.version));
        let stable = || known.clone().filter(|version| self.admits_prereleases() || !version.is_prerelease());
        let allowed = || stable().filter(|version| self.want.accepts(version) && self.code_allows(version));
        let best = match &self.want {
            // `latest` means the latest: the code may refuse it, but not change what it means.
            Want::Newest(_) => {
                let latest = stable().filter(|version| self.want.accepts(version)).max();
                latest.map(|version| self.check_against_code(version)).transpose()?;
                latest
            }
            Want::OldestAllowed => allowed().min(),
            _ => allowed().max(),
        };
        best.cloned().ok_or_else(|| Error::NoMatch {
            tool: self.tool,
            claims: self.claims(),
            newest: stable().max().cloned(),
        })
    }
}

#[cfg(test)]
mod tests;
