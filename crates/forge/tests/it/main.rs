//! Repositories are made at stand-ins of forges, pushed to with git's own server behind them, and cloned back with git.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod broken;
mod github_and_gitea;
mod gitlab;
mod packs;
mod plain;
mod python_gitlab;
mod reading;
mod scene;
mod speed;
mod ssh;
