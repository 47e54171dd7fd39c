//! The language: what it prints and what it says of mistakes, as Go 1.26 does.

use piton_gotmpl::{Element, Limits, Map, MissingKey, Options, Signature, Template, Type, Value};
use serde_json::{Value as Json, json};

use super::{check, options, rendered};

fn data() -> Json {
    json!({"n": 3, "f": 1.0, "s": "str", "l": [1, 2, 3], "m": {"a": 1, "b": {"c": "d"}}, "e": {}, "nil": null})
}

#[test]
fn values_print_as_in_go() {
    check(
        &data(),
        &[
            ("{{.n}} {{.f}} {{.s}} {{.l}} {{.m}}", "3 1 str [1 2 3] map[a:1 b:map[c:d]]"),
            ("{{1e6}} {{1e21}} {{1.50}} {{0x1F}} {{'a'}}", "1e+06 1e+21 1.5 31 97"),
            ("{{.nil}} {{.none}} {{print .nil}} {{html .nil}}", "<no value> <no value> <nil> &lt;no value&gt;"),
            ("{{print 1 2 \"a\" \"b\" 3 true nil}}", "1 2ab3 true <nil>"),
            ("{{printf \"%d %s %v\" \"x\" 1 nil}}", "%!d(string=x) %!s(int=1) <nil>"),
            ("{{printf \"%[2]*[1]d|%d %s\" 7 4}}", "   7|4 %!s(MISSING)"),
        ],
    );
    check(
        &data(),
        &[
            ("{{printf \"%6.2f|%-6s|%06d|%#x|%U\" 3.14159 \"ab\" -42 255 9731}}", "  3.14|ab    |-00042|0xff|U+2603"),
            ("{{printf \"%q %+q %#q %x\" \"a\\\"é\" \"é\" \"raw\" \"hi\"}}", "\"a\\\"é\" \"\\u00e9\" `raw` 6869"),
            ("{{printf \"%T %T %T %T\" .n .f .l .m}}", "int float64 []interface {} map[string]interface {}"),
            ("{{printf \"%#v\" .m}}", "map[string]interface {}{\"a\":1, \"b\":map[string]interface {}{\"c\":\"d\"}}"),
        ],
    );
}

#[test]
fn blocks_nest_and_variables_have_scopes() {
    check(
        &data(),
        &[
            ("{{range $i, $e := .l}}{{if eq $e 2}}{{continue}}{{end}}{{$i}}{{$e}} {{end}}", "01 23 "),
            ("{{range .l}}{{if gt . 1}}{{break}}{{end}}{{.}}{{else}}none{{end}}", "1"),
            ("{{range .e}}x{{else}}none{{end}}", "none"),
            ("{{range 3}}{{.}}{{end}}", "012"),
            ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x = 3}}{{$x}}{{end}}{{$x}}", "31"),
            ("{{with .none}}a{{else with .n}}{{.}}{{else}}c{{end}}", "3"),
            ("{{if .none}}a{{else if .n}}b{{else}}c{{end}}", "b"),
            ("{{define \"x\"}}[{{.}}]{{end}}{{template \"x\" .n}}{{block \"y\" .s}}<{{.}}>{{end}}", "[3]<str>"),
            ("a {{- 1 -}} b {{/* nothing */ -}} c", "a1b c"),
        ],
    );
}

#[test]
fn mistakes_are_told_in_the_words_of_go() {
    check(
        &data(),
        &[
            ("{{.n.x}}", "template: t:1:4: executing \"t\" at <.n.x>: can't evaluate field x in type interface {}"),
            ("{{.nil.x}}", "template: t:1:6: executing \"t\" at <.nil.x>: nil pointer evaluating interface {}.x"),
            (
                "\n {{index .l 9}}",
                "template: t:2:3: executing \"t\" at <index .l 9>: error calling index: index out of range: 9",
            ),
            (
                "{{eq .f 1}}",
                "template: t:1:2: executing \"t\" at <eq .f 1>: error calling eq: incompatible types for comparison: float64 and int",
            ),
            (
                "{{template \"x\"}}",
                "template: t:1:11: executing \"t\" at <{{template \"x\"}}>: template \"x\" not defined",
            ),
            ("{{nope}}", "template: t:1: function \"nope\" not defined"),
            ("{{$x}}", "template: t:1: undefined variable \"$x\""),
            ("{{if .n}}", "template: t:1: unexpected EOF"),
            ("x{{end}}", "template: t:1: unexpected {{end}}"),
            ("{{.n | 3}}", "template: t:1: non executable command in pipeline stage 2"),
            ("{{break}}", "template: t:1: {{break}} outside {{range}}"),
            ("{{\n\"abc}}", "template: t:2: unterminated quoted string in action started at t:1"),
        ],
    );
}

