//! What a server's certificate is checked against, and what this side shows.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;

/// The least version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3
    #[default]
    V1_2,
    /// 1.3 only
    V1_3,
}

/// How a server is recognized. The default trusts whom the operating system trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// File of certificates (PEM) that are trusted in place of the system's.
    pub ca_cert: Option<PathBuf>,
    /// The name that the certificate must hold, in place of the address's.
    pub server_name: Option<String>,
    /// Trust whoever answers. For development only: it protects against nobody who is on the way.
    pub insecure: bool,
    /// File of the certificate (PEM) that is shown to the server, followed by those that vouch for it.
    pub client_cert: Option<PathBuf>,
    /// File of its key (PEM).
    pub client_key: Option<PathBuf>,
    /// The least version of TLS.
    pub min_version: TlsVersion,
}

/// Why TLS cannot be spoken as asked.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read {what} from {}: {reason}", path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it was not found.
        reason: String,
    },
    /// The system trusts nobody.
    #[error("this system has no certificates to trust: {0}")]
    NoRoots(String),
    /// A certificate without its key, or the other way round.
    #[error("a client certificate needs its key: give both or neither")]
    HalfIdentity,
    /// They do not fit together, or rustls wants none of it.
    #[error("the client certificate cannot be used: {0}")]
    Identity(rustls::Error),
    /// No name of a server.
    #[error("'{0}' is not the name of a server")]
    ServerName(String),
    /// Something that the library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsOptions {
    /// The configuration that they describe.
    pub(super) fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(self.versions()).map_err(TlsError::Setup)?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match (&self.client_cert, &self.client_key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let chain = certificates("the client certificate", cert)?;
                builder.with_client_auth_cert(chain, private_key(key)?).map_err(TlsError::Identity)
            }
            _ => Err(TlsError::HalfIdentity),
        }
    }

    /// The name that the certificate of `host` must hold.
    pub(super) fn name_of(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.escape_debug().to_string()))
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self.min_version {
            TlsVersion::V1_2 => &BOTH,
            TlsVersion::V1_3 => &BOTH[..1],
        }
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_cert {
            for certificate in certificates("trusted certificates", path)? {
                roots.add(certificate).map_err(|error| unreadable("trusted certificates", path, &error))?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NoRoots(reasons.join("; ")));
        }
        Ok(roots)
    }
}

fn unreadable(what: &'static str, path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError::File { what, path: path.to_owned(), reason: reason.to_string() }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = fs::read(path).map_err(|error| unreadable(what, path, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unreadable(what, path, &"it holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(what, path, &error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const WHAT: &str = "the client key";
    let pem = fs::read(path).map_err(|error| unreadable(WHAT, path, &error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => unreadable(WHAT, path, &"it holds no unencrypted key in PEM"),
        error => unreadable(WHAT, path, &error),
    })
}

/// Takes every certificate; that the server has its key is still proved.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
