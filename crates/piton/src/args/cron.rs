//! `piton cron …`

use clap::{Args, Subcommand};

/// What to do with an expression.
#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// An expression in words, its next times, and what daylight saving does to it.
    Explain(ExplainArgs),
}

/// What to explain.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The expression, such as '0 9 * * 1-5'.
    #[arg(value_name = "EXPR")]
    pub expression: String,
    /// Time zone [default: the configured one, else the system's].
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Times after this one [default: now].
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// How many times.
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub count: u16,
}
