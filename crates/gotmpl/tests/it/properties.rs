//! Whatever comes in, nothing panics and nothing runs away.

use piton_gotmpl::{Limits, Template, Value};
use proptest::prelude::*;
use serde_json::json;

use super::options;

fn limits() -> Limits {
    Limits { steps: 20_000, output: 1 << 16, memory: 1 << 20, ..Limits::default() }
}

fn render(text: &str) {
    if let Ok(template) = Template::parse("t", text, &options()) {
        let mut out = Vec::new();
        let data = Value::from(&json!({"s": "str", "n": -3, "f": 2.5, "l": [1, "x", null], "m": {"a": {"b": 1}}}));
        let _ = template.render(&data, &mut out, &limits());
        assert!(out.len() <= limits().output);
        // What was parsed prints as something that parses to the same.
        assert!(template.canonical("t").is_some());
    }
}

/// Words of the language, which random text hardly ever hits.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "/*",
        "*/",
        "(",
        ")",
        "|",
        ":=",
        "=",
        ",",
        ".",
        "$",
        "$x",
        ".s",
        ".l",
        ".m.a",
        "if ",
        "else ",
        "end",
        "range ",
        "with ",
        "define ",
        "block ",
        "template ",
        "break",
        "continue",
        "nil",
        "true",
        "\"a\"",
        "`b`",
        "'c'",
        "1",
        "-2.5e3",
        "0x",
        "1i",
        " ",
        "\n",
        "é",
        "printf ",
        "index ",
        "slice ",
        "len ",
        "and ",
        "eq ",
        "dict ",
        "list ",
        "set ",
        "merge ",
        "regexReplaceAll ",
        "substr ",
        "trunc ",
        "round ",
        "divf ",
        "toDate ",
        "date ",
        "semver ",
        "urlParse ",
        "b32dec ",
        "wrap ",
        "abbrevboth ",
        "untilStep ",
        "dig ",
        "chunk ",
        "fromJson ",
        "9223372036854775807",
        "-9223372036854775808",
        "\"%[3]*.[2]*[1]f\"",
        "\"$1${x}\"",
        "\"[\"",
        "\"99999999999999999999\"",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ]
}

/// Functions with arguments of any kind.
fn call() -> impl Strategy<Value = String> {
    let functions: Vec<String> = [
        "trunc",
        "substr",
        "repeat",
        "nospace",
        "wrap",
        "wrapWith",
        "abbrev",
        "abbrevboth",
        "indent",
        "splitn",
        "untilStep",
        "seq",
        "round",
        "div",
        "mod",
        "mul",
        "divf",
        "mulf",
        "chunk",
        "slice",
        "dig",
        "first",
        "concat",
        "toDate",
        "date",
        "dateModify",
        "duration",
        "durationRound",
        "ago",
        "semverCompare",
        "regexSplit",
        "regexFindAll",
        "regexReplaceAll",
        "urlParse",
        "urlJoin",
        "b64dec",
        "b32dec",
        "decryptAES",
        "fromJson",
        "toJson",
        "printf",
        "index",
        "merge",
        "set",
        "camelcase",
        "snakecase",
        "title",
        "replace",
        "randInt",
        "randBytes",
        "randAlphaNum",
        "html",
        "js",
        "int",
        "atoi",
    ]
    .map(str::to_owned)
    .to_vec();
    let argument = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-5..20i64).prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("no such constant", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "\\PC{0,8}".prop_map(|text| format!("{text:?}").replace("\\u{", "\\\\u{")),
        proptest::sample::select(
            &[".s", ".n", ".f", ".l", ".m", ".none", "nil", "true", "(list 1 2)", "(dict \"a\" 1)"][..]
        )
        .prop_map(str::to_owned),
    ];
    (proptest::sample::select(functions), proptest::collection::vec(argument, 0..5))
        .prop_map(|(function, arguments)| format!("{{{{{function} {}}}}}", arguments.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_template_or_an_error(text in "\\PC{0,60}") {
        render(&text);
        render(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn any_words_are_a_template_or_an_error(words in proptest::collection::vec(word(), 0..40)) {
        render(&words.concat());
    }

    #[test]
    fn any_call_returns_or_fails(call in call()) {
        render(&call);
    }

    #[test]
    fn any_bytes_are_printed(bytes in proptest::collection::vec(any::<u8>(), 0..20), at in 0..20usize) {
        let template = Template::parse("t", "{{slice . 0 1}}{{printf \"%q %x %5.2s\" . . .}}{{toJson .}}{{upper .}}{{js .}}", &options());
        let _ = template.unwrap().render(&Value::from(bytes.clone()), &mut Vec::new(), &limits());
        let template = Template::parse("t", &String::from_utf8_lossy(&bytes), &options());
        let _ = template.map(|template| template.render(&Value::from(at as i64), &mut Vec::new(), &limits()));
    }
}
