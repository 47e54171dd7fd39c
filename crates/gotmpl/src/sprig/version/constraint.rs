//! Constraints such as `^1.2`, `>=2 <3` or `1.x || 2.x`.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::semantic::{SUFFIX, Version, compare_prereleases};

const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

/// A version of which numbers may be left out or be an `x`.
fn version_pattern() -> String {
    format!(r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?{SUFFIX}")
}

struct Patterns {
    one: Regex,
    range: Regex,
    find: Regex,
    valid: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let version = version_pattern();
    let compile = |pattern: String| Regex::new(&pattern).ok();
    Some(Patterns {
        one: compile(format!(r"^\s*({OPERATORS})\s*({version})\s*$"))?,
        range: compile(format!(r"\s*({version})\s+-\s+({version})\s*"))?,
        find: compile(format!(r"({OPERATORS})\s*({version})"))?,
        valid: compile(format!(r"^(\s*({OPERATORS})\s*({version})\s*)((?:\s+|,\s*)({OPERATORS})\s*({version})\s*)*$"))?,
    })
});

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// One condition.
pub(super) struct Constraint {
    operator: Operator,
    version: Version,
    /// A number was left out: any of them, the minor one, the patch.
    dirty: bool,
    minor_dirty: bool,
    patch_dirty: bool,
}

/// Alternatives, each of conditions all of which must hold.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<Constraint>>, String> {
    let improper = |text: &str| format!("improper constraint: {text}");
    let Some(patterns) = &*PATTERNS else { return Err(improper(text)) };
    let mut rewritten = text.to_owned();
    for range in patterns.range.captures_iter(text) {
        let group = |at| range.get(at).map_or("", |group| group.as_str());
        rewritten = rewritten.replacen(group(0), &format!(">= {}, <= {} ", group(1), group(11)), 1);
    }
    let mut alternatives = Vec::new();
    for part in rewritten.split("||") {
        if !patterns.valid.is_match(part) {
            return Err(improper(part));
        }
        let found: Vec<&str> = patterns.find.find_iter(part).map(|found| found.as_str()).collect();
        let all = if found.is_empty() { vec![part] } else { found };
        let all: Result<Vec<Constraint>, String> = all.into_iter().map(|one| parse_one(patterns, one)).collect();
        alternatives.push(all?);
    }
    Ok(alternatives)
}

fn parse_one(patterns: &Patterns, text: &str) -> Result<Constraint, String> {
    let captures = patterns.one.captures(text).ok_or_else(|| format!("improper constraint: {text}"))?;
    let group = |at| captures.get(at).map_or("", |group| group.as_str());
    let is_open = |number: &str| matches!(number.trim_start_matches('.'), "" | "x" | "X" | "*");
    let (mut dirty, mut minor_dirty, mut patch_dirty) = (true, false, false);
    let version = if is_open(group(3)) {
        format!("0.0.0{}", group(6))
    } else if is_open(group(4)) {
        minor_dirty = true;
        format!("{}.0.0{}", group(3), group(6))
    } else if is_open(group(5)) {
        patch_dirty = true;
        format!("{}{}.0{}", group(3), group(4), group(6))
    } else {
        dirty = false;
        group(2).to_owned()
    };
    let version = Version::parse(&version).map_err(|_| "constraint Parser Error")?;
    let operator = match group(1) {
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        "<" => Operator::Less,
        ">=" | "=>" => Operator::GreaterOrEqual,
        "<=" | "=<" => Operator::LessOrEqual,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => Operator::Equal,
    };
    Ok(Constraint { operator, version, dirty, minor_dirty, patch_dirty })
}

impl Constraint {
    pub(super) fn allows(&self, version: &Version) -> bool {
        let wanted = &self.version;
        let ordering = version.compare(wanted);
        // Prereleases are for those who ask for them.
        let unasked = !version.prerelease.is_empty() && wanted.prerelease.is_empty();
        if self.operator == Operator::NotEqual {
            return if self.dirty { !unasked && self.differs(version) } else { ordering != Ordering::Equal };
        }
        if unasked {
            return false;
        }
        match self.operator {
            Operator::Equal if self.dirty => self.tilde(version, ordering),
            Operator::Equal => ordering == Ordering::Equal,
            Operator::NotEqual => true,
            Operator::Greater if !self.dirty || version.major != wanted.major => {
                if self.dirty {
                    version.major > wanted.major
                } else {
                    ordering == Ordering::Greater
                }
            }
            Operator::Greater if self.minor_dirty => false,
            Operator::Greater if self.patch_dirty => version.minor > wanted.minor,
            Operator::Greater => ordering == Ordering::Greater,
            Operator::Less => ordering == Ordering::Less,
            Operator::GreaterOrEqual => ordering != Ordering::Less,
            Operator::LessOrEqual if !self.dirty => ordering != Ordering::Greater,
            Operator::LessOrEqual => {
                !(version.major > wanted.major
                    || (version.major == wanted.major && version.minor > wanted.minor && !self.minor_dirty))
            }
            Operator::Tilde => self.tilde(version, ordering),
            Operator::Caret => self.caret(version, ordering),
        }
    }

    /// Differs in a number that was not left out.
    fn differs(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.major != wanted.major {
            return true;
        }
        if self.minor_dirty {
            return false;
        }
        if version.minor != wanted.minor {
            return true;
        }
        if self.patch_dirty {
            return compare_prereleases(&version.prerelease, &wanted.prerelease) != Ordering::Equal;
        }
        version.compare(wanted) != Ordering::Equal
    }

    fn tilde(&self, version: &Version, ordering: Ordering) -> bool {
        let wanted = &self.version;
        if ordering == Ordering::Less {
            return false;
        }
        let is_zero = wanted.major == 0 && wanted.minor == 0 && wanted.patch == 0;
        if is_zero && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.minor_dirty)
    }

    fn caret(&self, version: &Version, ordering: Ordering) -> bool {
        let wanted = &self.version;
        if ordering == Ordering::Less {
            return false;
        }
        if wanted.major > 0 || self.minor_dirty {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.patch_dirty {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && version.patch == wanted.patch
    }
}
