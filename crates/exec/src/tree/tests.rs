use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn scan(root: &Path) -> Tree {
    Tree::scan(root, Skip::ToolsAndDeclaration).unwrap()
}

fn listing(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().display().to_string())
        .filter(|name| name != MANIFEST)
        .collect();
    names.sort();
    names
}

#[test]
fn what_the_source_drops_is_taken_away_and_the_rest_stays() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(source.path(), "main.tf", "one");
    write(source.path(), "modules/a/a.tf", "two");
    write(source.path(), "config.json", "{}");
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(listing(target.path()), ["main.tf", "modules", "modules/a", "modules/a/a.tf"]);

    write(target.path(), "terraform.tfstate", "state");
    write(target.path(), ".terraform/providers/x", "binary");
    write(target.path(), ".terraform.lock.hcl", "lock");
    write(target.path(), "modules/a/written-by-the-code", "x");
    fs::remove_dir_all(source.path().join("modules")).unwrap();
    write(source.path(), "main.tf", "changed");
    write(source.path(), "terraform.tfstate", "somebody else's state");
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(
        listing(target.path()),
        [
            ".terraform",
            ".terraform.lock.hcl",
            ".terraform/providers",
            ".terraform/providers/x",
            "main.tf",
            "modules",
            "modules/a",
            "modules/a/written-by-the-code",
            "terraform.tfstate",
        ]
    );
    assert_eq!(fs::read_to_string(target.path().join("main.tf")).unwrap(), "changed");
    assert_eq!(fs::read_to_string(target.path().join("terraform.tfstate")).unwrap(), "state");
}

#[test]
fn a_crash_in_the_middle_is_made_good() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(source.path(), "main.tf", "one");
    write(source.path(), "old.tf", "old");
    place(&scan(source.path()), target.path()).unwrap();
    fs::remove_file(source.path().join("old.tf")).unwrap();
    write(source.path(), "new/new.tf", "new");
    // A directory of somebody else's makes it stop half way, as a crash would.
    write(target.path(), "new/new.tf/occupied", "");
    assert!(matches!(place(&scan(source.path()), target.path()), Err(Error::InTheWay { .. })));
    fs::remove_dir_all(target.path().join("new/new.tf")).unwrap();
    fs::remove_dir_all(source.path().join("new")).unwrap();
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(listing(target.path()), ["main.tf"], "what the broken layout had put there is known");
}

#[test]
fn kinds_may_change_from_one_layout_to_the_next() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(source.path(), "a/file", "x");
    write(source.path(), "b", "x");
    place(&scan(source.path()), target.path()).unwrap();
    fs::remove_dir_all(source.path().join("a")).unwrap();
    fs::remove_file(source.path().join("b")).unwrap();
    write(source.path(), "a", "now a file");
    write(source.path(), "b/file", "now a directory");
    symlink("b", source.path().join("c")).unwrap();
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(fs::read_to_string(target.path().join("a")).unwrap(), "now a file");
    assert_eq!(fs::read_to_string(target.path().join("c/file")).unwrap(), "now a directory");
}

#[test]
fn nothing_is_written_through_a_link_that_the_code_made() {
    let (source, target, outside) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(source.path(), "modules/a.tf", "x");
    place(&scan(source.path()), target.path()).unwrap();
    fs::remove_dir_all(target.path().join("modules")).unwrap();
    symlink(outside.path(), target.path().join("modules")).unwrap();
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(listing(outside.path()), Vec::<String>::new());
    assert!(!target.path().join("modules").is_symlink());

    // Nor is anything removed through one.
    write(outside.path(), "a.tf", "precious");
    fs::remove_dir_all(target.path().join("modules")).unwrap();
    symlink(outside.path(), target.path().join("modules")).unwrap();
    fs::remove_dir_all(source.path().join("modules")).unwrap();
    place(&scan(source.path()), target.path()).unwrap();
    assert_eq!(listing(outside.path()), ["a.tf"]);
}

