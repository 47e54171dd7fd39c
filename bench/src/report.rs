//! The table: what was measured, the goal, what peers do on the same machine, the verdict.

use std::fmt;
use std::io::Write as _;

/// Prints a line for people. Whoever closed the pipe does not want it.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Nobody set one.
    None,
}

/// A figure with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub value: f64,
    pub unit: &'static str,
}

/// The rows, printed at the end and as they come.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    /// Adds a row, and says so at once: a run takes long.
    pub fn add(&mut self, what: &str, figure: Figure, note: &str, goal: Goal, peers: &str) {
        let Figure { value, unit } = figure;
        let measured = format!("{} {unit}{note}", shown(value));
        let (goal, verdict) = match goal {
            Goal::AtLeast(least) => (format!("≥ {} {unit}", shown(least)), verdict(value >= least)),
            Goal::AtMost(most) => (format!("≤ {} {unit}", shown(most)), verdict(value <= most)),
            Goal::None => (String::new(), ""),
        };
        say(&format!("  {what}: {measured} {verdict}"));
        if !peers.is_empty() {
            say(&format!("    {peers}"));
        }
        let peers = if peers.is_empty() { "-" } else { peers };
        self.rows.push([what.to_owned(), measured, goal, peers.to_owned(), verdict.to_owned()]);
    }

    /// Adds what could not be measured, and why.
    pub fn not_measured(&mut self, what: &str, why: &str) {
        say(&format!("  {what}: not measured: {why}"));
        let row = [what.to_owned(), format!("not measured: {why}"), String::new(), "-".to_owned(), "?".to_owned()];
        self.rows.push(row);
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "ok" } else { "MISSED" }
}

impl fmt::Display for Table {
    /// Markdown, so that it can be pasted into a document as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "goal", "peers, same run", "verdict"].map(str::to_owned);
        let rule = |widths: &[usize; 5]| widths.map(|width| "-".repeat(width));
        let mut widths = [0; 5];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f)?;
        for row in [&head, &rule(&widths)].into_iter().chain(&self.rows) {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
        }
        Ok(())
    }
}

/// Three significant digits, thousands apart.
pub fn shown(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value.abs() < 10.0 {
        return trimmed(&format!("{value:.2}"));
    }
    if value.abs() < 100.0 {
        return trimmed(&format!("{value:.1}"));
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_people_read_them() {
        assert_eq!(
            [0.0, 1.5, 42.0, 99.95, 1234.5, 1_000_000.0].map(shown),
            ["0", "1.5", "42", "100", "1,234", "1,000,000"]
        );
    }

    #[test]
    fn a_goal_that_is_just_met_is_met() {
        let mut table = Table::default();
        let figure = |value| Figure { value, unit: "ms" };
        table.add("a", figure(2.0), "", Goal::AtMost(2.0), "");
        table.add("b", figure(2.1), "", Goal::AtMost(2.0), "");
        table.add("c", figure(2.1), "", Goal::AtLeast(2.0), "");
        let verdicts: Vec<&str> = table.rows.iter().map(|row| row[4].as_str()).collect();
        assert_eq!(verdicts, ["ok", "MISSED", "ok"]);
    }
}
