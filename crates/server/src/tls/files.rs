//! Certificates and keys in files.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use piton_spec::{ClientAuth, Tls as Settings, TlsVersion};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// By what it is seen that files have changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<[i64; 4]>>);

impl Fingerprint {
    pub(super) fn of(settings: &Settings) -> Fingerprint {
        let files = [Some(settings.identity.certificate()), Some(settings.identity.key()), settings.client_ca.clone()];
        let of_one = |path: PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            // Of content and mode alike: a key that others could read is taken once they cannot any more.
            Some([found.ino().cast_signed(), found.ctime(), found.ctime_nsec(), found.size().cast_signed()])
        };
        Fingerprint(files.into_iter().flatten().map(of_one).collect())
    }
}

/// What the files make of a server.
pub(super) fn config(settings: &Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let (path, key_path) = (settings.identity.certificate(), settings.identity.key());
    let chain = certificates(&path)?;
    let key = private_key(&key_path)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| TlsError::Content { path: path.clone(), what: error.to_string() })?;
    let builder = match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::None, _) | (_, None) => builder.with_no_client_auth(),
        (auth, Some(ca)) => builder.with_client_cert_verifier(verifier(ca, auth)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let what = format!("it does not go with {}: {error}", path.display());
        TlsError::Content { path: key_path, what }
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn versions(settings: &Settings) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V13, &version::TLS13), (TlsVersion::V12, &version::TLS12)];
    let wanted = settings.min_version..=settings.max_version;
    all.into_iter().filter(|(version, _)| wanted.contains(version)).map(|(_, known)| known).collect()
}

fn verifier(ca: &Path, auth: ClientAuth) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let wrong = |what: String| TlsError::Content { path: ca.to_owned(), what };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::Content { path: path.to_owned(), what: "there is no certificate in it".to_owned() }),
        Err(error) => Err(TlsError::Content { path: path.to_owned(), what: format!("it is no PEM: {error}") }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let mode = std::fs::metadata(path).map_err(|source| file(path, source))?.permissions().mode() & 0o777;
    // A group may read it: that is how distributions hand keys to servers.
    if mode & 0o037 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| {
        // The error might quote what is in it.
        TlsError::Content { path: path.to_owned(), what: "there is no private key in it".to_owned() }
    })
}

/// When the first certificate in a file is over.
pub(super) fn expires(path: &Path) -> Option<Timestamp> {
    let certificate = certificates(path).ok()?.into_iter().next()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| file(path, source))
}

pub(super) fn file(path: &Path, source: io::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source }
}
