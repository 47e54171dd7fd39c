//! Version constraints with HashiCorp's rules: `>= 1.6, < 2.0`, `~> 1.11.0`.
//!
//! There are two readings of one grammar. [`Reading::Required`] is `required_version` in code: pre-releases may not be
//! written, and a pre-release core counts as the release it leads to. [`Reading::Pinned`] is a constraint in a pin file
//! or in configuration: there a pre-release is taken only when it is asked for.

use std::cmp::Ordering;
use std::fmt;

use crate::version::{Loose, Version, compare_prereleases};

/// Where a constraint stands, which decides how it treats pre-releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// `required_version` in code.
    Required,
    /// A pin file or configuration.
    Pinned,
}

/// How a version relates to the one that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=` or nothing.
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `~>`: at least this, and only the last written number may grow.
    Pessimistic,
}

impl Operator {
    /// Longest spelling first, so that `>=` is not read as `>` and a stray `=`.
    const SPELLINGS: [(&'static str, Operator); 7] = [
        ("!=", Operator::NotEqual),
        (">=", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        ("~>", Operator::Pessimistic),
        ("=", Operator::Equal),
        (">", Operator::Greater),
        ("<", Operator::Less),
    ];

    fn spelling(self) -> &'static str {
        Self::SPELLINGS.iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }
}

/// One comparison, such as `>= 1.6`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Constraint {
    operator: Operator,
    bound: Loose,
}

impl Constraint {
    fn parse(text: &str) -> Option<Constraint> {
        let text = text.trim();
        let (operator, rest) = Operator::SPELLINGS
            .iter()
            .find_map(|(spelling, op)| text.strip_prefix(spelling).map(|rest| (*op, rest)))
            .unwrap_or((Operator::Equal, text));
        Some(Constraint { operator, bound: Loose::parse(rest.trim_start())? })
    }

    /// Whether `version` satisfies this comparison.
    fn allows(&self, version: &Version) -> bool {
        let order = self.compare(version);
        match self.operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            _ if !self.admits_prerelease(version) => false,
            Operator::Greater => order == Ordering::Greater,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
            Operator::Pessimistic => {
                // A release never satisfies `~> 1.2.0-rc1`, and a bound finer than x.y.z never matches x.y.z.
                let same_kind = self.bound.pre.is_empty() || version.is_prerelease();
                let (prefix, numbers) = (&self.bound.segments, version.numbers());
                same_kind
                    && order != Ordering::Less
                    && prefix.len() <= numbers.len()
                    && prefix[..prefix.len() - 1] == numbers[..prefix.len() - 1]
            }
        }
    }

    /// `version` compared with the bound, build metadata aside; missing numbers count as zero.
    fn compare(&self, version: &Version) -> Ordering {
        let numbers = version.numbers();
        let length = numbers.len().max(self.bound.segments.len());
        let padded = |segments: &[u64], index: usize| segments.get(index).copied().unwrap_or(0);
        (0..length)
            .map(|i| padded(&numbers, i).cmp(&padded(&self.bound.segments, i)))
            .find(|order| *order != Ordering::Equal)
            .unwrap_or_else(|| compare_prereleases(version.prerelease(), &self.bound.pre))
    }

    /// A pre-release is comparable only with a bound that is a pre-release of the same release.
    fn admits_prerelease(&self, version: &Version) -> bool {
        !version.is_prerelease() || (!self.bound.pre.is_empty() && self.compare_numbers(version) == Ordering::Equal)
    }

    fn compare_numbers(&self, version: &Version) -> Ordering {
        let release = Constraint { operator: self.operator, bound: Loose { pre: String::new(), ..self.bound.clone() } };
        release.compare(&version.core())
    }

    /// The bound as a release, extra numbers cut off.
    fn bound_release(&self) -> Version {
        let at = |index: usize| self.bound.segments.get(index).copied().unwrap_or(0);
        Version::new(at(0), at(1), at(2))
    }

    /// The single version this allows, when it is an equality over a pre-release.
    fn exact_prerelease(&self) -> bool {
        self.operator == Operator::Equal && !self.bound.pre.is_empty()
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.operator.spelling())?;
        for (index, segment) in self.bound.segments.iter().enumerate() {
            write!(f, "{}{segment}", if index == 0 { "" } else { "." })?;
        }
        if !self.bound.pre.is_empty() {
            write!(f, "-{}", self.bound.pre)?;
        }
        if !self.bound.build.is_empty() {
            write!(f, "+{}", self.bound.build)?;
        }
        Ok(())
    }
}

