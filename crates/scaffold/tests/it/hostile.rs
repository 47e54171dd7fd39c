//! Blueprints and values that mean harm.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use piton_scaffold::{Blueprint, Data, Engine, Limits, Missing, Trouble, eval};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::scene::{blueprint, load, order, put, render, settings, with_limits};

#[test]
fn paths_that_leave_the_tree() {
    let table = [
        "..",
        "../x",
        "a/../../x",
        "/etc/passwd",
        ".git",
        ".GIT/hooks/pre-commit",
        ".git/hooks/pre-commit",
        "a/.git/config",
        "git~1/config",
        ".git./x",
        ".g\u{200c}it/config",
        "a\\..\\..\\b",
        "a\0b",
        "a\nb",
        "./a",
        "a//b",
        "a/",
    ];
    for path in table {
        for name in ["{{ .Values.path }}", "dir/{{ .Values.path }}/x.tmpl", "{{ .Values.path }}.j2"] {
            let result = render(&[(name, "x")], json!({"path": path}));
            // Some of them are harmless in the middle of a path.
            match result {
                Err(error) => assert_eq!(error.trouble(), Trouble::BadPath, "{path:?} {name}"),
                Ok(tree) => {
                    let is_jinja = std::path::Path::new(name).extension().is_some_and(|end| end == "j2");
                    let inside = tree.entries().iter().all(|entry| !entry.path.as_str().contains("..") || is_jinja);
                    assert!(inside && name != "{{ .Values.path }}", "{path:?} {name}");
                }
            }
        }
    }
}

#[test]
fn links_that_leave_the_tree() {
    let table = [
        ("a -> /etc/passwd", ""),
        ("a -> ../x", ""),
        ("d/a -> ../../x", ""),
        ("d/a -> b/../../../x", ""),
        ("a -> {{ .Values.out }}", ""),
        ("a -> ..", ""),
        ("a -> gone", ""),
        ("a -> a", ""),
        ("a -> x/y", "x"),
    ];
    for (link, file) in table {
        let mut files = vec![(link, "")];
        if !file.is_empty() {
            files.push((file, ""));
        }
        let error = render(&files, json!({"out": "../../etc/passwd"})).unwrap_err();
        assert_eq!(error.trouble(), Trouble::UnsafeEntry, "{link}: {error}");
    }
    // A chain of links, each of which looks harmless.
    let chain = [("a -> d/e", ""), ("d/e -> ../..", ""), ("f", "")];
    assert_eq!(render(&chain, json!({})).unwrap_err().trouble(), Trouble::UnsafeEntry);
    let long: Vec<(String, &str)> = (0..60).map(|at| (format!("l{at:02} -> l{:02}", at + 1), "")).collect();
    let mut long: Vec<(&str, &str)> = long.iter().map(|(link, text)| (link.as_str(), *text)).collect();
    long.push(("l60", "end"));
    assert!(render(&long, json!({})).unwrap_err().to_string().contains("runs in circles"));
    let fine = [("a -> d/e", ""), ("d/e -> ../f", ""), ("f", ""), ("d/self -> .", ""), ("up/x -> ../d", "")];
    assert_eq!(render(&fine, json!({})).unwrap().entries().len(), 5);
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let secret = blueprint(&[("secret.txt", "secret"), ("blueprint.toml", "")]);
    let target = secret.path().to_str().unwrap();
    for link in [format!("dir -> {target}"), format!("blueprint.toml -> {target}/blueprint.toml")] {
        let directory = blueprint(&[(link.as_str(), ""), ("a", "")]);
        assert_eq!(load(directory.path()).unwrap_err().trouble(), Trouble::UnsafeEntry, "{link}");
    }
    let directory = blueprint(&[("copier.yml", "_subdirectory: t"), (format!("t -> {target}").as_str(), "")]);
    assert_eq!(load(directory.path()).unwrap_err().trouble(), Trouble::Io);
}

