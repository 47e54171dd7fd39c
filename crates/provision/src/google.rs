//! Google Workspace: the Admin SDK's Directory and Data Transfer APIs and the License Manager API, as a service account
//! that acts for an administrator (domain-wide delegation).
//!
//! Each operation either may be repeated by its nature or looks first, so that an attempt goes on where the last one
//! stopped.

mod accounts;
mod credentials;
mod groups;
mod licenses;
mod roles;
mod transfers;

use jiff::Timestamp;
use piton_model::Secret;
use piton_model::guard::Guard;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

pub use self::credentials::InvalidCredentials;
use self::credentials::ServiceAccount;
use crate::answer::Problem;
use crate::session::{self, ApiAnswer, Dialect, Form, Tokens, Told, below};
use crate::tape::Tape;
use crate::targets::{InvalidTargets, address};
use crate::wanted::{Wanted, incomplete};
use crate::wire::Wire;
use piton_model::JobType;

const ADMIN: &str = "https://admin.googleapis.com/";
const LICENSING: &str = "https://licensing.googleapis.com/";
const SCOPES: &str = "https://www.googleapis.com/auth/";

/// `providers.google`.
#[derive(Debug, Clone)]
pub struct GoogleSettings {
    /// What the file of the service account holds, as Google made it.
    pub credentials: Secret<String>,
    /// The administrator for whom the service account acts.
    pub admin: String,
    /// The only domain whose accounts are touched; any, where there is none.
    pub domain: Option<String>,
    /// The customer's id; that of the administrator, where there is none.
    pub customer: Option<String>,
    /// In place of the APIs' own addresses, for tests.
    pub api_url: Option<String>,
    /// In place of the address in the file, for tests.
    pub token_url: Option<String>,
}

/// The adapter.
#[derive(Debug)]
pub(crate) struct Google {
    account: ServiceAccount,
    admin: String,
    domain: Option<String>,
    customer: String,
    directory: Url,
    transfer: Url,
    licensing: Url,
    token_url: Url,
    tokens: Tokens,
}

type Session<'a> = session::Session<'a, Google>;

impl Google {
    pub(crate) fn new(settings: GoogleSettings, guard: &Guard) -> Result<Google, InvalidTargets> {
        if !settings.admin.contains('@') {
            return Err(InvalidTargets::Empty("providers.google.admin"));
        }
        let account = ServiceAccount::parse(&settings.credentials)?;
        let base = |own: &str| address("providers.google.api_url", settings.api_url.as_deref().unwrap_or(own), guard);
        let admin = base(ADMIN)?;
        let token = settings.token_url.as_deref().unwrap_or(&account.token_uri);
        Ok(Google {
            token_url: address("providers.google.token_url", token, guard)?,
            directory: below(&admin, &["admin", "directory", "v1"]),
            transfer: below(&admin, &["admin", "datatransfer", "v1"]),
            licensing: below(&base(LICENSING)?, &["apps", "licensing", "v1"]),
            account,
            admin: settings.admin,
            domain: settings.domain.map(|domain| domain.to_lowercase()),
            customer: settings.customer.unwrap_or_else(|| "my_customer".to_owned()),
            tokens: Tokens::default(),
        })
    }

    /// Does what is wanted.
    pub(crate) async fn carry_out(
        &self,
        wanted: &Wanted<'_>,
        wire: &Wire,
        tape: &mut Tape,
        stop: &CancellationToken,
    ) -> Result<(), Problem> {
        let user = self.user(wanted)?;
        let scope = scopes(wanted);
        let mut session = Session { dialect: self, wire, tokens: &self.tokens, tape, stop, scope };
        match wanted.request.job_type {
            JobType::Provision => accounts::provision(&mut session, wanted, &user).await,
            JobType::Terminate => accounts::terminate(&mut session, wanted, &user).await,
            JobType::Suspend => accounts::suspend(&mut session, &user, true).await,
            JobType::Reactivate => accounts::suspend(&mut session, &user, false).await,
            JobType::PasswordReset => accounts::reset_password(&mut session, wanted, &user).await,
            JobType::ModifyGroups => groups::modify(&mut session, wanted, &user).await,
            JobType::ModifyLicense => licenses::modify(&mut session, wanted, &user).await,
            JobType::ModifyRole => roles::modify(&mut session, wanted, &user).await,
            JobType::TransferOwnership => transfers::transfer(&mut session, wanted, &user).await,
        }
    }

