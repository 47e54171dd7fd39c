//! The async shell: looks, asks the pure core, and fetches what it says.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::choose::{self, Choice, Reason, Request, Verdict};
use crate::error::Error;
use crate::fetch::{Fetcher, Patience};
use crate::install::{self, Installation, Limits, Progress, Report};
use crate::inventory::{self, Broken, Found, Installed, Inventory};
use crate::mirror::Mirror;
use crate::per_tool::PerTool;
use crate::pins;
use crate::probe::{self, Answers, Silence, Stamp};
use crate::required;
use crate::signature::Keyring;
use crate::tool::{Platform, Tool, ToolChoice};
use crate::version::Version;
use crate::want::Want;

/// How long a list of releases is believed. Vendors release every few weeks.
const INDEX_LIFETIME: Duration = Duration::from_secs(600);

/// How a [`Manager`] is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where downloads are kept.
    pub tools_dir: PathBuf,
    /// Where downloads come from.
    pub mirror: Mirror,
    /// Whose signatures count.
    pub keys: PerTool<Keyring>,
    /// The PATH that is searched for installed tools.
    pub path_env: OsString,
    /// How much is accepted from servers.
    pub limits: Limits,
    /// How long servers are waited for.
    pub patience: Patience,
    /// How long a program may take to tell its version.
    pub probe_timeout: Duration,
}

impl Config {
    /// The vendors' releases under `tools_dir`, and this process's PATH.
    pub fn new(tools_dir: impl Into<PathBuf>) -> Config {
        Config {
            tools_dir: tools_dir.into(),
            mirror: Mirror::vendors(),
            keys: PerTool::from_fn(Keyring::vendor),
            path_env: std::env::var_os("PATH").unwrap_or_default(),
            limits: Limits::default(),
            patience: Patience::default(),
            probe_timeout: Duration::from_secs(20),
        }
    }
}

/// What a workspace or a command line says about the tool.
#[derive(Debug, Clone, Default)]
pub struct Preference {
    /// Which tool.
    pub tool: ToolChoice,
    /// Which version; it silences version files, but not the code.
    pub version: Option<Want>,
    /// How far up version files are looked for; no further than the module itself if absent.
    pub root: Option<PathBuf>,
}

/// Finds, chooses and installs tools.
pub struct Manager {
    config: Config,
    platform: Platform,
    fetcher: Fetcher,
    answers: Mutex<Option<Answers>>,
    indexes: PerTool<tokio::sync::Mutex<Option<Index>>>,
}

