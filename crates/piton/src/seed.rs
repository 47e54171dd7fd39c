//! The programs by whose names Piton can be called, of the workspace scheduler and of the process manager: their
//! command lines become Piton's.

pub mod declare;
mod grammar;
pub mod own;
mod provisr;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::args::{Command, Global};
use crate::command::shell;
use declare::Declare;
use grammar::{Jobctl, Provisioner, Templatectl, Workspacectl};
use own::Own;
use provisr::{Meant, Provisr};

/// A program that Piton answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The daemon.
    Provisioner,
    /// Workspaces.
    Workspacectl,
    /// Templates.
    Templatectl,
    /// Jobs.
    Jobctl,
    /// Processes, and who may touch them.
    Provisr,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// What `piton` does too.
    Do(Command),
    /// The same, with these options.
    DoWith(Box<Global>, Command),
    /// What only the process manager's program does, with these options.
    Own(Box<Global>, Own),
    /// To edit the declaration of a workspace.
    Declare(Declare),
    /// To say this.
    Tell(String),
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 5] =
        [Program::Provisioner, Program::Workspacectl, Program::Templatectl, Program::Jobctl, Program::Provisr];

    /// The program of that name.
    pub fn of(name: &str) -> Option<Program> {
        Program::ALL.into_iter().find(|program| program.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Program::Provisioner => "provisioner",
            Program::Workspacectl => "workspacectl",
            Program::Templatectl => "templatectl",
            Program::Jobctl => "jobctl",
            Program::Provisr => "provisr",
        }
    }

    /// Its grammar.
    pub fn command(self) -> clap::Command {
        match self {
            Program::Provisioner => Provisioner::command(),
            Program::Workspacectl => Workspacectl::command(),
            Program::Templatectl => Templatectl::command(),
            Program::Jobctl => Jobctl::command(),
            Program::Provisr => Provisr::command(),
        }
    }

    /// Reads a command line.
    pub fn parse(self, argv: Vec<OsString>) -> Result<Request, clap::Error> {
        let argv = argv.into_iter().map(two_dashes);
        let (full, request) = match self {
            Program::Provisioner => {
                let Provisioner { version_full } = Provisioner::try_parse_from(argv)?;
                (version_full, Some(Request::Do(Command::Serve(crate::args::ServeArgs::default()))))
            }
            Program::Workspacectl => {
                let Workspacectl { version_full, command } = Workspacectl::try_parse_from(argv)?;
                (version_full, command.map(Into::into))
            }
            Program::Templatectl => {
                let Templatectl { version_full, command } = Templatectl::try_parse_from(argv)?;
                (version_full, command.map(|command| Request::Do(command.into())))
            }
            Program::Jobctl => {
                let Jobctl { version_full, workspace, command } = Jobctl::try_parse_from(argv)?;
                (version_full, command.map(|command| Request::Do(command.within(workspace))))
            }
            Program::Provisr => {
                let Provisr { config, version_full, command } = Provisr::try_parse_from(argv)?;
                let request = command.map(|command| match command.meant(config) {
                    (global, Meant::Command(command)) => Request::DoWith(Box::new(global), command),
                    (global, Meant::Own(own)) => Request::Own(Box::new(global), own),
                });
                (version_full, request)
            }
        };
        match (full, request) {
            (true, _) => Ok(Request::Tell(format!("{} {}\n", self.name(), shell::full()))),
            (false, Some(request)) => Ok(request),
            (false, None) => Err(self.command().error(ErrorKind::MissingSubcommand, "no command specified")),
        }
    }
}

