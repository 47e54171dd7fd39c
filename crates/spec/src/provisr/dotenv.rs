//! Files of environment variables: `NAME=VALUE` lines, `export`, comments, quotes.

use std::collections::BTreeMap;

use super::template::Template;
use crate::diagnostic::Place;

/// Variables as they are declared, and where each stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    pub(crate) values: BTreeMap<String, Template>,
    pub(crate) places: BTreeMap<String, Place>,
}

/// Why a file of variables cannot be read, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DotenvError {
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Reads a file. In single quotes everything stands for itself, over several lines if need be; in double quotes `\n`,
/// `\t`, `\"`, `\\` and `\$` are what they are elsewhere; without quotes a value ends before ` #`, and spaces around it
/// do not count. A later line wins.
pub(crate) fn parse(text: &str) -> Result<Variables, DotenvError> {
    let mut variables = Variables::default();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1_u32;
    while !rest.is_empty() {
        let begun = line;
        let failed = |message: String| DotenvError { line: begun, message };
        let end = rest.find('\n').unwrap_or(rest.len());
        let this = rest.get(..end).unwrap_or_default();
        let trimmed = this.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = rest.get(end + 1..).unwrap_or_default();
            line += 1;
            continue;
        }
        let Some(equals) = this.find('=') else {
            return Err(failed("a line is `NAME=VALUE`, and here is no `=`".to_owned()));
        };
        let name = this.get(..equals).unwrap_or_default().trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        if !is_name(name) {
            let shown = crate::fields::shown(name);
            return Err(failed(format!("`{shown}` cannot be the name of an environment variable")));
        }
        let after = rest.get(equals + 1..).unwrap_or_default();
        let (value, left) = value(after).map_err(|message| failed(message.to_owned()))?;
        variables.values.insert(name.to_owned(), value);
        variables.places.insert(name.to_owned(), Place { line: begun, column: 1 });
        let taken = rest.len() - left.len();
        line += rest.get(..taken).map_or(0, |taken| u32::try_from(taken.matches('\n').count()).unwrap_or(u32::MAX));
        rest = left;
    }
    Ok(variables)
}

/// Whether a shell could have this variable.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// The value at the beginning of `text`, and what stands from the next line on.
fn value(text: &str) -> Result<(Template, &str), &'static str> {
    let start = text.trim_start_matches([' ', '\t']);
    match start.chars().next() {
        Some('\'') => {
            let inner = start.get(1..).unwrap_or_default();
            let (inside, after) = inner.split_once('\'').ok_or("the quote is not closed")?;
            Ok((Template::literal(inside), rest_of_line(after)?))
        }
        Some('"') => double_quoted(start.get(1..).unwrap_or_default()),
        _ => {
            let end = text.find('\n').unwrap_or(text.len());
            let (value, after) = text.split_at(end);
            let comment = value.find(" #").or_else(|| value.find("\t#"));
            let value = value.get(..comment.unwrap_or(value.len())).unwrap_or_default();
            Ok((Template::parse(value.trim()), after.get(1..).unwrap_or_default()))
        }
    }
}

fn double_quoted(text: &str) -> Result<(Template, &str), &'static str> {
    let mut template = Template::default();
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                template.append(Template::parse(&plain));
                return Ok((template, rest_of_line(text.get(at + 1..).unwrap_or_default())?));
            }
            '\\' => match characters.next() {
                Some((_, '$')) => {
                    template.append(Template::parse(&std::mem::take(&mut plain)));
                    template.append(Template::literal("$"));
                }
                Some((_, 'n')) => plain.push('\n'),
                Some((_, 't')) => plain.push('\t'),
                Some((_, 'r')) => plain.push('\r'),
                Some((_, c @ ('"' | '\\'))) => plain.push(c),
                Some((_, '\n')) => {}
                Some((_, other)) => plain.extend(['\\', other]),
                None => break,
            },
            c => plain.push(c),
        }
    }
    Err("the quote is not closed")
}

/// After a closing quote there may be a comment only.
fn rest_of_line(text: &str) -> Result<&str, &'static str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') { Ok(after) } else { Err("there is text after the closing quote") }
}

#[cfg(test)]
mod tests {
    use super::super::template::resolve;
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        resolve(&parse(text).unwrap().values, |name| (name == "HOME").then_some("/srv")).values.into_iter().collect()
    }

    #[test]
    fn files_are_read_as_they_are_elsewhere() {
        for (text, expected) in [
            ("A=1\nB = 2 \r\nexport C=3\n", vec![("A", "1"), ("B", "2"), ("C", "3")]),
            ("# comment\n\nA=1 # more\nB=a#b\n", vec![("A", "1"), ("B", "a#b")]),
            (
                "A='$HOME ${HOME} #'\nB=\"${HOME}/x\\n\\\"\\$HOME \\${HOME}\" # c\n",
                vec![("A", "$HOME ${HOME} #"), ("B", "/srv/x\n\"$HOME ${HOME}")],
            ),
            ("KEY='-----BEGIN\nline\n-----END'\nB=2", vec![("B", "2"), ("KEY", "-----BEGIN\nline\n-----END")]),
            ("A=\nB=\"\"\nC=", vec![("A", ""), ("B", ""), ("C", "")]),
            ("A=1\nA=2", vec![("A", "2")]),
            ("URL=postgres://u:p@h/d?x=1", vec![("URL", "postgres://u:p@h/d?x=1")]),
            ("\u{feff}A=ä", vec![("A", "ä")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(read(text), expected, "{text}");
        }
        let lines =
            |text: &str| parse(text).unwrap().places.into_iter().map(|(name, at)| (name, at.line)).collect::<Vec<_>>();
        let expected = [("A", 4), ("B", 2), ("C", 5)].map(|(name, line)| (name.to_owned(), line));
        assert_eq!(lines("A=1\nB='x\ny'\nA=2\nC=3\n"), expected);
        for (text, line) in [("A=1\nB\n", 2), ("A='x\ny'\nB=\"z", 3), ("=1", 1), ("A B=1", 1), ("A='x' y", 1)] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[A-B='\"\\\\\n #${}ä]{0,40}") {
            let _ = parse(&text);
        }
    }
}
