//! Input that was made to hurt: every one a precise error, in bounded time and memory.

use std::time::Instant;

use crate::site::{Site, shown};

fn told(file: &str, text: impl AsRef<[u8]>) -> String {
    let site = Site::new();
    site.write(&format!("jobs/{file}"), text);
    let (catalog, diagnostics) = site.load();
    assert!(catalog.jobs.is_empty());
    assert!(diagnostics.len() <= 101);
    shown(&diagnostics)
}

#[test]
fn deep_nesting() {
    insta::assert_snapshot!(told("a.json", "[".repeat(100_000)), @"jobs/a.json:1:66: error: invalid JSON: values are nested more than 64 deep");
    insta::assert_snapshot!(told("a.json", "{\"a\":".repeat(100_000)), @"jobs/a.json:1:326: error: invalid JSON: values are nested more than 64 deep");
    let toml = told("a.toml", format!("a = {}", "[".repeat(100_000)));
    assert!(toml.starts_with("jobs/a.toml:1:") && toml.contains("max recursion depth"), "{toml}");
    let toml = told("a.toml", format!("{}b = 1", "a.".repeat(100_000)));
    assert!(toml.contains("error"), "{toml}");
    // Each bound of the parser is kept, and still it is thousands deep.
    let toml = told("a.toml", format!("{}a = {{", "a.".repeat(70)).repeat(70));
    assert!(toml.contains("error"), "{toml}");
    let nested: String = (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let flow_and_block = format!("{}{}{}", "- ".repeat(60), "[".repeat(100), "]".repeat(100));
    for yaml in
        ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(10_000), "? ".repeat(1_000), nested, flow_and_block]
    {
        let told = told("a.yaml", yaml);
        assert!(told.starts_with("jobs/a.yaml") && told.contains("nested more than 64 deep"), "{told}");
    }
}

