//! A connection to the broker. It does not mend itself: whoever has it makes a new one, so that nothing of the old one,
//! such as the numbers of deliveries, is taken for the new one's.

use std::str::FromStr as _;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use piton_model::Secret;
use tokio::time::timeout;

use crate::error::Error;

/// Two of these without a sign of life, and the connection is given up. Shorter than what most firewalls forget in.
const HEARTBEAT_SECONDS: u16 = 20;
const EXPECTED: &str = "it must be amqp://USER:PASSWORD@HOST:PORT/VHOST, or the same with amqps";
/// The client would connect to `localhost` instead.
const NO_LITERAL: &str = "give the host by its name, not by an IPv6 address";
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an end takes that is polite.
pub(crate) const PARTING: Duration = Duration::from_secs(2);

/// Where the broker is, with the user and the password.
#[derive(Clone, Debug)]
pub struct Address(Secret<AMQPUri>);

impl Address {
    /// Reads `amqp://user:password@host:port/vhost` or the same with `amqps`.
    pub fn parse(text: &Secret<String>) -> Result<Address, Error> {
        // The parser's own words may repeat the address, and with it the password.
        let mut uri = AMQPUri::from_str(text.expose()).map_err(|_| Error::Address(EXPECTED))?;
        if text.expose().contains("@[") || text.expose().contains("://[") {
            return Err(Error::Address(NO_LITERAL));
        }
        // `amqp://host:5672/` means the virtual host `/` everywhere but in this client.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Address(Secret::new(uri)))
    }

    /// Connects, with a name for the broker's lists.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection, Error> {
        const DOING: &str = "connecting to the broker";
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(self.0.expose().clone(), properties);
        within(DOING, connection).await
    }
}

/// Waits for the broker, but not for ever.
pub(crate) async fn within<T>(
    doing: &'static str,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, Error> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Error::doing(doing)),
        Err(_) => Err(Error::Silent { doing, seconds: PATIENCE.as_secs() }),
    }
}

/// Ends a connection politely. One that is broken has ended.
pub(crate) async fn close(connection: &Connection) {
    farewell("connection", connection.close(200, "bye".into())).await;
}

/// Ends a channel politely.
pub(crate) async fn close_channel(channel: &Channel) {
    farewell("channel", channel.close(200, "bye".into())).await;
}

/// Nobody waits long for a broker that does not say goodbye: it notices by itself that somebody is gone.
async fn farewell(what: &'static str, said: impl Future<Output = Result<(), lapin::Error>>) {
    match timeout(PARTING, said).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, what, "the broker did not say goodbye"),
        Err(_) => tracing::debug!(what, "the broker did not say goodbye in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AMQPUri {
        Address::parse(&Secret::new(text.to_owned())).unwrap().0.expose().clone()
    }

    #[test]
    fn an_address_without_a_virtual_host_means_the_root() {
        for text in ["amqp://guest:guest@broker:5672/", "amqp://guest:guest@broker", "amqp://guest:guest@broker/%2f"] {
            assert_eq!(parsed(text).vhost, "/", "{text}");
        }
        assert_eq!(parsed("amqps://a:b@broker/jobs").vhost, "jobs");
        assert_eq!(parsed("amqp://broker?heartbeat=7").query.heartbeat, Some(7));
    }

    #[test]
    fn no_error_and_no_debug_shows_the_password() {
        let debug = format!("{:?}", Address::parse(&Secret::new("amqp://u:hunter2@broker".to_owned())).unwrap());
        assert!(!debug.contains("hunter2"), "{debug}");
        for text in
            ["amqp://u:hunter2@broker:port/", "http://u:hunter2@broker/", "amqp:u:hunter2", "amqp://u:hunter2@[::1]/"]
        {
            let error = Address::parse(&Secret::new(text.to_owned())).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
