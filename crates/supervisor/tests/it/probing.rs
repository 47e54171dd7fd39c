//! Probes of real listeners and commands.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use piton_model::{Probe, ProbeCheck, Probes, Program};
use piton_supervisor::probe::{ProbeKind, ProbeVerdict, Probed, Prober};
use piton_supervisor::{Surroundings, clear_asked};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::TlsAcceptor;

use crate::children::{Children, lives, until};

const PERIOD: Duration = Duration::from_millis(20);

fn probe(check: ProbeCheck) -> Probe {
    Probe {
        check,
        initial_delay: Duration::ZERO,
        period: PERIOD,
        timeout: Duration::from_secs(20),
        success_threshold: 1,
        failure_threshold: 2,
    }
}

fn exec(line: &str) -> ProbeCheck {
    ProbeCheck::Exec { program: Program::Shell { line: line.to_owned() } }
}

fn start(children: &Children, probes: &Probes) -> (Prober, Receiver<ProbeVerdict>) {
    let (verdicts, told) = channel(16);
    let probed = Probed { instance: "web-1".to_owned(), incarnation: 7, around: children.around() };
    (Prober::start(&children.keeping, probed, probes, verdicts), told)
}

fn ready(check: ProbeCheck) -> Probes {
    Probes { readiness: Some(probe(check)), ..Probes::default() }
}

/// Answers every request with the status that is set; 0 is no answer at all.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: Arc<AtomicU16>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.extend_from_slice(&byte);
    }
    assert!(request.starts_with(b"GET /health?deep=1 HTTP/1.1\r\n"), "{}", request.escape_ascii());
    let status = status.load(Ordering::SeqCst);
    if status == 0 {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn serve(tls: Option<TlsAcceptor>) -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let status = Arc::new(AtomicU16::new(503));
    let shared = Arc::clone(&status);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (status, tls) = (Arc::clone(&shared), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => answer(stream, status).await,
                    // A probe that has ended hangs up, be it in the middle of this.
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            answer(stream, status).await;
                        }
                    }
                }
            });
        }
    });
    (port, status)
}

fn tls() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["another.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn next(told: &mut Receiver<ProbeVerdict>) -> (bool, String) {
    let verdict = told.recv().await.unwrap();
    assert_eq!((verdict.instance.as_str(), verdict.incarnation), ("web-1", 7));
    assert_eq!(verdict.kind, ProbeKind::Readiness);
    (verdict.up, verdict.message.unwrap_or_default())
}

pub(crate) async fn commands_connections_and_requests() {
    let children = Children::new();
    let (_prober, mut told) = start(&children, &ready(exec("test \"$OWN\" && test -e up || exit 9")));
    assert_eq!(next(&mut told).await, (false, "exit code 9".to_owned()));
    fs::write(children.file("up"), "").unwrap();
    assert_eq!(next(&mut told).await, (true, String::new()));
    fs::remove_file(children.file("up")).unwrap();
    assert!(!next(&mut told).await.0);

    for acceptor in [None, Some(tls())] {
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let (port, status) = serve(acceptor).await;
        let url = format!("{scheme}://127.0.0.1:{port}/health?deep=1");
        let mut probes = ready(ProbeCheck::Http { url });
        let (_prober, mut told) = start(&children, &probes);
        assert_eq!(next(&mut told).await, (false, "answered 503 Service Unavailable".to_owned()));
        status.store(204, Ordering::SeqCst);
        assert_eq!(next(&mut told).await, (true, String::new()));
        status.store(404, Ordering::SeqCst);
        assert!(!next(&mut told).await.0);
        status.store(302, Ordering::SeqCst);
        assert!(next(&mut told).await.0, "a redirect is an answer");
        drop(told);
        status.store(0, Ordering::SeqCst);
        probes.readiness.as_mut().unwrap().timeout = Duration::from_millis(50);
        let (_prober, mut told) = start(&children, &probes);
        assert_eq!(next(&mut told).await, (false, "no answer within 50ms".to_owned()));
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (_prober, mut told) = start(&children, &ready(ProbeCheck::Tcp { address: address.clone() }));
    assert!(next(&mut told).await.0);
    drop(listener);
    let (up, message) = next(&mut told).await;
    assert!(!up && message.starts_with("cannot connect: "), "{message}");
    for (check, message) in [
        (ProbeCheck::Http { url: "ftp://localhost/".to_owned() }, "neither http nor https"),
        (ProbeCheck::Http { url: "http:// x".to_owned() }, "is not a URL"),
        (ProbeCheck::Http { url: format!("http://{address}/") }, "cannot connect"),
        (ProbeCheck::Exec { program: Program::Exec { argv: vec!["no-such-program".to_owned()] } }, "not found in PATH"),
    ] {
        let (_prober, mut told) = start(&children, &ready(check));
        let (up, said) = next(&mut told).await;
        assert!(!up && said.contains(message), "{said}");
    }
}

pub(crate) async fn startup_comes_first() {
    let children = Children::new();
    let probes = Probes {
        startup: Some(Probe { failure_threshold: 1000, ..probe(exec("echo s >> order; test -e up")) }),
        readiness: Some(probe(exec("echo r >> order"))),
        liveness: Some(probe(exec("echo l >> order"))),
    };
    let (prober, mut told) = start(&children, &probes);
    until("some tries", || children.text("order").len() > 10).await;
    assert!(children.text("order").lines().all(|line| line == "s"));
    fs::write(children.file("up"), "").unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let verdict = told.recv().await.unwrap();
        assert!(verdict.up);
        kinds.push(verdict.kind);
    }
    assert_eq!(kinds[0], ProbeKind::Startup);
    kinds.sort_unstable();
    assert_eq!(kinds, [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness]);
    drop(prober);
    assert_eq!(told.recv().await, None, "only changes are told");
    // One that fails for good is told once, and nothing follows.
    let failing = Probes { startup: Some(probe(exec("exit 1"))), ..probes };
    let (_prober, mut told) = start(&children, &failing);
    let verdict = told.recv().await.unwrap();
    assert_eq!((verdict.kind, verdict.up), (ProbeKind::Startup, false));
    assert_eq!(told.recv().await, None);
}

