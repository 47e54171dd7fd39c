//! Templates.

use std::fmt::Write as _;

use piton_api::{Template, TemplateUpdate, Validation};

use super::second_or_never;
use crate::clock::Clock;
use crate::output::Voice;
use crate::table::{Cell, Fields, Table};

/// What is registered.
pub fn list(templates: &[Template], width: Option<usize>) -> String {
    if templates.is_empty() {
        return "No templates registered\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "SOURCE", "REF", "DESCRIPTION"]);
    for template in templates {
        table.row([
            Cell::from(&template.name),
            (&template.source_url).into(),
            or_default(&template.source_ref).into(),
            (&template.description).into(),
        ]);
    }
    table.render_within(width)
}

/// What is registered, one after the other in full.
pub fn detailed(templates: &[Template], clock: &Clock, voice: Voice) -> String {
    if templates.is_empty() {
        return list(templates, None);
    }
    templates.iter().map(|template| show(template, clock, voice)).collect::<Vec<_>>().join("\n")
}

/// One of them in full.
pub fn show(template: &Template, clock: &Clock, voice: Voice) -> String {
    let mut fields = Fields::default();
    fields
        .field("Template", &template.name)
        .field("Source", &template.source_url)
        .field("Path", if template.source_path.is_empty() { "." } else { &template.source_path })
        .field("Reference", or_default(&template.source_ref))
        .field("Description", &template.description)
        .field("Created", second_or_never(clock, template.created_at))
        .field("Updated", second_or_never(clock, template.updated_at))
        .field("Content Hash", &template.content_hash);
    if voice == Voice::Piton {
        fields.maybe("Version", (!template.version.is_empty()).then_some(&template.version));
        fields.maybe("Used By", (!template.used_by.is_empty()).then(|| template.used_by.join(", ")));
    }
    if !template.files.is_empty() {
        fields.line("Files:");
        for file in &template.files {
            fields.line(&format!("  - {file}"));
        }
    }
    fields.render()
}

/// What an update found.
pub fn updated(update: &TemplateUpdate) -> String {
    let name = &update.name;
    if !update.changed {
        return format!("Template '{name}' is up to date\n");
    }
    let mut text = format!("Template '{name}' updated, content hash {}\n", update.content_hash);
    if !update.used_by.is_empty() {
        let _ = writeln!(text, "Used by: {}", update.used_by.join(", "));
    }
    text
}

/// What a validation found.
pub fn validated(validation: &Validation) -> String {
    let name = &validation.name;
    let mut text = if validation.valid {
        format!("Template '{name}' is valid\n")
    } else {
        format!("Template '{name}' is not valid\n")
    };
    for finding in &validation.findings {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            (None, _) => String::new(),
        };
        let _ = writeln!(text, "  {place}{}: {}", finding.severity, finding.message);
    }
    text
}

fn or_default(reference: &str) -> &str {
    if reference.is_empty() { "(default)" } else { reference }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample::clock;
    use super::*;

    fn template() -> Template {
        serde_json::from_value(json!({
            "name": "web-app",
            "source_url": "https://example.org/templates",
            "source_path": "web",
            "source_ref": "v1.2.0",
            "description": "Standard web application template",
            "created_at": "2025-09-01T10:00:00Z",
            "updated_at": "2025-09-19T10:04:33Z",
            "content_hash": "abc123",
            "files": ["main.tf", "variables.tf"],
            "used_by": ["workspace/web"],
        }))
        .unwrap()
    }

    #[test]
    fn the_table() {
        let wanted = "\
NAME     SOURCE                         REF     DESCRIPTION
web-app  https://example.org/templates  v1.2.0  Standard web application template
";
        assert_eq!(list(&[template()], None), wanted);
    }

    #[test]
    fn the_details() {
        let wanted = "\
Template: web-app
Source: https://example.org/templates
Path: web
Reference: v1.2.0
Description: Standard web application template
Created: 2025-09-01 12:00:00
Updated: 2025-09-19 12:04:33
Content Hash: abc123
Files:
  - main.tf
  - variables.tf
";
        assert_eq!(show(&template(), &clock(), Voice::Scheduler), wanted);
        assert!(show(&template(), &clock(), Voice::Piton).contains("Used By: workspace/web\n"));
    }

    #[test]
    fn what_was_found() {
        let mut update = TemplateUpdate {
            name: "web-app".into(),
            changed: false,
            content_hash: "abc".into(),
            used_by: vec!["workspace/web".into()],
        };
        assert_eq!(updated(&update), "Template 'web-app' is up to date\n");
        update.changed = true;
        assert_eq!(updated(&update), "Template 'web-app' updated, content hash abc\nUsed by: workspace/web\n");
        let validation: Validation = serde_json::from_value(json!({
            "name": "web-app",
            "valid": false,
            "findings": [{ "severity": "error", "message": "no such variable", "file": "main.tf", "line": 3 }],
        }))
        .unwrap();
        assert_eq!(validated(&validation), "Template 'web-app' is not valid\n  main.tf:3: error: no such variable\n");
    }
}
