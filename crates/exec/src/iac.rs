//! OpenTofu and Terraform: prepare, checkout, init, plan, apply, outputs.

mod access;
mod apply;
mod checkout;
mod code;
mod init;
mod layout;
mod metadata;
mod outputs;
mod plan;
mod plugin_cache;
mod prepare;
mod tool;

pub(crate) use checkout::root_module;
pub(crate) use metadata::FILE as METADATA;
use piton_model::{Failure, Iac, IacStep, Source};
pub(crate) use plugin_cache::PluginCache;

use crate::failing;
use crate::pass::Pass;
use crate::step::Passed;

pub(crate) async fn step(pass: &Pass<'_>, iac: &Iac, step: IacStep) -> Result<Passed, Failure> {
    match step {
        IacStep::Prepare => prepare::prepare(pass, iac).await,
        IacStep::Checkout => match &iac.source {
            Source::Git(source) => checkout::checkout(pass, iac, source).await,
            Source::Directory { .. } | Source::Template { .. } => {
                Err(failing::permanent("internal", "there is nothing to check out"))
            }
        },
        IacStep::Init => init::init(pass, iac).await,
        IacStep::Plan => plan::plan(pass, iac).await,
        IacStep::Apply => apply::apply(pass, iac).await,
        IacStep::Outputs => outputs::outputs(pass, iac).await,
    }
}
