//! The example blueprints.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::scene::{load, order, paths};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blueprints")
}

#[test]
fn each_makes_the_files_that_it_should() {
    let table = [
        (
            "go-backend",
            json!({"port": 8080, "database": "postgres"}),
            ".gitignore .gitlab-ci.yml Dockerfile README.md cmd/my-service/main.go compose.yml go.mod \
             internal/config/config.go internal/server/server.go internal/server/server_test.go migrations/0001_init.sql",
        ),
        (
            "go-backend",
            json!({"docker": false}),
            ".gitignore .gitlab-ci.yml README.md cmd/my-service/main.go go.mod internal/config/config.go \
             internal/server/server.go internal/server/server_test.go",
        ),
        (
            "rust-service",
            json!({"greetings": ["hi"]}),
            ".github/workflows/ci.yml .gitignore Cargo.toml README.md scripts/run.sh src/lib.rs src/main.rs",
        ),
        ("rust-service", json!({"ci": false}), ".gitignore Cargo.toml README.md scripts/run.sh src/lib.rs src/main.rs"),
        (
            "python-app",
            json!({"service": true, "settings": {"a": 1}}),
            ".gitignore README.md pyproject.toml settings.yml src/my_service/__init__.py src/my_service/cli.py \
             src/my_service/server.py tests/test_cli.py",
        ),
        (
            "python-app",
            json!({}),
            ".gitignore README.md pyproject.toml src/my_service/__init__.py src/my_service/cli.py tests/test_cli.py",
        ),
    ];
    for (name, values, expected) in table {
        let tree = load(&examples().join(name)).and_then(|blueprint| blueprint.render(&order(values)));
        let tree = tree.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(paths(&tree).join(" "), expected, "{name}");
        assert!(tree.warnings().is_empty(), "{name}");
        for entry in tree.entries() {
            let text = String::from_utf8_lossy(&entry.bytes);
            // `${{ … }}` is the workflow's own.
            let leftover = text.replace("${{", "").contains("{{") || text.contains("<no value>");
            assert!(!leftover, "{name} {}: {text}", entry.path);
        }
    }
}

#[test]
fn wrong_values_are_refused() {
    let blueprint = load(&examples().join("go-backend")).unwrap();
    let error = blueprint.render(&order(json!({"port": "8080", "databse": "postgres"}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "values.databse: the blueprint declares no such value (did you mean `database`?)\n\
         values.port: is \"8080\", and an integer is wanted (write 8080 without quotes)"
    );
}
