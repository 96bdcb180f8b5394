//! TLS as a server: certificates and keys from PEM files, read anew when asked to; what certificates of clients say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::codec::Text;
use crate::drive::Stream;

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The files of a server, and what it wants of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and those it is signed with, its own first (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// What clients have to show, if anything.
    pub clients: Option<Clients>,
}

/// What certificates of clients are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// The authorities that sign them (PEM).
    pub authorities: PathBuf,
    /// Whether a client may come without one.
    pub optional: bool,
    /// Whether the common name in a certificate is the user: no password is asked for.
    pub name_users: bool,
}

/// What is wrong with those files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{shown}: {why}", shown = file.display())]
pub struct TlsError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// TLS of a listener. Clones share what is read anew.
#[derive(Clone, Debug)]
pub struct Tls {
    identity: Identity,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn new(identity: Identity) -> Result<Tls, TlsError> {
        let current = Arc::new(RwLock::new(identity.config()?));
        Ok(Tls { identity, current })
    }

    /// Reads the files again. Connections that are there keep what they have; so do new ones, where a file is wrong.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = self.identity.config()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Shakes hands; the stream, and the user that the client's certificate names, where that counts.
    ///
    /// # Errors
    /// If the client wants something else, is not trusted, or takes too long.
    pub async fn accept<S: Stream>(&self, stream: S) -> io::Result<(TlsStream<S>, Option<Text>)> {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = timeout(HANDSHAKE_TIME, TlsAcceptor::from(config).accept(stream)).await??;
        let counts = self.identity.clients.as_ref().is_some_and(|clients| clients.name_users);
        let first = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let user = first.filter(|_| counts).and_then(common_name);
        Ok((stream, user))
    }
}

impl Identity {
    fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certificates = certificates(&self.certificate)?;
        let wrong = |file: &Path, why: String| TlsError { file: file.to_owned(), why };
        let pem = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| wrong(&self.key, "there is no private key in it (PEM, not encrypted)".to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                for certificate in self::certificates(&clients.authorities)? {
                    roots.add(certificate).map_err(|error| wrong(&clients.authorities, error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if clients.optional { verifier.allow_unauthenticated() } else { verifier };
                let verifier = verifier.build().map_err(|error| wrong(&clients.authorities, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(certificates, key).map_err(|error| {
            let why = format!("it does not go with the certificate {}: {error}", self.certificate.display());
            wrong(&self.key, why)
        })?;
        Ok(Arc::new(config))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError { file: file.to_owned(), why: error.to_string() })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: &str| TlsError { file: file.to_owned(), why: why.to_owned() };
    let pem = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(wrong("there is no certificate in it (PEM)")),
    }
}

/// The common name in a certificate, if it can be a user's name.
fn common_name(certificate: &CertificateDer<'_>) -> Option<Text> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Text::try_from(name).ok()
}

/// A certificate for this machine alone, made for one run and thrown away after it.
#[derive(Debug)]
pub struct Development {
    folder: tempfile::TempDir,
}

impl Development {
    /// Makes it, in a folder of its own that goes with it.
    ///
    /// # Errors
    /// If nothing can be written, or nothing made.
    pub fn new() -> io::Result<Development> {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
        let folder = tempfile::Builder::new().prefix("simrun-").tempdir()?;
        let made = || -> Result<_, rcgen::Error> {
            let mut authority = CertificateParams::new(Vec::new())?;
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            authority.distinguished_name.push(DnType::CommonName, "simrun development, for one run");
            let authority_key = KeyPair::generate()?;
            let authority_certificate = authority.self_signed(&authority_key)?;
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let mut server = CertificateParams::new(names)?;
            server.distinguished_name.push(DnType::CommonName, "localhost");
            let key = KeyPair::generate()?;
            let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
            Ok((authority_certificate.pem(), certificate.pem(), key.serialize_pem()))
        };
        let (authority, certificate, key) = made().map_err(io::Error::other)?;
        let development = Development { folder };
        fs::write(development.authority(), authority)?;
        fs::write(development.file("server.pem"), certificate)?;
        fs::write(development.file("server.key"), key)?;
        Ok(development)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file that clients have to trust.
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// What a listener needs.
    pub fn identity(&self) -> Identity {
        Identity { certificate: self.file("server.pem"), key: self.file("server.key"), clients: None }
    }
}
