//! A relay in front of a message broker, which cuts connections where it is told to.
//!
//! It reads the frames of AMQP 0-9-1 that a client sends, as far as it takes to know an acknowledgement. Threads of its own
//! carry the bytes, so that tests need not be asynchronous.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Class and method of `basic.ack`.
const ACK: [u8; 4] = [0, 60, 0, 80];
/// A frame of a method.
const METHOD: u8 = 1;
/// What a client says first: a name and a version.
const GREETING: usize = 8;
/// The kind, the channel and the length of a frame.
const HEAD: usize = 7;

/// Carries connections to a broker; it takes no new ones when this is gone.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// So many acknowledgements are still to be lost with their connections.
    to_cut: AtomicUsize,
    cut: AtomicUsize,
    over: AtomicBool,
}

impl Relay {
    /// Listens on a free port of the loopback, in front of the broker there.
    pub fn start(broker: SocketAddr) -> io::Result<Relay> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                // A connection that could not be made on has ended for the client, too.
                let _ = stream.and_then(|client| carry(client, broker, state));
            }
        })?;
        Ok(Relay { address, state })
    }

    /// The address of the broker as it is seen through here: the same text with another port.
    pub fn url(&self, broker: &str) -> String {
        let (before, after) = broker.rsplit_once('@').unwrap_or(("amqp://guest:guest", broker));
        let path = after.find('/').map_or("", |at| &after[at..]);
        format!("{before}@{}{path}", self.address)
    }

    /// The next so many acknowledgements do not arrive: the connection breaks in their place.
    pub fn cut_before_acks(&self, count: usize) {
        self.state.to_cut.store(count, Ordering::SeqCst);
    }

    /// How many connections were broken.
    pub fn cut(&self) -> usize {
        self.state.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // Wakes whoever waits for a connection; if nobody does, that is as well.
        drop(TcpStream::connect(self.address));
    }
}

fn carry(client: TcpStream, broker: SocketAddr, state: Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(broker)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, mut to_client) = (client.try_clone()?, client);
    let (mut from_server, to_server) = (server.try_clone()?, server);
    std::thread::Builder::new().name("relay up".to_owned()).spawn(move || {
        // Whatever ended it, it ends for both sides.
        let _ = up(&from_client, &to_server, &state);
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    })?;
    std::thread::Builder::new().name("relay down".to_owned()).spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    })?;
    Ok(())
}

/// From the client to the broker, frame by frame.
fn up(mut client: &TcpStream, mut broker: &TcpStream, state: &State) -> io::Result<()> {
    let mut greeting = [0; GREETING];
    client.read_exact(&mut greeting)?;
    broker.write_all(&greeting)?;
    loop {
        let mut head = [0; HEAD];
        client.read_exact(&mut head)?;
        let [kind, _, _, a, b, c, d] = head;
        // With the byte that ends it.
        let mut content = vec![0; u32::from_be_bytes([a, b, c, d]) as usize + 1];
        client.read_exact(&mut content)?;
        if kind == METHOD && content.starts_with(&ACK) && state.loses_one() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        broker.write_all(&head)?;
        broker.write_all(&content)?;
    }
}

impl State {
    fn loses_one(&self) -> bool {
        let one_less = |count: usize| count.checked_sub(1);
        let loses = self.to_cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if loses {
            self.cut.fetch_add(1, Ordering::SeqCst);
        }
        loses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_broker_with_another_port() -> io::Result<()> {
        let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], 9)))?;
        let url = relay.url("amqp://guest:guest@127.0.0.1:5672/%2f");
        assert_eq!(url, format!("amqp://guest:guest@{}/%2f", relay.address));
        Ok(())
    }

    #[test]
    fn only_an_acknowledgement_is_lost() -> io::Result<()> {
        let broker = TcpListener::bind("127.0.0.1:0")?;
        let relay = Relay::start(broker.local_addr()?)?;
        relay.cut_before_acks(1);
        let mut client = TcpStream::connect(relay.address)?;
        let (mut server, _) = broker.accept()?;
        let frame = |method: [u8; 4]| [&[METHOD, 0, 1, 0, 0, 0, 5][..], &method, &[7, 206]].concat();
        let (other, ack) = (frame([0, 60, 0, 40]), frame(ACK));
        client.write_all(b"AMQP\0\0\x09\x01")?;
        client.write_all(&other)?;
        client.write_all(&ack)?;
        let mut arrived = Vec::new();
        // The end may be a reset.
        let _ = server.read_to_end(&mut arrived);
        assert_eq!(arrived, [&b"AMQP\0\0\x09\x01"[..], &other].concat());
        assert_eq!(relay.cut(), 1);
        Ok(())
    }
}
