//! A directory with declarations, in which tests write.

use std::fs;
use std::path::{Path, PathBuf};

use piton_spec::{Catalog, Diagnostic, Layout, load};

/// A temporary site, removed when dropped.
pub struct Site {
    dir: tempfile::TempDir,
    pub layout: Layout,
}

impl Site {
    pub fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), &dir.path().join(".piton"));
        Site { dir, layout }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Site {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A new file in place of the old one, as editors do it: another inode is never mistaken for the same content.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
        self
    }

    /// A workspace with code of its own.
    pub fn workspace(&self, name: &str, config: &str) -> &Site {
        self.write(&format!("workspaces/{name}/main.tf"), "").write(&format!("workspaces/{name}/config.json"), config)
    }

    /// Registers a template and gives it a file.
    pub fn template(&self, name: &str, hash: &str) -> &Site {
        let registry = format!(
            r#"{{"templates": {{"{name}": {{"name": "{name}", "source_url": "https://example.org/t.git",
                "content_hash": "{hash}"}}}}}}"#
        );
        self.write(".piton/templates/registry.json", registry).write(&format!(".piton/templates/{name}/main.tf"), "")
    }

    pub fn remove(&self, path: &str) -> &Site {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    pub fn load(&self) -> (Catalog, Vec<Diagnostic>) {
        load(&self.layout, None)
    }

    pub fn reload(&self, previous: &Catalog) -> (Catalog, Vec<Diagnostic>) {
        load(&self.layout, Some(previous))
    }

    /// Loads what must have no diagnostics.
    pub fn load_clean(&self) -> Catalog {
        let (catalog, diagnostics) = self.load();
        assert_eq!(shown(&diagnostics), "");
        catalog
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// Diagnostics as people see them.
pub fn shown(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}
