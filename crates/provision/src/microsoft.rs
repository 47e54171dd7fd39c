//! Microsoft 365: Microsoft Graph, as an application with permissions of its own (client credentials).
//!
//! Graph has no word for "it is so already" that all calls share. So each operation either may be repeated by its nature,
//! or looks first and only asks for what is missing.

mod accounts;
mod groups;
mod licenses;
mod roles;

use jiff::Timestamp;
use piton_model::Secret;
use piton_model::guard::Guard;
use reqwest::{Method, Url};
use tokio_util::sync::CancellationToken;

use crate::answer::Problem;
use crate::session::{self, ApiAnswer, Dialect, Form, Tokens, Told, below, permanent, refusal};
use crate::tape::Tape;
use crate::targets::{InvalidTargets, address};
use crate::wanted::Wanted;
use crate::wire::Wire;
use piton_model::JobType;

const GRAPH: &str = "https://graph.microsoft.com/v1.0";
const LOGIN: &str = "https://login.microsoftonline.com/";
const SCOPE: &str = "https://graph.microsoft.com/.default";

/// `providers.microsoft`.
#[derive(Debug, Clone)]
pub struct MicrosoftSettings {
    /// The directory's (tenant's) id, or one of its domains.
    pub tenant_id: String,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: Secret<String>,
    /// Where people are that are not told to be elsewhere: two letters, which licences need.
    pub usage_location: Option<String>,
    /// In place of Graph's own address: for national clouds and tests.
    pub api_url: Option<String>,
    /// In place of the address that gives tokens: for national clouds and tests.
    pub token_url: Option<String>,
}

/// The adapter.
#[derive(Debug)]
pub(crate) struct Microsoft {
    client_id: String,
    client_secret: Secret<String>,
    usage_location: Option<String>,
    graph: Url,
    token_url: Url,
    tokens: Tokens,
}

type Session<'a> = session::Session<'a, Microsoft>;

impl Microsoft {
    pub(crate) fn new(settings: MicrosoftSettings, guard: &Guard) -> Result<Microsoft, InvalidTargets> {
        for (key, value) in [
            ("providers.microsoft.tenant_id", &settings.tenant_id),
            ("providers.microsoft.client_id", &settings.client_id),
            ("providers.microsoft.client_secret", settings.client_secret.expose()),
        ] {
            if value.trim().is_empty() {
                return Err(InvalidTargets::Empty(key));
            }
        }
        let login = address("providers.microsoft.token_url", LOGIN, guard)?;
        let own = below(&login, &[&settings.tenant_id, "oauth2", "v2.0", "token"]);
        let token = settings.token_url.as_deref().unwrap_or(own.as_str());
        Ok(Microsoft {
            graph: address("providers.microsoft.api_url", settings.api_url.as_deref().unwrap_or(GRAPH), guard)?,
            token_url: address("providers.microsoft.token_url", token, guard)?,
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            usage_location: settings.usage_location,
            tokens: Tokens::default(),
        })
    }

    /// What must not be kept of what is sent.
    pub(crate) fn secret(&self) -> &Secret<String> {
        &self.client_secret
    }

    /// Does what is wanted.
    pub(crate) async fn carry_out(
        &self,
        wanted: &Wanted<'_>,
        wire: &Wire,
        tape: &mut Tape,
        stop: &CancellationToken,
    ) -> Result<(), Problem> {
        let user = wanted.user()?;
        // National clouds have a scope of their own, below the address of their Graph.
        let scope = match self.graph.origin().ascii_serialization() {
            origin if origin.starts_with("https://") => format!("{origin}/.default"),
            _ => SCOPE.to_owned(),
        };
        let mut session = Session { dialect: self, wire, tokens: &self.tokens, tape, stop, scope };
        match wanted.request.job_type {
            JobType::Provision => accounts::provision(&mut session, wanted, &user).await,
            JobType::Terminate => accounts::terminate(&mut session, wanted, &user).await,
            JobType::Suspend => accounts::suspend(&mut session, &user).await,
            JobType::Reactivate => accounts::reactivate(&mut session, &user).await,
            JobType::PasswordReset => accounts::reset_password(&mut session, wanted, &user).await,
            JobType::ModifyGroups => groups::modify(&mut session, wanted, &user).await,
            JobType::ModifyLicense => licenses::modify(&mut session, wanted, &user).await,
            JobType::ModifyRole => roles::modify(&mut session, wanted, &user).await,
            JobType::TransferOwnership => Err(permanent(
                "transfer_unsupported",
                "Microsoft has no call that hands all files of a person to another".to_owned(),
                "give the new owner access in the SharePoint admin center (User profiles, Manage site collection \
                 owners), or send this type to a workflow: set `provisioning.webhooks.transfer_ownership` and name \
                 another application",
            )),
        }
    }
}

impl Dialect for Microsoft {
    const NAME: &'static str = "Microsoft Graph";
    const PERMISSIONS: &'static str = "check the application permissions of the app registration, that an administrator \
         consented to them, and for administrators' accounts the directory role of the application";
    const CREDENTIALS: &'static str = "check `tenant_id`, `client_id` and `client_secret` of `providers.microsoft`: a \
         client secret is its value, not its id, and expires";

    fn token_form(&self, scope: &str, _now: Timestamp) -> Result<(Url, Form), Problem> {
        let form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client_id.clone()),
            ("client_secret", self.client_secret.expose().clone()),
            ("scope", scope.to_owned()),
        ];
        Ok((self.token_url.clone(), form))
    }

    fn told(answer: &ApiAnswer) -> Told {
        let error = &answer.body["error"];
        let code = error["code"].as_str().unwrap_or("unknown").to_owned();
        let message = error["message"].as_str().unwrap_or("no message").to_owned();
        let quota =
            matches!(code.as_str(), "TooManyRequests" | "Request_ThrottledTemporarily" | "activityLimitReached");
        Told { code, message, quota }
    }
}

/// The account, with what `select` names of it; none where there is no such account.
async fn find_user(session: &mut Session<'_>, user: &str, select: &str) -> Result<Option<serde_json::Value>, Problem> {
    let url = session::asking(below(&session.dialect.graph, &["users", user]), &[("$select", select)]);
    let found = session.call(Method::GET, url, None).await?;
    match found.status {
        200..=299 => Ok(Some(found.body)),
        404 => Ok(None),
        _ => Err(refusal::<Microsoft>(&found, &format!("look up {user}"))),
    }
}

/// The id of an account that has to be there.
async fn id_of(session: &mut Session<'_>, user: &str) -> Result<String, Problem> {
    let found = find_user(session, user, "id").await?.ok_or_else(|| missing(user))?;
    found["id"].as_str().map(str::to_owned).ok_or_else(|| missing(user))
}

fn missing(user: &str) -> Problem {
    permanent("account_missing", format!("Microsoft knows no account {user}"), "check the user principal name")
}

/// Whether `text` is an id of the directory.
fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A text in a filter.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names_and_names_are_quoted() {
        assert!(is_id("c7df2760-2c81-4ef7-b578-5b5392b571df"));
        for name in
            ["", "ENTERPRISEPACK", "c7df2760-2c81-4ef7-b578-5b5392b571dg", "c7df2760x2c81-4ef7-b578-5b5392b571df"]
        {
            assert!(!is_id(name), "{name}");
        }
        assert_eq!(quoted("O'Hara' or 1 eq 1"), "'O''Hara'' or 1 eq 1'");
    }
}
