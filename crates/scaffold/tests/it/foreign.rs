//! Blueprints that were made for cookiecutter and copier.

use serde_json::json;

use crate::scene::{blueprint, load, order, paths, render, shown};

#[test]
fn cookiecutter() {
    let declaration = r#"{
        "project_name": "My Project",
        "project_slug": "{{ cookiecutter.project_name.lower().replace(' ', '_') }}",
        "license": ["MIT", "Apache-2.0"],
        "use_docker": false,
        "_copy_without_render": ["*.html"],
        "_extensions": ["x"]
    }"#;
    let files = [
        ("cookiecutter.json", declaration),
        ("README.md", "about the template"),
        ("hooks/post_gen_project.py", "raise SystemExit(1)"),
        (
            "{{cookiecutter.project_slug}}/setup.py",
            "name = '{{ cookiecutter.project_slug }}'  # {{ cookiecutter.license }}\n",
        ),
        ("{{cookiecutter.project_slug}}/page.html", "{{ untouched }}"),
        ("{{cookiecutter.project_slug}}/{{cookiecutter.project_slug}}/__init__.py", ""),
        ("{{cookiecutter.project_slug}}/{% if cookiecutter.use_docker %}Dockerfile{% endif %}", ""),
    ];
    let tree = render(&files, json!({})).unwrap();
    let expected =
        "--- my_project/__init__.py\n\n--- page.html\n{{ untouched }}\n--- setup.py\nname = 'my_project'  # MIT\n\n";
    assert_eq!(shown(&tree), expected);
    let tree = render(&files, json!({"project_name": "X", "use_docker": true, "license": "Apache-2.0"})).unwrap();
    assert_eq!(paths(&tree), ["Dockerfile", "page.html", "setup.py", "x/__init__.py"]);
    let error = render(&files, json!({"license": "GPL"})).unwrap_err();
    assert!(error.to_string().contains("one of \"MIT\", \"Apache-2.0\" is wanted"), "{error}");
    let directory = blueprint(&[("cookiecutter.json", "{}")]);
    assert!(load(directory.path()).unwrap_err().to_string().contains("cookiecutter.json: there is no directory"));
    let directory = blueprint(&[("cookiecutter.json", "{")]);
    assert!(load(directory.path()).unwrap_err().to_string().starts_with("cookiecutter.json:1:"));
}

#[test]
fn copier() {
    let declaration = "\
_subdirectory: template
_exclude: ['*.tmp']
_tasks: ['rm -rf /']
name:
  type: str
  help: What is it called?
port: {type: int, default: 8080}
database:
  type: str
  choices: {PostgreSQL: postgres, None: none}
  default: none
module:
  type: str
  default: \"{{ name | replace('-', '_') }}\"
";
    let files = [
        ("copier.yml", declaration),
        ("README.md", "about the template"),
        ("template/{{ module }}/main.py.jinja", "{{ name }} {{ port }} {{ database }} {{ nothing }}\n"),
        ("template/{{ _copier_conf.answers_file }}.jinja", "{{ _copier_answers }}"),
        ("template/plain.txt", "{{ x }}"),
        ("template/a.tmp", ""),
    ];
    let tree = render(&files, json!({"name": "web-app"})).unwrap();
    assert_eq!(shown(&tree), "--- plain.txt\n{{ x }}\n--- web_app/main.py\nweb-app 8080 none \n\n");
    let error = render(&files, json!({"port": "x", "database": "oracle"})).unwrap_err();
    let fields: Vec<_> = error.problems().filter_map(|problem| problem.field.clone()).collect();
    assert_eq!(fields, ["values.name", "values.port", "values.database"]);
    let directory = blueprint(&[("copier.yml", "_subdirectory: ../..")]);
    assert!(load(directory.path()).unwrap_err().to_string().contains("leads out of the blueprint"));
    let directory = blueprint(&[("copier.yml", "[1")]);
    load(directory.path()).unwrap_err();
    let _ = order(json!({}));
}
