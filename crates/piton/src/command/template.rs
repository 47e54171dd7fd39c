//! `piton template …`

use piton_api::{NewTemplate, Page, Template, TemplateUpdate, Validation};
use piton_exec::git;
use piton_exec::templates::Origin;
use serde_json::json;

use crate::args::{AddArgs, OneOrAll, TemplateCommand};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::session::{Purpose, Session};
use crate::{prompt, render, routes};

/// Does what was asked.
pub async fn run(context: &Context, command: TemplateCommand) -> Result<Exit, Failure> {
    match command {
        TemplateCommand::Add(new) => add(context, new).await,
        TemplateCommand::List { detailed } => list(context, detailed).await,
        TemplateCommand::Show { name } => show(context, &name).await,
        TemplateCommand::Update(which) => update(context, &which).await,
        TemplateCommand::Validate(which) => validate(context, &which).await,
        TemplateCommand::Remove { name, force } => remove(context, &name, force).await,
    }
}

async fn all(session: &Session) -> Result<Vec<Template>, Failure> {
    let page: Page<Template> = session.client().get("/templates").await?;
    Ok(page.items)
}

async fn one(session: &Session, name: &str) -> Result<Template, Failure> {
    Ok(session.client().get(&routes::template(name)).await?)
}

async fn names(session: &Session, which: &OneOrAll) -> Result<Vec<String>, Failure> {
    match &which.name {
        Some(name) => Ok(vec![name.clone()]),
        None => Ok(all(session).await?.into_iter().map(|template| template.name).collect()),
    }
}

async fn add(context: &Context, new: AddArgs) -> Result<Exit, Failure> {
    let AddArgs { name, url, path, reference, description } = new;
    let url = source(url, context.remote()?.is_some())?;
    let origin = Origin { url, path: None, reference: None };
    if let Err(error @ git::Error::AddressHoldsCredentials { .. }) = origin.check() {
        let refused = CommandError::new(Exit::Usage, error.to_string());
        return Err(refused.hint(error.hint().unwrap_or_default()).into());
    }
    let new = NewTemplate { name, url: origin.url, path, reference, description };
    context
        .with_session(Purpose::Look, async |session| {
            context.out.say(&format!("fetching {}", git::masked(&new.url)));
            let client = session.patient_client();
            let Some(added) = session.fetching(client.create::<Template>("/templates", &new)).await else {
                // What creates something has a key, and is done whether or not its client waits for it.
                if !session.is_local() {
                    let show = format!("{} template show {}", context.piton(), new.name);
                    context.out.talk(&format!("the daemon goes on with it; to see it: {show}"));
                }
                return Ok(Exit::Interrupted);
            };
            let added = added?;
            context
                .out
                .show(&added, || format!("Template '{}' added, content hash {}\n", added.name, added.content_hash))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Where a template comes from. A path means the caller's directory, not the daemon's; a server elsewhere sees neither.
fn source(url: String, is_elsewhere: bool) -> Result<String, Failure> {
    if url.contains("://") {
        return Ok(url);
    }
    match std::fs::canonicalize(&url) {
        Ok(path) if path.is_dir() && is_elsewhere => {
            let error =
                CommandError::new(Exit::Usage, format!("the server cannot fetch the directory {url} from here"));
            Err(error.hint("give an address that the server can reach, such as https://…").into())
        }
        Ok(path) if path.is_dir() => Ok(path.display().to_string()),
        _ => Ok(url),
    }
}

async fn list(context: &Context, detailed: bool) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let templates = all(session).await?;
            context.out.show(&templates, || {
                if detailed {
                    render::template::detailed(&templates, &context.clock, context.out.voice)
                } else {
                    render::template::list(&templates, context.out.width())
                }
            })?;
            Ok(Exit::Ok)
        })
        .await
}

