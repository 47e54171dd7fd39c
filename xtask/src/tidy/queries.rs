//! A route's description names what its handler reads from the query.
//!
//! utoipa finds a `Query<T>` in a signature and leaves it out unless `params(T)` stands in the attribute too, so that
//! what nobody spelt twice is missing from the API's document without a word.

use super::finding::Finding;
use crate::repository::Repository;
use crate::rust_text::{RustText, line_of, words};

const RULE: &str = "queries";

const ATTRIBUTE: &str = "#[utoipa::path(";
const PARAMS: &str = "params(";
const QUERY: &str = "Query<";

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        // An arrow closes no bracket.
        let code = RustText::split(text).code.replace("->", "  ").replace("=>", "  ");
        for (at, _) in code.match_indices(ATTRIBUTE) {
            let (attribute, behind) = enclosed(&code[at + ATTRIBUTE.len()..]);
            let described: Vec<String> =
                words(attribute, PARAMS).flat_map(|at| parts(enclosed(&attribute[at + PARAMS.len()..]).0)).collect();
            for query in read_by(behind).into_iter().filter(|query| !described.contains(query)) {
                let message = format!("`Query<{query}>` is described nowhere: the attribute needs `params({query})`");
                findings.push(Finding::at(RULE, path, line_of(&code, at), message));
            }
        }
    }
    findings
}

/// What the first function of a text reads from the query, type by type.
fn read_by(text: &str) -> Vec<String> {
    let function = words(text, "fn").next().map_or("", |at| &text[at..]);
    let arguments = function.find('(').map_or("", |open| enclosed(&function[open + 1..]).0);
    words(arguments, QUERY).flat_map(|at| parts(enclosed(&arguments[at + QUERY.len()..]).0)).collect()
}

/// A text up to the bracket that closes one opened before it, and what is behind that.
fn enclosed(text: &str) -> (&str, &str) {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        depth += deeper(letter);
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

/// What stands between the commas that are within no further bracket, without white space.
fn parts(text: &str) -> Vec<String> {
    let mut depth = 0;
    let between = |letter: char| {
        depth += deeper(letter);
        letter == ',' && depth == 0
    };
    let parts = text.split(between).map(|part| part.split_whitespace().collect::<String>());
    parts.filter(|part| !part.is_empty()).collect()
}

fn deeper(letter: char) -> i32 {
    match letter {
        '(' | '[' | '{' | '<' => 1,
        ')' | ']' | '}' | '>' => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn a_described_query_passes() {
        let repository = Repository::of(&[
            (
                "several.rs",
                "#[utoipa::path(get, path = \"/a)\", params(Scope, logs::Range), responses((status = 200)))]\n\
                 async fn a(Query(scope): Query<Scope>, Query(range): Query<logs::Range>) {}",
            ),
            (
                "broken_lines.rs",
                "#[utoipa::path(get, params((\"id\" = String, Path), Page<A, B>))]\n/// fn (\n#[expect(x)]\n\
                 pub fn b(with: fn(A) -> B, Query(Page { a }): extract::Query<\n    Page<A, B>,\n>) {}",
            ),
            ("of_another.rs", "#[utoipa::path(get)]\nfn c() { Query::<X>::new() }\nfn d(Query(x): Query<X>) {}"),
            ("undescribed.rs", "// #[utoipa::path(get)]\nfn e(Query(x): Query<X>, y: RawQuery<Y>) {}"),
        ]);
        assert_eq!(check(&repository), []);
    }

    #[test]
    fn a_query_that_is_not_described_fails() {
        let repository = Repository::of(&[
            ("a.rs", "\n#[utoipa::path(get, path = \"params(X)\")]\nfn a(Query(x): Query<X>) {}"),
            ("b.rs", "#[utoipa::path(get, params(Y))]\nfn b(Query(x): Query<X>, Query(y): Query<Y>) {}"),
            (
                "c.rs",
                "#[utoipa::path(get, params(X))]\nfn c(Query(x): Query<X>) {}\n\
                 #[utoipa::path(post)]\nfn d(Query(x): Query<X>, Query(y): Query<Y>) {}",
            ),
            ("d.rs", "#[utoipa::path(get, params((\"x\" = X, Query)))]\nfn e(Query(x): Query<X>) {}"),
            ("e.rs", "#[utoipa::path(get, params(Range))]\nfn f(Query(range): Query<logs::Range>) {}"),
        ]);
        assert_eq!(places(&check(&repository)), ["a.rs:2", "b.rs:1", "c.rs:3", "c.rs:3", "d.rs:1", "e.rs:1"]);
    }
}
