//! `piton template …`

use clap::{Args, Subcommand};

use super::name;

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Fetch a template from a git repository and register it.
    Add(AddArgs),
    /// What is registered.
    List {
        /// In full.
        #[arg(long)]
        detailed: bool,
    },
    /// One template in full.
    Show {
        /// The template.
        #[arg(value_parser = name())]
        name: String,
    },
    /// Fetch again, and say what changed.
    Update(OneOrAll),
    /// Let the tool check the code.
    Validate(OneOrAll),
    /// Forget a template and remove its files.
    Remove {
        /// The template.
        #[arg(value_parser = name())]
        name: String,
        /// Do not ask, even if something is made from it.
        #[arg(long)]
        force: bool,
    },
}

/// A template to be added.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// Its name.
    #[arg(value_parser = name())]
    pub name: String,
    /// The git repository.
    #[arg(value_parser = name())]
    pub url: String,
    /// Directory in the repository [default: its root].
    #[arg(long, default_value = "", hide_default_value = true)]
    pub path: String,
    /// Branch, tag or commit [default: the default branch].
    #[arg(long = "ref", value_name = "REF", default_value = "", hide_default_value = true)]
    pub reference: String,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
}

/// One of them, or every one.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct OneOrAll {
    /// This one.
    #[arg(value_parser = name())]
    pub name: Option<String>,
    /// Every one.
    #[arg(long)]
    pub all: bool,
}
