//! The way to a server: its address as a URL, and the byte stream that leads there: TCP, TLS (rustls), WebSocket.
//!
//! ```text
//! mqtt://  mqtts://  ws://  wss://     [user[:password]@]host[:port][/path]
//! ```
//!
//! `tcp` stands for `mqtt`, `ssl` and `tls` for `mqtts`. Ports are 1883, 8883, 80 and 443 if none is named; the path is
//! a WebSocket's alone, and `/mqtt` if none is named. User and password are percent-encoded.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_tungstenite::tungstenite::http::Uri;

use super::websocket;
use crate::drive::Stream;

/// The largest packet that there can be, in bytes (section 2.2.3): a server sends no larger frame.
const PACKET_MAXIMUM: u32 = 268_435_460;
/// Where a WebSocket is asked for if nobody says otherwise.
const PATH: &str = "/mqtt";

/// A byte stream of any transport.
pub type BoxedStream = Box<dyn Stream>;

/// What carries MQTT to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS over TCP.
    Mqtts,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    fn named(word: &str) -> Option<Scheme> {
        Some(match word {
            "mqtt" | "tcp" => Scheme::Mqtt,
            "mqtts" | "ssl" | "tls" => Scheme::Mqtts,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            _ => return None,
        })
    }

    /// As it is written in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    /// The port that it has by registration.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Mqtt => 1883,
            Scheme::Mqtts => 8883,
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }

    /// Whether it is encrypted.
    pub const fn is_tls(self) -> bool {
        matches!(self, Scheme::Mqtts | Scheme::Wss)
    }

    /// Whether MQTT comes in frames of a WebSocket.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }
}

/// Where a server is, and who asks. See the module for how it is written; [`fmt::Display`] leaves out the user and the
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// What carries MQTT.
    pub scheme: Scheme,
    /// The name or address of the host; that of an IPv6 host without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path of a WebSocket, with its query.
    pub path: String,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address:?} is no address of a broker: {why}; write mqtt://[user:password@]host[:port], or mqtts, ws, wss")]
pub struct UrlError {
    /// What was written, without the password.
    address: String,
    why: &'static str,
}

impl Url {
    /// A server without credentials, at the default path.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Url {
        let path = if scheme.is_websocket() { PATH } else { "" };
        Url { scheme, host: host.to_owned(), port, path: path.to_owned(), username: None, password: None }
    }

    /// `host:port`, with the brackets of IPv6.
    pub fn authority(&self) -> String {
        let Url { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(address: &str) -> Result<Url, UrlError> {
        let wrong = |why| UrlError { address: without_password(address), why };
        let (scheme, _) = address.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = Scheme::named(&scheme.to_ascii_lowercase()).ok_or_else(|| wrong("its scheme is not known"))?;
        let uri: Uri = address.parse().map_err(|_| wrong("something in it has to be percent-encoded, as %40 for @"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = match port_of(authority.as_str()) {
            None => scheme.default_port(),
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(wrong("its port is not a number from 1 to 65535")),
            },
        };
        let path = match uri.path_and_query() {
            Some(path) if scheme.is_websocket() => {
                if address.ends_with(authority.as_str()) {
                    PATH
                } else {
                    path.as_str()
                }
            }
            Some(path) if !matches!(path.as_str(), "" | "/") => return Err(wrong("only ws and wss have a path")),
            _ => "",
        };
        let credentials = authority.as_str().rsplit_once('@').map(|(credentials, _)| credentials);
        let (username, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            None => (None, None),
            Some((username, password)) => (Some(username), credentials.filter(|it| it.contains(':')).map(|_| password)),
        };
        let decoded = |part: Option<&str>| part.map(decode).transpose();
        Ok(Url {
            scheme,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            username: decoded(username).map_err(wrong)?,
            password: decoded(password).map_err(wrong)?,
        })
    }
}

/// What is written behind the colon of the port, if there is one.
fn port_of(authority: &str) -> Option<&str> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (before, port) = host.rsplit_once(':')?;
    let inside_brackets = before.starts_with('[') && !before.ends_with(']');
    (!inside_brackets).then_some(port)
}

fn decode(part: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(part).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| "its user or password is not UTF-8 once percent-decoded")
}

/// What was written, fit to be shown.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => address.to_owned(),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whom we believe over TLS, and who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities that may sign servers' certificates; those of this system if none is named.
    pub authorities: Option<PathBuf>,
    /// PEM files of our certificate, its own first, and of its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Believe any certificate.
    pub insecure: bool,
}