    fn user(&self, wanted: &Wanted<'_>) -> Result<String, Problem> {
        let user = wanted.user()?;
        let Some((_, domain)) = user.rsplit_once('@') else {
            return Err(incomplete("the account is an address, such as ada@example.org"));
        };
        match &self.domain {
            Some(own) if own != domain => Err(session::permanent(
                "wrong_domain",
                format!("{user} is not an account of {own}"),
                "check the address, or `providers.google.domain`",
            )),
            _ => Ok(user),
        }
    }
}

/// Only the scopes that the request needs: a delegation that lacks one of those asked for gives no token at all.
fn scopes(wanted: &Wanted<'_>) -> String {
    let mut scopes = match wanted.request.job_type {
        JobType::ModifyGroups => vec![],
        JobType::ModifyLicense => vec!["apps.licensing"],
        JobType::ModifyRole => vec!["admin.directory.user.readonly", "admin.directory.rolemanagement"],
        JobType::TransferOwnership => vec!["admin.directory.user.readonly", "admin.datatransfer"],
        JobType::Provision | JobType::Terminate | JobType::Suspend | JobType::Reactivate | JobType::PasswordReset => {
            vec!["admin.directory.user"]
        }
    };
    let provisions = wanted.request.job_type == JobType::Provision;
    if wanted.request.job_type == JobType::ModifyGroups || (provisions && !wanted.list(groups::OPTION).is_empty()) {
        scopes.push("admin.directory.group.member");
    }
    if provisions && !wanted.list(licenses::OPTION).is_empty() {
        scopes.push("apps.licensing");
    }
    scopes.iter().map(|scope| format!("{SCOPES}{scope}")).collect::<Vec<_>>().join(" ")
}

impl Dialect for Google {
    const NAME: &'static str = "Google";
    const PERMISSIONS: &'static str = "check the role of `providers.google.admin`, that the API is enabled in the \
         service account's project, and the scopes of the domain-wide delegation";
    const CREDENTIALS: &'static str = "check `providers.google.credentials`, that `admin` is an active administrator, \
         the scopes of the domain-wide delegation, and that this machine's clock is right";

    fn token_form(&self, scope: &str, now: Timestamp) -> Result<(Url, Form), Problem> {
        let assertion = self.account.assertion(&self.admin, scope, self.token_url.as_str(), now)?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
        Ok((self.token_url.clone(), vec![("grant_type", grant), ("assertion", assertion)]))
    }

    /// The form that all Google APIs have: a status, a sentence, and below `errors` or `details` the reason.
    fn told(answer: &ApiAnswer) -> Told {
        let error = &answer.body["error"];
        let reason = error["errors"][0]["reason"].as_str();
        let detail = error["details"].as_array().and_then(|all| all.iter().find_map(|one| one["reason"].as_str()));
        let code = reason.or(detail).or(error["status"].as_str()).unwrap_or("unknown").to_owned();
        let message = error["message"].as_str().unwrap_or("no message").to_owned();
        let quota = matches!(
            code.as_str(),
            "rateLimitExceeded"
                | "userRateLimitExceeded"
                | "quotaExceeded"
                | "dailyLimitExceeded"
                | "RATE_LIMIT_EXCEEDED"
                | "RESOURCE_EXHAUSTED"
        );
        Told { code, message, quota }
    }
}

/// The account's id, which some calls want in place of its address.
async fn id_of(session: &mut Session<'_>, user: &str) -> Result<String, Problem> {
    let url = below(&session.dialect.directory, &["users", user]);
    let found = session.call(reqwest::Method::GET, url, None).await?;
    if found.status == 404 {
        return Err(accounts::missing(user));
    }
    if !found.is_success() {
        return Err(session::refusal::<Google>(&found, &format!("look up {user}")));
    }
    found.body["id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| session::refusal::<Google>(&found, &format!("tell the id of {user}")))
}
