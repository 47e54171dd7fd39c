//! HTTPS from outside.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version};

use super::site::{Daemon, Site, until};
use super::wire::{Reply, connect, exchange, read_reply};

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for `localhost`, and its key.
    fn issue(&self, site: &Site, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let paths = (site.path().join(format!("{name}.crt")), site.path().join(format!("{name}.key")));
        site.write(&paths.0, &certificate.pem()).write(&paths.1, &key.serialize_pem());
        fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).unwrap();
        paths
    }
}

/// A client.
struct Visitor {
    trusts: PathBuf,
    shows: Option<(PathBuf, PathBuf)>,
    /// What it takes the server for.
    calls: &'static str,
    versions: &'static [&'static SupportedProtocolVersion],
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];
const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];

impl Visitor {
    fn of(trusts: impl Into<PathBuf>) -> Visitor {
        Visitor { trusts: trusts.into(), shows: None, calls: "localhost", versions: BOTH }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.trusts).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    fn connect(&self, address: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(self.calls).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(self.config()), name).unwrap(), connect(address))
    }

    /// The answer to a request for `/health`, unless there was no understanding.
    fn ask(&self, address: &str) -> Option<Reply> {
        let mut stream = self.connect(address);
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        read_reply(&mut stream)
    }

    fn is_served(&self, daemon: &Daemon<'_>) -> bool {
        self.ask(&daemon.address()).is_some_and(|reply| reply.status == 200)
    }
}

fn files(site: &Site, (certificate, key): &(PathBuf, PathBuf), more: &str) {
    let text = format!(
        "[server.tls]\nenabled = true\ncert_file = '{}'\nkey_file = '{}'\n{more}",
        certificate.display(),
        key.display()
    );
    site.write("piton.toml", &text);
}

#[test]
fn a_certificate_is_made_where_that_is_wanted() {
    let site = Site::new();
    site.write(
        "piton.toml",
        "[server.tls]\nenabled = true\ndir = 'tls'\nauto_generate = true\n\
         [server.tls.auto_gen]\ncommon_name = 'localhost'\ndns_names = ['localhost']\nip_addresses = ['127.0.0.1', '192.0.2.7']\nvalid_days = 30\n",
    );
    let daemon = site.serve();
    let (certificate, key) = (site.path().join("tls/tls.crt"), site.path().join("tls/tls.key"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Visitor::of(&certificate).is_served(&daemon));
    for versions in [OLD, NEW] {
        assert!(Visitor { versions, ..Visitor::of(&certificate) }.is_served(&daemon), "{versions:?}");
    }
    for (name, holds) in [("127.0.0.1", true), ("192.0.2.7", true), ("192.0.2.8", false)] {
        assert_eq!(Visitor { calls: name, ..Visitor::of(&certificate) }.is_served(&daemon), holds, "{name}");
    }
    let plain = exchange(&daemon.address(), b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!((plain.status, plain.code().as_str()), (400, "tls_required"));
    let made = fs::read(&certificate).unwrap();
    drop(daemon);
    let daemon = site.serve();
    assert!(Visitor::of(&certificate).is_served(&daemon));
    assert_eq!(fs::read(&certificate).unwrap(), made, "a restart makes no new one");
}

#[test]
fn versions_of_tls_are_limited() {
    let site = Site::new();
    let authority = Authority::new("authority");
    site.write("ca.crt", &authority.0.pem());
    let visitor = |versions| Visitor { versions, ..Visitor::of(site.path().join("ca.crt")) };
    for (limit, old, new) in [("min_version = '1.3'\n", false, true), ("max_version = '1.2'\n", true, false)] {
        files(&site, &authority.issue(&site, "server"), limit);
        let daemon = site.serve();
        assert_eq!((visitor(OLD).is_served(&daemon), visitor(NEW).is_served(&daemon)), (old, new), "{limit}");
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let site = Site::new();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    site.write("first.pem", &first.0.pem()).write("second.pem", &second.0.pem());
    files(&site, &first.issue(&site, "server"), "");
    let daemon = site.serve();
    let of = |name: &str| Visitor::of(site.path().join(name));
    let mut open = of("first.pem").connect(&daemon.address());
    open.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut open).unwrap().status, 200);

    site.write("server.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    until("the broken file was noticed", || {
        assert!(of("first.pem").is_served(&daemon), "the old one stays in use");
        site.daemon_log().contains("the new certificate cannot be used")
    });
    second.issue(&site, "server");
    until("the new certificate is in use", || of("second.pem").is_served(&daemon));
    assert!(!of("first.pem").is_served(&daemon));
    open.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut open).unwrap().status, 200, "an open connection notices nothing");
}

