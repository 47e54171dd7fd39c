//! What values a blueprint asks for, and what is said about those it does not get.

use piton_model::{Failure, FailureClass};
use piton_scaffold::{Kind, Trouble, Undeclared};
use serde_json::{Value, json};

use crate::scene::{blueprint, load, order, render};

const DECLARATION: &str = r#"
description = "A service"

[values.title]
required = true
description = "what people call it"

[values.port]
type = "integer"
default = 8080
min = 1
max = 65535

[values.database]
enum = ["postgres", "sqlite"]
default = "postgres"

[values.slug]
pattern = "[a-z][a-z0-9-]*"
default = "{{ .Name }}-{{ .Values.database }}"
max = 20

[values.ratio]
type = "number"
max = 1.5

[values.docker]
type = "boolean"
default = true

[values.topics]
type = "list"
items = "string"
max = 3

[values.labels]
type = "object"
"#;

fn complete(values: Value) -> Result<Value, String> {
    let directory = blueprint(&[("blueprint.toml", DECLARATION)]);
    let blueprint = load(directory.path()).unwrap();
    blueprint.values(&order(values)).map(Value::Object).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_added() {
    assert_eq!(
        complete(json!({"title": "T"})).unwrap(),
        json!({
            "title": "T", "port": 8080, "database": "postgres", "slug": "my-service-postgres", "ratio": 0.0,
            "docker": true, "topics": [], "labels": {}
        })
    );
    let given = json!({
        "title": "T", "port": 1, "database": "sqlite", "slug": "s", "ratio": 1, "docker": false, "topics": ["a"],
        "labels": {"a": [1]}
    });
    assert_eq!(complete(given.clone()).unwrap(), given);
    assert_eq!(complete(json!({"title": "T", "port": null})).unwrap()["port"], 8080);
}

#[test]
fn what_is_wrong_is_told_at_once() {
    let values = json!({
        "port": "8080", "database": "mysql", "slug": "No", "ratio": 2, "docker": "yes", "topics": ["a", 1],
        "labels": [], "prot": 1
    });
    let expected = "\
values.prot: the blueprint declares no such value (did you mean `port`?)
values.title: is missing; a string is wanted (what people call it)
values.port: is \"8080\", and an integer is wanted (write 8080 without quotes)
values.database: is \"mysql\" (one of \"postgres\", \"sqlite\" is wanted)
values.slug: is \"No\", which does not match `[a-z][a-z0-9-]*`
values.ratio: is 2, and the most is 1.5
values.docker: is \"yes\", and a boolean is wanted
values.topics: has 1 at [1], and a string is wanted there
values.labels: is [], and an object is wanted";
    assert_eq!(complete(values).unwrap_err(), expected);
}

#[test]
fn one_rule_at_a_time() {
    let table = [
        (json!({"port": 0}), "values.port: is 0, and the least is 1"),
        (json!({"port": 65536}), "values.port: is 65536, and the most is 65535"),
        (json!({"port": 80.5}), "values.port: is 80.5, and an integer is wanted"),
        (json!({"title": 5}), "values.title: is 5, and a string is wanted (write \"5\" in quotes)"),
        (json!({"slug": "a\nb"}), "values.slug: is \"a\\nb\", which does not match `[a-z][a-z0-9-]*`"),
        (json!({"slug": "a".repeat(21)}), "values.slug: has 21 characters, and the most is 20"),
        (json!({"topics": ["a", "b", "c", "d"]}), "values.topics: has 4 items, and the most is 3"),
        (
            json!({"whatever": 1}),
            "values.whatever: the blueprint declares no such value (it declares title, port, database, slug, ratio, docker, topics, labels)",
        ),
    ];
    for (mut values, expected) in table {
        if values.get("title").is_none() {
            values["title"] = json!("T");
        }
        assert_eq!(complete(values).unwrap_err(), expected);
    }
}

#[test]
fn a_default_that_is_rendered_is_checked_too() {
    let error =
        render(&[("blueprint.toml", "[values.slug]\npattern = \"[a-z]*\"\ndefault = \"{{ .Name }}\"\n")], json!({}));
    assert_eq!(error.unwrap_err().to_string(), "values.slug: is \"my-service\", which does not match `[a-z]*`");
    let error = render(&[("blueprint.toml", "[values.a]\ndefault = \"{{ .Values.b }}\"\n[values.b]\n")], json!({}));
    let error = error.unwrap_err();
    assert_eq!(error.first().field.as_deref(), Some("values.a.default"), "{error}");
    assert_eq!(error.first().file.as_deref(), Some("blueprint.toml"));
}

#[test]
fn a_blueprint_without_a_declaration_takes_anything() {
    let directory = blueprint(&[("a.tmpl", "{{ .Values.x }}")]);
    let blueprint = load(directory.path()).unwrap();
    assert_eq!(blueprint.declaration().undeclared, Undeclared::Allow);
    let tree = blueprint.render(&order(json!({"x": 1, "y": {"z": []}}))).unwrap();
    assert_eq!(&*tree.get("a").unwrap().bytes, b"1");
    let declared = "undeclared = \"allow\"\n[values.x]\ntype = \"integer\"\n";
    render(&[("blueprint.toml", declared)], json!({"y": 1})).unwrap();
}

#[test]
fn the_declaration_can_be_read() {
    let directory = blueprint(&[("blueprint.toml", DECLARATION)]);
    let blueprint = load(directory.path()).unwrap();
    let declaration = blueprint.declaration();
    assert_eq!(declaration.description, "A service");
    let names: Vec<&str> = declaration.values.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["title", "port", "database", "slug", "ratio", "docker", "topics", "labels"]);
    assert_eq!(declaration.value("port").unwrap().kind, Kind::Integer);
    assert!(blueprint.is_empty(), "the declaration is no file of the tree");
}

