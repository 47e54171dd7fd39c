//! Whether somebody is who they say.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use piton_auth::{Claims, Refused, Role, Throttle, check_name, matches_digest};
use piton_model::{Act, ApiClient, By, Deed, User};
use piton_store::Principal;

use super::Auth;
use super::memory::Memory;
use super::refusals::{authentication_failed, overloaded, too_many};
use crate::caller::{Account, Caller, Session};
use crate::problem::{Answer, Refusal};

/// How long somebody waits for their turn to have a password checked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who proved who they are.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    pub(super) by: By,
    pub(super) account: Account,
    pub(super) metadata: std::collections::BTreeMap<String, String>,
}

impl Proven {
    fn user(user: &User) -> Proven {
        Proven {
            by: By::User(user.name.clone()),
            account: Account {
                id: user.id.clone(),
                name: user.name.clone(),
                roles: user.roles.clone(),
                workspaces: user.workspaces.clone(),
                generation: user.generation,
            },
            metadata: user.metadata.clone(),
        }
    }

    fn client(client: &ApiClient) -> Proven {
        Proven {
            by: By::Client(client.id.clone()),
            account: Account {
                id: client.id.clone(),
                name: client.name.clone(),
                roles: client.scopes.clone(),
                workspaces: client.workspaces.clone(),
                generation: client.generation,
            },
            metadata: client.metadata.clone(),
        }
    }

    pub(super) fn role(&self) -> Role {
        self.account.roles.iter().copied().max().unwrap_or(Role::Viewer)
    }
}

impl Auth {
    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the password of the hash; `None` stands for somebody unknown.
    pub(super) async fn is_password(&self, password: &str, hash: Option<&str>) -> Answer<bool> {
        let turn = tokio::time::timeout(PATIENCE, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(overloaded()) };
        let (auth, password, hash) = (self.clone(), password.to_owned(), hash.map(str::to_owned));
        let checked = tokio::task::spawn_blocking(move || auth.0.hasher.verify(&password, hash.as_deref()));
        checked.await.map_err(|error| Refusal::internal(&error))
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: &str) -> Answer<String> {
        let turn = tokio::time::timeout(PATIENCE, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(overloaded()) };
        let password = password.to_owned();
        let hashed = tokio::task::spawn_blocking(move || piton_auth::Hasher::hash(&password, rand::random()));
        let hashed = hashed.await.map_err(|error| Refusal::internal(&error))?;
        hashed.ok_or_else(|| Refusal::internal(&"a password could not be hashed"))
    }

    /// A user by name and password. Whether the name or the password is wrong cannot be told from outside, not by the
    /// time it takes either.
    pub(super) async fn by_password(&self, name: &str, password: &str, from: Option<IpAddr>) -> Answer<Proven> {
        self.begin(name, from, "basic").await?;
        match self.check_password(name, password).await {
            Ok(Some(user)) => {
                self.throttle().succeeded(name, from);
                Ok(Proven::user(&user))
            }
            Ok(None) => Err(self.failed(name, from, "basic").await),
            Err(undecided) => {
                self.throttle().undecided(name, from);
                Err(undecided)
            }
        }
    }

    async fn check_password(&self, name: &str, password: &str) -> Answer<Option<User>> {
        // What is no name is nobody's, and no database is asked for it; but one is asked for something.
        let asked = if check_name(name).is_ok() { name } else { "-" };
        let user = self.0.store.user_named(asked).await?;
        let right = self.is_password(password, user.as_ref().map(|user| user.password.expose().as_str())).await?;
        Ok(user.filter(|user| right && user.active))
    }

    /// Somebody by what is sent with each request. A password that was right a moment ago still is, if nothing about
    /// the user changed since.
    pub(super) async fn by_basic(&self, name: &str, password: &str, from: Option<IpAddr>) -> Answer<Proven> {
        if name.starts_with("client_") {
            return self.by_secret(name, password, from).await;
        }
        let recalled = self.memory().recall(name, password, self.now());
        if let Some((id, generation)) = recalled
            && let Some(user) = self.0.store.user(&id).await?
            && user.active
            && user.generation == generation
        {
            return Ok(Proven::user(&user));
        }
        let proven = self.by_password(name, password, from).await?;
        self.memory().remember((name, password), &proven.account.id, proven.account.generation, self.now());
        Ok(proven)
    }

