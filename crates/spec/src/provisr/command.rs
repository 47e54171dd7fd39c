//! The line that a declaration runs: as the words of a program, or for a shell where it needs one.

use piton_model::Program;

/// Reads a line. It is split into words as a shell would, without one; only a line that uses what a shell does
/// (variables, patterns, pipes, redirections, several commands) is given to `/bin/sh -c`. `sh -c 'LINE'` is LINE.
pub(crate) fn program_of(line: &str) -> Result<Program, &'static str> {
    let line = line.trim();
    let seen = look_at(line);
    let words = shlex::split(line).ok_or("a quote is not closed, or the line ends with `\\`")?;
    if !seen.outside_quotes
        && let [shell, flag, inner] = words.as_slice()
        && matches!(shell.as_str(), "sh" | "/bin/sh" | "/usr/bin/sh")
        && flag == "-c"
        && !inner.trim().is_empty()
    {
        return Ok(Program::Shell { line: inner.clone() });
    }
    let Some(first) = words.first() else { return Err("there is no program in it") };
    if seen.outside_quotes || seen.within_quotes || is_word_of_the_shell(first, line) {
        return Ok(Program::Shell { line: line.to_owned() });
    }
    if first.is_empty() {
        return Err("the name of the program is empty");
    }
    Ok(Program::Exec { argv: words })
}

/// The line that [`program_of`] reads as this program; none for words that no line can be.
pub(crate) fn line_of(program: &Program) -> Option<String> {
    let line = match program {
        Program::Exec { argv } => shlex::try_join(argv.iter().map(String::as_str)).ok()?,
        Program::Shell { line } | Program::Script { text: line } => line.clone(),
    };
    let same = |text: &str| match (program_of(text), program) {
        (Ok(Program::Shell { line }), Program::Script { text }) => line == *text,
        (Ok(read), program) => read == *program,
        (Err(_), _) => false,
    };
    if same(&line) {
        return Some(line);
    }
    let quoted = format!("sh -c {}", shlex::try_quote(&line).ok()?);
    same(&quoted).then_some(quoted)
}

/// What in a line only a shell understands.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    outside_quotes: bool,
    /// `$` and backquotes mean something within double quotes, too.
    within_quotes: bool,
}

fn look_at(line: &str) -> Seen {
    let mut seen = Seen::default();
    let mut quote = None;
    let mut escaped = false;
    let mut begins_word = true;
    for c in line.chars() {
        if escaped {
            escaped = false;
            begins_word = false;
            continue;
        }
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (Some(_), '$' | '`') => seen.within_quotes = true,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '\n') => {
                seen.outside_quotes = true;
            }
            (None, '~' | '#') if begins_word => seen.outside_quotes = true,
            (None, _) => {}
        }
        begins_word = quote.is_none() && !escaped && c.is_ascii_whitespace();
    }
    seen
}

/// Whether a line begins with what is no program: a word of the shell's language, a command that only a shell has, or
/// an assignment.
fn is_word_of_the_shell(first: &str, line: &str) -> bool {
    const WORDS: [&str; 26] = [
        "!", "{", ".", ":", "if", "while", "until", "for", "case", "cd", "exec", "export", "eval", "set", "unset",
        "source", "trap", "ulimit", "umask", "wait", "read", "shift", "alias", "local", "readonly", "exit",
    ];
    let assigns = first.split_once('=').is_some_and(|(name, _)| {
        let mut characters = name.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    // In quotes it is the name of a program after all.
    line.starts_with(first) && (assigns || WORDS.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Program {
        Program::Shell { line: line.to_owned() }
    }

    fn exec(words: &[&str]) -> Program {
        Program::Exec { argv: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[test]
    fn a_shell_is_used_only_where_it_is_needed() {
        for (line, expected) in [
            ("sleep 10", exec(&["sleep", "10"])),
            ("  python   app.py ", exec(&["python", "app.py"])),
            ("echo 'a b' \"c d\" e\\ f", exec(&["echo", "a b", "c d", "e f"])),
            ("echo '$HOME' '*' 'a;b'", exec(&["echo", "$HOME", "*", "a;b"])),
            ("grep -e a{1,2} =x", exec(&["grep", "-e", "a{1,2}", "=x"])),
            ("env A=1 make", exec(&["env", "A=1", "make"])),
            ("bash -c 'echo $HOME'", exec(&["bash", "-c", "echo $HOME"])),
            ("issue#4", exec(&["issue#4"])),
            ("sh script.sh -c", exec(&["sh", "script.sh", "-c"])),
            ("'exec' x", exec(&["exec", "x"])),
            ("sh -c 'while true; do echo web; sleep 2; done'", shell("while true; do echo web; sleep 2; done")),
            ("/bin/sh -c \"echo $X\"", shell("echo $X")),
            ("sh -c true", shell("true")),
            ("sh -c a;b", shell("sh -c a;b")),
            ("sh -c 'a' b", exec(&["sh", "-c", "a", "b"])),
            ("sh -c ''", exec(&["sh", "-c", ""])),
            ("echo $HOME", shell("echo $HOME")),
            ("echo \"$HOME\"", shell("echo \"$HOME\"")),
            ("a | b", shell("a | b")),
            ("a > b", shell("a > b")),
            ("ls *.txt", shell("ls *.txt")),
            ("ls ~", shell("ls ~")),
            ("run # not this", shell("run # not this")),
            ("A=1 make", shell("A=1 make")),
            ("exec ./server", shell("exec ./server")),
            ("a\nb", shell("a\nb")),
            ("echo \\$HOME", exec(&["echo", "$HOME"])),
        ] {
            assert_eq!(program_of(line), Ok(expected), "{line}");
        }
        for bad in ["", "  ", "echo 'a", "echo \"", "echo \\", "'' a"] {
            assert!(program_of(bad).is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics_and_what_was_read_is_written_so_that_it_is_read_again(line in "[a-c '\"\\\\$;*~#=\n-]{0,20}") {
            if let Ok(program) = program_of(&line) {
                let written = line_of(&program);
                let read = written.as_deref().map(program_of);
                proptest::prop_assert_eq!(read, Some(Ok(program)), "{:?} became {:?}", line, written);
            }
        }

        #[test]
        fn words_are_written_as_a_line(words: Vec<String>) {
            let program = Program::Exec { argv: words };
            if let Some(line) = line_of(&program) {
                proptest::prop_assert_eq!(program_of(&line), Ok(program));
            }
        }
    }
}
