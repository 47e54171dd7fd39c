//! Where passwords come from: a terminal, a file, standard input, a variable. Never a command line of Piton's own.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use piton_model::Secret;

use crate::args::PasswordArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::remote::filled;

/// Nothing that is longer is a password or a secret.
const LONGEST: u64 = 64 * 1024;

/// Reads a password, or asks for it.
pub fn read(context: &Context, args: &PasswordArgs, question: &str) -> Result<Secret<String>, Failure> {
    match given(context, args)? {
        Some(password) => Ok(password),
        None if context.out.is_interactive() => ask(question),
        None => Err(needed()),
    }
}

/// Reads a new password, or asks for it twice.
pub fn read_new(context: &Context, args: &PasswordArgs, name: &str) -> Result<Secret<String>, Failure> {
    // Looked at once: what is said of it is not said twice, and what was read from standard input is gone.
    match given(context, args)? {
        Some(password) => Ok(password),
        None if context.out.is_interactive() => {
            let first = ask(&format!("New password of {name}: "))?;
            let same = ask("The same again: ")? == first;
            if same { Ok(first) } else { Err(usage("the two are not the same")) }
        }
        None => Err(needed()),
    }
}

fn needed() -> Failure {
    CommandError::new(Exit::Usage, "a password is needed, and nobody can be asked")
        .hint("`--password-file FILE`, `--password-stdin`, or the variable PITON_PASSWORD")
        .into()
}

fn given(context: &Context, args: &PasswordArgs) -> Result<Option<Secret<String>>, Failure> {
    if args.given.is_some() {
        context.out.say("warning: others on this machine can read what is on a command line; leave the password out");
        return Ok(args.given.clone());
    }
    if let Some(file) = &args.password_file {
        return of_file(file).map(Some);
    }
    if args.password_stdin {
        return of_file(Path::new("-")).map(Some);
    }
    Ok(filled(&context.environment, "PITON_PASSWORD").map(|password| Secret::new(password.to_owned())))
}

/// Asks for a secret at the terminal, which does not show it.
pub fn ask(question: &str) -> Result<Secret<String>, Failure> {
    let typed = rpassword::prompt_password(question).map_err(|error| failed(format!("cannot read it: {error}")))?;
    not_empty(typed)
}

/// The secret in a file, without the end of its line; `-` is standard input.
pub fn of_file(path: &Path) -> Result<Secret<String>, Failure> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let cannot = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::from(CommandError::new(exit, format!("cannot read {shown}: {error}")))
    };
    let mut text = String::new();
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(cannot)?)
    };
    source.by_ref().take(LONGEST).read_to_string(&mut text).map_err(cannot)?;
    not_empty(text)
}

fn not_empty(text: String) -> Result<Secret<String>, Failure> {
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(usage("it is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_ends_with_its_line_and_keeps_its_blanks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        for (text, secret) in [("hush", "hush"), ("hush\n", "hush"), (" hush \r\n", " hush "), ("a\nb\n", "a\nb")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(of_file(&file).unwrap().expose(), secret);
        }
        for empty in ["", "\n", "\r\n"] {
            std::fs::write(&file, empty).unwrap();
            assert_eq!(of_file(&file).unwrap_err().exit(), Exit::Usage);
        }
        assert_eq!(of_file(&directory.path().join("none")).unwrap_err().exit(), Exit::NotFound);
    }
}
