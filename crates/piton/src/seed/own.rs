//! What only the process manager's program does.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use piton_api::{LoginAnswer, StatusAnswer};
use piton_model::Secret;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::session::Purpose;

/// What only the process manager's program does.
#[derive(Debug)]
pub enum Own {
    /// Looks whether the daemon answers, which runs scheduled jobs.
    Cron,
    /// Writes a sample of a declaration.
    Template(TemplateArgs),
    /// Looks whether somebody can log in.
    Test(TestArgs),
}

/// Which sample, and where to.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// What kind.
    #[arg(long = "type", value_name = "TYPE", value_parser = kinds())]
    pub kind: String,
    /// The name in it [default: TYPE-sample].
    #[arg(long)]
    pub name: Option<String>,
    /// The file [default: templates/NAME.json].
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

fn kinds() -> PossibleValuesParser {
    let (first, second): (Vec<_>, Vec<_>) = piton_server::KINDS.into_iter().unzip();
    PossibleValuesParser::new([first, second].concat())
}

/// Who tries to log in.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// How.
    #[arg(long, default_value = "basic", value_parser = ["basic", "jwt"])]
    pub method: String,
    /// The user.
    #[arg(long)]
    pub username: Option<String>,
    /// The password.
    #[arg(long)]
    pub password: Option<String>,
    /// A token.
    #[arg(long)]
    pub token: Option<String>,
}

/// Does it.
pub async fn run(context: &Context, own: Own) -> Result<Exit, Failure> {
    match own {
        Own::Cron => cron(context).await,
        Own::Template(args) => template(context, &args),
        Own::Test(args) => test(context, args).await,
    }
}

async fn cron(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            if session.is_local() {
                let error = CommandError::new(Exit::Unreachable, "no daemon answers, so no scheduled job is run");
                return Err(error.hint("start it with `provisr serve`").into());
            }
            let _: StatusAnswer = session.client().get("/status").await?;
            context.out.text("The daemon answers; it runs the scheduled jobs.\n")?;
            Ok(Exit::Ok)
        })
        .await
}

fn template(context: &Context, args: &TemplateArgs) -> Result<Exit, Failure> {
    let sample = piton_server::sample_process(&args.kind, args.name.as_deref());
    let sample = sample.ok_or_else(|| usage(format!("there is no type {}", args.kind)))?;
    let name = sample["name"].as_str().unwrap_or_default().to_owned();
    piton_model::Name::parse(&name).map_err(|error| usage(error.to_string()))?;
    let path = args.output.clone().unwrap_or_else(|| Path::new("templates").join(format!("{name}.json")));
    let io = |error: std::io::Error| failed(format!("cannot write {}: {error}", path.display()));
    if path.exists() && !args.force {
        let error = CommandError::new(Exit::Conflict, format!("there is a file {} already", path.display()));
        return Err(error.hint("`--force` replaces it").into());
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(io)?;
    }
    let mut text = serde_json::to_string_pretty(&sample).map_err(|error| failed(error.to_string()))?;
    text.push('\n');
    std::fs::write(&path, text).map_err(io)?;
    context.out.text(&format!("Template '{name}' created: {}\n", path.display()))?;
    Ok(Exit::Ok)
}

async fn test(context: &Context, args: TestArgs) -> Result<Exit, Failure> {
    // Kept from being printed by accident.
    let (password, token) = (args.password.map(Secret::new), args.token.map(Secret::new));
    let request = match args.method.as_str() {
        "jwt" => {
            let token = token.ok_or_else(|| usage("`--method jwt` takes `--token`"))?;
            json!({ "method": "jwt", "token": token.expose() })
        }
        _ => {
            let (Some(username), Some(password)) = (args.username, password) else {
                return Err(usage("`--method basic` takes `--username` and `--password`"));
            };
            json!({ "method": "basic", "username": username, "password": password.expose() })
        }
    };
    context
        .with_session(Purpose::Look, async |session| {
            let answer: LoginAnswer = session.client().post("/auth/login", &request).await?;
            // Who asks whether it works wants no token.
            let shown = json!({
                "success": true, "user_id": answer.user_id, "username": answer.username, "roles": answer.roles,
            });
            context.out.show(&shown, String::new)?;
            Ok(Exit::Ok)
        })
        .await
}
