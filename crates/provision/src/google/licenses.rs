//! Licences, by product and SKU.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Google, Session};
use crate::answer::Problem;
use crate::session::{below, refusal, settling};
use crate::wanted::{Wanted, incomplete};

/// Under which names a request to provision lists licences.
pub(super) const OPTION: &[&str] = &["licenses", "license"];

/// A licence: a product, and its edition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct License {
    product: String,
    sku: String,
}

impl License {
    /// Reads `{"product": …, "sku": …}` or `PRODUCT/SKU`.
    pub(super) fn parse(value: &Value) -> Result<License, Problem> {
        let member = |names: [&str; 2]| names.iter().find_map(|name| value.get(*name)?.as_str());
        let (product, sku) = match value.as_str() {
            Some(text) => text.split_once('/').unzip(),
            None => (member(["product", "productId"]), member(["sku", "skuId"])),
        };
        match (product, sku) {
            (Some(product), Some(sku)) if !product.is_empty() && !sku.is_empty() => {
                Ok(License { product: product.to_owned(), sku: sku.to_owned() })
            }
            _ => Err(incomplete("a licence of Google has a `product` and a `sku`, such as Google-Apps and 1010020027")),
        }
    }
}

pub(super) async fn modify(session: &mut Session<'_>, wanted: &Wanted<'_>, user: &str) -> Result<(), Problem> {
    let (add, remove) = wanted.changes("licenses")?;
    let read = |values: Vec<Value>| values.iter().map(License::parse).collect::<Result<Vec<_>, _>>();
    let (add, remove) = (read(add)?, read(remove)?);
    // First what becomes free: the new licence may need it.
    for license in remove {
        let gone = session.call(Method::DELETE, assignment(session, &license, user), None).await?;
        if !gone.is_success() && gone.status != 404 {
            return Err(refusal::<Google>(&gone, &format!("take {} from {user}", license.sku)));
        }
    }
    for license in add {
        assign(session, &license, user, false).await?;
    }
    Ok(())
}

/// Gives `user` the licence, who may have it already. Somebody `new` may not be known here yet.
pub(super) async fn assign(session: &mut Session<'_>, license: &License, user: &str, new: bool) -> Result<(), Problem> {
    let License { product, sku } = license;
    let url = below(&session.dialect.licensing, &["product", product, "sku", sku, "user"]);
    let given = session.call(Method::POST, url, Some(&json!({"userId": user}))).await?;
    match given.status {
        200..=299 => Ok(()),
        404 if new => Err(settling::<Google>(&format!("give {user} a licence"))),
        409 | 412 => {
            // That it is there is told as a conflict or as a condition; both have other reasons, too.
            let found = session.call(Method::GET, assignment(session, license, user), None).await?;
            if found.is_success() { Ok(()) } else { Err(refusal::<Google>(&given, &format!("give {user} {sku}"))) }
        }
        _ => Err(refusal::<Google>(&given, &format!("give {user} {sku}"))),
    }
}

fn assignment(session: &Session<'_>, license: &License, user: &str) -> reqwest::Url {
    below(&session.dialect.licensing, &["product", &license.product, "sku", &license.sku, "user", user])
}
