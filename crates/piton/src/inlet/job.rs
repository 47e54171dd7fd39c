//! Messages and what runs are made of: one from the other, and back.

use jiff::Timestamp;
use piton_broker::message::{Blueprint, GitConfig, Job, JobType, Provider, Visibility};
use piton_model::{Digest, GitProvider, RepositoryVisibility, Scaffold, ScaffoldKind, Secret};
use piton_spec::Worker;

/// What a message asks for, with what it leaves to the worker.
pub fn scaffold(job: Job, config: &Worker, asked_at: Timestamp) -> Result<Scaffold, String> {
    let Job { run_id, job_type, blueprint, git_config } = job;
    let mut scaffold = Scaffold {
        run_id: run_id.as_str().parse().map_err(|error: piton_model::InvalidName| error.to_string())?,
        job_type: kind_of(job_type),
        template: blueprint.template,
        name: blueprint.name,
        namespace: blueprint.namespace.unwrap_or_default(),
        values: Secret::new(blueprint.values),
        provider: match git_config.provider {
            Some(Provider::Gitlab) => GitProvider::Gitlab,
            Some(Provider::Github) => GitProvider::Github,
            Some(Provider::Gitea | Provider::Forgejo) => GitProvider::Gitea,
            Some(Provider::Git) => GitProvider::Git,
            None => config.provider,
        },
        group_id: git_config.group_id,
        visibility: match git_config.visibility {
            Some(Visibility::Private) | None => RepositoryVisibility::Private,
            Some(Visibility::Internal) => RepositoryVisibility::Internal,
            Some(Visibility::Public) => RepositoryVisibility::Public,
        },
        timeout: config.max_job_duration,
        asked_at,
        digest: Digest::of(b""),
    };
    // Of what is meant, not of how it was said, so that it is the same for the message that is made of it again.
    let meant = text(&scaffold)?;
    scaffold.digest = Digest::of(&meant);
    Ok(scaffold)
}

/// The message that asks for it, as JSON.
pub fn text(scaffold: &Scaffold) -> Result<Vec<u8>, String> {
    let job = Job {
        run_id: scaffold.run_id.as_str().parse().map_err(|error| format!("run_id: {error}"))?,
        job_type: type_of(scaffold.job_type),
        blueprint: Blueprint {
            template: scaffold.template.clone(),
            name: scaffold.name.clone(),
            namespace: Some(scaffold.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            values: scaffold.values.expose().clone(),
        },
        git_config: GitConfig {
            provider: Some(match scaffold.provider {
                GitProvider::Gitlab => Provider::Gitlab,
                GitProvider::Github => Provider::Github,
                GitProvider::Gitea => Provider::Gitea,
                GitProvider::Git => Provider::Git,
            }),
            group_id: scaffold.group_id.clone(),
            visibility: Some(match scaffold.visibility {
                RepositoryVisibility::Private => Visibility::Private,
                RepositoryVisibility::Internal => Visibility::Internal,
                RepositoryVisibility::Public => Visibility::Public,
            }),
        },
    };
    serde_json::to_vec(&job).map_err(|error| error.to_string())
}

/// What a word of messages means.
pub fn kind_of(word: JobType) -> ScaffoldKind {
    match word {
        JobType::System => ScaffoldKind::System,
        JobType::Component => ScaffoldKind::Component,
    }
}

/// The word of messages for a kind.
pub fn type_of(kind: ScaffoldKind) -> JobType {
    match kind {
        ScaffoldKind::System => JobType::System,
        ScaffoldKind::Component => JobType::Component,
    }
}
