//! Which files make up a deployment, and where they go.

use std::fs;
use std::path::{Component, Path, PathBuf};

use piton_model::{Failure, Source};

use crate::failing;
use crate::templates::{self, Registered, Templates};
use crate::tree::{self, Skip, Tree};

const SOURCE_MISSING: &str = "source_missing";

/// Copies the source to `target`; returns the template that was used. Blocks.
pub(super) fn lay_out(
    templates: &Templates,
    source: &Source,
    target: &Path,
    custom: bool,
) -> Result<Option<Registered>, Failure> {
    let (tree, template) = match source {
        Source::Directory { path } => (workspace(path)?, None),
        Source::Git(_) => return Err(failing::permanent("internal", "code from git is checked out")),
        Source::Template { name, overlay } => {
            let over = overlay.as_deref().map(workspace).transpose()?;
            match over {
                // Code of the workspace's own takes the template's place, all of it.
                Some(own) if own.has_code() => (own, None),
                over => {
                    let snapshot = templates.snapshot(name).map_err(|error| template_failure(&error))?;
                    let registered = snapshot.registered.clone();
                    let mut tree = Tree::default();
                    // The lock is held until the files are copied.
                    let placed = place(&mut tree, snapshot, over, target, custom);
                    placed?;
                    return Ok(Some(registered));
                }
            }
        }
    };
    finish(&tree, target, custom)?;
    Ok(template)
}

fn place(
    tree: &mut Tree,
    snapshot: templates::Snapshot,
    over: Option<Tree>,
    target: &Path,
    custom: bool,
) -> Result<(), Failure> {
    let templates::Snapshot { tree: lower, lock, .. } = snapshot;
    tree.overlay(lower);
    if let Some(over) = over {
        tree.overlay(over);
    }
    let placed = finish(tree, target, custom);
    drop(lock);
    placed
}

fn finish(tree: &Tree, target: &Path, custom: bool) -> Result<(), Failure> {
    tree.check_links().map_err(|error| tree_failure(&error))?;
    if !custom && !tree.has_code() {
        return Err(failing::permanent(
            "no_code",
            "there is no code to run: the source has no `*.tf` file at its root",
        )
        .hint("add a main.tf, or name a template"));
    }
    tree::place(tree, target).map_err(|error| tree_failure(&error))?;
    private(target)
}

/// State files hold secrets.
fn private(target: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(target, fs::Permissions::from_mode(0o700))
        .map_err(|error| failing::io("set the permissions of", target, &error))
}

/// The template was removed, or the directory of the workspace is gone.
pub(super) fn is_gone(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "template_not_found" | SOURCE_MISSING)
}

fn workspace(path: &Path) -> Result<Tree, Failure> {
    if !path.is_dir() {
        return Err(failing::permanent(SOURCE_MISSING, format!("the directory {} does not exist", path.display())));
    }
    Tree::scan(path, Skip::ToolsAndDeclaration).map_err(|error| tree_failure(&error))
}

fn tree_failure(error: &tree::Error) -> Failure {
    match error {
        tree::Error::Io { doing, path, source } => failing::io(doing, path, source),
        tree::Error::Unsafe { .. } => failing::permanent("template_unsafe_entry", error.to_string())
            .hint("a source may hold files, directories, and links to either that stay inside"),
        tree::Error::InTheWay { .. } => failing::permanent("layout_blocked", error.to_string())
            .hint("the code made it; move it away from the deployment directory"),
    }
}

fn template_failure(error: &templates::Error) -> Failure {
    let failure = failing::permanent(error.code(), error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Variable files are part of the source, so they are looked for in its copy.
pub(super) fn check_var_files(dir: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    for file in files {
        let shown = file.display();
        if file.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(failing::permanent(
                "var_file_escape",
                format!("the variable file `{shown}` leaves the source"),
            )
            .hint("name it relative to the source, without `..`"));
        }
        let path = dir.join(file);
        if !path.is_file() {
            return Err(failing::permanent(
                "var_file_missing",
                format!("the variable file `{shown}` is not in the source"),
            ));
        }
        // A link that the code put there may lead anywhere.
        let inside = fs::canonicalize(&path).and_then(|real| Ok(real.starts_with(fs::canonicalize(dir)?)));
        if !inside.map_err(|error| failing::io("look at", &path, &error))? {
            return Err(failing::permanent(
                "var_file_escape",
                format!("the variable file `{shown}` leaves the source"),
            ));
        }
    }
    Ok(())
}