/// The original programs take their long options with one dash too.
fn two_dashes(argument: OsString) -> OsString {
    let long = argument.to_str().filter(|text| {
        let name = text.strip_prefix('-').unwrap_or_default().split('=').next().unwrap_or_default();
        ["workspace", "version", "version-full", "help"].contains(&name)
    });
    match long {
        Some(text) => format!("-{text}").into(),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use crate::args::{JobArgs, JobCommand, TemplateCommand, WorkspaceCommand};

    use super::*;

    fn parse(line: &[&str]) -> Result<Request, clap::Error> {
        let program = Program::of(line[0]).unwrap();
        program.parse(line.iter().map(OsString::from).collect())
    }

    fn words(line: &str) -> Result<Request, clap::Error> {
        parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn the_grammars_are_sound() {
        for program in Program::ALL {
            program.command().debug_assert();
            assert_eq!(Program::of(program.name()), Some(program));
        }
        assert_eq!(Program::of("piton"), None);
    }

    #[test]
    fn every_documented_command_line_is_understood() {
        for line in [
            "provisioner",
            "provisioner --version-full",
            "provisioner -version-full",
            "workspacectl --version-full",
            "workspacectl deploy my-app",
            "workspacectl deploy my-app busy",
            "workspacectl mode my-app hibernation",
            "workspacectl destroy test-workspace",
            "workspacectl status",
            "workspacectl status my-app",
            "workspacectl list",
            "workspacectl list --detailed",
            "workspacectl logs my-app",
            "workspacectl logs -f my-app",
            "workspacectl show my-app",
            "workspacectl add dev-server --template web-app",
            "workspacectl add dev-server --disabled --description text --destroy-schedule @daily",
            "workspacectl update my-app --enable",
            "workspacectl update my-app --disable --template web-app",
            "workspacectl remove my-app --force",
            "workspacectl validate my-app",
            "workspacectl validate --all",
            "templatectl --version-full",
            "templatectl add web-app https://github.com/org/terraform-templates --path workspaces/web-app --ref v2.1.0",
            "templatectl list",
            "templatectl list --detailed",
            "templatectl show web-app",
            "templatectl update web-app",
            "templatectl update --all",
            "templatectl validate web-app",
            "templatectl validate --all",
            "templatectl remove web-app",
            "templatectl remove web-app --force",
            "jobctl --version-full",
            "jobctl list",
            "jobctl status",
            "jobctl status cleanup-temp",
            "jobctl run cleanup-temp",
            "jobctl kill cleanup-temp",
            "jobctl logs cleanup-temp",
            "jobctl --workspace my-app list",
            "jobctl --workspace my-app status",
            "jobctl --workspace my-app status backup-db",
            "jobctl --workspace my-app run backup-db",
            "jobctl --workspace my-app kill backup-db",
            "jobctl -workspace my-app list",
            "jobctl -workspace=my-app list",
            "jobctl list --workspace my-app",
            "provisr serve",
            "provisr serve config/config.toml",
            "provisr serve --config config/config.toml",
            "provisr serve --config config/config.toml --daemonize --logfile provisr.log",
            "provisr register --name web --work-dir /app --log-dir /var/log --auto-start --command x",
            "provisr register --name api --command ./server --api-url http://remote:8080/api --api-timeout 10s",
            "provisr register-file --file ./process-config.json",
            "provisr unregister --name web",
            "provisr start --name demo",
            "provisr start --name=myapp",
            "provisr status",
            "provisr status --name demo --detailed",
            "provisr stop --name demo",
            "provisr stop --name demo --wait 5s",
            "provisr group-start --group backend",
            "provisr group-stop --group backend --wait=5s",
            "provisr group-status --group backend --api-url http://remote:8080/api",
            "provisr cron",
            "provisr template --type web --name mine --output mine.json --force",
            "provisr auth test --method basic --username admin --password secret",
            "provisr auth test --method jwt --token a.b.c",
            "provisr login --username=admin --password=secret",
            "provisr login --method=client_secret --client-id=client_123 --client-secret=secret456",
            "provisr login --server-url=http://remote:8080/api --username=admin --password=secret",
            "provisr logout",
            "provisr auth user create --username=operator --password=secret --roles=operator",
            "provisr auth user list",
            "provisr auth user delete --username operator",
            "provisr auth user password --username operator --new-password secret2",
            "provisr auth client list",
            "provisr auth client delete --client-id client_123",
            "provisr --config config.toml auth user list",
        ] {
            words(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        let with_text = [
            "templatectl",
            "add",
            "database",
            "https://github.com/company/infra-templates",
            "--path",
            "db/postgres",
            "--ref",
            "main",
            "--description",
            "PostgreSQL database template",
        ];
        parse(&with_text).unwrap();
        parse(&["provisr", "auth", "client", "create", "--name=CI Client", "--scopes=operator"]).unwrap();
        parse(&["provisr", "register", "--name", "demo", "--command", "sleep 10"]).unwrap();
        parse(&["workspacectl", "update", "my-app", "--deploy-schedule", "0 9 * * 1-5"]).unwrap();
    }

    #[test]
    fn help_and_version_are_answers_and_nonsense_is_not() {
        for name in ["provisioner", "workspacectl", "templatectl", "jobctl", "provisr"] {
            for flag in ["--help", "--version", "-help", "-version"] {
                let error = parse(&[name, flag]).unwrap_err();
                assert!(!error.use_stderr(), "{name} {flag}: {error}");
            }
            assert!(parse(&[name, "no-such-command"]).unwrap_err().use_stderr());
        }
        for line in [
            "workspacectl",
            "workspacectl deploy",
            "workspacectl deploy a b c",
            "workspacectl destroy",
            "workspacectl mode a",
            "workspacectl status a b",
            "workspacectl update a --enable --disable",
            "templatectl update",
            "templatectl add x",
            "jobctl",
            "jobctl --workspace w",
            "jobctl run",
            "jobctl list extra",
            "provisr register --name web",
            "provisr register --command x",
            "provisr start",
            "provisr stop",
            "provisr unregister",
            "provisr group-start",
            "provisr register-file",
            "provisr template",
            "provisr template --type blueprint",
            "provisr status --api-timeout soon",
        ] {
            let error = words(line).unwrap_err();
            assert!(error.use_stderr(), "{line}");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn they_end_in_pitons_commands() {
        let Request::Do(Command::Workspace(WorkspaceCommand::Deploy { name, mode, detach: false })) =
            words("workspacectl deploy web busy").unwrap()
        else {
            panic!("not a deployment");
        };
        assert_eq!((name.as_str(), mode.as_deref()), ("web", Some("busy")));
        let Request::Do(Command::Workspace(WorkspaceCommand::Destroy { yes: true, .. })) =
            words("workspacectl destroy web").unwrap()
        else {
            panic!("it would ask");
        };
        let Request::Do(Command::Job(JobArgs { workspace, command: JobCommand::Run { name, .. } })) =
            words("jobctl --workspace web run backup").unwrap()
        else {
            panic!("not a run");
        };
        assert_eq!((workspace.as_deref(), name.as_str()), (Some("web"), "backup"));
        let Request::Do(Command::Template(TemplateCommand::Update(which))) = words("templatectl update --all").unwrap()
        else {
            panic!("not an update");
        };
        assert!(which.all && which.name.is_none());
        let Request::DoWith(global, Command::Login(login)) =
            words("provisr login --method client_secret --client-id a --client-secret b").unwrap()
        else {
            panic!("not a login");
        };
        assert_eq!(global.server.server.as_deref(), Some("http://localhost:8080/api"));
        assert_eq!(login.password.given.unwrap().expose(), "b");
        assert!(matches!(words("provisioner").unwrap(), Request::Do(Command::Serve(_))));
    }
}