#[test]
fn maps_without_a_key_answer_as_they_are_told() {
    let with = |missing_key, text: &str| {
        let options = Options { missing_key, ..options() };
        let template = Template::parse("t", text, &options).unwrap();
        template.render_text(&Value::from(&data()), &Limits::default()).unwrap_or_else(|error| error.to_string())
    };
    assert_eq!(with(MissingKey::Default, "{{.none}}{{.none.x}}"), "<no value><no value>");
    assert_eq!(with(MissingKey::Zero, "{{.none}}"), "<no value>");
    assert!(with(MissingKey::Zero, "{{.none.x}}").contains("nil pointer evaluating interface {}.x"));
    assert!(with(MissingKey::Error, "{{.none}}").ends_with("map has no entry for key \"none\""));
}

#[test]
fn delimiters_and_functions_can_be_others() {
    let mut options = Options { left: "<<".into(), right: ">>".into(), ..Options::default() };
    options.functions.add("shout", Signature::new(&[Type::Text], Type::Text), |_, args| match args {
        [Value::Text(text)] => Ok(Value::from(format!("{text}!"))),
        _ => Err("nothing to shout".into()),
    });
    let template = Template::parse("t", "{{a}} << shout \"hey\" >>", &options).unwrap();
    assert_eq!(template.render_text(&Value::Nil, &Limits::default()).unwrap(), "{{a}} hey!");
    let wrong = Template::parse("t", "<< shout 1 >>", &options).unwrap();
    let error = wrong.render_text(&Value::Nil, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "template: t:1:9: executing \"t\" at <1>: expected string; found 1");
}

#[test]
fn templates_are_associated_by_name() {
    let mut template = Template::parse("main", "{{template \"part\" .}}", &options()).unwrap();
    template.add("part", "<{{.}}>", &options()).unwrap();
    assert_eq!(template.names().collect::<Vec<_>>(), ["main", "part"]);
    assert_eq!(template.render_text(&Value::from(1), &Limits::default()).unwrap(), "<1>");
    let error = template.render_named("none", &Value::Nil, &mut Vec::new(), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "template: no template \"none\" associated with template \"main\"");
}

#[test]
fn what_was_written_before_a_mistake_stays() {
    let template = Template::parse("t", "before {{index . 1}} after", &options()).unwrap();
    let mut out = Vec::new();
    template.render(&Value::from(&json!([])), &mut out, &Limits::default()).unwrap_err();
    assert_eq!(out, b"before ");
}

#[test]
fn templates_go_to_other_threads() {
    let template = Template::parse("t", "{{.}}", &options()).unwrap();
    let there = std::thread::spawn(move || template.render_text(&Value::from(5), &Limits::default()).unwrap());
    assert_eq!(there.join().unwrap(), "5");
}

#[test]
fn maps_are_changed_for_everyone_who_holds_them() {
    let map = Map::new(Element::Any);
    let data = Value::Map(map.clone());
    let template = Template::parse("t", "{{$m := .}}{{$_ := set . \"k\" 1}}{{$m.k}}", &options()).unwrap();
    assert_eq!(template.render_text(&data, &Limits::default()).unwrap(), "1");
    assert!(map.contains(b"k"));
    assert!(rendered("{{set . \"self\" (list .)}}", &json!({})).ends_with("the dict would contain itself"));
}
