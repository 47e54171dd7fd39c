//! Which child of an instance is meant, as text that the keeper carries.
//!
//! `service/INSTANCE/DIGEST/NUMBER/RESTARTS`: all that a supervisor has to know that comes back.

use std::fmt;

use piton_keeper::{Token, TokenError};
use piton_model::{OutputPolicy, Process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How tokens of supervised children begin.
const PREFIX: &str = "service/";

/// How the tokens of hooks begin.
pub(crate) const HOOKS: &str = "hook/";

/// How the tokens of commands begin that are asked how an instance does.
pub(crate) const QUESTIONS: &str = "ask/";

/// Whether a child that the keeper holds under this token is a supervisor's: an instance, or what is run for one.
pub fn is_supervised(token: &Token) -> bool {
    [PREFIX, HOOKS, QUESTIONS].iter().any(|prefix| token.as_str().starts_with(prefix))
}

/// A short digest of what a child was started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Digest([u8; 8]);

/// One child of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Incarnation {
    /// Rises with every child of the instance.
    pub(crate) number: u64,
    /// How often the instance had been started again by itself when this child was started.
    pub(crate) restarts: u32,
    /// From which declaration it was started.
    pub(crate) digest: Digest,
}

impl Incarnation {
    /// The keeper's name for this child.
    pub(crate) fn token(&self, instance: &str) -> Result<Token, TokenError> {
        format!("{PREFIX}{instance}/{}/{}/{}", self.digest, self.number, self.restarts).parse()
    }

    /// Reads a token; none if it is not one of ours.
    pub(crate) fn parse(token: &Token) -> Option<(&str, Incarnation)> {
        let mut parts = token.as_str().strip_prefix(PREFIX)?.split('/');
        let instance = parts.next()?;
        let digest = Digest::parse(parts.next()?)?;
        let incarnation =
            Incarnation { digest, number: parts.next()?.parse().ok()?, restarts: parts.next()?.parse().ok()? };
        parts.next().is_none().then_some((instance, incarnation))
    }
}

impl Digest {
    /// The digest of those parts of a declaration that a running child cannot be given. What becomes of a log that was put
    /// aside is the daemon's affair, and the child notices nothing of it.
    ///
    /// Only what differs from the defaults counts: a later version, whose declarations have more parts, finds the same
    /// digest and leaves the children alone.
    pub(crate) fn of(process: &Process) -> Digest {
        let bare = Process::new(process.name.clone(), process.program.clone());
        let (max_age, compress) = (bare.output.max_age, bare.output.compress);
        let relevant = Process {
            instances: bare.instances,
            priority: bare.priority,
            auto_start: bare.auto_start,
            start: bare.start,
            restart: bare.restart.clone(),
            stop: bare.stop.clone(),
            depends_on: bare.depends_on.clone(),
            probes: bare.probes.clone(),
            detectors: bare.detectors.clone(),
            hooks: bare.hooks.clone(),
            output: OutputPolicy { max_age, compress, ..process.output.clone() },
            ..process.clone()
        };
        let value = |process: &Process| serde_json::to_value(process).unwrap_or_default();
        let mut differs = without(value(&relevant), &value(&bare));
        if let (Value::Object(map), Value::Object(all)) = (&mut differs, value(&relevant)) {
            map.extend(all.into_iter().filter(|(key, _)| key == "name" || key == "program"));
        }
        let hash = Sha256::digest(differs.to_string());
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        Digest(short)
    }

    fn parse(text: &str) -> Option<Digest> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Drops what is equal in both.
fn without(value: Value, other: &Value) -> Value {
    match (value, other) {
        (Value::Object(map), Value::Object(others)) => Value::Object(
            map.into_iter()
                .filter(|(key, value)| others.get(key) != Some(value))
                .map(|(key, value)| {
                    let rest = others.get(&key).map_or_else(|| value.clone(), |other| without(value.clone(), other));
                    (key, rest)
                })
                .collect(),
        ),
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use piton_model::{Name, Program, Rlimit};

    use super::*;

    fn process() -> Process {
        Process::new(Name::parse("web").unwrap(), Program::Shell { line: "sleep 1".to_owned() })
    }

    #[test]
    fn tokens_read_back_and_the_longest_fits() {
        let incarnation = Incarnation { number: u64::MAX, restarts: u32::MAX, digest: Digest::of(&process()) };
        let longest = format!("{}-10000", "x".repeat(100));
        for instance in ["web", "web-1", &longest] {
            let token = incarnation.token(instance).unwrap();
            assert_eq!(Incarnation::parse(&token), Some((instance, incarnation)));
        }
        let supervised = |text: &str| is_supervised(&text.parse().unwrap());
        assert!(supervised("service/web/0011223344556677/1/0") && supervised("hook/web/1/pre_start/a/1"));
        assert!(supervised("ask/web/1") && !supervised("01890a5d-ac96-774b-bcce-b302099a8057/1/apply/apply"));
        for other in ["run/1/2/3/4", "service/web", "service/web/00/1/1", "service/web/0011223344556677/1/1/1"] {
            assert_eq!(Incarnation::parse(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn the_digest_tells_what_needs_another_child() {
        let digest = Digest::of(&process());
        let mut same = process();
        (same.priority, same.instances, same.auto_start) = (7, 3, false);
        same.restart.delay = Duration::ZERO;
        same.stop.stages.clear();
        (same.output.compress, same.output.max_age) = (true, Duration::from_secs(60));
        assert_eq!(Digest::of(&same), digest);
        let changes: [fn(&mut Process); 5] = [
            |p| p.output.max_size = 7,
            |p| p.program = Program::Shell { line: "sleep 2".to_owned() },
            |p| p.inherit_env = true,
            |p| drop(p.env.insert("A".to_owned(), piton_model::Secret::new("1".to_owned()))),
            |p| p.confinement.rlimits = [("nofile".to_owned(), Rlimit { soft: Some(1), hard: None })].into(),
        ];
        let mut seen = vec![digest];
        for change in changes {
            let mut other = process();
            change(&mut other);
            assert!(!seen.contains(&Digest::of(&other)));
            seen.push(Digest::of(&other));
        }
    }

    /// Children are held by keepers that outlive this version.
    #[test]
    fn the_digest_stays() {
        assert_eq!(Digest::of(&process()).to_string(), "7b199dedc42b029e");
    }
}
