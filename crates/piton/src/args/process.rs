//! `piton process …`, `piton group …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::name;

/// What to do with processes.
#[derive(Debug, Subcommand)]
pub enum ProcessCommand {
    /// All instances, and how they are.
    List(ManyArgs),
    /// Declare a process, and start it.
    Register(RegisterArgs),
    /// Declare a process by a file, and start it.
    RegisterFile {
        /// The file: JSON, as the API takes it or as it lies in the directory of programs.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Stop a process, and remove its declaration.
    Unregister(StopArgs),
    /// Start instances, and wait until they run.
    Start(WhichArgs),
    /// Stop instances, and wait until they are gone.
    Stop(StopArgs),
    /// Stop and start instances, one after the other.
    Restart(RestartArgs),
    /// How instances are: a table, or all about one.
    Status(ManyArgs),
    /// What an instance printed.
    Logs(LogsArgs),
    /// Make it so many instances of a process.
    Scale {
        /// The process.
        #[arg(value_parser = name())]
        name: String,
        /// How many.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
        instances: u32,
    },
}

/// Which instances.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// The instance or process of this name.
    #[arg(value_name = "NAME", value_parser = name())]
    pub given: Option<String>,
    /// The same.
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub name: Option<String>,
    /// The process of this name and all its instances.
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub base: Option<String>,
    /// Every instance whose name fits; `*` stands for anything.
    #[arg(long, value_name = "PATTERN", value_parser = name())]
    pub wildcard: Option<String>,
}

/// Which instances, or all.
#[derive(Debug, Clone, Default, Args)]
pub struct ManyArgs {
    /// The instance or process of this name.
    #[arg(value_name = "NAME", value_parser = name(), group = "which")]
    pub given: Option<String>,
    /// The same.
    #[arg(long, value_name = "NAME", value_parser = name(), group = "which")]
    pub name: Option<String>,
    /// The process of this name and all its instances.
    #[arg(long, value_name = "NAME", value_parser = name(), group = "which")]
    pub base: Option<String>,
    /// Every instance whose name fits; `*` stands for anything.
    #[arg(long, value_name = "PATTERN", value_parser = name(), group = "which")]
    pub wildcard: Option<String>,
    /// Show it again and again, until Ctrl-C.
    #[arg(short, long)]
    pub watch: bool,
}

/// Which instances, and how long they may take.
#[derive(Debug, Clone, Default, Args)]
pub struct StopArgs {
    /// Which.
    #[command(flatten)]
    pub which: WhichArgs,
    /// How long each may take to react to the first signal, such as `5s`, in place of what is declared.
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

/// Which instances, and how they are replaced.
#[derive(Debug, Clone, Default, Args)]
pub struct RestartArgs {
    /// Which, and how long they may take.
    #[command(flatten)]
    pub stop: StopArgs,
    /// Let each get ready, by its readiness probe, before the next one is stopped; end with the first that does not.
    #[arg(long)]
    pub rolling: bool,
}

/// A process to be declared.
#[derive(Debug, Clone, Default, Args)]
pub struct RegisterArgs {
    /// Its name.
    #[arg(long, value_parser = name())]
    pub name: String,
    /// What it runs; by a shell where it holds what only a shell understands.
    #[arg(long)]
    pub command: String,
    /// The absolute working directory.
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// The absolute directory of what it prints.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// A variable of its environment, as KEY=VALUE. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// How many instances.
    #[arg(long, value_name = "N")]
    pub instances: Option<u32>,
    /// Start it again whenever it ends.
    #[arg(long, visible_alias = "auto-start")]
    pub auto_restart: bool,
}

/// Which part of what an instance printed.
#[derive(Debug, Clone, Default, Args)]
pub struct LogsArgs {
    /// The instance.
    #[arg(value_name = "NAME", value_parser = name(), required_unless_present = "name", conflicts_with = "name")]
    pub given: Option<String>,
    /// The same.
    #[arg(long, value_name = "NAME", value_parser = name())]
    pub name: Option<String>,
    /// Go on until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// So many last lines.
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    pub tail: usize,
    /// Only `stdout` or `stderr`.
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr"])]
    pub stream: Option<String>,
}

/// What to do with groups of processes.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// All groups, and how many of their instances run.
    List,
    /// How the members of a group are.
    Status {
        /// The group.
        #[command(flatten)]
        group: WhichGroup,
    },
    /// Start the members of a group, each after what it depends on.
    Start {
        /// The group.
        #[command(flatten)]
        group: WhichGroup,
    },
    /// Stop the members of a group, in the reverse order.
    Stop {
        /// The group.
        #[command(flatten)]
        group: WhichGroup,
        /// How long each instance may take to react to the first signal, such as `5s`.
        #[arg(long, value_name = "DURATION")]
        wait: Option<String>,
    },
    /// Stop the members of a group, and start them again.
    Restart {
        /// The group.
        #[command(flatten)]
        group: WhichGroup,
        /// How long each instance may take to react to the first signal, such as `5s`.
        #[arg(long, value_name = "DURATION")]
        wait: Option<String>,
    },
}

/// Which group.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = false)]
pub struct WhichGroup {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = name())]
    pub given: Option<String>,
    /// The same.
    #[arg(long, value_name = "GROUP", value_parser = name())]
    pub group: Option<String>,
}

impl WhichGroup {
    /// Its name.
    pub fn name(&self) -> &str {
        self.given.as_deref().or(self.group.as_deref()).unwrap_or_default()
    }
}

impl LogsArgs {
    /// The instance.
    pub fn instance(&self) -> &str {
        self.given.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }
}

impl WhichArgs {
    /// As parameters of a query.
    pub fn parameters(&self) -> [(&'static str, Option<String>); 3] {
        let name = self.given.clone().or_else(|| self.name.clone());
        [("name", name), ("base", self.base.clone()), ("wildcard", self.wildcard.clone())]
    }

    /// For sentences: what was given.
    pub fn shown(&self) -> &str {
        let given = [&self.given, &self.name, &self.base, &self.wildcard];
        given.into_iter().flatten().next().map_or("", String::as_str)
    }
}

impl ManyArgs {
    /// Which, if that is said.
    pub fn which(&self) -> WhichArgs {
        let ManyArgs { given, name, base, wildcard, watch: _ } = self.clone();
        WhichArgs { given, name, base, wildcard }
    }
}
