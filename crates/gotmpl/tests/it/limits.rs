//! No template takes more than it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use piton_gotmpl::{ExecError, Limit, Limits, Template, Value};
use serde_json::json;

use super::options;

fn limit_of(text: &str, limits: &Limits) -> Limit {
    let template = Template::parse("t", text, &options()).unwrap();
    let mut out = Vec::new();
    match template.render(&Value::from(&json!({"l": [1, 2, 3]})), &mut out, limits) {
        Err(ExecError::Limit { limit, .. }) => {
            assert!(out.len() <= limits.output);
            limit
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn endless_templates_end() {
    let recursion = "{{define \"x\"}}{{template \"x\" .}}{{end}}{{template \"x\" .}}";
    assert_eq!(limit_of(recursion, &Limits::default()), Limit::Templates(10_000));
    let deep = Limits { depth: 1_000_000_000, steps: 3_000_000, ..Limits::default() };
    assert_eq!(limit_of(recursion, &deep), Limit::Steps);
    assert_eq!(limit_of("{{range 9223372036854775807}}{{end}}", &Limits::default()), Limit::Steps);
    let nested = "{{range 100000}}{{range 100000}}x{{end}}{{end}}";
    assert_eq!(limit_of(nested, &Limits { output: 1000, ..Limits::default() }), Limit::Output);
}

#[test]
fn memory_is_refused_before_it_is_taken() {
    let small = Limits { memory: 1 << 20, ..Limits::default() };
    for text in [
        "{{$x := \"0123456789\"}}{{range 64}}{{$x = print $x $x}}{{end}}",
        "{{repeat 1000000000000 \"x\"}}",
        "{{indent 1000000000 \"a\\nb\"}}",
        "{{until 1000000000000}}",
        "{{seq 1000000000000}}",
        "{{printf \"%1000000d%1000000d%1000000d\" 1 2 3}}",
        "{{$x := list 1}}{{range 64}}{{$x = concat $x $x}}{{end}}",
        "{{$d := dict \"a\" 1}}{{range 64}}{{$d = dict \"a\" $d \"b\" $d}}{{end}}{{toJson $d}}",
        "{{randAlphaNum 100000000000}}",
        "{{replace \"\" (repeat 100000 \"x\") (repeat 100000 \"y\")}}",
        "{{wrapWith 1 (repeat 100000 \"x\") (repeat 100000 \"y\")}}",
    ] {
        assert!(matches!(limit_of(text, &small), Limit::Memory | Limit::Steps | Limit::Depth), "{text}");
    }
}

#[test]
fn values_that_are_too_deep_are_not_walked() {
    let deep = "{{$x := list}}{{range 100000}}{{$x = list $x}}{{end}}";
    assert_eq!(limit_of(&format!("{deep}{{{{$x}}}}"), &Limits::default()), Limit::Depth);
    assert_eq!(limit_of(&format!("{deep}{{{{toJson $x}}}}"), &Limits::default()), Limit::Depth);
    assert_eq!(limit_of(&format!("{deep}{{{{deepCopy $x}}}}"), &Limits::default()), Limit::Depth);
    assert_eq!(limit_of(&format!("{deep}{{{{deepEqual $x (deepCopy $x)}}}}"), &Limits::default()), Limit::Depth);
    let chain =
        "{{$d := dict}}{{$c := $d}}{{range 100000}}{{$n := dict}}{{$_ := set $c \"n\" $n}}{{$c = $n}}{{end}}{{$d}}";
    assert_eq!(limit_of(chain, &Limits::default()), Limit::Depth);
}

#[test]
fn nesting_in_the_text_is_bounded() {
    for (open, close) in
        [("{{if true}}", "{{end}}"), ("{{with 1}}{{else}}", "{{end}}"), ("{{block \"x\" .}}", "{{end}}")]
    {
        let text = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(Template::parse("t", &text, &options()).is_err());
    }
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Template::parse("t", &parens, &options()).is_err());
    let fine = format!(
        "{{{{{}1{}}}}}{}x{}",
        "(".repeat(150),
        ")".repeat(150),
        "{{if true}}".repeat(150),
        "{{end}}".repeat(150)
    );
    let template = Template::parse("t", &fine, &options()).unwrap();
    assert_eq!(template.render_text(&Value::Nil, &Limits::default()).unwrap(), "1x");
}

#[test]
fn the_caller_can_interrupt() {
    let gone = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&gone);
    let interrupt = Limits { interrupt: Some(Arc::new(move || asked.load(Ordering::Relaxed))), ..Limits::default() };
    assert_eq!(limit_of("{{range 1000000}}{{end}}", &interrupt), Limit::Interrupted);
    gone.store(false, Ordering::Relaxed);
    assert_eq!(limit_of("{{range 100000000}}{{end}}", &interrupt), Limit::Steps);
}
