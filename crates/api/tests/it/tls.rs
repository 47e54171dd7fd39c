//! TLS: who is trusted, who is shown, and what is said when it fails.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use piton_api::{Client, Error, Http, ServerUrl, TlsError, TlsOptions, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::server::{Reply, Server};

/// An authority, and files of what it vouches for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer, directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn ca(&self) -> PathBuf {
        self.file("ca.crt", &self.issuer.pem())
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server called `name`, that asks for a certificate of this authority's where `asks`.
    async fn serve(&self, name: &str, asks: bool, versions: &[&'static SupportedProtocolVersion]) -> Server {
        let (certificate, key) = self.issue(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Server::start(Some(tls), |_| Reply::Whole(200, "", "{\"ok\":true}".to_owned())).await
    }
}

async fn ask(server: &Server, options: &TlsOptions) -> Result<Value, Error> {
    let url = ServerUrl::parse(&format!("https://localhost:{}", server.address.port())).unwrap();
    Client::of_server(Http::new(url, options).unwrap()).get("/x").await
}

fn refused(answer: Result<Value, Error>) -> String {
    match answer {
        Err(Error::Tls { place, reason }) => {
            assert!(place.starts_with("https://localhost:"), "{place}");
            reason
        }
        other => panic!("not refused by TLS: {other:?}"),
    }
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn only_whom_the_given_file_vouches_for_is_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.serve("localhost", false, &BOTH).await;
    let trusting = TlsOptions { ca_cert: Some(ours.ca()), ..TlsOptions::default() };
    assert_eq!(ask(&server, &trusting).await.unwrap(), json!({ "ok": true }));
    let other = TlsOptions { ca_cert: Some(theirs.ca()), ..TlsOptions::default() };
    let reason = refused(ask(&server, &other).await);
    assert!(reason.contains("UnknownIssuer") || reason.contains("BadSignature"), "{reason}");
    assert!(server.asked().len() == 1, "nothing was said to a stranger");
    let blind = TlsOptions { insecure: true, ..TlsOptions::default() };
    assert_eq!(ask(&server, &blind).await.unwrap(), json!({ "ok": true }));
}

#[tokio::test]
async fn the_name_must_be_in_the_certificate() {
    let ours = Authority::new();
    let server = ours.serve("piton.example.org", false, &BOTH).await;
    let mut options = TlsOptions { ca_cert: Some(ours.ca()), ..TlsOptions::default() };
    let reason = refused(ask(&server, &options).await);
    assert!(reason.contains("not valid for name"), "{reason}");
    options.server_name = Some("piton.example.org".to_owned());
    assert_eq!(ask(&server, &options).await.unwrap(), json!({ "ok": true }));
    options.server_name = Some("a b".to_owned());
    let url = ServerUrl::parse("https://localhost").unwrap();
    assert!(matches!(Http::new(url, &options), Err(TlsError::ServerName(_))));
}

#[tokio::test]
async fn an_old_server_is_refused_where_that_is_wanted() {
    let ours = Authority::new();
    let server = ours.serve("localhost", false, &BOTH[1..]).await;
    let mut options = TlsOptions { ca_cert: Some(ours.ca()), ..TlsOptions::default() };
    assert_eq!(ask(&server, &options).await.unwrap(), json!({ "ok": true }));
    options.min_version = TlsVersion::V1_3;
    refused(ask(&server, &options).await);
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let ours = Authority::new();
    let server = ours.serve("localhost", true, &BOTH).await;
    let mut options = TlsOptions { ca_cert: Some(ours.ca()), ..TlsOptions::default() };
    assert!(ask(&server, &options).await.is_err());
    assert_eq!(server.asked().len(), 0);
    let (certificate, key) = ours.issue("a client");
    options.client_cert = Some(ours.file("client.crt", &certificate.pem()));
    options.client_key = Some(ours.file("client.key", &key.serialize_pem()));
    assert_eq!(ask(&server, &options).await.unwrap(), json!({ "ok": true }));
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let ours = Authority::new();
    let url = || ServerUrl::parse("https://localhost").unwrap();
    let empty = ours.file("empty", "no certificate");
    let (certificate, key) = ours.issue("a client");
    let cert = ours.file("cert", &certificate.pem());
    let other_key = ours.file("other", &KeyPair::generate().unwrap().serialize_pem());
    let key = ours.file("key", &key.serialize_pem());
    let fails = |options: TlsOptions| Http::new(url(), &options).unwrap_err().to_string();
    let insecure = TlsOptions { insecure: true, ..TlsOptions::default() };
    let missing = ours.directory.path().join("missing");
    let text = fails(TlsOptions { ca_cert: Some(missing.clone()), ..TlsOptions::default() });
    assert!(text.contains(&missing.display().to_string()) && text.contains("No such file"), "{text}");
    let text = fails(TlsOptions { ca_cert: Some(empty.clone()), ..TlsOptions::default() });
    assert!(text.contains("no certificate in PEM"), "{text}");
    let text = fails(TlsOptions { client_cert: Some(cert.clone()), client_key: Some(empty), ..insecure.clone() });
    assert!(text.contains("no unencrypted key"), "{text}");
    let text = fails(TlsOptions { client_cert: Some(cert.clone()), ..insecure.clone() });
    assert!(text.contains("both or neither"), "{text}");
    let text = fails(TlsOptions { client_cert: Some(cert), client_key: Some(other_key), ..insecure.clone() });
    assert!(text.contains("cannot be used"), "{text}");
    let text = fails(TlsOptions { client_key: Some(key), ..insecure });
    assert!(text.contains("both or neither"), "{text}");
}
