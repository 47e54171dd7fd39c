//! Tables and lists of fields, as lines of text.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal::{Target, clean};

/// What stands for the rest of a text.
const DOTS: &str = "...";
/// So much of a last column is shown however narrow a terminal is.
const LEAST_ROOM: usize = 20;

/// A piece of text, and the colours it has on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    colour: &'static str,
}

impl Cell {
    /// Text in the colour that belongs to a state.
    pub fn state(word: &str) -> Cell {
        Cell { text: one_line(word), colour: colour_of(word) }
    }

    /// Text in the colour that belongs to the state of something that is kept running.
    pub fn process(word: &str) -> Cell {
        let colour = match word {
            "running" => "32",
            "starting" | "waiting" | "stopping" | "backoff" | "degraded" => "33",
            "fatal" => "31",
            "stopped" | "exited" => "2",
            _ => "",
        };
        Cell { text: one_line(word), colour }
    }

    fn paint(&self, line: &mut String) {
        if self.colour.is_empty() {
            line.push_str(&self.text);
        } else {
            let _ = write!(line, "\x1b[{}m{}\x1b[0m", self.colour, self.text);
        }
    }

    fn width(&self) -> usize {
        self.text.width()
    }

    /// Cuts it visibly where it is wider than `room`.
    fn cut(&mut self, room: usize) {
        if self.width() <= room {
            return;
        }
        let mut kept = String::new();
        for c in self.text.chars() {
            if kept.width() + c.width().unwrap_or(0) > room.saturating_sub(DOTS.len()) {
                break;
            }
            kept.push(c);
        }
        self.text = format!("{}{DOTS}", kept.trim_end());
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: one_line(text.as_ref()), colour: "" }
    }
}

/// Green for what is well, yellow for what is under way, red for what needs somebody, dim for what rests.
fn colour_of(state: &str) -> &'static str {
    match state {
        "deployed" | "succeeded" | "success" | "healthy" | "completed" => "32",
        "deploying" | "destroying" | "running" | "executing" | "gated" | "pending" => "33",
        "failed" | "timed_out" | "timeout" | "indeterminate" | "error" => "31",
        "destroyed" | "disabled" | "suspended" | "cancelled" | "rejected" | "expired" | "superseded" => "2",
        _ => "",
    }
}

/// A line of somebody's words, wherever it is shown: tables are for people, also where they go through a pipe.
fn one_line(text: &str) -> String {
    clean(text, Target::Plain).replace(['\n', '\t'], " ")
}

/// A column: its title, the least it is wide, and how long the dashes below its title are.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    least: usize,
    dashes: usize,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    gap: usize,
}

impl Table {
    /// A table with columns as wide as they need to be.
    pub fn new(titles: &[&'static str]) -> Table {
        let columns = titles.iter().map(|title| Column { title, least: 0, dashes: 0 }).collect();
        Table { columns, rows: vec![], gap: 2 }
    }

    /// A table as the workspace scheduler's tools print them: a line of dashes below the titles, columns that are at
    /// least so wide. Each column is given as title, least width, dashes.
    pub fn ruled(columns: &[(&'static str, usize, usize)]) -> Table {
        let columns = columns.iter().map(|&(title, least, dashes)| Column { title, least, dashes }).collect();
        Table { columns, rows: vec![], gap: 1 }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, for a terminal that is `width` wide: the last column is cut where it does not fit. What goes
    /// elsewhere is whole.
    pub fn render_within(&self, width: Option<usize>) -> String {
        let Some((width, last)) = width.zip(self.columns.len().checked_sub(1)) else { return self.render() };
        let before: usize = self.widths().iter().take(last).map(|width| width + self.gap).sum();
        let room = width.saturating_sub(before).max(LEAST_ROOM);
        let mut rows = self.rows.clone();
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
            cell.cut(room);
        }
        Table { columns: self.columns.clone(), rows, gap: self.gap }.render()
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.columns.len())
            .map(|index| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(Cell::width);
                let title = self.columns[index].title.width();
                cells.chain([title, self.columns[index].least, self.columns[index].dashes]).max().unwrap_or(0)
            })
            .collect()
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::from(column.title)).collect();
        self.line(&titles, &widths, &mut text);
        if self.columns.iter().any(|column| column.dashes > 0) {
            let dashes: Vec<Cell> = self.columns.iter().map(|column| Cell::from("-".repeat(column.dashes))).collect();
            self.line(&dashes, &widths, &mut text);
        }
        for row in &self.rows {
            self.line(row, &widths, &mut text);
        }
        text
    }

