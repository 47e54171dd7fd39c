//! Patterns of paths, as people know them from `.gitignore`.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern. `*` stays within a name, `**` does not. Without a slash it is about a name at any depth; whatever lies in a
/// directory that matches, matches too.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let trimmed = text.trim_end_matches('/');
        let anchored = match trimmed.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None if trimmed.contains('/') => trimmed.to_owned(),
            None => format!("**/{trimmed}"),
        };
        if trimmed.is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        let glob = GlobBuilder::new(&anchored).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        Ok(Pattern { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// What was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut path = path;
        loop {
            if self.matcher.is_match(path) {
                return true;
            }
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => return false,
            }
        }
    }
}

/// Whether any of the patterns matches.
pub(crate) fn any(patterns: &[Pattern], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_gitignore() {
        let table = [
            ("*.pyc", "a/b/c.pyc", true),
            ("*.pyc", "c.pyc", true),
            ("*.pyc", "c.py", false),
            ("node_modules", "web/node_modules/x/y.js", true),
            ("node_modules/", "node_modules/x", true),
            ("/README.md", "README.md", true),
            ("/README.md", "docs/README.md", false),
            ("docker/**", "docker/a/Dockerfile", true),
            ("docker/*", "docker/a/Dockerfile", true),
            ("docker/*.yml", "docker/a/x.yml", false),
            ("docs", "docker", false),
            ("*/deploy", "{{ .Name }}/deploy/a", true),
            ("**/deploy/*.{yml,yaml}", "a/b/deploy/c.yaml", true),
            ("\\{\\{ .Name \\}\\}/a", "{{ .Name }}/a", true),
        ];
        for (pattern, path, matches) in table {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "/", "a[", "{a"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