async fn show(context: &Context, name: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let template = one(session, name).await?;
            context.out.show(&template, || render::template::show(&template, &context.clock, context.out.voice))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn update(context: &Context, which: &OneOrAll) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let mut updates: Vec<TemplateUpdate> = vec![];
            let mut results = Results::default();
            for name in names(session, which).await? {
                let path = format!("{}/update", routes::template(&name));
                let client = session.patient_client();
                let nothing = json!({});
                let Some(updated) = session.fetching(client.post(&path, &nothing)).await else {
                    return Ok(Exit::Interrupted);
                };
                match updated {
                    Ok(update) => updates.push(update),
                    Err(error) => results.failed(context, which, &name, error.into())?,
                }
            }
            let text = || updates.iter().map(render::template::updated).collect();
            show_each(context, which, &updates, text)?;
            Ok(results.exit)
        })
        .await
}

async fn validate(context: &Context, which: &OneOrAll) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let mut validations: Vec<Validation> = vec![];
            let mut results = Results::default();
            for name in names(session, which).await? {
                let path = format!("{}/validate", routes::template(&name));
                match session.patient_client().post::<Validation>(&path, &json!({})).await {
                    Ok(validation) => validations.push(validation),
                    Err(error) => results.failed(context, which, &name, error.into())?,
                }
            }
            if validations.iter().any(|validation| !validation.valid) {
                results.exit = Exit::Failed;
            }
            let text = || validations.iter().map(render::template::validated).collect();
            show_each(context, which, &validations, text)?;
            Ok(results.exit)
        })
        .await
}

/// One document for one template, an array for all of them.
fn show_each<T: serde::Serialize>(
    context: &Context,
    which: &OneOrAll,
    documents: &Vec<T>,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match (which.all, documents.first()) {
        (false, Some(document)) => context.out.show(document, text),
        _ => context.out.show(documents, text),
    }
}

/// One template that fails does not keep the others from being looked at.
struct Results {
    exit: Exit,
}

impl Default for Results {
    fn default() -> Results {
        Results { exit: Exit::Ok }
    }
}

impl Results {
    fn failed(&mut self, context: &Context, which: &OneOrAll, name: &str, failure: Failure) -> Result<(), Failure> {
        if !which.all {
            return Err(failure);
        }
        self.exit = Exit::Failed;
        context.out.talk(&format!("template '{name}':"));
        context.out.report(&failure);
        Ok(())
    }
}

async fn remove(context: &Context, name: &str, force: bool) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let mut forced = force;
            if !force {
                let template = one(session, name).await?;
                if !context.out.is_interactive() {
                    return Err(nobody_to_ask(&template).into());
                }
                if !template.used_by.is_empty() {
                    context.out.talk(&format!("Template '{name}' is used by:"));
                    for user in &template.used_by {
                        context.out.talk(&format!("  - {user}"));
                    }
                }
                if !prompt::agree(&context.out, &format!("Remove template '{name}'? [y/N] "))? {
                    return Err(CommandError::new(Exit::Failed, "nothing was removed").into());
                }
                // Whoever said yes has seen the list.
                forced = true;
            }
            let path = routes::with_query(&routes::template(name), &[("force", forced.then(|| "true".to_owned()))]);
            let removed: Template = session.client().delete(&path).await?;
            context.out.show(&removed, || format!("Template '{}' removed\n", removed.name))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Why a template stays that nobody can be asked about.
fn nobody_to_ask(template: &Template) -> CommandError {
    let name = &template.name;
    if template.used_by.is_empty() {
        let error = CommandError::new(Exit::Failed, format!("template '{name}' was not removed: nobody can be asked"));
        return error.hint("`--force` removes it without asking");
    }
    CommandError::new(Exit::Conflict, format!("template '{name}' is used by {}", template.used_by.join(", ")))
        .hint("`--force` removes it all the same; what is deployed stays as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_this_machine_is_no_source_for_a_server_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().display().to_string();
        assert_eq!(source(format!("{path}/."), false).unwrap(), path);
        assert_eq!(source(path, true).unwrap_err().exit(), Exit::Usage);
        for url in ["https://example.org/t", "git@example.org:t.git", "no/such/directory", "file:///tmp"] {
            for is_elsewhere in [false, true] {
                assert_eq!(source(url.to_owned(), is_elsewhere).unwrap(), url);
            }
        }
    }
}
