//! `{{workspace_name}}` and `{{job_name}}` in the environment of a job.

/// Fills in what `lookup` knows. Other placeholders stay as they are and are returned beside the text.
pub(crate) fn fill(text: &str, lookup: impl Fn(&str) -> Option<String>) -> (String, Vec<&str>) {
    let mut filled = String::with_capacity(text.len());
    let mut unknown = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        match lookup(inside.trim()) {
            Some(value) => filled.push_str(&value),
            None => {
                unknown.push(inside.trim());
                filled.push_str("{{");
                filled.push_str(inside);
                filled.push_str("}}");
            }
        }
        rest = behind;
    }
    filled.push_str(rest);
    (filled, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_placeholders_are_filled_and_others_stay() {
        let lookup = |key: &str| (key == "name").then(|| "web".to_owned());
        assert_eq!(fill("a {{name}} b {{ name }}", lookup), ("a web b web".to_owned(), vec![]));
        assert_eq!(fill("{{other}}/{{name}}", lookup), ("{{other}}/web".to_owned(), vec!["other"]));
        assert_eq!(fill("{{name", lookup), ("{{name".to_owned(), vec![]));
        assert_eq!(fill("}} {{}} {", lookup), ("}} {{}} {".to_owned(), vec![""]));
    }
}
