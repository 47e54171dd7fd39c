//! A way to PostgreSQL that can be cut: in one direction or both, with the connections left standing, as a broken network
//! leaves them. What was held back arrives when the way is open again.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;

/// A relay in front of a server. It ends with the test process.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    way: Arc<Way>,
}

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// Everything.
    All,
    /// What is sent to the server; no answer.
    ToServer,
    /// Nothing.
    Nothing,
}

#[derive(Debug)]
struct Way {
    passes: Mutex<Passes>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Where the server listens.
#[derive(Debug, Clone)]
enum Server {
    Socket(PathBuf),
    Host(String, u16),
}

impl Relay {
    /// A relay to the server of a database, and the address of the database through it.
    pub fn to(url: &str) -> io::Result<(Relay, String)> {
        let options = PgConnectOptions::from_str(url).map_err(io::Error::other)?;
        let port = options.get_port();
        let directory = options.get_socket().cloned().or_else(|| {
            let host = options.get_host();
            host.starts_with('/').then(|| PathBuf::from(host))
        });
        let server = match directory {
            Some(directory) => Server::Socket(directory.join(format!(".s.PGSQL.{port}"))),
            None => Server::Host(options.get_host().to_owned(), port),
        };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let way = Arc::new(Way { passes: Mutex::new(Passes::All), changed: Condvar::new() });
        let seen = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that refuses a connection is seen by the client, whose connection ends.
                let _ = connect(&server, client, &seen);
            }
        });
        let user = options.get_username();
        let database = options.get_database().unwrap_or(user);
        Ok((Relay { address, way }, format!("postgres://{user}@{address}/{database}")))
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets pass what is said, from now on.
    pub fn set(&self, passes: Passes) {
        *self.way.passes.lock().unwrap_or_else(PoisonError::into_inner) = passes;
        self.way.changed.notify_all();
    }
}

impl Way {
    fn wait(&self, direction: Direction) {
        let open = |passes: &mut Passes| match passes {
            Passes::All => true,
            Passes::ToServer => direction == Direction::ToServer,
            Passes::Nothing => false,
        };
        let passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(passes, |passes| !open(passes)));
    }
}

fn connect(server: &Server, client: TcpStream, way: &Arc<Way>) -> io::Result<()> {
    let server = match server {
        Server::Socket(path) => Wire::Unix(UnixStream::connect(path)?),
        Server::Host(host, port) => Wire::Tcp(TcpStream::connect((host.as_str(), *port))?),
    };
    let client = Wire::Tcp(client);
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    for (from, to, direction) in
        [(from_client, server, Direction::ToServer), (from_server, client, Direction::ToClient)]
    {
        let way = Arc::clone(way);
        std::thread::spawn(move || pump(from, to, &way, direction));
    }
    Ok(())
}

fn pump(mut from: Wire, mut to: Wire, way: &Way, direction: Direction) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        way.wait(direction);
        if to.write(&buffer[..count]).is_err() {
            break;
        }
    }
    // The end of a connection is held back like anything else.
    way.wait(direction);
    to.end();
}

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    fn try_clone(&self) -> io::Result<Wire> {
        Ok(match self {
            Wire::Tcp(stream) => Wire::Tcp(stream.try_clone()?),
            Wire::Unix(stream) => Wire::Unix(stream.try_clone()?),
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(buffer),
            Wire::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.write_all(bytes),
            Wire::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn end(&self) {
        // It may have ended from the other side.
        let _ = match self {
            Wire::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Wire::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}