    /// A client by id and secret. Nobody guesses a secret, so a right one is heard whatever others tried before.
    pub(super) async fn by_secret(&self, id: &str, secret: &str, from: Option<IpAddr>) -> Answer<Proven> {
        let asked = if is_id(id) { id } else { "-" };
        let client = self.0.store.client(asked).await?;
        let right = matches_digest(secret, client.as_ref().map(|client| client.secret.expose().as_str()));
        if let Some(client) = client.filter(|client| right && client.active) {
            return Ok(Proven::client(&client));
        }
        self.begin(id, from, "client_secret").await?;
        Err(self.failed(id, from, "client_secret").await)
    }

    /// Somebody by a token.
    pub(super) async fn by_token(&self, token: &str) -> Answer<(Proven, Session, Claims)> {
        let claims = self.read_token(token).await?;
        let Some((claims, key)) = claims else { return Err(authentication_failed()) };
        let session = Session { token: claims.jti.clone(), until: claims.expires_at(), key };
        match self.owner(&claims.sub, claims.generation, Some(&session)).await? {
            Some(proven) => Ok((proven, session, claims)),
            None => Err(authentication_failed()),
        }
    }

    /// The active user or client with that id, if their rights are still of that generation and the session goes on.
    async fn owner(&self, id: &str, generation: u32, session: Option<&Session>) -> Answer<Option<Proven>> {
        let token = session.map_or("", |session| session.token.as_str());
        let key = session.and_then(|session| session.key.as_deref());
        let (proven, active) = match self.0.store.token_owner(id, token, key).await? {
            Some(Principal::User(user)) => (Proven::user(&user), user.active),
            Some(Principal::Client(client)) => (Proven::client(&client), client.active),
            None => return Ok(None),
        };
        Ok((active && proven.account.generation == generation).then_some(proven))
    }

    /// Whether somebody who was let in would be let in now. While the database is away, nobody is sent away.
    pub(super) async fn still_knows(&self, caller: &Caller) -> bool {
        let Some(account) = caller.account() else { return true };
        if caller.session().is_some_and(|session| session.until <= self.now()) {
            return false;
        }
        self.owner(&account.id, account.generation, caller.session()).await.map_or(true, |owner| owner.is_some())
    }

    async fn begin(&self, name: &str, from: Option<IpAddr>, method: &str) -> Answer<()> {
        let now = self.now();
        let begun = self.throttle().begin(name, from, now);
        let Err(Refused { until, news }) = begun else { return Ok(()) };
        if news {
            self.note(failure(Act::LockedOut, name, from, method)).await;
        }
        Err(too_many(until, now))
    }

    async fn failed(&self, name: &str, from: Option<IpAddr>, method: &str) -> Refusal {
        self.note(failure(Act::LoginFailed, name, from, method)).await;
        authentication_failed()
    }

    /// Records what nobody is to be kept from because it cannot be recorded, or what is done already.
    pub(crate) async fn note(&self, deed: Deed) {
        if let Err(error) = self.0.store.record_deed(deed, self.now()).await {
            tracing::warn!(%error, "the audit trail lacks an entry");
        }
    }
}

/// A deed of nobody: who it was is what is not known. People type passwords where the name belongs, so what is no name
/// is not kept.
fn failure(act: Act, name: &str, from: Option<IpAddr>, method: &str) -> Deed {
    let named = check_name(name).is_ok() || is_id(name);
    let deed = Deed::new(By::User("anonymous".to_owned()), act).saying(method);
    let deed = if named { deed.to(name) } else { deed };
    Deed { from: from.map(|from| from.to_string()), ..deed }
}

/// Whether a text can be the id of a user or a client.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// How long somebody may go on exchanging tokens for new ones before they show their password again.
pub(super) const LONGEST_SESSION: SignedDuration = SignedDuration::from_hours(30 * 24);
