//! What a run has found out, kept with it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Answer, BatchProgress, Digest, RemoteNews, ScaffoldedRepository};

/// What a run has found out so far. Steps add to it; nothing is ever taken away within an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The tool that runs the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolUsed>,
    /// The commit that was checked out, for code from git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the plan would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// The outputs after the apply, sensitive values masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, OutputValue>>,
    /// Exit code of the last program that a command ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When that program ended, which may be before anybody heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited_at: Option<Timestamp>,
    /// Why what its programs said is not in the log, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
    /// What became of the tasks of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchProgress>,
    /// What a provisioning API answered, secrets masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The repository that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ScaffoldedRepository>,
    /// What was heard last of a run that is carried out elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteNews>,
}

impl Report {
    /// Takes over whatever `newer` knows.
    pub fn merge(&mut self, newer: Report) {
        let Report { tool, commit, plan, outputs, exit_code, exited_at, unwritten, batch, answer, repository, remote } =
            newer;
        self.tool = tool.or(self.tool.take());
        self.commit = commit.or(self.commit.take());
        self.plan = plan.or(self.plan.take());
        self.outputs = outputs.or(self.outputs.take());
        self.exit_code = exit_code.or(self.exit_code);
        self.exited_at = exited_at.or(self.exited_at);
        self.unwritten = unwritten.or(self.unwritten.take());
        self.batch = batch.or(self.batch.take());
        self.answer = answer.or(self.answer.take());
        self.repository = repository.or(self.repository.take());
        self.remote = remote.or(self.remote.take());
    }
}

/// Which tool ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsed {
    /// `tofu` or `terraform`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The program's path.
    pub path: String,
}

/// What a plan would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Digest of the resource and output changes, equal for plans that would do the same.
    pub digest: Digest,
    /// SHA-256 of the plan file itself.
    pub file_digest: Digest,
    /// Resources to create.
    pub add: u32,
    /// Resources to change in place.
    pub change: u32,
    /// Resources to destroy and create anew.
    pub replace: u32,
    /// Resources to destroy.
    pub destroy: u32,
    /// Whether outputs change.
    pub output_changes: u32,
    /// The changes one by one, destroys first; at most a few hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ResourceChange>,
}

impl PlanSummary {
    /// Nothing would change.
    pub fn is_empty(&self) -> bool {
        self.add == 0 && self.change == 0 && self.replace == 0 && self.destroy == 0 && self.output_changes == 0
    }

    /// `2 to add, 1 to change, 0 to replace, 0 to destroy`.
    pub fn sentence(&self) -> String {
        format!(
            "{} to add, {} to change, {} to replace, {} to destroy",
            self.add, self.change, self.replace, self.destroy
        )
    }
}

/// One resource that a plan would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// The resource's address.
    pub address: String,
    /// `create`, `update`, `replace`, `delete`, `read` or `forget`.
    pub action: String,
    /// Why, where the tool says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputValue {
    /// The value; null where it is sensitive.
    pub value: serde_json::Value,
    /// Whether the code marks it sensitive.
    #[serde(default)]
    pub sensitive: bool,
}
