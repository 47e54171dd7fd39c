//! Who may use this Piton: what the configuration says of it, and the first administrator.

use std::io::{self, Write};

use piton_auth::{MIN_SECRET, check_password, is_known_secret};
use piton_model::Secret;
use piton_server::{Auth, AuthSettings, FirstAdmin, SetupError};
use piton_spec::{Diagnostic, Severity};

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// No key of workers that others could guess is shorter.
const MIN_WORKER_KEY: usize = 16;

/// How people log in, as far as the configuration is good for it.
pub fn settings(place: &Place) -> AuthSettings {
    let config = &place.config;
    AuthSettings {
        enabled: config.auth.enabled,
        token_ttl: config.auth.token_ttl,
        secret: config.auth.secret.as_ref().map(|named| named.secret.clone()).filter(is_good),
        worker_key: config.control_plane.api_key.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        loopback: config.server.listen.is_loopback(),
        https: config.server.tls.is_some(),
    }
}

fn is_good(secret: &Secret<String>) -> bool {
    secret.expose().len() >= MIN_SECRET && !is_known_secret(secret.expose())
}

/// Refuses secrets that everybody can guess or read in documentation. Where only this host can use them, a warning does:
/// a weak secret signs nothing then, and a weak password has to be changed before others can reach Piton.
pub fn check(place: &mut Place) -> Result<(), CommandError> {
    let config = &place.config;
    if !config.auth.enabled {
        return Ok(());
    }
    let loopback = config.server.listen.is_loopback();
    let mut found = vec![];
    if let Some(named) = config.auth.secret.as_ref().filter(|named| !is_good(&named.secret)) {
        let mut message = if is_known_secret(named.secret.expose()) {
            "this secret stands in documentation: everybody could sign tokens with it".to_owned()
        } else {
            format!("this secret has {} bytes, and takes {MIN_SECRET}", named.secret.expose().len())
        };
        if loopback {
            message.push_str("; Piton signs with keys of its own");
        }
        let hint = "remove it, and Piton makes keys of its own; or set what `openssl rand -hex 32` prints";
        found.push(judged(config.fault(named.key, "weak_secret", message).hint(hint), loopback));
    }
    // On this host it is no more than a nuisance, and the sample in the documentation works.
    let worker_key = config.control_plane.api_key.as_ref().filter(|_| !loopback);
    if let Some(key) = worker_key.map(Secret::expose)
        && (key.len() < MIN_WORKER_KEY || is_known_secret(key))
    {
        let message = format!(
            "others can reach this, and take this key for that of a worker: {MIN_WORKER_KEY} characters are wanted"
        );
        let hint = "set what `openssl rand -hex 32` prints, here and at the workers";
        found.push(config.fault("control_plane.api_key", "weak_secret", message).hint(hint));
    }
    let password = config.auth.admin_password.as_ref().filter(|_| config.auth.create_admin);
    if let Some(named) = password
        && let Err(problem) = check_password(&config.auth.admin_name, named.secret.expose())
    {
        let hint = "remove it, and a random one is made and printed once; or choose another";
        let fault = config.fault(named.key, "weak_password", problem.to_string()).hint(hint);
        found.push(judged(fault, loopback && problem.is_tolerable()));
    }
    if found.iter().any(Diagnostic::is_error) {
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        return Err(CommandError::new(Exit::BadConfig, lines.join("\n")));
    }
    place.warnings.extend(found);
    Ok(())
}

fn judged(mut fault: Diagnostic, tolerable: bool) -> Diagnostic {
    if tolerable {
        fault.severity = Severity::Warning;
    }
    fault
}

/// Makes the first administrator where there is nobody, and tells how they log in.
pub async fn first_admin(place: &Place, auth: &Auth) -> Result<(), CommandError> {
    let config = &place.config;
    if !config.auth.enabled {
        return Ok(());
    }
    let failed = |error: piton_store::Error| CommandError::new(Exit::Failed, error.to_string());
    let loopback = config.server.listen.is_loopback();
    if config.auth.create_admin {
        let admin = FirstAdmin {
            name: config.auth.admin_name.clone(),
            password: config.auth.admin_password.as_ref().map(|named| named.secret.clone()),
            email: config.auth.admin_email.clone(),
        };
        let made = auth.create_first_admin(admin).await.map_err(|error| refused(place, &error))?;
        if let Some(password) = made {
            tell(&format!(
                "The first administrator is `{}` with the password {}\nIt is not shown again; `piton auth user \
                 password` changes it.",
                config.auth.admin_name,
                password.expose()
            ));
        }
    } else if let Some(token) = auth.setup_token().await.map_err(failed)? {
        tell(&format!(
            "There is no user yet: make one with `piton auth user create`, or with POST …/auth/bootstrap and the setup \
             token {}",
            token.expose()
        ));
    }
    if !loopback && let Some(name) = auth.user_with_weak_password().await.map_err(failed)? {
        let message = format!("others can reach this, and the password of the user `{name}` is weak");
        let found = config.fault("server.listen", "weak_password", message);
        let hint = "change it while listening on 127.0.0.1, with `piton auth user password`";
        return Err(CommandError::new(Exit::BadConfig, found.hint(hint).to_string()));
    }
    Ok(())
}

fn refused(place: &Place, error: &SetupError) -> CommandError {
    let key = match error {
        SetupError::Name(_) => "auth.admin.username",
        SetupError::Password(_) => "auth.admin.password",
        SetupError::Failed(text) => return CommandError::new(Exit::Failed, format!("no first administrator: {text}")),
    };
    let found = place.config.fault(key, "invalid_value", error.to_string());
    CommandError::new(Exit::BadConfig, found.to_string())
}

/// To the one who starts the daemon, and to no log.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
