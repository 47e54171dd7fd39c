//! The project that is rendered: 42 files of a few kilobytes, with names, conditions and loops, in three dialects.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

const FILES: usize = 42;
/// Lines that are the same in every project, as most are.
const PLAIN: usize = 60;

/// Where it lies.
pub struct Sample {
    /// For Go's language.
    pub go: PathBuf,
    /// For Jinja2, as cookiecutter wants it.
    pub cookiecutter: PathBuf,
    /// And as copier wants it.
    pub copier: PathBuf,
    pub files: usize,
    /// Of the first of them.
    pub bytes: usize,
}

impl Sample {
    pub fn write(root: &Path) -> anyhow::Result<Sample> {
        let [go, cookiecutter, copier] = ["go", "cookiecutter", "copier"].map(|name| root.join(name));
        let mut bytes = 0;
        for number in 0..FILES {
            let at = format!("pkg{}/file{number:02}.go", number % 6);
            let text = in_go(number);
            bytes += text.len();
            put(&go.join(format!("{at}.tmpl")), &text)?;
            put(&cookiecutter.join("{{ cookiecutter.name }}").join(&at), &in_jinja(number, "cookiecutter.", "_items"))?;
            put(&copier.join(format!("{at}.jinja")), &in_jinja(number, "", "items"))?;
        }
        let items = values().remove("items").unwrap_or_default();
        let context = json!({ "name": "my-service", "namespace": "my-team", "port": 8080, "_items": items });
        put(&cookiecutter.join("cookiecutter.json"), &context.to_string())?;
        let questions = json!({
            "name": { "type": "str", "default": "my-service" },
            "namespace": { "type": "str", "default": "my-team" },
            "port": { "type": "int", "default": 8080 },
            "items": { "type": "yaml", "default": items.to_string() },
        });
        // JSON is YAML.
        put(&copier.join("copier.yml"), &questions.to_string())?;
        Ok(Sample { go, cookiecutter, copier, files: FILES, bytes })
    }
}

/// What the templates are given.
pub fn values() -> Map<String, Value> {
    let items: Vec<Value> = (0..12)
        .map(|number| json!({ "name": format!("item{number}"), "enabled": number % 3 != 0, "size": number * 7 }))
        .collect();
    Map::from_iter([("port".to_owned(), json!(8080)), ("items".to_owned(), Value::Array(items))])
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, text)?)
}

fn plain(into: &mut String, number: usize) {
    for line in 0..PLAIN {
        let _ = writeln!(into, "// {line:02} of file {number:02}: what is said here is the same in every project.");
    }
}

fn in_go(number: usize) -> String {
    let mut text = format!(
        "// {number:02} of {{{{ .Name }}}}, {{{{ .Namespace }}}}, port {{{{ .Values.port }}}}\npackage pkg\n\n"
    );
    plain(&mut text, number);
    text.push_str(
        "{{ range $i, $item := .Values.items }}{{ if $item.enabled }}func F{{ $i }}() string { return \"{{ $item.name }}\" }
{{ else }}// {{ $item.name }} is off
{{ end }}{{ end }}{{ with .Values.port }}const Port = {{ . }}
{{ end }}{{ range .Values.items }}{{ if gt .size 20 }}var {{ .name }} = {{ printf \"%05d\" .size }}
{{ end }}{{ end }}",
    );
    text
}

fn in_jinja(number: usize, prefix: &str, items: &str) -> String {
    let mut text = format!(
        "// {number:02} of {{{{ {prefix}name }}}}, {{{{ {prefix}namespace }}}}, port {{{{ {prefix}port }}}}\npackage pkg\n\n"
    );
    plain(&mut text, number);
    let _ = write!(
        text,
        "{{% for item in {prefix}{items} %}}{{% if item.enabled %}}func F{{{{ loop.index0 }}}}() string {{ return \"{{{{ item.name }}}}\" }}
{{% else %}}// {{{{ item.name }}}} is off
{{% endif %}}{{% endfor %}}{{% if {prefix}port %}}const Port = {{{{ {prefix}port }}}}
{{% endif %}}{{% for item in {prefix}{items} %}}{{% if item.size > 20 %}}var {{{{ item.name }}}} = {{{{ '%05d' % item.size }}}}
{{% endif %}}{{% endfor %}}"
    );
    text
}
