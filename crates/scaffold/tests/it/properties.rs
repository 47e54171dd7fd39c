//! Whatever people write, no path escapes and nothing panics.

use piton_scaffold::{Data, Engine, Limits, Missing, TargetPath, eval};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::scene::{render, with_limits};

/// Paths made of what is dangerous.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just(".git".to_owned()),
        Just(".GIT".to_owned()),
        Just("\u{200c}.git".to_owned()),
        Just("\0".to_owned()),
        Just("\\..".to_owned()),
        "[a-c.~: \u{e4}]{1,4}",
        any::<String>(),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.join("/"))
}

/// Texts that look like templates.
fn template() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("{{ "),
        Just(" }}"),
        Just("{% "),
        Just(" %}"),
        Just("{{- "),
        Just("-}}"),
        Just("if "),
        Just("for x in "),
        Just("range "),
        Just("end"),
        Just("endif"),
        Just("endfor"),
        Just(".Values"),
        Just("name"),
        Just("|"),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("'a'"),
        Just("\"b\""),
        Just("1"),
        Just("*"),
        Just("~"),
        Just("+"),
        Just("."),
        Just("{#"),
        Just("#}"),
        Just("\n"),
        Just("ü"),
        Just("truncate"),
        Just("wordwrap(3)"),
        Just("center"),
        Just("printf"),
        Just("set x = "),
        Just("define \"x\""),
        Just("template \"x\""),
        Just("to_nice_yaml"),
        Just("indent(2)"),
        Just("\\"),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_path_escapes(path in path()) {
        if let Ok(target) = TargetPath::parse(&path) {
            let names: Vec<&str> = target.names().collect();
            prop_assert!(names.iter().all(|name| !matches!(*name, "" | "." | "..")));
            prop_assert!(!path.starts_with('/') && !path.contains('\0') && !path.contains('\\'));
            prop_assert!(names.iter().all(|name| !name.eq_ignore_ascii_case(".git")));
        }
    }

    #[test]
    fn no_file_lands_outside(path in path()) {
        if let Ok(tree) = render(&[("{{ .Values.path }}", "x"), ("other", "")], json!({"path": path})) {
            let place = TempDir::new().unwrap();
            let out = place.path().join("in/out");
            std::fs::create_dir(place.path().join("in")).unwrap();
            // A name may be too long for the file system; it lands nowhere then.
            let _ = tree.write_to(&out);
            let beside: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            prop_assert_eq!(beside, ["in"]);
            let beside: Vec<_> = std::fs::read_dir(place.path().join("in")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            prop_assert_eq!(beside, ["out"]);
            prop_assert!(!out.join(".git").exists());
        }
    }

    #[test]
    fn no_template_panics(template in template(), text in any::<String>()) {
        let limits = Limits { fuel: 10_000, workspace_size: 1 << 20, ..Limits::default() };
        for engine in [Engine::Go, Engine::Jinja] {
            for template in [&template, &text] {
                let data = Data::from(json!({"name": text, "Values": {"a": [1, "b", null]}}));
                let _ = eval(engine, template, &data, Missing::Error, &with_limits(limits.clone()));
            }
        }
    }

    #[test]
    fn texts_are_laid_out_without_a_panic(text in any::<String>(), width in 0_usize..40) {
        let template = "{{ t | wordwrap(w) }}{{ t | truncate(w + 3) }}{{ t | center(w) }}{{ t | slugify }}{{ t | indent(w) }}\
                        {{ t | striptags }}{{ t | to_nice_yaml }}{{ t | tojson }}{{ [t] }}{{ t.zfill(w) }}{{ t | wordwrap(w, false) }}";
        let data = Data::from(json!({"t": text, "w": width}));
        let limits = Limits::default();
        prop_assert!(eval(Engine::Jinja, template, &data, Missing::Error, &with_limits(limits)).is_ok());
    }
}

proptest! {
    // Each case touches the disk twelve times.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), declaration in any::<String>()) {
        for name in ["a.tmpl", "a.j2", "a.bin", "blueprint.toml", "cookiecutter.json", "copier.yml"] {
            let place = TempDir::new().unwrap();
            std::fs::write(place.path().join(name), &bytes).unwrap();
            let _ = crate::scene::load(place.path());
            std::fs::write(place.path().join(name), &declaration).unwrap();
            let _ = crate::scene::load(place.path());
        }
    }
}
