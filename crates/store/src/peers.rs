//! Who else works on the database.

use crate::db::{Address, params};
use crate::{Error, Store};

// Each daemon has several connections, all under its own name; the session of a foreign user shows none.
const OTHERS: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
     AND application_name LIKE 'piton%' AND application_name <> $1";

/// PostgreSQL cuts longer names.
const LONGEST_NAME: usize = 60;

/// What the connections of `node` are called. Its end is what tells it from others.
pub(crate) fn name_of(node: &str) -> String {
    let name = format!("piton {node}");
    if name.len() <= LONGEST_NAME {
        return name.trim_end().to_owned();
    }
    let end: Vec<char> = node.chars().rev().take(LONGEST_NAME / 2).collect();
    format!("piton {}", end.into_iter().rev().collect::<String>())
}

impl Store {
    /// Whether anybody else is connected to the database, and might take what this node holds for lost.
    pub async fn has_peers(&self) -> Result<bool, Error> {
        let Address::Postgres { options } = self.address() else { return Ok(false) };
        let own = options.get_application_name().unwrap_or_default();
        let row = self.readers().row(OTHERS, params![own]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_tells_nodes_apart() {
        assert_eq!(name_of(""), "piton");
        assert_eq!(name_of("peak-0123456789abcdef"), "piton peak-0123456789abcdef");
        let host = "x".repeat(64);
        let [one, two] = ["0123456789abcdef", "fedcba9876543210"].map(|end| name_of(&format!("{host}-{end}")));
        assert!(one.len() <= LONGEST_NAME && one != two, "{one} {two}");
    }
}