pub(crate) async fn liveness_failures_are_always_told() {
    let children = Children::new();
    let probes = Probes { liveness: Some(probe(exec("echo t >> tries; exit 1"))), ..Probes::default() };
    let (_prober, mut told) = start(&children, &probes);
    for _ in 0..3 {
        let verdict = told.recv().await.unwrap();
        assert_eq!((verdict.kind, verdict.up), (ProbeKind::Liveness, false));
    }
    assert!(children.text("tries").lines().count() >= 4, "the first failure is below the threshold");
}

pub(crate) async fn dropping_ends_what_runs() {
    let children = Children::new();
    let check = exec("setsid sleep 1000 & echo $! >> pids; echo $$ >> pids; wait");
    let (prober, mut told) = start(&children, &ready(check.clone()));
    let pids = children.numbers_in("pids", 2).await;
    drop(prober);
    assert_eq!(told.recv().await, None);
    assert!(pids.iter().all(|pid| !lives(*pid)));
    assert_eq!(children.keeping.held().await.unwrap(), []);
    // And so does its time.
    fs::remove_file(children.file("pids")).unwrap();
    let mut probes = ready(check);
    let readiness = probes.readiness.as_mut().unwrap();
    (readiness.timeout, readiness.failure_threshold) = (Duration::from_millis(300), 1);
    let (_prober, mut told) = start(&children, &probes);
    let (up, message) = next(&mut told).await;
    assert!(!up && message == "it took longer than 300ms and was killed", "{message}");
    let pids = children.numbers_in("pids", 2).await;
    assert!(pids[..2].iter().all(|pid| !lives(*pid)));
}

pub(crate) async fn what_another_supervisor_left_is_cleared() {
    let children = Children::new();
    let service = children.script("service/web/1", "exec sleep 1000").await.identity.pid;
    let left = children.script("service/web/1/asked/another-1", "exec sleep 1000").await.identity.pid;
    let around = Surroundings { token_prefix: "service/web/1".to_owned(), ..children.around() };
    let (verdicts, _told) = channel(1);
    let probed = Probed { instance: "web".to_owned(), incarnation: 1, around };
    let _prober = Prober::start(&children.keeping, probed, &ready(exec("echo $$ >> pids; sleep 1000")), verdicts);
    let own = children.numbers_in("pids", 1).await[0];
    clear_asked(&children.keeping, &children.keeping.held().await.unwrap()).await.unwrap();
    assert!(lives(service) && lives(own) && !lives(left));
    assert_eq!(children.keeping.held().await.unwrap().len(), 2);
}