#[test]
fn alias_bombs() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (one, two) in ('a'..'j').zip('b'..='j') {
        bomb.push_str(&format!("{two}: &{two} [*{one}, *{one}, *{one}, *{one}, *{one}, *{one}, *{one}, *{one}]\n"));
    }
    let start = Instant::now();
    let told = told("a.yaml", bomb);
    assert!(told.contains("more values than a declaration may"), "{told}");
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn duplicate_keys_numbers_and_encodings() {
    insta::assert_snapshot!(told("a.json", r#"{"type": "command", "type": "script"}"#), @r#"
    jobs/a.json:1:21: error: invalid JSON: the key `type` is there twice
      hint: keep one of the two
    "#);
    insta::assert_snapshot!(told("a.json", r#"{"timeout": 1e400}"#), @r#"
    jobs/a.json:1:13: error: invalid JSON: the number `1e400` is too large
      hint: write it as text, in quotes
    "#);
    insta::assert_snapshot!(told("a.json", r#"{"timeout": 123456789012345678901234567890}"#), @r#"
    jobs/a.json:1:13: error: invalid JSON: the number `123456789012345678901234567890` is too large
      hint: write it as text, in quotes
    "#);
    insta::assert_snapshot!(told("a.json", b"{\n\"type\": \"\xff\"}"), @r#"
    jobs/a.json:2:10: error: the text is not UTF-8 from here on
      hint: save the file as UTF-8
    "#);
    insta::assert_snapshot!(told("a.json", "{\"type\": \"\\ud800\"}"), @"jobs/a.json:1:11: error: invalid JSON: half of a surrogate pair");
    insta::assert_snapshot!(told("a.json", "{\"type\": \"\u{1}\"}"), @r#"
    jobs/a.json:1:11: error: invalid JSON: the control character U+0001 in a text
      hint: write it as `\u0001`
    "#);
    insta::assert_snapshot!(told("a.json", r#"{"type": "command", "command": "a\u0000b"}"#), @"jobs/a.json:1:32: error: command: this must not hold a NUL character");
}

#[test]
fn large_files_and_floods() {
    insta::assert_snapshot!(told("a.json", " ".repeat(20 << 20)), @r#"
    jobs/a.json: error: the file is larger than 4 MiB
      hint: keep large data in a file of its own and name it in the declaration
    "#);
    let flood: String = (0..100_000).map(|n| format!("\"k{n}\": 1,")).collect();
    let told = told("a.json", format!("{{{flood}\"type\": 1}}"));
    assert!(told.contains("more errors and"), "{}", &told[told.len() - 200..]);
}

#[test]
fn many_jobs_in_one_circle() {
    let jobs: Vec<String> = (0..5_000)
        .map(|n| {
            let next = (n + 1) % 5_000;
            format!(r#"{{"name": "j{n}", "type": "command", "command": "true", "depends_on": ["j{next}"]}}"#)
        })
        .collect();
    let site = Site::new();
    site.workspace("web", &format!(r#"{{"jobs": [{}]}}"#, jobs.join(",")));
    let start = Instant::now();
    let told = shown(&site.load().1);
    assert!(told.contains("j0 → j1") && told.contains("more)"), "{told}");
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn things_that_are_not_files() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("jobs/dir.json")).unwrap();
    std::os::unix::fs::symlink("nowhere", site.path("jobs/dangling.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", site.path("jobs/zero.json")).unwrap();
    std::os::unix::fs::symlink("loop.json", site.path("jobs/loop.json")).unwrap();
    let (catalog, diagnostics) = site.load();
    assert!(catalog.jobs.is_empty());
    let told = shown(&diagnostics);
    assert!(told.contains("jobs/zero.json: error: this is not a regular file"), "{told}");
    assert!(told.contains("jobs/loop.json: error"), "{told}");
    assert!(told.contains("jobs/dangling.json: error: this link leads nowhere"), "{told}");
}

#[test]
fn links_that_lead_nowhere_remove_nothing() {
    let link = |to: &str, at: std::path::PathBuf| std::os::unix::fs::symlink(to, at).unwrap();
    let site = Site::new();
    let job = r#"{"name": "a", "type": "command", "command": "true"}"#;
    site.write("away/web/main.tf", "").write("away/web/config.json", "{}");
    site.write("away/db.json", "{}").write("away/a.json", job).write("workspaces/db/main.tf", "");
    std::fs::create_dir(site.path("jobs")).unwrap();
    link("../away/web", site.path("workspaces/web"));
    link("../../away/db.json", site.path("workspaces/db/config.json"));
    link("../away/a.json", site.path("jobs/a.json"));
    let good = site.load_clean();
    assert_eq!((good.workspaces.len(), good.jobs.len()), (2, 1));

    // Such as a mount that is away.
    std::fs::rename(site.path("away"), site.path("elsewhere")).unwrap();
    let (kept, diagnostics) = site.reload(&good);
    assert_eq!((kept.workspaces.len(), kept.jobs.len()), (2, 1));
    insta::assert_snapshot!(shown(&diagnostics), @r"
    jobs/a.json: error: this link leads nowhere
      hint: restore what it leads to, or remove the link
    workspaces/db/config.json: error: this link leads nowhere
      hint: restore what it leads to, or remove the link
    workspaces/web: error: this link leads nowhere
      hint: restore what it leads to, or remove the link
    ");

    // One that is removed is meant.
    site.remove("jobs/a.json").remove("workspaces/web");
    assert_eq!(site.reload(&kept).0.workspaces.len(), 1);
}

mod any_text {
    use std::collections::BTreeMap;

    use piton_spec::{Config, Registry, Sources};
    use proptest::prelude::*;

    use crate::site::Site;

    /// Bytes that look enough like a declaration to get past the first check.
    fn almost() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\u12",
            "\"name\"",
            "\"jobs\"",
            "\"schedule\"",
            "\"template\"",
            "\"a\"",
            "\"depends_on\"",
            "\"type\"",
            "\"command\"",
            "\"0 9 * * *\"",
            "\"mode_schedules\"",
            "=",
            "\n",
            "- ",
            "  ",
            "&a",
            "*a",
            "<<",
            "1e9",
            "-",
            "null",
            "true",
            "'",
            "\u{feff}",
            "é",
            "[a]",
            "{{",
            "}}",
            "#",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(words, 0..60).prop_map(|words| words.concat().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn nothing_panics(text in almost()) {
            let site = Site::new();
            for file in ["workspaces/a/config.json", "jobs/a.json", "jobs/b.toml", "jobs/c.yaml", "piton.toml",
                ".piton/templates/registry.json"]
            {
                site.write(file, &text);
            }
            site.write("workspaces/a/main.tf", "");
            let (catalog, _) = site.load();
            prop_assert_eq!(piton_spec::Catalog::diff(&catalog, &catalog), vec![]);
            let (again, _) = site.reload(&catalog);
            prop_assert_eq!(piton_spec::Catalog::diff(&catalog, &again), vec![]);
            let _ = Registry::parse("registry.json".as_ref(), text.clone());
            let _ = piton_spec::legacy::parse_scheduler("s".as_ref(), &text);
            let _ = piton_spec::legacy::parse_jobs("j".as_ref(), &text);
            let sources = Sources {
                current_dir: site.root().to_path_buf(),
                system_dir: Some(site.path("etc")),
                environment: BTreeMap::from([(
                    "PITON_SERVER__LISTEN".to_owned(), String::from_utf8_lossy(&text).into_owned())]),
                ..Sources::default()
            };
            let _ = Config::load(&sources);
        }
    }
}