#[test]
fn what_is_no_file() {
    let directory = blueprint(&[("a", "")]);
    mknodat(CWD, directory.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let error = load(directory.path()).unwrap_err();
    assert_eq!(error.trouble(), Trouble::UnsafeEntry);
    assert_eq!(error.first().file.as_deref(), Some("fifo"));
    let directory = blueprint(&[]);
    std::fs::write(directory.path().join(OsStr::from_bytes(b"a\xff")), "").unwrap();
    assert!(load(directory.path()).unwrap_err().to_string().contains("name that is not UTF-8"));
    let directory = blueprint(&[]);
    put(directory.path(), "logo.png.tmpl", &[0xff, 0xfe, 0, 1]);
    let error = load(directory.path()).unwrap_err();
    assert_eq!((error.trouble(), error.first().hint.is_some()), (Trouble::Syntax, true));
}

/// Each ends by a limit and not by the patience of whoever waits.
#[test]
fn work_without_an_end() {
    let deep = "{% if true %}".repeat(100_000);
    let brackets = format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000));
    let table = [
        (Engine::Jinja, "{{ ('x' * 1000000) | wordwrap(1) }}"),
        (Engine::Jinja, "{{ ('x-' * 500000) | wordwrap(3) }}"),
        (Engine::Jinja, "{{ ('x' * 1000000) | regex_replace('x', 'y' * 1000000) }}"),
        (Engine::Jinja, "{{ ('x ' * 1000000) | slugify(separator='y' * 1000000) }}"),
        (Engine::Jinja, "{% for i in range(100000) %}{{ 'x' | regex_replace('[a-z]{1000}', 'y') }}{% endfor %}"),
        (Engine::Jinja, "{{ range(100000) | list | jsonify(1000000) }}"),
        (Engine::Jinja, "{% for i in range(1000000000) %}{{ i }}{% endfor %}"),
        (Engine::Jinja, "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"),
        (
            Engine::Jinja,
            "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        ),
        (Engine::Jinja, "{{ 'x' * 100000000000 }}"),
        (Engine::Jinja, "{{ [1] * 100000000000 }}"),
        (Engine::Jinja, "{{ 'x' | center(100000000000) }}"),
        (Engine::Jinja, "{{ 'x'.ljust(100000000000) }}"),
        (Engine::Jinja, "{{ 'x' | indent(100000000000, true) }}"),
        (Engine::Jinja, "{{ '%100000000000d' | format(1) }}"),
        (Engine::Jinja, "{{ '{:>100000000000}'.format(1) }}"),
        (Engine::Jinja, "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}"),
        (Engine::Jinja, "{{ ('x' * 1000000) | wordwrap(1, wrapstring='y' * 1000000) }}"),
        (Engine::Jinja, "{{ range(100000000) | list | length }}"),
        (Engine::Jinja, "{{ range(100000000) | batch(1) | list }}"),
        (Engine::Jinja, "{{ random_ascii_string(100000000000) }}"),
        (Engine::Jinja, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        (Engine::Jinja, "{% include 'template' %}"),
        (Engine::Jinja, deep.as_str()),
        (Engine::Jinja, brackets.as_str()),
        (Engine::Go, "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}"),
        (Engine::Go, "{{ range $i := 1000000000 }}{{ end }}"),
        (Engine::Go, "{{ printf \"%100000000000d\" 1 }}"),
        (Engine::Go, brackets.as_str()),
    ];
    let limits = with_limits(Limits { fuel: 500_000, ..Limits::default() });
    for (engine, template) in table {
        let told = &template[..template.len().min(80)];
        let started = Instant::now();
        let result = eval(engine, template, &Data::from(json!({})), Missing::Default, &limits);
        assert!(started.elapsed() < Duration::from_secs(60), "{told}");
        // Go writes what is wrong with a format into the output.
        assert!(result.as_ref().map_or(true, |output| output.len() < 1000), "{told}");
        if engine == Engine::Jinja {
            assert!(result.is_err(), "{told}");
        }
    }
}

/// As deep as the fuel goes, on the thread of a test, which has little stack.
#[test]
fn values_nested_without_an_end() {
    let nest = "{% set x = [] %}".to_owned() + &"{% set x = [x] %}".repeat(240_000);
    for end in
        ["", "{{ x == [x] }}", "{{ (x ~ '') | length }}", "{{ x }}", "{{ x | tojson }}", "{{ x | to_nice_yaml }}"]
    {
        let _ = eval(Engine::Jinja, &(nest.clone() + end), &Data::from(json!({})), Missing::Default, &settings());
    }
    let deeper = nest.clone() + &nest;
    let error = eval(Engine::Jinja, &deeper, &Data::from(json!({})), Missing::Default, &settings()).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Budget);
    let looped = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let _ = render(&[("a.j2", looped)], json!({}));
    let error =
        eval(Engine::Jinja, "{{ debug() }}", &Data::from(json!({})), Missing::Default, &settings()).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Rendering);
}