#[test]
fn clients_show_certificates_where_that_is_wanted() {
    let site = Site::new();
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    site.write("ca.crt", &authority.0.pem());
    let server = authority.issue(&site, "server");
    let known = authority.issue(&site, "known");
    let unknown = stranger.issue(&site, "unknown");
    let visitor = |shows: Option<&(PathBuf, PathBuf)>| Visitor {
        shows: shows.cloned(),
        ..Visitor::of(site.path().join("ca.crt"))
    };
    for (auth, without) in [("required", false), ("optional", true)] {
        files(&site, &server, &format!("client_auth = '{auth}'\nclient_ca_file = 'ca.crt'\n"));
        let daemon = site.serve();
        assert!(visitor(Some(&known)).is_served(&daemon), "{auth}");
        assert!(!visitor(Some(&unknown)).is_served(&daemon), "{auth}");
        assert_eq!(visitor(None).is_served(&daemon), without, "{auth}");
    }
}

/// The same with Piton's own commands on the other side.
#[test]
fn commands_show_certificates_where_that_is_wanted() {
    let site = Site::new();
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    site.write("ca.crt", &authority.0.pem()).write("stranger.crt", &stranger.0.pem());
    let server = authority.issue(&site, "server");
    let (known, unknown) = (authority.issue(&site, "known"), stranger.issue(&site, "unknown"));
    files(&site, &server, "client_auth = 'required'\nclient_ca_file = 'ca.crt'\n");
    let daemon = site.serve();
    let url = format!("https://{}", daemon.address().replace("127.0.0.1", "localhost"));
    let away = Site::new().env("PITON_SERVER", &url);
    let text = |path: PathBuf| path.display().to_string();
    let ask = |ca: &str, shows: Option<&(PathBuf, PathBuf)>| {
        let ca = text(site.path().join(ca));
        let mut args = vec!["status".to_owned(), "--ca-cert".to_owned(), ca];
        if let Some((certificate, key)) = shows {
            args.extend(["--client-cert".to_owned(), text(certificate.clone())]);
            args.extend(["--client-key".to_owned(), text(key.clone())]);
        }
        away.piton(args.iter().map(String::as_str))
    };
    let said = ask("ca.crt", Some(&known));
    assert_eq!(said.code, 0, "{said}");
    for (ca, shows, why) in [
        ("ca.crt", None, "it shows nothing"),
        ("ca.crt", Some(&unknown), "nobody knows who signed it"),
        ("stranger.crt", Some(&known), "the server is signed by somebody else"),
    ] {
        let said = ask(ca, shows);
        assert_eq!(said.code, 7, "{why}: {said}");
    }
    assert_eq!(ask("ca.crt", Some(&known)).code, 0, "the others did no harm");
}

#[test]
fn what_is_wrong_with_the_files_is_told_before_anything_begins() {
    let site = Site::new();
    let authority = Authority::new("authority");
    let (certificate, key) = authority.issue(&site, "server");
    let (_, other) = authority.issue(&site, "other");
    let serve = |certificate: &Path, key: &Path| {
        files(&site, &(certificate.to_owned(), key.to_owned()), "");
        let said = site.piton(["serve"]);
        assert_eq!(said.code, 78, "{said}");
        said.err
    };
    assert!(serve(&site.path().join("nowhere.crt"), &key).contains("nowhere.crt"));
    assert!(serve(&certificate, &other).contains("does not go with"));
    let junk = site.path().join("junk.key");
    site.write(&junk, "nothing");
    fs::set_permissions(&junk, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(serve(&certificate, &junk).contains("no private key"));
    assert!(serve(&key, &key).contains("no certificate"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(serve(&certificate, &key).contains("chmod 600"));
}
