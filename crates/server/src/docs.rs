//! Pages for people. They load nothing from anywhere else.

use std::fmt::Write;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

const STYLE: &str = "
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow-x:auto;padding:.5rem;background:color-mix(in srgb,currentColor 8%,transparent)}
details{border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent);padding:.4rem 0}
summary{cursor:pointer}summary>code:first-child{font-weight:600}
table{border-collapse:collapse}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}
.who{opacity:.7;font-size:.85em}
";

/// A page: no scripts, and styles only of its own.
pub(crate) fn html(page: Bytes) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, page).into_response()
}

/// A whole page around `body`, which is HTML.
pub(crate) fn frame(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

/// The document of the API as a page.
pub(crate) fn page(document: &Value) -> String {
    let mut body = String::from("<h1>Piton's HTTP API</h1>\n");
    let _ = write!(body, "<p>Version {}. ", text(&document["info"]["version"]));
    body.push_str("For programs: <a href=\"openapi.json\">openapi.json</a>, OpenAPI 3.1.</p>\n");
    let mut group = "";
    let mut all: Vec<(&str, &str, &str, &Value)> = operations(document).collect();
    all.sort_by_key(|(tag, path, method, _)| (*tag, *path, *method));
    for (tag, path, method, operation) in all {
        if tag != group {
            let _ = writeln!(body, "<h2>{}</h2>", escape(tag));
            group = tag;
        }
        section(&mut body, path, method, operation);
    }
    body.push_str("<h2>Shapes</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let shape = serde_json::to_string_pretty(schema).unwrap_or_default();
        let (id, shape) = (escape(name), escape(&shape));
        let _ = writeln!(body, "<details id=\"{id}\"><summary><code>{id}</code></summary><pre>{shape}</pre></details>");
    }
    frame("Piton's HTTP API", &body)
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| {
            (operation["tags"][0].as_str().unwrap_or_default(), path.as_str(), method.as_str(), operation)
        })
    })
}

fn section(body: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = writeln!(
        body,
        "<details><summary><code>{} {}</code> {} <span class=\"who\">{}</span></summary>",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"]),
        text(&operation["x-permission"]),
    );
    if operation["description"].is_string() {
        let _ = writeln!(body, "<p>{}</p>", text(&operation["description"]));
    }
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        body.push_str("<table><tr><th>parameter</th><th>in</th><th></th></tr>\n");
        for parameter in parameters {
            let [name, place, what] = ["name", "in", "description"].map(|member| text(&parameter[member]));
            let _ = writeln!(body, "<tr><td><code>{name}</code></td><td>{place}</td><td>{what}</td></tr>");
        }
        body.push_str("</table>\n");
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let _ = writeln!(body, "<p>Body: {}</p>", shapes(content));
    }
    body.push_str("<table><tr><th>status</th><th></th><th></th></tr>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let shape = response["content"].as_object().map(shapes).unwrap_or_default();
        let what = text(&response["description"]);
        let _ = writeln!(body, "<tr><td>{}</td><td>{shape}</td><td>{what}</td></tr>", escape(status));
    }
    body.push_str("</table></details>\n");
}

fn shapes(content: &serde_json::Map<String, Value>) -> String {
    let one = |(kind, media): (&String, &Value)| {
        let schema = &media["schema"];
        let reference = schema["$ref"].as_str().or(schema["items"]["$ref"].as_str());
        match reference.and_then(|reference| reference.rsplit('/').next()) {
            Some(name) => format!("<a href=\"#{0}\"><code>{0}</code></a>", escape(name)),
            None => format!("<code>{}</code>", escape(kind)),
        }
    };
    content.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What stands between two backticks is code.
fn text(value: &Value) -> String {
    let parts: Vec<String> = value.as_str().unwrap_or_default().split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return parts.join("`");
    }
    let coded = parts.iter().enumerate().map(|(number, part)| match number % 2 {
        0 => part.clone(),
        _ => format!("<code>{part}</code>"),
    });
    coded.collect()
}

/// A text within HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_become_code() {
        for (given, wanted) in [
            ("as `a<b` or `c`.", "as <code>a&lt;b</code> or <code>c</code>."),
            ("none", "none"),
            ("a lone ` stays", "a lone ` stays"),
        ] {
            assert_eq!(text(&Value::from(given)), wanted);
        }
    }

    #[test]
    fn nothing_in_the_document_becomes_markup() {
        let document = serde_json::json!({
            "info": { "version": "<b>" },
            "paths": { "/<i>": { "get": { "tags": ["<script>"], "summary": "\"><img>", "responses": {} } } },
        });
        let page = page(&document);
        for hostile in ["<b>", "<i>", "<script>", "<img>"] {
            assert!(!page.contains(hostile), "{page}");
        }
        assert!(page.contains("GET /&lt;i&gt;"), "{page}");
    }
}