#[test]
fn more_than_is_allowed() {
    let limited = |limits: Limits, files: &[(&str, &str)]| {
        let directory = blueprint(files);
        Blueprint::load(directory.path(), &with_limits(limits))
            .and_then(|blueprint| blueprint.render(&order(json!({}))))
            .map_err(|error| error.trouble())
            .map(|tree| tree.entries().len())
    };
    let limits = Limits::default;
    let large = "x".repeat(1001);
    assert_eq!(limited(Limits { template_size: 1000, ..limits() }, &[("a.tmpl", &large)]), Err(Trouble::TooLarge));
    assert_eq!(limited(Limits { template_size: 1000, ..limits() }, &[("a.txt", &large)]), Ok(1));
    assert_eq!(limited(Limits { workspace_size: 1000, ..limits() }, &[("a", &large)]), Err(Trouble::TooLarge));
    let two = [("a", &large[..600]), ("b", &large[..600])];
    assert_eq!(limited(Limits { workspace_size: 1000, ..limits() }, &two), Err(Trouble::TooLarge));
    // Small templates that become large.
    let bomb = [("a.j2", "{{ 'x' * 900 }}"), ("b.j2", "{{ 'x' * 900 }}")];
    assert_eq!(limited(Limits { workspace_size: 1000, ..limits() }, &bomb), Err(Trouble::TooLarge));
    let bomb = [("a.tmpl", "{{ printf \"%900s\" \"x\" }}{{ printf \"%900s\" \"x\" }}")];
    assert_eq!(limited(Limits { workspace_size: 1000, ..limits() }, &bomb), Err(Trouble::TooLarge));
    assert_eq!(limited(Limits { files: 2, ..limits() }, &[("a", ""), ("b", ""), ("c", "")]), Err(Trouble::TooLarge));
    let deep = "d/".repeat(20) + "x";
    assert_eq!(limited(Limits { depth: 10, ..limits() }, &[(&deep, "")]), Err(Trouble::TooLarge));
    assert_eq!(limited(limits(), &[(&deep, "")]), Ok(1));
    let spin = [("a.j2", "{% for i in range(1000) %}{% endfor %}")];
    assert_eq!(limited(Limits { fuel: 100, ..limits() }, &spin), Err(Trouble::Budget));
    assert_eq!(limited(Limits { duration: Duration::ZERO, ..limits() }, &spin), Err(Trouble::TimedOut));
    assert_eq!(limited(limits(), &spin), Ok(1));
}

#[test]
fn a_caller_can_end_it() {
    let directory = blueprint(&[("a.j2", "{{ name }}"), ("b.tmpl", "{{ .Name }}")]);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let limits = Limits { interrupt: Some(Arc::new(move || asked.load(Ordering::Relaxed))), ..Limits::default() };
    let blueprint = Blueprint::load(directory.path(), &with_limits(limits)).unwrap();
    blueprint.render(&order(json!({}))).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(blueprint.render(&order(json!({}))).unwrap_err().trouble(), Trouble::Interrupted);
}

#[test]
fn templates_reach_nothing_but_the_blueprint() {
    let outside = blueprint(&[("secret.j2", "secret")]);
    let path = outside.path().join("secret.j2");
    for name in [path.to_str().unwrap(), "../secret.j2", "/etc/passwd", "./../../etc/passwd", "plain.txt"] {
        let template = format!("{{% include '{name}' %}}");
        let error = render(&[("d/a.j2", template.as_str()), ("plain.txt", "")], json!({})).unwrap_err();
        assert_eq!(error.trouble(), Trouble::Rendering, "{name}: {error}");
    }
    for template in ["{{ env \"HOME\" }}", "{{ expandenv \"$HOME\" }}", "{{ getHostByName \"localhost\" }}"] {
        assert_eq!(render(&[("a.tmpl", template)], json!({})).unwrap_err().trouble(), Trouble::Syntax, "{template}");
    }
    for template in ["{{ ''.__class__ }}", "{{ name.__class__.__mro__ }}", "{{ self.__init__.__globals__ }}"] {
        render(&[("a.j2", template)], json!({})).unwrap_err();
    }
}