/// Comparisons that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Constraints {
    reading: Reading,
    all: Vec<Constraint>,
}

/// Why a constraint text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraint {
    /// The text does not follow the grammar.
    #[error("`{0}` is not a version constraint")]
    Malformed(String),
    /// `required_version` names a pre-release.
    #[error("`{0}` names a pre-release, which `required_version` does not support")]
    Prerelease(String),
}

impl InvalidConstraint {
    /// What the author probably meant.
    pub fn hint(&self) -> String {
        const GRAMMAR: &str = "write comparisons separated by commas, each of `=`, `!=`, `>`, `>=`, `<`, `<=`, `~>` and a version: `>= 1.6, < 2.0`";
        match self {
            InvalidConstraint::Malformed(text) => {
                let text = text.trim();
                if text.is_empty() {
                    "leave it out to accept any version".to_owned()
                } else if text.contains("||") {
                    format!("alternatives (`||`) do not exist here; {GRAMMAR}")
                } else if let Some(rest) = text.strip_prefix('^') {
                    format!("`^` is not an operator here; did you mean `~> {}`?", rest.trim())
                } else if let Some(rest) = text.strip_prefix("==") {
                    format!("did you mean `= {}`?", rest.trim())
                } else if let Some(rest) = text.strip_prefix("=>") {
                    format!("did you mean `>= {}`?", rest.trim())
                } else if let Some(rest) = text.strip_suffix(".x").or_else(|| text.strip_suffix(".*")) {
                    format!("wildcards do not exist here; did you mean `~> {rest}.0`?")
                } else {
                    GRAMMAR.to_owned()
                }
            }
            InvalidConstraint::Prerelease(_) => {
                "name the release instead: a pre-release of it then also satisfies the constraint; pin an exact \
                 pre-release in a version file or in the configuration"
                    .to_owned()
            }
        }
    }
}

impl Constraints {
    /// Reads comma-separated comparisons.
    pub fn parse(text: &str, reading: Reading) -> Result<Self, InvalidConstraint> {
        let all = text
            .split(',')
            .map(Constraint::parse)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| InvalidConstraint::Malformed(text.to_owned()))?;
        if reading == Reading::Required && all.iter().any(|constraint| !constraint.bound.pre.is_empty()) {
            return Err(InvalidConstraint::Prerelease(text.to_owned()));
        }
        Ok(Constraints { reading, all })
    }

    /// Whether `version` satisfies every comparison.
    pub fn allow(&self, version: &Version) -> bool {
        let core;
        let version = match self.reading {
            Reading::Pinned => version,
            Reading::Required => {
                core = version.core();
                &core
            }
        };
        self.all.iter().all(|constraint| constraint.allows(version))
    }

    /// How these constraints are read.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Whether this asks for one exact pre-release, the only way to be given one that nobody installed.
    pub(crate) fn name_a_prerelease(&self) -> bool {
        self.all.iter().any(Constraint::exact_prerelease)
    }

    /// Whether any release at all could satisfy all of these together.
    ///
    /// If one can, the least such is 0.0.0, a bound, or the patch after a bound: stepping down one patch from any
    /// other satisfying release crosses no bound. So trying those decides it without knowing what was released.
    pub fn satisfiable(sets: &[&Constraints]) -> bool {
        let comparisons = sets.iter().flat_map(|set| &set.all);
        if comparisons.clone().any(|constraint| !constraint.bound.pre.is_empty()) {
            return true; // pre-releases have no "next", so leave the verdict to the list of releases
        }
        let mut candidates = comparisons
            .flat_map(|constraint| {
                let bound = constraint.bound_release();
                [bound.next_patch(), bound]
            })
            .chain([Version::new(0, 0, 0)]);
        candidates.any(|version| sets.iter().all(|set| set.allow(&version)))
    }
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, constraint) in self.all.iter().enumerate() {
            write!(f, "{}{constraint}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