    fn line(&self, cells: &[Cell], widths: &[usize], text: &mut String) {
        let mut blank = 0;
        for (cell, width) in cells.iter().zip(widths) {
            if cell.width() > 0 {
                text.push_str(&" ".repeat(blank));
                cell.paint(text);
                blank = 0;
            }
            blank += width - cell.width() + self.gap;
        }
        text.push('\n');
    }
}

/// Lines of the form `Name: value`.
#[derive(Debug, Default)]
pub struct Fields(String);

impl Fields {
    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl Into<Cell>) -> &mut Fields {
        self.0.push_str(name);
        self.0.push_str(": ");
        value.into().paint(&mut self.0);
        self.0.push('\n');
        self
    }

    /// Adds a field whose value is known.
    pub fn maybe(&mut self, name: &str, value: Option<impl Into<Cell>>) -> &mut Fields {
        if let Some(value) = value {
            self.field(name, value);
        }
        self
    }

    /// Adds a line as it is.
    pub fn line(&mut self, line: &str) -> &mut Fields {
        self.0.push_str(line);
        self.0.push('\n');
        self
    }

    /// All lines.
    pub fn render(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new(&["NAME", "STATE", "NOTE"]);
        table.row(["a".into(), "x".into(), "one\ntwo".into()]);
        table.row(["much-longer".into(), "".into(), "".into()]);
        table.row(["\u{5bbd}\u{5bbd}".into(), "y".into(), "z".into()]);
        let wanted = "\
NAME         STATE  NOTE
a            x      one two
much-longer
\u{5bbd}\u{5bbd}         y      z
";
        assert_eq!(table.render(), wanted);
    }

    #[test]
    fn only_a_terminal_cuts_and_only_the_last_column() {
        let mut table = Table::new(&["NAME", "NOTE"]);
        let note = "a note that is longer than a narrow terminal is wide";
        table.row(["web".into(), note.into()]);
        table.row(["api".into(), "\u{5bbd}".repeat(20).into()]);
        let lines = |width| table.render_within(width).lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(None), ["NAME  NOTE", &format!("web   {note}"), &format!("api   {}", "\u{5bbd}".repeat(20))]);
        assert_eq!(lines(Some(200)), lines(None));
        let wide = format!("api   {}...", "\u{5bbd}".repeat(10));
        assert_eq!(lines(Some(30)), ["NAME  NOTE", "web   a note that is longer...", &wide]);
        assert_eq!(lines(Some(5))[1], "web   a note that is lo...");
    }

    #[test]
    fn what_hides_or_rings_is_not_shown() {
        let mut table = Table::new(&["NOTE", "X"]);
        table.row(["a\u{7}b\u{202e}c\x1b[2J".into(), "1".into()]);
        assert_eq!(table.render(), "NOTE   X\na\u{fffd}b\u{fffd}c  1\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::new(&["STATE", "X"]);
        table.row([Cell::state("failed"), "1".into()]);
        table.row([Cell::state("strange"), "2".into()]);
        assert_eq!(table.render(), "STATE    X\n\x1b[31mfailed\x1b[0m   1\nstrange  2\n");
    }

    #[test]
    fn fields_that_are_not_known_are_left_out() {
        let mut fields = Fields::default();
        fields.field("Name", "x").maybe("Mode", None::<&str>).maybe("Next", Some("soon"));
        assert_eq!(fields.render(), "Name: x\nNext: soon\n");
    }
}
