//! How commands end: exit codes, and what is said about a failure.

use piton_api::{Error, Problem};

/// How a command ends, as programs see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// The run failed, or the command did.
    Failed = 1,
    /// The request makes no sense.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Not allowed.
    Denied = 4,
    /// Something is in the way.
    Conflict = 5,
    /// The run took too long.
    TimedOut = 6,
    /// Nobody answers.
    Unreachable = 7,
    /// `piton serve` was called wrongly.
    UsageOs = 64,
    /// Another daemon holds the data directory.
    Running = 75,
    /// A file that must be private is not.
    NoPermission = 77,
    /// The configuration cannot be used.
    BadConfig = 78,
    /// Ctrl-C.
    Interrupted = 130,
    /// Nobody reads the output any more.
    Closed = 141,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit of another process of this program, by its number.
    pub fn of_code(code: i32) -> Option<Exit> {
        const KNOWN: [Exit; 5] = [Exit::Failed, Exit::UsageOs, Exit::Running, Exit::NoPermission, Exit::BadConfig];
        KNOWN.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// How a run that ended (or stopped at a gate) makes the command end.
    pub fn of_run(state: &str, outcome: Option<&str>) -> Exit {
        match (state, outcome) {
            ("gated", _) | (_, Some("succeeded")) => Exit::Ok,
            (_, Some("timed_out")) => Exit::TimedOut,
            _ => Exit::Failed,
        }
    }

    fn of_status(status: u16) -> Exit {
        match status {
            400 | 405 | 413 | 415 | 421 | 422 | 428 => Exit::Usage,
            401 | 403 => Exit::Denied,
            404 | 410 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            408 | 504 => Exit::TimedOut,
            429 | 502 | 503 => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }

    /// Older clients of the process manager read 400 where something is not there, or is in the way.
    fn of_problem(problem: &Problem) -> Exit {
        match problem.code.as_str() {
            "process_not_found" | "group_not_found" | "not_found" => Exit::NotFound,
            "process_exists" | "process_start_failed" | "job_exists" | "job_of_schedule" | "not_running" => {
                Exit::Conflict
            }
            _ => Exit::of_status(problem.status),
        }
    }

    /// The status and the code of a problem that was found on this side.
    fn as_problem(self) -> (u16, &'static str) {
        match self {
            Exit::Usage | Exit::UsageOs => (400, "usage"),
            Exit::NotFound => (404, "not_found"),
            Exit::Denied => (403, "denied"),
            Exit::Conflict => (409, "conflict"),
            Exit::TimedOut => (504, "timed_out"),
            Exit::Unreachable => (503, "unreachable"),
            Exit::Running => (409, "already_running"),
            Exit::NoPermission => (403, "not_private"),
            Exit::BadConfig => (500, "bad_configuration"),
            Exit::Ok | Exit::Failed | Exit::Interrupted | Exit::Closed => (500, "failed"),
        }
    }
}

/// A command that failed on this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl CommandError {
    /// An error without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> CommandError {
        CommandError { exit, message: message.into(), hint: None }
    }

    /// Adds what to try.
    pub fn hint(mut self, hint: impl Into<String>) -> CommandError {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> CommandError {
        let exit = match &error {
            Error::Problem(problem) => Exit::of_problem(problem),
            Error::Status { status: 504, .. } => Exit::Unreachable,
            Error::Status { status, .. } => Exit::of_status(*status),
            Error::Unreachable { .. } | Error::Tls { .. } | Error::Broken(_) => Exit::Unreachable,
            Error::TimedOut { .. } => Exit::TimedOut,
            Error::Credentials => Exit::Usage,
            Error::Redirected { .. } | Error::Unexpected(_) => Exit::Failed,
        };
        let hint = match &error {
            Error::Problem(problem) => problem.hint.clone(),
            Error::Unreachable { place, .. } if place.starts_with("http") => {
                Some("is the address right, and is a server running there?".to_owned())
            }
            Error::Unreachable { .. } => Some("is the daemon running? `piton serve` starts it".to_owned()),
            Error::Tls { .. } => {
                Some("is its certificate one that this host trusts (`--ca-cert`), and does it speak TLS?".to_owned())
            }
            Error::TimedOut { .. } => Some("it may be overloaded; what was asked for may still happen".to_owned()),
            Error::Redirected { .. } => {
                Some("a redirect is not followed; ask that address itself if it is right".to_owned())
            }
            Error::Status { .. } => Some("is that address the one of piton's API?".to_owned()),
            Error::Credentials | Error::Broken(_) | Error::Unexpected(_) => None,
        };
        CommandError { exit, message: error.to_string(), hint }
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Something failed on this side.
    Command(CommandError),
    /// The server said no.
    Problem(Box<Problem>),
    /// Nobody reads standard output any more: nothing to say, and nobody to say it to.
    Closed,
}

impl Failure {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Command(error) => error.exit,
            Failure::Problem(problem) => Exit::of_problem(problem),
            Failure::Closed => Exit::Closed,
        }
    }

    /// What went wrong and what to try; nothing if nobody would read it.
    pub fn words(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Failure::Command(error) if error.exit == Exit::Closed => None,
            Failure::Command(error) => Some((&error.message, error.hint.as_deref())),
            Failure::Problem(problem) => Some((&problem.detail, problem.hint.as_deref())),
            Failure::Closed => None,
        }
    }

    /// The same for programs.
    pub fn to_problem(&self) -> Option<Problem> {
        match self {
            Failure::Command(error) => {
                let (status, code) = error.exit.as_problem();
                Some(Problem::new(status, code, error.message.clone(), error.hint.clone()))
            }
            Failure::Problem(problem) => Some(Problem::clone(problem)),
            Failure::Closed => None,
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Failure {
        Failure::Command(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Problem(problem) => Failure::Problem(problem),
            error => Failure::Command(error.into()),
        }
    }
}

/// A failure of this side with an ordinary cause.
pub fn failed(message: impl Into<String>) -> Failure {
    Failure::Command(CommandError::new(Exit::Failed, message))
}

/// A request that makes no sense.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::Command(CommandError::new(Exit::Usage, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Failure {
        Failure::from(Error::Problem(Box::new(Problem::new(status, "x", "y", None))))
    }

    #[test]
    fn exit_codes_are_those_of_the_interface() {
        let table = [
            (Exit::Ok, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NotFound, 3),
            (Exit::Denied, 4),
            (Exit::Conflict, 5),
            (Exit::TimedOut, 6),
            (Exit::Unreachable, 7),
            (Exit::UsageOs, 64),
            (Exit::Running, 75),
            (Exit::NoPermission, 77),
            (Exit::BadConfig, 78),
            (Exit::Interrupted, 130),
            (Exit::Closed, 141),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn what_the_server_says_becomes_an_exit_code() {
        for (status, exit) in [
            (400, Exit::Usage),
            (401, Exit::Denied),
            (403, Exit::Denied),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (412, Exit::Conflict),
            (429, Exit::Unreachable),
            (422, Exit::Usage),
            (500, Exit::Failed),
            (503, Exit::Unreachable),
            (504, Exit::TimedOut),
        ] {
            assert_eq!(problem(status).exit(), exit, "{status}");
        }
        for (code, exit) in
            [("not_found", Exit::NotFound), ("job_exists", Exit::Conflict), ("invalid_job", Exit::Usage)]
        {
            let as_provisr = Failure::Problem(Box::new(Problem::new(400, code, "y", None)));
            assert_eq!(as_provisr.exit(), exit, "{code}");
        }
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Failure::from(Error::Unreachable { place: "x".into(), source }).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(Error::Broken("x".into())).exit(), Exit::Unreachable);
        let tls = Error::Tls { place: "x".into(), reason: "y".into() };
        assert_eq!(Failure::from(tls).exit(), Exit::Unreachable);
        let late = Error::TimedOut { place: "x".into(), after: std::time::Duration::from_secs(1) };
        assert_eq!(Failure::from(late).exit(), Exit::TimedOut);
        for (status, exit) in
            [(401, Exit::Denied), (404, Exit::NotFound), (500, Exit::Failed), (502, Exit::Unreachable)]
        {
            let error = Error::Status { status, text: String::new() };
            assert_eq!(Failure::from(error).exit(), exit, "{status}");
        }
    }

    #[test]
    fn how_a_run_ends_becomes_an_exit_code() {
        for (state, outcome, exit) in [
            ("ended", Some("succeeded"), Exit::Ok),
            ("gated", None, Exit::Ok),
            ("ended", Some("failed"), Exit::Failed),
            ("ended", Some("indeterminate"), Exit::Failed),
            ("ended", Some("cancelled"), Exit::Failed),
            ("ended", Some("rejected"), Exit::Failed),
            ("ended", Some("expired"), Exit::Failed),
            ("ended", Some("superseded"), Exit::Failed),
            ("ended", Some("timed_out"), Exit::TimedOut),
        ] {
            assert_eq!(Exit::of_run(state, outcome), exit, "{state} {outcome:?}");
        }
    }

    #[test]
    fn a_failure_of_this_side_is_a_problem_too() {
        let failure = Failure::from(CommandError::new(Exit::NotFound, "no such file").hint("look"));
        let problem = failure.to_problem().unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (404, "not_found"));
        assert_eq!(failure.words(), Some(("no such file", Some("look"))));
    }
}
