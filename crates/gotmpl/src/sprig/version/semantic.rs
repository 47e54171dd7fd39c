//! Versions.

use std::any::Any;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use crate::function::Signature;
use crate::value::{Method, Object, Type, Value};

pub(super) const TYPE: &str = "*semver.Version";

/// What may follow the numbers: a prerelease and metadata.
pub(super) const SUFFIX: &str = r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";

/// A semantic version; missing numbers are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) prerelease: String,
    metadata: String,
    original: String,
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Version, String> {
        static PATTERN: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(&format!(r"^v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?{SUFFIX}$")).ok());
        let captures = PATTERN.as_ref().and_then(|pattern| pattern.captures(text));
        let captures = captures.ok_or("Invalid Semantic Version")?;
        let group = |at| captures.get(at).map_or("", |group| group.as_str());
        let number = |at| {
            let digits = group(at).trim_start_matches('.');
            if digits.is_empty() {
                return Ok(0);
            }
            digits.parse::<u64>().map_err(|_| {
                let shown = crate::quote::quote(digits.as_bytes());
                format!("Error parsing version segment: strconv.ParseUint: parsing {shown}: value out of range")
            })
        };
        let version = Version {
            major: number(1)?,
            minor: number(2)?,
            patch: number(3)?,
            prerelease: group(5).to_owned(),
            metadata: group(8).to_owned(),
            original: text.to_owned(),
        };
        let starts_with_zero =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit());
        if version.prerelease.split('.').any(starts_with_zero) {
            return Err("Version segment starts with 0".into());
        }
        Ok(version)
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    /// Metadata does not count.
    pub(super) fn compare(&self, other: &Version) -> Ordering {
        let numbers = |version: &Version| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
            }
        })
    }

    fn numbered(&self, major: u64, minor: u64, patch: u64) -> Version {
        let mut next = Version {
            major,
            minor,
            patch,
            prerelease: String::new(),
            metadata: String::new(),
            original: String::new(),
        };
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{}", next.text());
        next
    }
}

pub(super) fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                _ if a == b => Ordering::Equal,
                (Ok(number_a), Ok(number_b)) => number_a.cmp(&number_b).then(Ordering::Less),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

fn version(object: &dyn Object) -> Option<&Version> {
    let object: &dyn Any = object;
    object.downcast_ref::<Version>()
}

fn other(args: &[Value]) -> Option<&Version> {
    match args {
        [Value::Object(object)] => version(&**object),
        _ => None,
    }
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        TYPE
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn text(&self) -> String {
        let mut out = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (sign, part) in [('-', &self.prerelease), ('+', &self.metadata)] {
            if !part.is_empty() {
                out.push(sign);
                out.push_str(part);
            }
        }
        out
    }

    fn method(&self, name: &str) -> Option<Method> {
        const NIL: &str = "runtime error: invalid memory address or nil pointer dereference";
        macro_rules! getter {
            ($result:expr, $get:expr) => {
                Some(Method {
                    signature: Signature::new(&[], $result),
                    call: |this, _| {
                        let get: fn(&Version) -> Value = $get;
                        version(this).map(get).ok_or_else(|| NIL.into())
                    },
                })
            };
        }
        macro_rules! relation {
            ($result:expr, $relate:expr) => {
                Some(Method {
                    signature: Signature::new(&[Type::Named(TYPE)], $result),
                    call: |this, args| {
                        let relate: fn(Ordering) -> Value = $relate;
                        match (version(this), other(args)) {
                            (Some(this), Some(other)) => Ok(relate(this.compare(other))),
                            _ => Err(NIL.into()),
                        }
                    },
                })
            };
        }
        // Go's type is uint64, of which only printing can tell.
        match name {
            "Major" => getter!(Type::Int64, |version| Value::Int64(version.major as i64)),
            "Minor" => getter!(Type::Int64, |version| Value::Int64(version.minor as i64)),
            "Patch" => getter!(Type::Int64, |version| Value::Int64(version.patch as i64)),
            "Prerelease" => getter!(Type::Text, |version| Value::from(version.prerelease.as_str())),
            "Metadata" => getter!(Type::Text, |version| Value::from(version.metadata.as_str())),
            "Original" => getter!(Type::Text, |version| Value::from(version.original.as_str())),
            "String" => getter!(Type::Text, |version| Value::from(version.text())),
            "IncMajor" => {
                getter!(Type::Named(TYPE), |version| version
                    .numbered(version.major.saturating_add(1), 0, 0)
                    .into_value())
            }
            "IncMinor" => getter!(Type::Named(TYPE), |version| {
                version.numbered(version.major, version.minor.saturating_add(1), 0).into_value()
            }),
            "IncPatch" => getter!(Type::Named(TYPE), |version| {
                let step = u64::from(version.prerelease.is_empty());
                version.numbered(version.major, version.minor, version.patch.saturating_add(step)).into_value()
            }),
            "Compare" => relation!(Type::Int, |ordering| Value::Int(ordering as i64)),
            "Equal" => relation!(Type::Bool, |ordering| Value::Bool(ordering.is_eq())),
            "LessThan" => relation!(Type::Bool, |ordering| Value::Bool(ordering.is_lt())),
            "LessThanEqual" => relation!(Type::Bool, |ordering| Value::Bool(ordering.is_le())),
            "GreaterThan" => relation!(Type::Bool, |ordering| Value::Bool(ordering.is_gt())),
            "GreaterThanEqual" => relation!(Type::Bool, |ordering| Value::Bool(ordering.is_ge())),
            _ => None,
        }
    }

    fn json(&self) -> Option<serde_json::Value> {
        Some(self.text().into())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        version(other) == Some(self)
    }
}