/// What kept TLS from being set up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// A file cannot be used.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// This system names no authorities.
    #[error("this system names no certificate authorities ({0}); name a file of them with --cafile")]
    NoAuthorities(String),
    /// Certificate and key do not belong together, or are of an unknown kind.
    #[error("{} and {}: {why}", certificate.display(), key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        why: String,
    },
}

/// Makes connections. TLS is set up with the first address that needs it.
#[derive(Clone, Debug, Default)]
pub struct Dialer(Arc<Means>);

#[derive(Debug, Default)]
struct Means {
    trust: Trust,
    tls: OnceLock<Result<Arc<ClientConfig>, TrustError>>,
}

impl Dialer {
    /// Makes connections to servers that are trusted like this.
    pub fn new(trust: Trust) -> Dialer {
        Dialer(Arc::new(Means { trust, tls: OnceLock::new() }))
    }

    /// Whether this address can be dialled: if it needs TLS, that is set up.
    ///
    /// # Errors
    /// If a file that TLS needs cannot be used.
    pub fn prepare(&self, url: &Url) -> Result<(), TrustError> {
        if url.scheme.is_tls() { self.tls().map(|_| ()) } else { Ok(()) }
    }

    /// Connects.
    ///
    /// # Errors
    /// If the host cannot be reached, or is not trusted, or does not speak the transport.
    pub async fn dial(&self, url: &Url) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
        // Packets are small and someone waits for them; that this cannot be had is no reason to give up.
        let _ = stream.set_nodelay(true);
        match url.scheme {
            Scheme::Mqtt => Ok(Box::new(stream)),
            Scheme::Mqtts => Ok(Box::new(self.secure(url, stream).await?)),
            Scheme::Ws => upgrade(url, stream).await,
            Scheme::Wss => upgrade(url, self.secure(url, stream).await?).await,
        }
    }

    async fn secure(&self, url: &Url, stream: TcpStream) -> io::Result<impl Stream> {
        let config = self.tls().map_err(io::Error::other)?;
        let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await.map_err(explain)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, TrustError> {
        self.0.tls.get_or_init(|| self.0.trust.config().map(Arc::new)).clone()
    }
}

async fn upgrade<S: Stream>(url: &Url, stream: S) -> io::Result<BoxedStream> {
    let offered = [websocket::MQTT];
    let (stream, _) = websocket::connect(stream, &url.authority(), &url.path, &offered, PACKET_MAXIMUM).await?;
    Ok(Box::new(stream))
}

/// What went wrong with TLS, and what to do about it.
fn explain(error: io::Error) -> io::Error {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match tls {
        Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => {
            "its certificate is signed by nobody that is trusted here; name the authority's file with --cafile"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            "its certificate is for another name; dial it by a name that stands in the certificate".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            "its certificate has expired".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            "its certificate is not valid yet".to_owned()
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS on this port".to_owned(),
        Some(other) => other.to_string(),
        None => format!("the handshake broke off, {error}; is it TLS on this port?"),
    };
    io::Error::new(error.kind(), format!("TLS: {why}"))
}

impl Trust {
    fn config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| TrustError::NoAuthorities(error.to_string()))?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        } else {
            let roots = Arc::new(self.roots()?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| TrustError::NoAuthorities(error.to_string()))?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, secret) = (certificates(certificate)?, private_key(key)?);
                builder.with_client_auth_cert(chain, secret).map_err(|error| TrustError::Identity {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    why: error.to_string(),
                })?
            }
        };
        // Each connection is judged by itself.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TrustError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.authorities {
            for certificate in certificates(file)? {
                let added = roots.add(certificate);
                added.map_err(|error| TrustError::File { file: file.clone(), why: error.to_string() })?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let why = if errors.is_empty() { "none are installed".to_owned() } else { errors.join(", ") };
            return Err(TrustError::NoAuthorities(why));
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(TrustError::File { file: file.to_owned(), why: "there is no certificate in it (PEM)".to_owned() })
        }
        read => read.map_err(|error| unusable(file, &error, "certificate")),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| unusable(file, &error, "private key"))
}

fn unusable(file: &Path, error: &pem::Error, wanted: &str) -> TrustError {
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("there is no {wanted} in it (PEM)"),
        error => format!("it is not in PEM form: {error}"),
    };
    TrustError::File { file: file.to_owned(), why }
}

/// Believes whatever certificate a server shows, if only it has the key to it.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
