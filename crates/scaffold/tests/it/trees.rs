//! Whole trees.

use piton_scaffold::{Mode, Trouble, Warning};
use serde_json::json;

use crate::scene::{blueprint, load, order, paths, put, render, shown};

#[test]
fn a_tree_of_both_engines() {
    let tree = render(
        &[
            ("main.go.tmpl", "// {{ .Name }} of {{ .Namespace }} on {{ .Values.port }}\n"),
            (
                "README.md.j2",
                "# {{ name }}\n{% for x in values.topics %}- {{ x }}\n{% endfor %}{{ port }} {{ Meta.run_id }}\n",
            ),
            ("plain.txt", "{{ left alone }}"),
            ("run.sh.tmpl *", "#!/bin/sh\nexec {{ .Name }}\n"),
            ("cmd/{{ .Name }}/{{ .Values.file }}.go.tmpl", "package {{ .Values.file }}\n"),
            ("current -> cmd/{{ .Name }}", ""),
            (
                "meta.txt.tmpl",
                "{{ .Meta.timestamp }} {{ .Meta.Timestamp }} {{ .Meta.version }} {{ .Meta.template }} {{ .Meta.commit }} {{ .Meta.type }}\n",
            ),
        ],
        json!({"port": 8080, "topics": ["a", "b"], "file": "main"}),
    );
    let expected = "\
--- README.md
# my-service
- a
- b
8080 run-1

--- cmd/my-service/main.go
package main

--- current ->
cmd/my-service
--- main.go
// my-service of my-team on 8080

--- meta.txt
2026-01-02T03:04:05Z 2026-01-02T03:04:05Z 0.1.0 go-backend 0123abc component

--- plain.txt
{{ left alone }}
--- run.sh *
#!/bin/sh
exec my-service

";
    assert_eq!(shown(&tree.unwrap()), expected);
}

#[test]
fn the_seeds_example() {
    let main = "package main\n\nimport \"fmt\"\n\nfunc main() {\n    fmt.Println(\"{{ .Name }} starting on port {{ .Values.port }}\")\n}\n";
    let tree = render(&[("main.go.tmpl", main)], json!({"port": 8080, "database": "postgres"})).unwrap();
    let text = String::from_utf8_lossy(&tree.get("main.go").unwrap().bytes).into_owned();
    assert!(text.contains("fmt.Println(\"my-service starting on port 8080\")"), "{text}");
}

#[test]
fn bytes_are_left_alone() {
    let directory = blueprint(&[("blueprint.toml", "[files]\nverbatim = [\"*.raw.tmpl\", \"vendor/\"]\n")]);
    let binary = [0_u8, 159, 146, 150, b'{', b'{', b' ', b'x', b' ', b'}', b'}'];
    put(directory.path(), "logo.png", &binary);
    put(directory.path(), "crlf.txt.tmpl", "a\r\n{{ .Name }}\r\n".as_bytes());
    put(directory.path(), "page.raw.tmpl", b"{{ if }}");
    put(directory.path(), "vendor/x.j2", &binary);
    put(directory.path(), "empty/.gitkeep", b"");
    put(directory.path(), "no-newline.j2", b"{{ name }}");
    put(directory.path(), "newlines.j2", b"{{ name }}\n\n");
    std::fs::create_dir_all(directory.path().join("nothing/in/here")).unwrap();
    put(directory.path(), ".git/config", b"secret");
    let tree = load(directory.path()).unwrap().render(&order(json!({}))).unwrap();
    let expected = ["crlf.txt", "empty/.gitkeep", "logo.png", "newlines", "no-newline", "page.raw.tmpl", "vendor/x.j2"];
    assert_eq!(paths(&tree), expected);
    assert_eq!(*tree.get("logo.png").unwrap().bytes, binary);
    assert_eq!(*tree.get("vendor/x.j2").unwrap().bytes, binary);
    assert_eq!(&*tree.get("crlf.txt").unwrap().bytes, b"a\r\nmy-service\r\n");
    assert_eq!(&*tree.get("no-newline").unwrap().bytes, b"my-service");
    assert_eq!(&*tree.get("newlines").unwrap().bytes, b"my-service\n\n");
}

