//! Many workspaces, and loads that read only what changed.

use std::time::Instant;

use piton_model::Name;
use piton_spec::Catalog;

use crate::site::{Site, shown};

fn many(count: usize) -> Site {
    let site = Site::new();
    for n in 0..count {
        site.workspace(
            &format!("w{n}"),
            r#"{"deploy_schedule": ["0 9 * * 1-5", "0 14 * * 6"],
            "destroy_schedule": "0 18 * * 1-5", "vars": {"a": 1}}"#,
        );
    }
    site
}

/// The goal is 200 ms with optimisation. Here it only must not be out of proportion, whatever the machine is doing.
#[test]
fn a_thousand_workspaces() {
    let site = many(1_000);
    let start = Instant::now();
    let (catalog, diagnostics) = site.load();
    let first = start.elapsed();
    assert_eq!(shown(&diagnostics), "");
    assert_eq!(catalog.workspaces.len(), 1_000);
    let start = Instant::now();
    let (again, _) = site.reload(&catalog);
    println!("1,000 workspaces: {first:?}, again: {:?}", start.elapsed());
    assert_eq!(Catalog::diff(&catalog, &again), []);
    assert!(first.as_secs() < 20);
}

/// A file that is rewritten at once with text of the same length is noticed, whatever the clock of the file system.
#[test]
fn no_change_is_too_quick() {
    let site = many(1);
    let mut catalog = site.load_clean();
    let path = site.path("workspaces/w0/config.json");
    for n in 0..200_u32 {
        std::fs::write(&path, format!(r#"{{"description": "{n:03}"}}"#)).unwrap();
        std::fs::write(site.path("workspaces/w0/main.tf"), format!("# {n:03}")).unwrap();
        let (next, _) = site.reload(&catalog);
        let before = &catalog.workspaces[&Name::parse("w0").unwrap()];
        let after = &next.workspaces[&Name::parse("w0").unwrap()];
        assert_eq!(after.description.as_deref(), Some(format!("{n:03}").as_str()));
        assert_ne!(before.digest, after.digest);
        catalog = next;
    }
}
