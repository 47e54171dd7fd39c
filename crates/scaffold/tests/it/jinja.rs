//! Jinja2 templates, judged by what Jinja2 itself made of them (`jinja2/record.py`).

use piton_scaffold::{Data, Engine, Missing, eval};

use crate::scene::settings;

/// Templates of which Jinja2 makes something else, each for a reason.
const OTHERWISE: &[(&str, &str)] = &[
    ("{{ '%s has %d' % ('a', 3) }}", "texts have no `%`; the filter `format` does the same"),
    ("{% macro va() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ va(1, 2, a=3) }}", "macros take what they name"),
    ("{% macro m(a) %}{{ m.name }}{{ m.arguments }}{% endmacro %}{{ m(1) }}", "a list, where Jinja2 has a tuple"),
    ("{% do items %}x", "only calls can be done"),
    ("{{ [1, 2, 3] | length > 2 }} {{ items | first | upper }} {{ -port }} {{ +port }}", "there is no unary plus"),
    (
        "{{ 'x' | default(1) }} {{ users[0] | attr('name') }} {{ config | items | list }} {{ users | length }}",
        "`attr` finds keys of dictionaries too",
    ),
    (
        "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}",
        "cyclers have no `current`",
    ),
    (
        "{{ '{:>8}|{:<8}|{:^8}|'.format('a', 'b', 'c') }} {{ '{:,}'.format(1234567) }} {{ '{!r}'.format('a') }} \
         {{ '{:x}'.format(255) }} {{ '{:08.3f}'.format(3.14159) }}",
        "`format` has no `!r`",
    ),
];

#[test]
fn renders_as_jinja2_does() {
    let data = Data::from_json(include_str!("jinja2/data.json")).unwrap();
    let outputs: Vec<(String, Option<String>)> = serde_json::from_str(include_str!("jinja2/outputs.json")).unwrap();
    assert!(outputs.len() > 150, "{}", outputs.len());
    let mut wrong = Vec::new();
    for (line, expected) in &outputs {
        let template = line.replace("\\n", "\n");
        let output = eval(Engine::Jinja, &template, &data, Missing::Default, &settings());
        let same = match (&output, expected) {
            (Ok(output), Some(expected)) => output == expected.as_bytes(),
            (Err(_), None) => true,
            _ => false,
        };
        let excused = OTHERWISE.iter().any(|(excused, _)| excused == line);
        if same == excused {
            let output = output.map(|output| String::from_utf8_lossy(&output).into_owned());
            wrong.push(format!("{line}\n  wanted {expected:?}\n  got    {output:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), outputs.len(), wrong.join("\n"));
}

#[test]
fn knows_what_other_scaffolders_add() {
    let table = [
        ("{{ 'Größe & Ünïcode!' | slugify }}", "grosse-unicode"),
        (
            "{{ 'My Cool App' | slugify(separator='_') }} {{ 'My Cool App' | slugify(max_length=7) }}",
            "my_cool_app my-cool",
        ),
        ("{{ 'It\\'s' | slugify(lowercase=false) }}", "It-s"),
        (
            "{{ {'b': [1, 'x'], 'a': {}} | jsonify }}",
            "{\n    \"a\": {},\n    \"b\": [\n        1,\n        \"x\"\n    ]\n}",
        ),
        ("{{ {'b': 1, 'a': [true, none]} | to_json }}", "{\"a\": [true, null], \"b\": 1}"),
        ("{{ {'b': 1} | to_nice_json(indent=2) }}", "{\n  \"b\": 1\n}"),
        ("{{ now() }} {{ now('%Y') }}", "2026-01-02T03:04:05Z 2026"),
        ("{{ random_ascii_string(8) | length }} {{ uuid4() | length }}", "8 36"),
        ("{{ 'a1b22' | regex_replace('([0-9]+)', '<\\\\1>') }}", "a<1>b<22>"),
        ("{{ yes | ternary('on', 'off') }}", "on"),
    ];
    for (template, expected) in table {
        let data = Data::from_json(r#"{"yes": true}"#).unwrap();
        let output = eval(Engine::Jinja, template, &data, Missing::Error, &settings());
        assert_eq!(output.map(|output| String::from_utf8(output).unwrap()), Ok(expected.to_owned()), "{template}");
    }
}

/// Recorded from PyYAML's `dump` with `default_flow_style=False`, `indent=4`.
#[test]
fn writes_yaml_as_pyyaml_does() {
    let data = Data::from_json(include_str!("jinja2/yaml.json")).unwrap();
    let output = eval(Engine::Jinja, "{{ data | to_nice_yaml }}", &data, Missing::Error, &settings()).unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), include_str!("jinja2/yaml.yml"));
}

#[test]
fn undefined_is_a_mistake_with_its_place() {
    let template = "line one\n  {{ gone }}\n";
    let error =
        eval(Engine::Jinja, template, &Data::from_json("{}").unwrap(), Missing::Error, &settings()).unwrap_err();
    let problem = error.first();
    assert_eq!((problem.line, problem.column), (Some(2), Some(6)), "{error}");
    assert!(problem.hint.is_some());
}
