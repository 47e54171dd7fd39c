//! The first administrator.

use piton_auth::{PasswordProblem, check_name};
use piton_model::{Act, By, Deed, Secret};
use piton_store::{AccountError, Among};

use super::Auth;
use super::users::NewAccount;

/// The first administrator, as it is configured.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    /// Their name.
    pub name: String,
    /// Their password; none for a random one.
    pub password: Option<Secret<String>>,
    /// Their mail address.
    pub email: Option<String>,
}

/// Why there is no first administrator.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The name is none.
    #[error("{0}")]
    Name(piton_auth::NameProblem),
    /// The password is none.
    #[error("{0}")]
    Password(PasswordProblem),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Auth {
    /// Makes the first administrator where there are no users. Answers the password where it is a random one: it is
    /// known to nobody else, and never again.
    pub async fn create_first_admin(&self, admin: FirstAdmin) -> Result<Option<Secret<String>>, SetupError> {
        let failed = |error: &dyn std::fmt::Display| SetupError::Failed(error.to_string());
        if self.store().users(0, 1).await.map_err(|error| failed(&error))?.1 > 0 {
            return Ok(None);
        }
        check_name(&admin.name).map_err(SetupError::Name)?;
        let given = admin.password.as_ref().map(|password| password.expose().clone());
        let weak = match &given {
            Some(password) => self.tolerate_password(&admin.name, password).map_err(SetupError::Password)?,
            None => false,
        };
        let random = given.is_none().then(|| Secret::new(piton_auth::new_id(rand::random())));
        let password = given.or_else(|| random.as_ref().map(|random| random.expose().clone())).unwrap_or_default();
        let account = NewAccount { name: admin.name, password, email: admin.email, ..NewAccount::admin() };
        let deed = Deed::new(By::System, Act::UserCreated).to(&account.name).saying("roles: admin; first start");
        let user = self.user_of(account, weak).await;
        let user = user.map_err(|refusal| SetupError::Failed(refusal.detail().to_owned()))?;
        match self.store().create_user(user, Among::Nobody, deed, self.now()).await {
            Ok(_) => Ok(random),
            // Another node was faster, and has told the password.
            Err(AccountError::NotFirst) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// A user with a weak password, if there is one who can log in.
    pub async fn user_with_weak_password(&self) -> Result<Option<String>, piton_store::Error> {
        let mut offset = 0;
        loop {
            let (users, _) = self.store().users(offset, 500).await?;
            if let Some(user) = users.iter().find(|user| user.active && user.weak_password) {
                return Ok(Some(user.name.clone()));
            }
            if users.len() < 500 {
                return Ok(None);
            }
            offset += users.len();
        }
    }

    /// The token to make the first user with, where there is none.
    pub async fn setup_token(&self) -> Result<Option<&Secret<String>>, piton_store::Error> {
        Ok((self.store().users(0, 1).await?.1 == 0).then_some(&self.0.setup_token))
    }
}
