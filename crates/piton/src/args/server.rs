//! Which server, and how it is recognized.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// Which server, and how it is recognized. Variables of the environment stand in for what is absent.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for a server elsewhere")]
pub struct ServerArgs {
    /// Talk to the server at this address, such as https://piton.example.org, in place of the daemon of DIR
    /// [env: PITON_SERVER].
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Trust these certificates (PEM) in place of the system's [env: PITON_CA_CERT].
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub ca_cert: Option<PathBuf>,
    /// The name that the server's certificate must hold [env: PITON_SERVER_NAME].
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub server_name: Option<String>,
    /// Trust whoever answers. For development only [env: PITON_INSECURE].
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure: bool,
    /// Certificate (PEM) to show to the server [env: PITON_CLIENT_CERT].
    #[arg(long, value_name = "FILE", requires = "client_key", global = true, hide_short_help = true)]
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM) [env: PITON_CLIENT_KEY].
    #[arg(long, value_name = "FILE", requires = "client_cert", global = true, hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// The least version of TLS [env: PITON_TLS_MIN_VERSION] [default: 1.2].
    #[arg(long, value_enum, value_name = "VERSION", global = true, hide_short_help = true)]
    pub tls_min_version: Option<MinVersion>,
    /// How long it may take to answer.
    #[arg(skip)]
    pub timeout: Option<Duration>,
    /// Where the directory has no daemon, the one that listens where the process manager's usually does is asked.
    #[arg(skip)]
    pub usual: bool,
}

/// The least version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MinVersion {
    /// 1.2 and 1.3
    #[value(name = "1.2")]
    V1_2,
    /// 1.3 only
    #[value(name = "1.3")]
    V1_3,
}
