//! Users and clients. Whatever changes one is written together with the entry of the ledger that says who did it.

use jiff::Timestamp;
use piton_model::{ApiClient, ApiClientChange, Deed, Record, User, UserChange};

use crate::batch::Batch;
use crate::db::{Row, params};
use crate::row::{self, whole_micros};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const USER: &str = "SELECT body FROM users WHERE id = $1";
pub(crate) const USER_NAMED: &str = "SELECT body FROM users WHERE name_key = $1";
pub(crate) const USERS: &str = "SELECT body FROM users ORDER BY name_key LIMIT $1 OFFSET $2";
pub(crate) const COUNT_USERS: &str = "SELECT COUNT(*) FROM users";
pub(crate) const OTHER_ADMINS: &str = "SELECT id FROM users WHERE acting_admin = 1 AND id <> $1 LIMIT 1";
pub(crate) const WRITE_USER: &str = "INSERT INTO users (id, name_key, acting_admin, body) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (id) DO UPDATE SET acting_admin = excluded.acting_admin, body = excluded.body";
pub(crate) const DELETE_USER: &str = "DELETE FROM users WHERE id = $1";
pub(crate) const CLIENT: &str = "SELECT body FROM clients WHERE id = $1";
pub(crate) const CLIENTS: &str = "SELECT body FROM clients ORDER BY id LIMIT $1 OFFSET $2";
pub(crate) const COUNT_CLIENTS: &str = "SELECT COUNT(*) FROM clients";
pub(crate) const WRITE_CLIENT: &str =
    "INSERT INTO clients (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
pub(crate) const DELETE_CLIENT: &str = "DELETE FROM clients WHERE id = $1";

/// Why an account was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// There is none with that id.
    #[error("there is no such account")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// Nobody could administer any more.
    #[error("this is the last active administrator")]
    LastAdmin,
    /// There are users already.
    #[error("there are users already")]
    NotFirst,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Whether a new user must be the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// There may be others.
    Others,
    /// There must be none yet.
    Nobody,
}

impl Store {
    /// Makes a user, unless the name is taken.
    pub async fn create_user(&self, user: User, among: Among, deed: Deed, at: Timestamp) -> Result<User, AccountError> {
        let user = User { created_at: whole_micros(at), updated_at: whole_micros(at), ..user };
        self.account(CreateUser { user, among, deed, at: whole_micros(at) }).await
    }

    /// Changes a user, unless nobody could administer then.
    pub async fn change_user(
        &self,
        id: &str,
        change: UserChange,
        deed: Deed,
        at: Timestamp,
    ) -> Result<User, AccountError> {
        let change = Some(change);
        self.account(ChangeUser { id: id.to_owned(), change, deed, at: whole_micros(at) }).await
    }

    /// Removes a user, unless nobody could administer then.
    pub async fn delete_user(&self, id: &str, deed: Deed, at: Timestamp) -> Result<User, AccountError> {
        self.account(ChangeUser { id: id.to_owned(), change: None, deed, at: whole_micros(at) }).await
    }

    /// A user by id.
    pub async fn user(&self, id: &str) -> Result<Option<User>, Error> {
        self.readers().row(USER, params![id]).await?.map(|row| user(&row)).transpose()
    }

    /// A user by name, however it is capitalised.
    pub async fn user_named(&self, name: &str) -> Result<Option<User>, Error> {
        self.readers().row(USER_NAMED, params![name_key(name)]).await?.map(|row| user(&row)).transpose()
    }

    /// Some users in the order of their names, and how many there are.
    pub async fn users(&self, offset: usize, limit: usize) -> Result<(Vec<User>, usize), Error> {
        let rows = self.readers().rows(USERS, params![signed(limit), signed(offset)]).await?;
        Ok((rows.iter().map(user).collect::<Result<_, _>>()?, self.count(COUNT_USERS).await?))
    }

    /// Makes a client.
    pub async fn create_client(&self, client: ApiClient, deed: Deed, at: Timestamp) -> Result<ApiClient, AccountError> {
        let at = whole_micros(at);
        let client = ApiClient { created_at: at, updated_at: at, ..client };
        self.account(CreateClient { client, deed, at }).await
    }

    /// Changes a client.
    pub async fn change_client(
        &self,
        id: &str,
        change: ApiClientChange,
        deed: Deed,
        at: Timestamp,
    ) -> Result<ApiClient, AccountError> {
        let change = Some(change);
        self.account(ChangeClient { id: id.to_owned(), change, deed, at: whole_micros(at) }).await
    }

    /// Removes a client.
    pub async fn delete_client(&self, id: &str, deed: Deed, at: Timestamp) -> Result<ApiClient, AccountError> {
        self.account(ChangeClient { id: id.to_owned(), change: None, deed, at: whole_micros(at) }).await
    }

