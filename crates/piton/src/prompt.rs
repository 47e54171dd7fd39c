//! Questions to the person at the terminal.

use std::io::{self, BufRead};

use crate::error::{Failure, failed};
use crate::output::Output;

/// Asks and reads a line; an empty one at the end of the input.
pub fn ask(out: &Output, question: &str) -> Result<String, Failure> {
    out.prompt(question);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| failed(format!("cannot read the answer: {error}")))?;
    Ok(answer.trim().to_owned())
}

/// Lets somebody choose one of several things by number or by name.
pub fn choose(out: &Output, heading: &str, choices: &[String]) -> Result<String, Failure> {
    out.talk(heading);
    for (index, choice) in choices.iter().enumerate() {
        out.talk(&format!("{}) {choice}", index + 1));
    }
    let answer = ask(out, &format!("Enter choice (1-{}): ", choices.len()))?;
    pick(&answer, choices).cloned().ok_or_else(|| failed(format!("choice must be between 1 and {}", choices.len())))
}

fn pick<'a>(answer: &str, choices: &'a [String]) -> Option<&'a String> {
    let by_number = answer.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
    choices.iter().find(|choice| *choice == answer).or(by_number)
}

/// Whether somebody typed exactly `wanted`.
pub fn confirm(out: &Output, question: &str, wanted: &str) -> Result<bool, Failure> {
    Ok(ask(out, question)? == wanted)
}

/// Whether somebody said yes.
pub fn agree(out: &Output, question: &str) -> Result<bool, Failure> {
    Ok(matches!(ask(out, question)?.to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_number_or_a_name() {
        let choices = ["busy".to_owned(), "hibernation".to_owned(), "1".to_owned()];
        assert_eq!(pick("2", &choices).unwrap(), "hibernation");
        assert_eq!(pick("busy", &choices).unwrap(), "busy");
        assert_eq!(pick("1", &choices).unwrap(), "1", "a name comes before a number");
        for bad in ["", "0", "4", "-1", "bus", "99999999999999999999"] {
            assert_eq!(pick(bad, &choices), None, "{bad}");
        }
    }
}
