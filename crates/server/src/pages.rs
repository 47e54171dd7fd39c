//! A page about each code that a problem can have, where the problem's `type` leads.

use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use pulldown_cmark::{Event, Parser, html};

use crate::docs;
use crate::extract::Path;
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};

/// The codes and their pages, in the order of the codes.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

pub(crate) fn routes() -> Table {
    Table::new().at(Permission::Public, routes!(list)).at(Permission::Public, routes!(show))
}

/// All codes of problems.
#[utoipa::path(get, path = "/docs/errors", responses((status = 200, body = String, content_type = "text/html")))]
async fn list() -> Response {
    let mut body = String::from("<h1>Codes of problems</h1>\n<ul>\n");
    for (code, page) in PAGES {
        let meaning = render(meaning(page));
        let _ = writeln!(body, "<li><a href=\"/docs/errors/{code}\"><code>{code}</code></a>{meaning}</li>");
    }
    body.push_str("</ul>\n");
    docs::html(Bytes::from(docs::frame("Codes of problems", &body)))
}

/// What a code means, and what to do about it.
#[utoipa::path(get, path = "/docs/errors/{code}", params(("code" = String, Path, description = "The code of a problem.")), responses((status = 200, body = String, content_type = "text/html")))]
async fn show(Path(code): Path<String>) -> Answer<Response> {
    let page = PAGES.binary_search_by(|(known, _)| known.cmp(&code.as_str())).ok().and_then(|index| PAGES.get(index));
    let Some((code, text)) = page else {
        let detail = format!("no problem has the code `{}`", code.escape_debug());
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", detail, None));
    };
    Ok(docs::html(Bytes::from(docs::frame(code, &render(text)))))
}

/// The page as HTML; HTML in it stays text.
fn render(text: &str) -> String {
    let events = Parser::new(text).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        event => event,
    });
    let mut body = String::new();
    html::push_html(&mut body, events);
    body
}

/// The first paragraph of a page.
fn meaning(page: &str) -> &str {
    page.split("\n\n").nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path as FilePath;

    use super::*;

    #[test]
    fn pages_have_a_title_and_say_what_to_do() {
        for (code, page) in PAGES {
            assert!(
                page.starts_with(&format!("# {code}\n\n**")),
                "{code}: the title is the code, then comes the status"
            );
            assert!(page.contains("\n**What to do.** "), "{code}: it does not say what to do");
            assert!(meaning(page).len() > 20, "{code}: it does not say what the code means");
        }
        assert!(PAGES.is_sorted_by_key(|(code, _)| *code), "they are looked up by halves");
        assert_eq!(render("a <script> b"), "<p>a &lt;script&gt; b</p>\n");
    }

    /// Both ways: no code without a page, and no page about a code that nothing gives.
    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let (mut codes, mut words) = (BTreeSet::new(), BTreeSet::new());
        let crates = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for source in sources(&crates) {
            let text = fs::read_to_string(&source).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            words.extend(text.match_indices('"').filter_map(|(at, _)| word(&text[at..])));
            codes.extend(error_codes(text));
            // The metrics of the server have words of their own.
            let path = source.to_string_lossy();
            if path.contains("/server/src/") && !path.contains("/server/src/metrics") {
                codes.extend(refusals(text));
            }
        }
        assert!(codes.len() > 90, "the search finds too little: {codes:?}");
        let pages: BTreeSet<String> = PAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
        let missing: Vec<_> = codes.difference(&pages).collect();
        assert!(missing.is_empty(), "codes without a page in docs/errors: {missing:?}");
        let idle: Vec<_> = pages.difference(&words).collect();
        assert!(idle.is_empty(), "pages in docs/errors about codes that nothing gives: {idle:?}");
    }

    fn sources(directory: &FilePath) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["tests", "examples", "benches", "target"].contains(&name.as_str()) {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
        found
    }

    /// The literal codes with which problems are made: as the second argument, or as the first of what is said.
    fn refusals(text: &str) -> Vec<String> {
        let calls = ["Refusal::new(", "Problem::new("];
        let each = calls.iter().flat_map(|call| text.split(call).skip(1));
        let codes = each.filter_map(|call| {
            let (_, rest) = call.split_once(',')?;
            word(rest.trim_start())
        });
        let said = text.match_indices("(\"").filter_map(|(at, _)| {
            let found = word(&text[at + 1..])?;
            let is_followed = text[at + 3 + found.len()..].starts_with(", \"");
            (found.contains('_') && is_followed).then_some(found)
        });
        // Those that are given to whoever is refused before there is a request.
        let early = text.match_indices("(503, \"").chain(text.match_indices("(429, \""));
        codes.chain(said).chain(early.filter_map(|(at, _)| word(&text[at + 6..]))).collect()
    }

    /// The words of `fn code`, where an error of another crate becomes a problem.
    fn error_codes(text: &str) -> Vec<String> {
        let Some((_, rest)) = text.split_once("pub fn code(&self) -> &'static str {") else { return vec![] };
        let body = rest.split("\n    }\n").next().unwrap_or_default();
        body.match_indices('"').filter_map(|(at, _)| word(&body[at..])).collect()
    }

    /// `word` of `"word"…`, if it is the word of a code. Within a text, quotes are escaped.
    fn word(text: &str) -> Option<String> {
        let text = text.strip_prefix('"')?;
        let (word, _) = text.split_once('"')?;
        let word = word.trim_end_matches('\\');
        let is_code = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_code.then(|| word.to_owned())
    }
}