    /// A client by id.
    pub async fn client(&self, id: &str) -> Result<Option<ApiClient>, Error> {
        self.readers().row(CLIENT, params![id]).await?.map(|row| client(&row)).transpose()
    }

    /// Some clients in the order of their ids, and how many there are.
    pub async fn clients(&self, offset: usize, limit: usize) -> Result<(Vec<ApiClient>, usize), Error> {
        let rows = self.readers().rows(CLIENTS, params![signed(limit), signed(offset)]).await?;
        Ok((rows.iter().map(client).collect::<Result<_, _>>()?, self.count(COUNT_CLIENTS).await?))
    }

    async fn count(&self, sql: &'static str) -> Result<usize, Error> {
        let count = self.readers().row(sql, params![]).await?.map_or(Ok(0), |row| row.int(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    async fn account<T, O>(&self, operation: O) -> Result<T, AccountError>
    where
        O: Operation<Answer = Result<T, AccountError>>,
    {
        self.writer().perform(operation).await?
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn name_key(name: &str) -> String {
    name.to_lowercase()
}

fn user(row: &Row) -> Result<User, Error> {
    row::account(&row.text(0)?)
}

fn client(row: &Row) -> Result<ApiClient, Error> {
    row::account(&row.text(0)?)
}

async fn write_user(batch: &mut Batch, user: &User) -> Result<(), Error> {
    let (key, admin, body) = (name_key(&user.name), i64::from(user.is_acting_admin()), row::account_body(user)?);
    batch.conn().run(WRITE_USER, params![user.id.as_str(), key, admin, body]).await?;
    Ok(())
}

struct CreateUser {
    user: User,
    among: Among,
    deed: Deed,
    at: Timestamp,
}

impl Operation for CreateUser {
    type Answer = Result<User, AccountError>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let count = batch.conn().rows(COUNT_USERS, params![]).await?.first().map_or(Ok(0), |row| row.int(0))?;
        if self.among == Among::Nobody && count > 0 {
            return Ok(Err(AccountError::NotFirst));
        }
        if !batch.conn().rows(USER_NAMED, params![name_key(&self.user.name)]).await?.is_empty() {
            return Ok(Err(AccountError::Exists));
        }
        write_user(batch, &self.user).await?;
        batch.append(Record::Audit(self.deed.clone()), self.at);
        Ok(Ok(self.user.clone()))
    }
}

struct ChangeUser {
    id: String,
    /// `None` removes it.
    change: Option<UserChange>,
    deed: Deed,
    at: Timestamp,
}

impl Operation for ChangeUser {
    type Answer = Result<User, AccountError>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let rows = batch.conn().rows(USER, params![self.id.as_str()]).await?;
        let Some(before) = rows.first().map(user).transpose()? else { return Ok(Err(AccountError::NotFound)) };
        let after = self.change.as_ref().map(|change| before.changed(change, self.at));
        let goes = before.is_acting_admin() && !after.as_ref().is_some_and(User::is_acting_admin);
        if goes && batch.conn().rows(OTHER_ADMINS, params![self.id.as_str()]).await?.is_empty() {
            return Ok(Err(AccountError::LastAdmin));
        }
        match &after {
            Some(after) => write_user(batch, after).await?,
            None => {
                batch.conn().run(DELETE_USER, params![self.id.as_str()]).await?;
            }
        }
        batch.append(Record::Audit(self.deed.clone()), self.at);
        Ok(Ok(after.unwrap_or(before)))
    }
}

struct CreateClient {
    client: ApiClient,
    deed: Deed,
    at: Timestamp,
}

impl Operation for CreateClient {
    type Answer = Result<ApiClient, AccountError>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        if !batch.conn().rows(CLIENT, params![self.client.id.as_str()]).await?.is_empty() {
            return Ok(Err(AccountError::Exists));
        }
        let body = row::account_body(&self.client)?;
        batch.conn().run(WRITE_CLIENT, params![self.client.id.as_str(), body]).await?;
        batch.append(Record::Audit(self.deed.clone()), self.at);
        Ok(Ok(self.client.clone()))
    }
}

struct ChangeClient {
    id: String,
    /// `None` removes it.
    change: Option<ApiClientChange>,
    deed: Deed,
    at: Timestamp,
}

impl Operation for ChangeClient {
    type Answer = Result<ApiClient, AccountError>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let id = self.id.as_str();
        let rows = batch.conn().rows(CLIENT, params![id]).await?;
        let Some(before) = rows.first().map(client).transpose()? else { return Ok(Err(AccountError::NotFound)) };
        let after = self.change.as_ref().map(|change| before.changed(change, self.at));
        match &after {
            Some(after) => batch.conn().run(WRITE_CLIENT, params![id, row::account_body(after)?]).await?,
            None => batch.conn().run(DELETE_CLIENT, params![id]).await?,
        };
        batch.append(Record::Audit(self.deed.clone()), self.at);
        Ok(Ok(after.unwrap_or(before)))
    }
}
