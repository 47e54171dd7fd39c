//! What a service manager sees of the daemon: signs of life, and sockets that it binds itself.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::site::{PITON, Site, kill};
use crate::wire;

/// Where a daemon reports to.
struct Manager(UnixDatagram);

impl Manager {
    fn of(site: &Site) -> Manager {
        let socket = UnixDatagram::bind(site.path().join("notify.sock")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Manager(socket)
    }

    /// The next message; none within the patience of the socket.
    fn next(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    fn until(&self, wanted: &str) {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("no {wanted}"));
            if message.lines().any(|line| line == wanted) {
                return;
            }
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(site: &Site, prepare: impl FnOnce(&mut std::process::Command)) -> Killed {
    let mut command = site.command(PITON);
    command.arg("serve").stdout(Stdio::null()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", site.path().join("notify.sock"));
    prepare(&mut command);
    Killed(command.spawn().unwrap())
}

#[test]
fn the_watchdog_hears_of_a_daemon_that_lives_and_of_none_that_hangs() {
    let site = Site::new();
    let manager = Manager::of(&site);
    let mut daemon = serve(&site, |command| {
        command.env("WATCHDOG_USEC", "400000");
    });
    manager.until("READY=1");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }

    kill(daemon.0.id(), "STOP");
    // What was sent before it was stopped is still there.
    manager.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let late = std::iter::from_fn(|| manager.next()).count();
    assert!(late <= 2, "a stopped daemon reported {late} times");
    kill(daemon.0.id(), "CONT");
    manager.until("WATCHDOG=1");

    kill(daemon.0.id(), "TERM");
    manager.until("STOPPING=1");
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn a_socket_that_was_passed_on_is_served() {
    let site = Site::new();
    let manager = Manager::of(&site);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let _daemon = serve(&site, |command| {
        let passed = OwnedFd::from(socket.try_clone().unwrap());
        // The real protocol begins at descriptor 3, which a test cannot hand over without help.
        command.stdin(Stdio::from(passed)).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
    });
    manager.until("READY=1");
    let answer = site.json(["status"]);
    assert_eq!(answer["listen"], address.to_string());
    assert_eq!(wire::get(&address.to_string(), "/health").json()["status"], "healthy");
}

#[test]
fn a_socket_that_everybody_can_reach_is_not_served_without_logins() {
    let site = Site::new();
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut daemon = serve(&site, |command| {
        command.stdin(Stdio::from(OwnedFd::from(socket))).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
    });
    assert_eq!(daemon.0.wait().unwrap().code(), Some(78));
}