/// A list of releases, and since when it is known.
struct Index {
    since: Instant,
    releases: Arc<[Version]>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Manager {
    /// Sets up; touches neither disk nor network.
    pub fn new(config: Config) -> Manager {
        Manager {
            platform: Platform::current(),
            fetcher: Fetcher::new(config.patience),
            answers: Mutex::new(None),
            indexes: PerTool::from_fn(|_| tokio::sync::Mutex::new(None)),
            config,
        }
    }

    /// Everything that is installed.
    pub async fn list(&self) -> Result<Inventory, Error> {
        let mut inventory = Inventory::default();
        for tool in Tool::ALL {
            self.take_stock(tool, &mut inventory).await?;
        }
        Ok(inventory)
    }

    /// The releases of `tool`, newest first, as the vendor or mirror lists them.
    pub async fn releases(&self, tool: Tool) -> Result<Arc<[Version]>, Error> {
        // Held while fetching, so that many runs starting at once fetch one list.
        let mut known = self.indexes[tool].lock().await;
        if let Some(index) = &*known
            && index.since.elapsed() < INDEX_LIFETIME
        {
            return Ok(Arc::clone(&index.releases));
        }
        let source = self.config.mirror.source(tool);
        let releases: Arc<[Version]> = install::releases(tool, source, &self.fetcher, self.config.limits).await?.into();
        *known = Some(Index { since: Instant::now(), releases: Arc::clone(&releases) });
        Ok(releases)
    }

    /// Downloads and verifies one version, unless that was done before.
    pub async fn install(
        &self,
        tool: Tool,
        version: &Version,
        mut report: impl FnMut(Progress) + Send,
    ) -> Result<Installed, Error> {
        self.installation(tool, version).run(&mut report).await
    }

    /// What would run the root module in `dir`, and why. Downloads nothing but, if it must, the list of releases.
    pub async fn which(&self, preference: &Preference, dir: &Path) -> Result<Verdict, Error> {
        self.verdict(preference, dir, &mut |_| {}).await
    }

    /// What runs the root module in `dir`, downloaded now if need be.
    pub async fn resolve(
        &self,
        preference: &Preference,
        dir: &Path,
        mut report: impl FnMut(Progress) + Send,
    ) -> Result<Installed, Error> {
        match self.verdict(preference, dir, &mut report).await?.choice {
            Choice::Use(installed) => Ok(installed),
            Choice::Download(tool, version) => self.installation(tool, &version).run(&mut report).await,
        }
    }

    fn installation<'a>(&'a self, tool: Tool, version: &'a Version) -> Installation<'a> {
        Installation {
            tool,
            version,
            platform: self.platform,
            source: self.config.mirror.source(tool),
            keyring: &self.config.keys[tool],
            tools_dir: &self.config.tools_dir,
            fetcher: &self.fetcher,
            limits: self.config.limits,
        }
    }

    async fn verdict(&self, preference: &Preference, dir: &Path, report: Report<'_>) -> Result<Verdict, Error> {
        let Inventory { installed, mut broken } = self.candidates(preference.tool).await?;
        // A program that never works is passed over. One that fails to answer this once must not be: the next run would
        // use it again, and a workspace would swing between versions, or between tools, with the load of the machine.
        if let Some(index) = broken.iter().position(|it| it.passing) {
            let Broken { path, reason, .. } = broken.swap_remove(index);
            return Err(Error::Unusable { path, reason });
        }
        let tool = choose::pick_tool(preference.tool, &installed);
        let request = self.read_code(preference, tool, dir).await?;

        let mut unreachable = None;
        let mut verdict = if request.needs_catalogue(tool) {
            report(Progress::ReadingIndex(tool));
            match self.releases(tool).await {
                Ok(releases) => choose::decide(&request, &installed, Some(&releases)),
                // Better an installed version that satisfies every demand than none; the verdict says so.
                Err(error) => match choose::decide(&request, &installed, None) {
                    Err(Error::NoneInstalled { .. }) => return Err(error),
                    result => {
                        unreachable = Some(Reason::IndexUnreachable(error.to_string()));
                        result
                    }
                },
            }
        } else {
            match choose::decide(&request, &installed, None) {
                Err(Error::NoneInstalled { .. }) => {
                    report(Progress::ReadingIndex(tool));
                    let releases = self.releases(tool).await?;
                    choose::decide(&request, &installed, Some(&releases))
                }
                result => result,
            }
        }?;
        let broken = broken.into_iter().map(|it| Reason::Broken(it.path, it.reason));
        verdict.reasons.splice(0..0, broken.chain(unreachable));
        Ok(verdict)
    }

    /// The programs that could answer to `choice`. `auto` looks for terraform only when there is no tofu on PATH.
    async fn candidates(&self, choice: ToolChoice) -> Result<Inventory, Error> {
        let mut inventory = Inventory::default();
        match choice {
            ToolChoice::Exactly(tool) => self.take_stock(tool, &mut inventory).await?,
            ToolChoice::Auto => {
                for tool in Tool::ALL {
                    self.take_stock(tool, &mut inventory).await?;
                    if inventory.installed.iter().any(|it| it.tool == tool && it.found == Found::Path) {
                        break;
                    }
                }
            }
        }
        Ok(inventory)
    }

    async fn take_stock(&self, tool: Tool, inventory: &mut Inventory) -> Result<(), Error> {
        let (path_env, tools_dir, platform) =
            (self.config.path_env.clone(), self.config.tools_dir.clone(), self.platform);
        let (programs, cached) = read_disk(&self.config.tools_dir, move || {
            Ok((inventory::on_path(tool, &path_env), inventory::in_cache(&tools_dir, tool, platform)?))
        })
        .await?;
        for path in programs {
            match self.version_of(&path).await {
                Ok(version) => inventory.installed.push(Installed { tool, version, path, found: Found::Path }),
                Err(Silence { reason, passing }) => inventory.broken.push(Broken { tool, path, reason, passing }),
            }
        }
        inventory.installed.extend(cached);
        Ok(())
    }

    /// A program's version, remembered or asked for.
    async fn version_of(&self, program: &Path) -> Result<Version, Silence> {
        // It was there a moment ago, so it is being replaced.
        let vanished = |error: io::Error| Silence { reason: format!("cannot be read: {error}"), passing: true };
        let stamp = Stamp::of(program).map_err(vanished)?;
        let file = self.config.tools_dir.join("versions.json");
        let known = self.with_answers(&file, |answers| answers.recall(program, &stamp).cloned());
        if let Some(version) = known {
            return Ok(version);
        }
        let version = probe::ask(program, &self.config.path_env, self.config.probe_timeout).await?;
        self.with_answers(&file, |answers| {
            answers.remember(program.to_owned(), stamp, version.clone());
            // Who asks makes no directory of data. Not being able to remember costs time, nothing else.
            if self.config.tools_dir.parent().is_some_and(Path::is_dir) {
                let _ = answers.save(&file);
            }
        });
        Ok(version)
    }

    fn with_answers<T>(&self, file: &Path, work: impl FnOnce(&mut Answers) -> T) -> T {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        work(answers.get_or_insert_with(|| Answers::load(file)))
    }

    /// Everything that the files in and above `dir` say about `tool`.
    async fn read_code(&self, preference: &Preference, tool: Tool, dir: &Path) -> Result<Request, Error> {
        let (choice, configured) = (preference.tool, preference.version.clone());
        let (root, dir) = (preference.root.clone().unwrap_or_else(|| dir.to_owned()), dir.to_owned());
        read_disk(&dir.clone(), move || {
            // A version file that the configuration overrules may be broken without harm.
            let pin = match pins::find(tool, &dir, &root) {
                Err(_) if configured.is_some() => None,
                result => result?,
            };
            let required = required::find(tool, &dir)?;
            Ok(Request { tool: choice, configured, pins: pin.into_iter().collect(), required })
        })
        .await
    }
}

/// Reads the disk apart from the async threads.
async fn read_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::io("read", path)(io::Error::other(error))))
}
