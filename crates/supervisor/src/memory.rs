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
    /// Instances that were started or stopped by hand, by name; the others do as `auto_start` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<String, bool>,
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
