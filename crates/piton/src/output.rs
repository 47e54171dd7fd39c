//! Standard output is data, standard error is talk. Everything that a command prints goes through here.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::{Format, Global};
use crate::error::{CommandError, Exit, Failure, failed};
use crate::terminal::{Target, clean};

/// In whose words results and errors are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Piton's own.
    Piton,
    /// Those of the workspace scheduler's tools: their layouts, their sentences, their exit codes.
    Scheduler,
}

/// Where and how a command prints.
#[derive(Debug, Clone)]
pub struct Output {
    /// How results are written.
    pub format: Format,
    /// In whose words.
    pub voice: Voice,
    quiet: bool,
    interactive: bool,
    data: Target,
    talk: Target,
}

impl Output {
    /// Looks at what the process was given.
    pub fn new(global: &Global, voice: Voice) -> Output {
        let refused = global.no_color
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let target = |terminal: bool| match (terminal, refused) {
            (false, _) => Target::File,
            (true, true) => Target::Plain,
            (true, false) => Target::Colours,
        };
        let (data, talk) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Output {
            format: global.output,
            voice,
            quiet: global.quiet,
            interactive: io::stdin().is_terminal() && talk && !global.no_input,
            data: target(data),
            talk: target(talk),
        }
    }

    /// Whether somebody can be asked.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether results are for people.
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a result: as text for people, else as the document itself.
    pub fn show<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&text()),
            Format::Json => {
                let mut json = serde_json::to_string_pretty(value).map_err(|error| failed(error.to_string()))?;
                json.push('\n');
                self.text(&json)
            }
            Format::Yaml => self.text(&yaml(value)?),
        }
    }

    /// How wide the terminal is that shows the results. None where they go elsewhere, and nothing may be cut.
    pub fn width(&self) -> Option<usize> {
        match self.data {
            Target::File => None,
            Target::Plain | Target::Colours => {
                let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
                Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
            }
        }
    }

    /// What empties a terminal; nothing where the results go elsewhere.
    pub fn clear_screen(&self) -> &'static str {
        match self.data {
            Target::File => "",
            Target::Plain | Target::Colours => "\x1b[H\x1b[2J",
        }
    }

    /// Prints text to standard output, as much of it as may be shown there.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        raw(clean(text, self.data).as_bytes())
    }

    /// Prints a line of a log: with the results for people, beside them for programs.
    pub fn log_line(&self, line: &str) -> Result<(), Failure> {
        if self.is_table() {
            return self.text(&format!("{line}\n"));
        }
        self.say(line);
        Ok(())
    }

    /// Whether somebody watches what is told.
    pub fn is_watched(&self) -> bool {
        self.talk != Target::File && !self.quiet
    }

    /// Tells something, unless nobody wants to hear it.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.talk(line);
        }
    }

    /// Tells something that must be heard.
    pub fn talk(&self, line: &str) {
        self.prompt(&format!("{line}\n"));
    }

    /// Tells something without ending the line.
    pub fn prompt(&self, text: &str) {
        // Nobody could be told that telling failed.
        let _ = io::stderr().lock().write_all(clean(text, self.talk).as_bytes());
    }

    /// Reports why the command failed.
    pub fn report(&self, failure: &Failure) {
        let Some((message, hint)) = failure.words() else { return };
        if self.format == Format::Json
            && let Some(json) = failure.to_problem().and_then(|problem| serde_json::to_string_pretty(&problem).ok())
        {
            self.talk(&json);
            return;
        }
        match self.voice {
            Voice::Piton => self.talk(&format!("\x1b[1;31merror:\x1b[0m {message}")),
            Voice::Scheduler => self.talk(&format!("Error: {message}")),
        }
        if let Some(hint) = hint {
            self.talk(&format!("\x1b[1;36mhint:\x1b[0m {hint}"));
        }
    }
}

/// Prints bytes to standard output as they are.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(failed(format!("cannot write the result: {error}"))),
    }
}

/// Prints one line to standard output, where no more than that is ever printed.
pub fn line(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CommandError::new(Exit::Closed, "")),
        Err(error) => Err(CommandError::new(Exit::Failed, format!("cannot write the result: {error}"))),
    }
}

/// YAML by way of JSON, so that both have the same shape.
fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    let value = serde_json::to_value(value).map_err(|error| failed(error.to_string()))?;
    serde_saphyr::to_string(&value).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_reads_back_as_the_same_document() {
        let value = serde_json::json!([
            { "name": "web", "on": "yes", "number": "007", "null": null, "text": "a: b\n# no comment\n", "empty": "" },
            { "list": [1, 2.5, true, "1e3", "~"], "map": {}, "nested": { "x": [] } },
        ]);
        let text = yaml(&value).unwrap();
        let back: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
    }
}