#[test]
fn conditions_leave_files_out() {
    let declaration = "\
[values.docker]
type = \"boolean\"
[values.database]
choices = [\"postgres\", \"none\"]
default = \"none\"
[files]
ignore = [\"*.bak\", \"/notes\"]
[files.when]
\"docker/**\" = \"{{ .Values.docker }}\"
\"db\" = '{{ ne .Values.database \"none\" }}'
\"db/both.txt\" = \"{{ if .Values.docker }}yes{{ end }}\"
";
    let files = [
        ("blueprint.toml", declaration),
        ("docker/Dockerfile.tmpl", "FROM {{ .Name }}"),
        ("db/schema.sql", ""),
        ("db/both.txt", ""),
        ("main.txt", ""),
        ("x.bak", ""),
        ("notes/a.tmpl", "{{ broken"),
        ("sub/notes/a", ""),
        ("{{ if .Values.docker }}compose.yml{{ end }}", ""),
        ("{{ if .Values.docker }}k8s{{ end }}/a.yml", ""),
    ];
    let rendered = |values| paths(&render(&files, values).unwrap()).join(" ");
    assert_eq!(rendered(json!({})), "main.txt sub/notes/a");
    assert_eq!(rendered(json!({"docker": true})), "compose.yml docker/Dockerfile k8s/a.yml main.txt sub/notes/a");
    assert_eq!(rendered(json!({"database": "postgres"})), "db/schema.sql main.txt sub/notes/a");
    assert_eq!(
        rendered(json!({"docker": true, "database": "postgres"})),
        "compose.yml db/both.txt db/schema.sql docker/Dockerfile k8s/a.yml main.txt sub/notes/a"
    );
}

#[test]
fn names_and_conditions_in_jinja2() {
    let declaration = "engine = \"jinja\"\n[values.ci]\ntype = \"boolean\"\n[files.when]\n\".github\" = \"{{ ci }}\"\n";
    let files = [
        ("blueprint.toml", declaration),
        (".github/ci.yml", ""),
        ("{{ name | replace('-', '_') }}/__init__.py", ""),
        ("{% if ci %}x{% endif %}/y", ""),
    ];
    assert_eq!(paths(&render(&files, json!({})).unwrap()), ["my_service/__init__.py"]);
    let all = [".github/ci.yml", "my_service/__init__.py", "x/y"];
    assert_eq!(paths(&render(&files, json!({"ci": true})).unwrap()), all);
}

#[test]
fn a_name_may_become_several_directories() {
    let files = [("src/{{ .Values.package }}/Main.java", "")];
    let tree = render(&files, json!({"package": "org/example/app"})).unwrap();
    assert_eq!(paths(&tree), ["src/org/example/app/Main.java"]);
}

#[test]
fn partials_and_includes() {
    let files = [
        ("_partials/header.tmpl", "{{ define \"header\" }}# {{ .Name }}{{ end }}"),
        ("_partials/macros.j2", "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"),
        ("a.txt.tmpl", "{{ template \"header\" . }}!"),
        ("sub/b.txt.tmpl", "{{ template \"header\" . }}?"),
        ("sub/c.txt.j2", "{% from '_partials/macros.j2' import twice %}{{ twice(name) }}{% include './d.j2' %}"),
        ("sub/d.j2", "<{{ namespace }}>"),
        ("base.html.j2", "<{% block body %}{% endblock %}>"),
        ("page.html.j2", "{% extends 'base.html.j2' %}{% block body %}{{ name }}/&{% endblock %}"),
    ];
    let tree = render(&files, json!({})).unwrap();
    let expected = "--- a.txt\n# my-service!\n--- base.html\n<>\n--- page.html\n<my-service/&>\n--- sub/b.txt\n\
                    # my-service?\n--- sub/c.txt\nmy-servicemy-service<my-team>\n--- sub/d\n<my-team>\n";
    assert_eq!(shown(&tree), expected);
}

#[test]
fn other_delimiters() {
    let files = [
        ("blueprint.toml", "[files.delimiters]\n\".github/**\" = [\"[[\", \"]]\"]\n"),
        (".github/workflows/ci.yml.tmpl", "name: [[ .Name ]]\nrun: ${{ github.sha }}\n"),
        (".github/workflows/cd.yml.j2", "name: [[ name ]]\nrun: ${{ github.sha }}\n"),
        ("a.tmpl", "{{ .Name }} [[ .Name ]]"),
    ];
    let tree = render(&files, json!({})).unwrap();
    let text = |path: &str| String::from_utf8_lossy(&tree.get(path).unwrap().bytes).into_owned();
    assert_eq!(text(".github/workflows/ci.yml"), "name: my-service\nrun: ${{ github.sha }}\n");
    assert_eq!(text(".github/workflows/cd.yml"), "name: my-service\nrun: ${{ github.sha }}\n");
    assert_eq!(text("a"), "my-service [[ .Name ]]");
}

#[test]
fn undefined_values() {
    let missing = |missing: &str| format!("[files]\nmissing = \"{missing}\"\n");
    let files = |declaration: &'static str| {
        [
            ("blueprint.toml", declaration),
            ("a.tmpl", "one\n\u{fc} {{ .Values.gone }}"),
            ("b.j2", "\n{{ values.gone }}|"),
        ]
    };
    let error = render(&files(""), json!({})).unwrap_err();
    let told: Vec<_> =
        error.problems().map(|problem| (problem.file.as_deref(), problem.line, problem.column)).collect();
    assert_eq!(told, [(Some("a.tmpl"), Some(2), Some(14)), (Some("b.j2"), Some(2), Some(4))], "{error}");
    assert_eq!(error.trouble(), Trouble::Rendering);
    assert!(error.problems().all(|problem| problem.hint.is_some()), "{error}");
    for way in ["zero", "default"] {
        let tree = render(&files(missing(way).leak()), json!({})).unwrap();
        assert_eq!(&*tree.get("b").unwrap().bytes, b"\n|", "{way}");
        assert_eq!(&*tree.get("a").unwrap().bytes, "one\n\u{fc} <no value>".as_bytes(), "{way}");
    }
}

#[test]
fn mistakes_are_told_with_their_places() {
    let files = [
        ("a.tmpl", "fine\n{{ if }}\n"),
        ("b.j2", "fine\n\n  {{ 1 + }}\n"),
        ("{{ .Name", ""),
        ("c.tmpl", "{{ gone 1 }}"),
    ];
    let error = render(&files, json!({})).unwrap_err();
    let told: Vec<_> =
        error.problems().map(|problem| (problem.file.clone().unwrap(), problem.line, problem.trouble)).collect();
    let expected = [
        ("a.tmpl".to_owned(), Some(2), Trouble::Syntax),
        ("b.j2".to_owned(), Some(3), Trouble::Syntax),
        ("c.tmpl".to_owned(), Some(1), Trouble::Syntax),
        ("{{ .Name".to_owned(), None, Trouble::Syntax),
    ];
    assert_eq!(told, expected, "{error}");
    assert!(error.to_string().starts_with("a.tmpl:2: "), "{error}");
}

#[test]
fn a_mistake_in_a_partial_is_told_there() {
    let files = [
        ("_partials/p.j2", "\n{{ gone }}"),
        ("_partials/q.tmpl", "{{ define \"q\" }}\n{{ .Values.gone }}{{ end }}"),
        ("a.j2", "{% include '_partials/p.j2' %}"),
        ("b.tmpl", "{{ template \"q\" . }}"),
    ];
    let error = render(&files, json!({})).unwrap_err();
    let told: Vec<_> = error.problems().map(|problem| (problem.file.as_deref(), problem.line)).collect();
    assert_eq!(told, [(Some("_partials/p.j2"), Some(2)), (Some("_partials/q.tmpl"), Some(2))], "{error}");
}

#[test]
fn paths_that_collide() {
    let error = render(&[("a.tmpl", ""), ("a.j2", "")], json!({})).unwrap_err();
    assert_eq!(error.trouble(), Trouble::BadPath);
    assert!(error.to_string().contains("`a` is made from `a.j2` too"), "{error}");
    let error = render(&[("{{ .Values.x }}", ""), ("dir/y", "")], json!({"x": "dir"})).unwrap_err();
    assert!(error.to_string().contains("`dir/y` lies beneath `dir`, which is a file"), "{error}");
}

#[test]
fn paths_that_are_one_where_case_does_not_count() {
    let tree = render(&[("Makefile", ""), ("makefile", ""), ("Docs/a", ""), ("docs/b", "")], json!({})).unwrap();
    let told: Vec<String> =
        tree.warnings().iter().map(|Warning::SameButForCase { path, other }| format!("{other} {path}")).collect();
    assert_eq!(told, ["Docs docs", "Makefile makefile"]);
}

#[test]
fn one_file_does_not_see_what_another_did() {
    let files = [
        ("a.j2", "{% set port = 1 %}{{ port }}"),
        ("b.j2", "{{ port }}"),
        // Go's maps are shared and can be changed in place.
        ("c.tmpl", "{{ $_ := set .Values \"port\" 3 }}{{ .Values.port }}"),
        ("d.tmpl", "{{ .Values.port }}"),
    ];
    let tree = render(&files, json!({"port": 2})).unwrap();
    assert_eq!(shown(&tree), "--- a\n1\n--- b\n2\n--- c\n3\n--- d\n2\n");
}

#[test]
fn the_same_order_gives_the_same_tree() {
    let files = [
        ("a.j2", "{{ random_ascii_string(5) }} {{ now() }}"),
        ("b.tmpl", "{{ range $k, $v := .Values }}{{ $k }}{{ end }}"),
    ];
    let directory = blueprint(&files);
    let blueprint = load(directory.path()).unwrap();
    let values = order(json!({"z": 1, "a": 2, "m": 3}));
    let first = blueprint.render(&values).unwrap();
    assert_eq!(first, blueprint.render(&values).unwrap());
    assert_eq!(first.digest(), blueprint.render(&values).unwrap().digest());
    let executable = first.entries().iter().any(|entry| entry.mode == Mode::Executable);
    assert!(!executable);
    let other = blueprint.render(&order(json!({"z": 1}))).unwrap();
    assert_ne!(first.digest(), other.digest());
}

#[test]
fn a_blueprint_renders_on_any_thread() {
    fn assert_sync<T: Send + Sync>(_: &T) {}
    let directory = blueprint(&[("a.tmpl", "{{ .Values.n }}"), ("b.j2", "{{ n }}")]);
    let blueprint = load(directory.path()).unwrap();
    assert_sync(&blueprint);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let blueprint = &blueprint;
            scope.spawn(move || {
                let tree = blueprint.render(&order(json!({"n": n}))).unwrap();
                assert!(tree.entries().iter().all(|entry| *entry.bytes == *n.to_string().as_bytes()));
            });
        }
    });
}
