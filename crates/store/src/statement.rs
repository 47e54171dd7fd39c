//! Statements over many rows, with few distinct texts so that each is written and prepared once.
//!
//! Differs by necessity: PostgreSQL takes each column as one array, so that any number of rows is one statement and one
//! round trip; SQLite knows no arrays, and is in the process.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::dialect::Dialect;

/// Row counts for which a text exists. Other numbers of rows are written by several statements.
pub(crate) const SIZES: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Int,
    Text,
}

/// `HEAD VALUES (…), (…) TAIL`, whose columns are called `column1` and so on where the head puts it in parentheses.
pub(crate) struct Rows {
    pub(crate) head: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) tail: &'static str,
}

impl Rows {
    /// How many columns each row has.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The text for `rows` rows; on PostgreSQL it is the same for any number of them.
    pub(crate) fn sql(&self, dialect: Dialect, rows: usize) -> &'static str {
        match dialect {
            Dialect::Sqlite => kept((dialect, self.head, self.tail, rows), || self.values(rows)),
            Dialect::Postgres => kept((dialect, self.head, self.tail, 0), || self.arrays(1)),
        }
    }

    fn values(&self, rows: usize) -> String {
        let mut sql = String::with_capacity(self.head.len() + self.tail.len() + rows * self.width() * 6);
        sql.push_str(self.head);
        sql.push_str(" VALUES ");
        let mut number = 1;
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            list(&mut sql, Dialect::Sqlite, &mut number, self.width());
            sql.push(')');
        }
        sql.push_str(self.tail);
        sql
    }

    /// The text of several statements as one of PostgreSQL, which answers with nothing of what they do. None of them sees
    /// what the others write, nor is one done before another.
    pub(crate) fn together(all: &[&Rows]) -> &'static str {
        static TEXTS: LazyLock<Mutex<HashMap<Vec<&str>, &'static str>>> = LazyLock::new(Mutex::default);
        let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        let key = all.iter().map(|rows| rows.head).collect();
        texts.entry(key).or_insert_with(|| Box::leak(Rows::with(all).into_boxed_str()))
    }

    fn with(all: &[&Rows]) -> String {
        let mut first = 1;
        let mut parts = Vec::with_capacity(all.len());
        for (index, rows) in all.iter().enumerate() {
            parts.push(format!("w{index} AS ({})", rows.arrays(first)));
            first += rows.width();
        }
        format!("WITH {} SELECT 1", parts.join(", "))
    }

    /// The statement whose first parameter has this number.
    fn arrays(&self, first: usize) -> String {
        let each = |text: &dyn Fn(usize, Column) -> String| {
            let columns = self.columns.iter().enumerate().map(|(index, column)| text(index, *column));
            columns.collect::<Vec<_>>().join(", ")
        };
        let arrays = each(&|index, column| match column {
            Column::Int => format!("CAST(${} AS BIGINT[])", first + index),
            Column::Text => format!("CAST(${} AS TEXT[])", first + index),
        });
        let names = each(&|index, _| format!("column{}", index + 1));
        format!("{} SELECT * FROM unnest({arrays}) AS u ({names}){}", self.head, self.tail)
    }
}

/// `HEAD (…)TAIL`, where the list is filled up with its last element.
pub(crate) struct In {
    pub(crate) head: &'static str,
    pub(crate) tail: &'static str,
}

impl In {
    /// The text for a list of `size` elements.
    pub(crate) fn sql(&self, dialect: Dialect, size: usize) -> &'static str {
        kept((dialect, self.head, self.tail, size), || {
            let mut sql = String::with_capacity(self.head.len() + self.tail.len() + size * 6);
            sql.push_str(self.head);
            sql.push_str(" (");
            list(&mut sql, dialect, &mut 1, size);
            sql.push(')');
            sql.push_str(self.tail);
            sql
        })
    }
}

type Key = (Dialect, &'static str, &'static str, usize);

/// The text of this key, kept for ever: there are a few dozen of them.
fn kept(key: Key, write: impl FnOnce() -> String) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashMap<Key, &'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.entry(key).or_insert_with(|| Box::leak(write().into_boxed_str()))
}

fn list(sql: &mut String, dialect: Dialect, number: &mut usize, count: usize) {
    for index in 0..count {
        if index > 0 {
            sql.push_str(", ");
        }
        match dialect {
            // To SQLite `$1` is a name, and it looks through all names for each value: a thousand squared.
            Dialect::Sqlite => sql.push('?'),
            // Writing to a String cannot fail.
            Dialect::Postgres => drop(write!(sql, "${number}")),
        }
        *number += 1;
    }
}

/// Cuts `rows` rows into sizes for which a text exists.
pub(crate) fn cuts(mut rows: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows)?;
        rows -= size;
        Some(size)
    })
}

/// The smallest size that holds `count` elements (at most the largest size).
pub(crate) fn padded(count: usize) -> usize {
    SIZES.into_iter().rev().find(|size| *size >= count).unwrap_or(SIZES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let columns = &[Column::Text, Column::Int];
        let rows = Rows { head: "INSERT INTO t (a, b)", columns, tail: " ON CONFLICT DO NOTHING" };
        let list = In { head: "DELETE FROM t WHERE a IN", tail: "" };
        let postgres = Dialect::Postgres;
        let arrays = "INSERT INTO t (a, b) SELECT * FROM unnest(CAST($1 AS TEXT[]), CAST($2 AS BIGINT[])) \
             AS u (column1, column2) ON CONFLICT DO NOTHING";
        assert_eq!([1, 2, 1000].map(|count| rows.sql(postgres, count)), [arrays; 3]);
        assert_eq!(list.sql(postgres, 3), "DELETE FROM t WHERE a IN ($1, $2, $3)");
        let other = Rows { head: "INSERT INTO u (c)", columns: &[Column::Int], tail: "" };
        let both = format!(
            "WITH w0 AS ({arrays}), \
             w1 AS (INSERT INTO u (c) SELECT * FROM unnest(CAST($3 AS BIGINT[])) AS u (column1)) SELECT 1"
        );
        assert_eq!(Rows::together(&[&rows, &other]), both);
        let values = "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING";
        assert_eq!(rows.sql(Dialect::Sqlite, 2), values);
        assert_eq!(list.sql(Dialect::Sqlite, 2), "DELETE FROM t WHERE a IN (?, ?)");
    }

    #[test]
    fn every_count_is_cut_completely() {
        for count in 0..2000 {
            assert_eq!(cuts(count).sum::<usize>(), count);
        }
        assert_eq!([1, 2, 4, 5, 33, 128].map(padded), [1, 2, 4, 8, 64, 128]);
    }
}
