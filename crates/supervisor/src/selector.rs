//! Which instances are meant.

/// Which instances are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The instance or process of exactly this name; a process stands for all its instances.
    Name(String),
    /// The process of this name and all its instances: `NAME` and `NAME-*`.
    Base(String),
    /// Every instance whose name fits the pattern, in which `*` stands for anything.
    Wildcard(String),
    /// Every instance.
    All,
}

/// Why a text selects nothing that could exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a selector: {problem}")]
pub struct InvalidSelector {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Longer than any instance's name.
const LONGEST: usize = 256;

impl Selector {
    /// Selects by the exact name of an instance or a process.
    pub fn name(text: &str) -> Result<Selector, InvalidSelector> {
        check(text, "").map(Selector::Name)
    }

    /// Selects a process and all its instances.
    pub fn base(text: &str) -> Result<Selector, InvalidSelector> {
        check(text, "").map(Selector::Base)
    }

    /// Selects by a pattern with any number of `*`.
    pub fn wildcard(text: &str) -> Result<Selector, InvalidSelector> {
        check(text, "*").map(Selector::Wildcard)
    }

    /// Whether this instance of this process is meant. Takes time in proportion to the lengths of name and pattern.
    pub fn matches(&self, instance: &str, process: &str) -> bool {
        match self {
            Selector::Name(name) => name == instance || name == process,
            Selector::Base(base) => {
                let numbered = || instance.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('-'));
                base == instance || base == process || numbered()
            }
            Selector::Wildcard(pattern) => fits(pattern, instance),
            Selector::All => true,
        }
    }
}

fn check(text: &str, also: &str) -> Result<String, InvalidSelector> {
    let shown = || text.chars().take(64).flat_map(char::escape_debug).collect();
    let invalid = |problem| Err(InvalidSelector { text: shown(), problem });
    if text.is_empty() {
        return invalid("it is empty");
    }
    if text.len() > LONGEST {
        return invalid("it is longer than any name");
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || also.contains(c);
    if text.contains("..") {
        return invalid("no name contains `..`");
    }
    if !text.chars().all(known) {
        return invalid("only letters, digits, `.`, `_`, `-` and, in a pattern, `*` are allowed");
    }
    Ok(text.to_owned())
}

/// Each piece between two stars is sought behind the one before. The first place is as good as any later one, so nothing
/// is ever tried twice.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(found) = left.find(piece) else { return false };
        left = &left[found + piece.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `*` means, by trying everything.
    fn by_trial(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| by_trial(rest, &name[skip..])),
            Some((c, rest)) => name.first() == Some(c) && by_trial(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_stand_for_anything(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(fits(&pattern, &name), by_trial(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn names_and_bases() {
        let of = |selector: &Selector, instance: &str, process: &str| selector.matches(instance, process);
        let web = Selector::name("web").unwrap();
        assert!(of(&web, "web", "web") && of(&web, "web-2", "web") && !of(&web, "web-2", "web-2"));
        let base = Selector::base("web").unwrap();
        assert!(of(&base, "web-2", "web-2") && of(&base, "web", "web") && !of(&base, "webber", "webber"));
        assert!(of(&Selector::All, "x", "y"));
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        assert!(Selector::name("").is_err() && Selector::name("a*").is_err() && Selector::wildcard("a b").is_err());
        for bad in ["..", "a..b", "../*", "a/*", "a..*"] {
            assert!(Selector::wildcard(bad).is_err(), "{bad}");
        }
        let huge = Selector::wildcard(&"*a".repeat(500_000)).unwrap_err();
        assert!(huge.text.len() < 100, "{huge}");
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let pattern = Selector::wildcard(&("*a".repeat(100) + "*b")).unwrap();
        let name = "a".repeat(120);
        assert!((0..10_000).all(|_| !pattern.matches(&name, "x")));
    }
}
