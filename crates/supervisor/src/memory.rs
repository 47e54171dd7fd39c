//! What somebody wants, remembered over restarts.

pub(crate) mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// What somebody wants of a process, beyond its declaration. Absent is "as declared".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// How many instances, in place of the declared number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// The declared number in place of which that is; older memories do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<u32>,
    /// Instances that were started or stopped by hand, by name; the others do as `auto_start` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<String, bool>,
}

impl Wish {
    /// What is left of it where this number of instances is declared: who declares another one says how many there shall be
    /// from then on.
    #[must_use]
    pub(crate) fn under(&self, declared: u32) -> Wish {
        let stands = self.instances.filter(|_| self.declared.is_none_or(|before| before == declared));
        Wish { instances: stands, declared: stands.map(|_| declared), running: self.running.clone() }
    }
}

/// A boxed future.
pub type Remembering<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where wishes are kept. What is answered with `Ok` is durable.
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// All wishes by the name of their process.
    fn load(&self) -> Remembering<'_, BTreeMap<String, Wish>>;

    /// Replaces the wish for a process; the default one is forgotten.
    fn save<'a>(&'a self, process: &'a str, wish: &'a Wish) -> Remembering<'a, ()>;

    /// Replaces several wishes; to be written where many at once cost less than one after the other.
    fn save_all<'a>(&'a self, wishes: &'a BTreeMap<String, Wish>) -> Remembering<'a, ()> {
        Box::pin(async move {
            for (process, wish) in wishes {
                self.save(process, wish).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_declared_number_ends_what_was_wished_in_its_place() {
        let wish =
            Wish { instances: Some(5), declared: Some(3), running: BTreeMap::from([("web-1".to_owned(), false)]) };
        assert_eq!(wish.under(3), wish);
        assert_eq!(wish.under(2), Wish { instances: None, declared: None, ..wish.clone() });
        let older: Wish = serde_json::from_str(r#"{"instances": 5}"#).unwrap();
        assert_eq!(older.declared, None);
        let known = older.under(3);
        assert_eq!(
            (known.instances, known.declared),
            (Some(5), Some(3)),
            "what it is in place of is known from now on"
        );
        assert_eq!(known.under(5), Wish::default());
        assert_eq!(Wish::default().under(3), Wish::default());
    }
}