#[test]
fn links_may_stay_inside_and_not_leave() {
    let cases: [(&str, &str, bool); 9] = [
        ("link", "main.tf", true),
        ("modules/link", "../main.tf", true),
        ("link", "modules", true),
        ("link", "./modules/../main.tf", true),
        ("link", "../outside", false),
        ("link", "/etc/passwd", false),
        ("link", "missing", false),
        ("link", "link", false),
        ("modules/link", "../../modules/main.tf", false),
    ];
    for (path, target, fine) in cases {
        let source = tempfile::tempdir().unwrap();
        write(source.path(), "main.tf", "x");
        write(source.path(), "modules/a.tf", "x");
        symlink(target, source.path().join(path)).unwrap();
        let checked = scan(source.path()).check_links();
        assert_eq!(checked.is_ok(), fine, "{path} -> {target}: {checked:?}");
    }
}

#[test]
fn a_chain_of_links_is_followed_to_its_end() {
    let source = tempfile::tempdir().unwrap();
    write(source.path(), "d/main.tf", "x");
    symlink("d", source.path().join("inner")).unwrap();
    symlink("inner/../..", source.path().join("d/up")).unwrap();
    assert!(matches!(scan(source.path()).check_links(), Err(Error::Unsafe { path, .. }) if path == Path::new("d/up")));
}

#[test]
fn special_files_are_refused() {
    let source = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixListener::bind(source.path().join("socket")).unwrap();
    let error = Tree::scan(source.path(), Skip::Tools).unwrap_err();
    assert!(matches!(&error, Error::Unsafe { path, .. } if path == Path::new("socket")), "{error}");
    drop(socket);
}

#[test]
fn a_file_swapped_for_a_link_is_not_followed() {
    let source = tempfile::tempdir().unwrap();
    write(source.path(), "main.tf", "x");
    let tree = scan(source.path());
    fs::remove_file(source.path().join("main.tf")).unwrap();
    symlink("/etc/passwd", source.path().join("main.tf")).unwrap();
    let target = tempfile::tempdir().unwrap();
    assert!(place(&tree, target.path()).is_err());
    assert!(!target.path().join("main.tf").exists());
}

#[test]
fn an_overlay_wins() {
    let (lower, upper, target) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(lower.path(), "main.tf", "template");
    write(lower.path(), "files/a", "template");
    write(lower.path(), "gone/b", "template");
    write(upper.path(), "files/a", "workspace");
    write(upper.path(), "gone", "a file now");
    let mut tree = scan(lower.path());
    tree.overlay(scan(upper.path()));
    place(&tree, target.path()).unwrap();
    assert_eq!(listing(target.path()), ["files", "files/a", "gone", "main.tf"]);
    assert_eq!(fs::read_to_string(target.path().join("files/a")).unwrap(), "workspace");
}

#[test]
fn the_digest_sees_names_contents_and_modes() {
    let digest = |files: &[(&str, &str)], executable: bool| {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            write(root.path(), path, content);
        }
        if executable {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(root.path().join(files[0].0), permissions).unwrap();
        }
        scan(root.path()).digest().unwrap()
    };
    let one = digest(&[("a", "x"), ("b", "y")], false);
    assert_eq!(one, digest(&[("b", "y"), ("a", "x")], false));
    assert_ne!(one, digest(&[("a", "x"), ("b", "z")], false));
    assert_ne!(one, digest(&[("a", "x"), ("c", "y")], false));
    assert_ne!(one, digest(&[("a", "x"), ("b", "y")], true));
    assert_ne!(digest(&[("ab", "")], false), digest(&[("a", "b")], false));
}

proptest! {
    /// After any sequence of layouts the destination holds exactly the last source.
    #[test]
    fn the_last_layout_wins(layouts in prop::collection::vec(
        prop::collection::btree_map("[ab](/[ab]){0,2}", "[xy]{1,2}", 0..5), 1..4))
    {
        let target = tempfile::tempdir().unwrap();
        let mut last = None;
        for files in &layouts {
            let source = tempfile::tempdir().unwrap();
            let mut written = Vec::new();
            for (path, content) in files {
                let full = source.path().join(path);
                // A path below one that is a file already cannot be written, and is left out.
                if fs::create_dir_all(full.parent().unwrap()).is_ok() && fs::write(&full, content).is_ok() {
                    written.push(path.clone());
                }
            }
            place(&scan(source.path()), target.path()).unwrap();
            last = Some((source, written));
        }
        let (source, _) = last.unwrap();
        prop_assert_eq!(listing(target.path()), listing(source.path()));
        prop_assert_eq!(scan(target.path()).digest().unwrap(), scan(source.path()).digest().unwrap());
    }
}
