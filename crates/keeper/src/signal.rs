//! The signals a caller may send.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! signals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $rustix:ident;)*) => {
        /// A signal that makes sense for a supervised child; written `"SIGTERM"` on the wire and in configuration.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum Signal {
            $($(#[$doc])* $variant,)*
        }

        impl Signal {
            /// Every signal, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The conventional name, with the `SIG` prefix.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) fn as_rustix(self) -> rustix::process::Signal {
                match self { $(Self::$variant => rustix::process::Signal::$rustix,)* }
            }
        }
    };
}

signals! {
    /// Hang up; many services reload on it.
    Hup = "SIGHUP", HUP;
    /// Interrupt, as from Ctrl-C.
    Int = "SIGINT", INT;
    /// Quit, usually with a dump.
    Quit = "SIGQUIT", QUIT;
    /// User-defined.
    Usr1 = "SIGUSR1", USR1;
    /// User-defined.
    Usr2 = "SIGUSR2", USR2;
    /// Terminate politely.
    Term = "SIGTERM", TERM;
    /// Terminate at once; cannot be caught.
    Kill = "SIGKILL", KILL;
    /// Abort with a core dump.
    Abrt = "SIGABRT", ABORT;
    /// Alarm.
    Alrm = "SIGALRM", ALARM;
    /// Window change; some services stop gracefully on it.
    Winch = "SIGWINCH", WINCH;
    /// Continue when stopped.
    Cont = "SIGCONT", CONT;
    /// Stop; cannot be caught.
    Stop = "SIGSTOP", STOP;
}

impl Signal {
    /// The number on this machine.
    pub fn number(self) -> i32 {
        self.as_rustix().as_raw()
    }

    /// Whether the signal asks a process to end in a way that a *stopped* process cannot notice until it is continued.
    pub(crate) fn needs_continue(self) -> bool {
        matches!(self, Self::Hup | Self::Int | Self::Quit | Self::Term | Self::Abrt)
    }
}

/// The text names no signal that Piton sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}; known are {known}", known = all_names())]
pub struct UnknownSignal(String);

fn all_names() -> String {
    Signal::ALL.iter().map(|signal| signal.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Accepts `SIGTERM`, `TERM` and either in lower case.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::ALL
            .iter()
            .copied()
            .find(|signal| signal.name().strip_prefix("SIG") == Some(bare))
            .ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

impl TryFrom<String> for Signal {
    type Error = UnknownSignal;

    fn try_from(text: String) -> Result<Self, UnknownSignal> {
        text.parse()
    }
}

impl From<Signal> for &'static str {
    fn from(signal: Signal) -> Self {
        signal.name()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for &signal in Signal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
            assert_eq!(signal.name()[3..].to_lowercase().parse(), Ok(signal));
            let json = serde_json::to_string(&signal).unwrap();
            assert_eq!(json, format!("{:?}", signal.name()));
            assert_eq!(serde_json::from_str::<Signal>(&json).unwrap(), signal);
        }
        assert_eq!(Signal::Term.number(), 15);
        assert!("SIGSEGVX".parse::<Signal>().unwrap_err().to_string().contains("SIGTERM"));
    }
}
