//! `piton scaffold …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with blueprints.
#[derive(Debug, Subcommand)]
pub enum ScaffoldCommand {
    /// Render a blueprint into a new directory.
    Render(RenderArgs),
    /// Render one template to standard output.
    Eval(EvalArgs),
    /// Publish a job message to the queue of the workers.
    Enqueue {
        /// The message, as JSON; `-` reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What to render, and where.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// Name of a blueprint in `blueprints`, or a directory.
    #[arg(value_name = "BLUEPRINT")]
    pub blueprint: String,
    /// What is wanted, as JSON or YAML: `name`, `namespace` and `values`, or a whole job message;
    /// `-` reads standard input.
    #[arg(long, value_name = "VALUES")]
    pub file: PathBuf,
    /// The directory that the files are written to: a new one, or an empty one.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What to render.
#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// The language of the template.
    #[arg(long, value_enum, default_value_t)]
    pub engine: TemplateEngine,
    /// The template; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub template: PathBuf,
    /// What the template sees, as JSON or YAML; nothing where absent.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// What a value is that is not there.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub missing: MissingValue,
}

/// A template language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TemplateEngine {
    /// Go's text/template with the functions of sprig.
    #[default]
    Go,
    /// Jinja2.
    Jinja,
}

/// What a value is that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MissingValue {
    /// What the language says when nobody does.
    #[default]
    Default,
    /// An error.
    Error,
    /// Nothing.
    Zero,
}
