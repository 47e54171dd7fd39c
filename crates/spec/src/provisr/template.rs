//! `${NAME}` and `${NAME:-otherwise}` in values of the environment.

use std::collections::BTreeMap;

/// Text with references in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference { name: String, otherwise: Option<Template> },
}

/// The kernel takes no longer value.
pub(crate) const LONGEST: usize = 128 * 1024 - 1;

/// References that lead to one another: nobody means more.
const DEEPEST: usize = 32;

impl Template {
    /// Reads text. What looks like a reference and is none stays as it is; `$${` is `${`.
    pub(crate) fn parse(text: &str) -> Template {
        parse(text, 0)
    }

    /// Text in which nothing is a reference.
    pub(crate) fn literal(text: impl Into<String>) -> Template {
        Template(vec![Piece::Text(text.into())])
    }

    /// Adds what follows.
    pub(crate) fn append(&mut self, other: Template) {
        self.0.extend(other.0);
    }
}

fn parse(text: &str, depth: usize) -> Template {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            plain.push_str("${");
            rest = after;
            continue;
        }
        match from.strip_prefix("${").filter(|_| depth < 4).and_then(|after| reference(after, depth)) {
            Some((piece, after)) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = after;
            }
            None => {
                plain.push('$');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Template(pieces)
}

/// What follows `${`, up to its `}`.
fn reference(text: &str, depth: usize) -> Option<(Piece, &str)> {
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let (name, after) = text.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let name = name.to_owned();
    if let Some(after) = after.strip_prefix('}') {
        return Some((Piece::Reference { name, otherwise: None }, after));
    }
    let after = after.strip_prefix(":-")?;
    let mut open = 1_usize;
    for (at, c) in after.char_indices() {
        match c {
            '{' if after.get(..at).is_some_and(|before| before.ends_with('$')) => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let otherwise = Some(parse(after.get(..at)?, depth + 1));
            return Some((Piece::Reference { name, otherwise }, after.get(at + 1..)?));
        }
    }
    None
}

/// A layer of the environment with its references resolved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) values: BTreeMap<String, String>,
    /// Variables, each with a name that it refers to and that is not there.
    pub(crate) unknown: Vec<(String, String)>,
    /// Variables whose values are longer than the kernel takes; they are left out.
    pub(crate) too_long: Vec<String>,
}

/// Resolves a layer. A name is looked up in the layer itself, and below it where it refers to itself or is not in the
/// layer. What is inserted is not looked at again.
pub(crate) fn resolve<'a>(layer: &'a BTreeMap<String, Template>, below: impl Fn(&str) -> Option<&'a str>) -> Resolved {
    let mut resolver = Resolver { layer, below, under_way: Vec::new(), done: Resolved::default() };
    for (name, template) in layer {
        resolver.value_of(name, template);
    }
    let mut done = resolver.done;
    done.unknown.sort();
    done.unknown.dedup();
    for name in &done.too_long {
        done.values.remove(name);
    }
    done
}

struct Resolver<'a, F> {
    layer: &'a BTreeMap<String, Template>,
    below: F,
    under_way: Vec<&'a str>,
    done: Resolved,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Resolver<'a, F> {
    /// Resolves a variable unless it is.
    fn value_of(&mut self, name: &'a str, template: &'a Template) {
        if self.done.values.contains_key(name) {
            return;
        }
        self.under_way.push(name);
        let mut value = String::new();
        let whole = self.write(template, &mut value);
        self.under_way.pop();
        if !whole {
            self.done.too_long.push(name.to_owned());
        }
        self.done.values.insert(name.to_owned(), value);
    }

    /// Whether it was not too long.
    fn write(&mut self, template: &'a Template, value: &mut String) -> bool {
        template.0.iter().all(|piece| {
            let before = value.len();
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Reference { name, otherwise } => {
                    self.refer(name, value);
                    if value.len() == before
                        && let Some(otherwise) = otherwise
                        && !self.write(otherwise, value)
                    {
                        return false;
                    }
                    if value.len() == before && otherwise.is_none() && !self.is_known(name) {
                        let of = self.under_way.last().copied().unwrap_or_default().to_owned();
                        self.done.unknown.push((of, name.clone()));
                    }
                }
            }
            value.len() <= LONGEST
        })
    }

    fn is_known(&self, name: &str) -> bool {
        (self.layer.contains_key(name) && !self.under_way.contains(&name)) || (self.below)(name).is_some()
    }

    fn refer(&mut self, name: &str, value: &mut String) {
        let own = self.layer.get_key_value(name).filter(|_| !self.under_way.contains(&name));
        match own {
            Some((name, template)) if self.under_way.len() < DEEPEST => {
                self.value_of(name, template);
                value.push_str(self.done.values.get(name).map(String::as_str).unwrap_or_default());
            }
            _ => value.push_str((self.below)(name).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(pairs: &[(&str, &str)]) -> Resolved {
        let layer = pairs.iter().map(|(name, text)| ((*name).to_owned(), Template::parse(text))).collect();
        resolve(&layer, |name| match name {
            "PATH" => Some("/bin"),
            "EMPTY" => Some(""),
            "HOST" => Some("h${X}"),
            _ => None,
        })
    }

    #[test]
    fn references_are_resolved_in_one_pass() {
        for (text, expected) in [
            ("plain $HOME $", "plain $HOME $"),
            ("${PATH}:/x", "/bin:/x"),
            ("${HOST}", "h${X}"),
            ("$${PATH}", "${PATH}"),
            ("${NONE:-x}", "x"),
            ("${NONE:-${PATH}/x}y", "/bin/xy"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("${NONE:-}", ""),
            ("${PATH", "${PATH"),
            ("${1}${}${A B}${PATH:x}", "${1}${}${A B}${PATH:x}"),
            ("ä${PATH}ö", "ä/binö"),
        ] {
            let done = resolved(&[("V", text)]);
            assert_eq!(done.values["V"], expected, "{text}");
            assert_eq!(done.unknown, [], "{text}");
        }
    }

    #[test]
    fn variables_of_a_layer_know_one_another_in_any_order() {
        let done = resolved(&[("A", "${B}1"), ("B", "${C}2"), ("C", "3"), ("PATH", "/x:${PATH}")]);
        assert_eq!(done.values["A"], "321");
        assert_eq!(done.values["PATH"], "/x:/bin");
        let circle = resolved(&[("A", "a${B}"), ("B", "b${A}")]);
        assert_eq!(circle.values["A"], "ab", "a circle ends where it began");
        assert_eq!(resolved(&[("A", "${NONE}")]).unknown, [("A".to_owned(), "NONE".to_owned())]);
    }

    #[test]
    fn a_value_that_grows_without_end_is_left_out() {
        let layer: BTreeMap<String, Template> = (0..40)
            .map(|n| (format!("A{n:02}"), Template::parse(&format!("${{A{:02}}}${{A{:02}}}x", n + 1, n + 1))))
            .collect();
        let done = resolve(&layer, |_| None);
        assert!(!done.too_long.is_empty() && done.values.values().all(|value| value.len() <= LONGEST));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[${}:\\-A-C ä]{0,40}") {
            let layer = [("A", &text), ("B", &text), ("C", &text)];
            let layer = layer.into_iter().map(|(name, text)| (name.to_owned(), Template::parse(text))).collect();
            resolve(&layer, |_| None);
        }

        #[test]
        fn text_without_references_stays(text in "[^$]*") {
            proptest::prop_assert_eq!(&resolved(&[("V", &text)]).values["V"], &text);
        }
    }
}
