//! TLS to receivers: HTTP/1.1, certificates verified, no way to switch that off.

use std::{io, sync::Arc};

use http::Uri;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ClientIdentity, ConnectError, IdentityError, TargetHost, dial::Wire};
use crate::domain::cause::Cause;

/// Whose certificates are trusted.
#[derive(Debug, Clone, Default)]
pub enum Roots {
    /// The authorities that this machine trusts, read at the first https connection.
    #[default]
    System,
    /// Those and further ones, for receivers with certificates of the operator's own authority.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// Exactly these.
    Only(Arc<RootCertStore>),
}

/// Makes TLS connections. Costs nothing until the first one.
#[derive(Debug)]
pub struct Tls {
    authorities: Arc<Authorities>,
    /// Who we are to a receiver that asks.
    identity: Option<Result<ClientIdentity, IdentityError>>,
    config: OnceCell<Arc<ClientConfig>>,
}

/// The roots, and what they come to, read once for all.
#[derive(Debug)]
struct Authorities {
    roots: Roots,
    store: OnceCell<Arc<RootCertStore>>,
}

impl Tls {
    pub fn new(roots: Roots) -> Self {
        let store = OnceCell::const_new();
        Self {
            authorities: Arc::new(Authorities { roots, store }),
            identity: None,
            config: OnceCell::const_new(),
        }
    }

    /// The same with a client certificate. Sessions are not shared with the others either.
    #[must_use]
    pub fn identified(&self, identity: Result<ClientIdentity, IdentityError>) -> Self {
        Self {
            authorities: Arc::clone(&self.authorities),
            identity: Some(identity),
            config: OnceCell::const_new(),
        }
    }

    /// The handshake; `host` must be the one of the URL.
    pub async fn connect(
        &self,
        host: &TargetHost,
        wire: Box<dyn Wire>,
    ) -> Result<TlsStream<Box<dyn Wire>>, ConnectError> {
        let config = self.config.get_or_try_init(|| self.load()).await?;
        let name = match host {
            TargetHost::Ip(ip) => ServerName::from(*ip),
            TargetHost::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| {
                ConnectError::new(
                    Cause::UrlRefused,
                    "the host name cannot be in a certificate",
                )
            })?,
        };
        TlsConnector::from(Arc::clone(config))
            .connect(name, wire)
            .await
            .map_err(|error| classify_handshake(&error))
    }

    async fn load(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let authorities = &self.authorities;
        let roots = authorities.store.get_or_init(|| authorities.load()).await;
        if roots.is_empty() {
            let detail = "this machine has no trusted certificate authorities; install its ca-certificates package";
            return Err(ConnectError::new(Cause::Internal, detail));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::new(Cause::Internal, error.to_string()))?
            .with_root_certificates(Arc::clone(roots));
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => identity
                .clone()
                .map_err(|error| ConnectError::new(Cause::Internal, error.to_string()))
                .and_then(|ClientIdentity { chain, key }| {
                    config
                        .with_client_auth_cert(chain, key)
                        .map_err(|error| ConnectError::new(Cause::Internal, error.to_string()))
                })?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Authorities {
    async fn load(&self) -> Arc<RootCertStore> {
        match &self.roots {
            Roots::Only(store) => Arc::clone(store),
            Roots::System => Arc::new(system_roots().await),
            Roots::SystemAnd(further) => {
                let mut store = system_roots().await;
                store.add_parsable_certificates(further.iter().cloned());
                Arc::new(store)
            }
        }
    }
}

/// Reads the certificates on a thread where reading files disturbs nobody.
async fn system_roots() -> RootCertStore {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .unwrap_or_default();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(loaded.certs);
    store
}

/// What went wrong in a handshake.
fn classify_handshake(error: &io::Error) -> ConnectError {
    let Some(tls) = of_tls(error) else {
        let (cause, what) = match error.kind() {
            io::ErrorKind::UnexpectedEof => (Cause::ClosedEarly, "closed"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (Cause::Reset, "reset"),
            _ => (Cause::TlsFailed, "broke"),
        };
        return ConnectError::new(
            cause,
            format!("the connection was {what} during the TLS handshake"),
        );
    };
    ConnectError::new(cause_of(tls), tls.to_string())
}

/// The cause, if it is TLS that failed.
pub fn tls_cause(error: &io::Error) -> Option<Cause> {
    of_tls(error).map(cause_of)
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// The cause of what TLS says.
pub fn cause_of(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_cause(certificate),
        rustls::Error::AlertReceived(alert) if is_of_ours(*alert) => Cause::TlsClientCertificate,
        _ => Cause::TlsFailed,
    }
}

/// Whether the other side says so of a certificate: it can only mean ours (RFC 8446 section 6.2).
const fn is_of_ours(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn certificate_cause(error: &CertificateError) -> Cause {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Cause::TlsCertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Cause::TlsCertificateNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Cause::TlsWrongHost
        }
        // `Other` is, among rarer things, a self-signed certificate that calls itself an authority.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::Revoked
        | CertificateError::InvalidPurpose
        | CertificateError::InvalidPurposeContext { .. }
        | CertificateError::Other(_) => Cause::TlsUntrusted,
        _ => Cause::TlsFailed,
    }
}

/// Whether a URI is to be spoken to with TLS.
pub fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&http::uri::Scheme::HTTPS)
}
