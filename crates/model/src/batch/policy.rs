//! What failures and successes mean beyond being counted.

use serde::{Deserialize, Serialize};

use super::{CodeOperator, FailureAction, FailureRule, Indexes, SuccessRule};

/// The condition of a task whose end nobody saw.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// What is said of a task beside its exit code, as `DisruptionTarget` is of one whose end nobody saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

impl TaskCondition {
    /// A condition that holds.
    pub fn holds(kind: impl Into<String>) -> TaskCondition {
        TaskCondition { kind: kind.into(), status: "True".to_owned() }
    }
}

impl FailureRule {
    /// Whether it is about a failure with these exit codes and conditions. A rule with conditions looks at those alone,
    /// and the code of what succeeded fits no rule.
    pub fn fits(&self, codes: &[i32], conditions: &[TaskCondition]) -> bool {
        if !self.conditions.is_empty() {
            return conditions.iter().any(|condition| self.conditions.contains(condition));
        }
        codes.iter().filter(|code| **code != 0).any(|code| match self.operator {
            CodeOperator::In => self.values.contains(code),
            CodeOperator::NotIn => !self.values.contains(code),
        })
    }
}

/// The first rule that fits, and what it says.
pub fn failure_action(
    rules: &[FailureRule],
    codes: &[i32],
    conditions: &[TaskCondition],
) -> Option<(usize, FailureAction)> {
    let fitting = rules.iter().enumerate().find(|(_, rule)| rule.fits(codes, conditions));
    fitting.map(|(place, rule)| (place, rule.action))
}

impl SuccessRule {
    /// Whether it is met, of a job of so many completions.
    pub fn is_met(&self, succeeded: &Indexes, completions: u32) -> bool {
        let enough = |found: u64, all: u64| match self.succeeded_count {
            Some(count) => found >= u64::from(count),
            None => found >= all,
        };
        match &self.succeeded_indexes {
            Some(wanted) => {
                let wanted = Indexes::parse(wanted, completions);
                !wanted.is_empty() && enough(wanted.shared_with(succeeded), wanted.len())
            }
            None => self.succeeded_count.is_some() && enough(succeeded.len(), u64::MAX),
        }
    }
}

/// The first rule that is met. Nothing is met by nothing.
pub fn success_rule(rules: &[SuccessRule], succeeded: &Indexes, completions: u32) -> Option<usize> {
    if succeeded.is_empty() { None } else { rules.iter().position(|rule| rule.is_met(succeeded, completions)) }
}