#[test]
fn mistakes_in_the_declaration_are_told_with_their_places() {
    let table = [
        ("x = 1", "blueprint.toml:1:1: unknown field `x`"),
        ("[values.a]\ntype = \"strin\"", "blueprint.toml:2:8: unknown variant `strin`"),
        ("[values.a]\nkind = 1", "blueprint.toml:2:1: unknown field `kind`"),
        ("[values.a\n", "blueprint.toml:1:10: "),
        ("\n[values.a]\npattern = \"(\"", "values.a.pattern: is no regular expression"),
        ("[values.a]\ntype = \"integer\"\ndefault = \"x\"", "values.a.default: is \"x\", and an integer is wanted"),
        ("[values.a]\nchoices = [\"x\"]\ndefault = \"y\"", "values.a.default: is \"y\""),
        ("[values.a]\nmin = 3\nmax = 2", "values.a.min: is 3, and `max` is 2"),
        ("[values.a]\nchoices = [1]", "values.a.choices: has 1, which is not a string"),
        ("[values.a]\ntype = \"integer\"\npattern = \"x\"", "values.a.pattern: is for strings"),
        ("[values.a]\nrequired = true\ndefault = \"x\"", "values.a.required: is for values without a default"),
        ("[values.\"a b\"]", "values.a b: a name of a value has letters"),
        ("[files]\nignore = [\"a[\"]", "files.ignore: `a[` is no pattern"),
        ("[files.delimiters]\n\"*\" = [\"x\", \"x\"]", "files.delimiters.*: delimiters are two texts"),
        ("[files.when]\n\"a\" = \"{{ if }}\"", "blueprint.toml: files.when.\"a\": "),
        ("[values.a]\ndefault = \"{{ if }}\"", "blueprint.toml: values.a.default: "),
    ];
    for (declaration, expected) in table {
        let directory = blueprint(&[("blueprint.toml", declaration)]);
        let error = load(directory.path()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("blueprint.toml"), "{declaration}\n{error}");
    }
}

#[test]
fn an_error_is_a_failure_of_a_step() {
    let directory = blueprint(&[("blueprint.toml", DECLARATION)]);
    let error = load(directory.path()).unwrap().render(&order(json!({"port": "x"}))).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Values);
    let failure = Failure::from(&error);
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "template_values_invalid"));
    assert_eq!(failure.message, "values.title: is missing; a string is wanted, and 1 more problem");
    assert_eq!(failure.hint.as_deref(), Some("what people call it"));
}

#[test]
fn a_project_needs_a_name() {
    let directory = blueprint(&[]);
    let mut order = order(json!({}));
    order.name.clear();
    let error = load(directory.path()).unwrap().render(&order).unwrap_err();
    assert_eq!(error.first().field.as_deref(), Some("name"));
}
