//! TLS to receivers: HTTP/1.1, certificates verified, no way to switch that off.

use std::{io, sync::Arc};

use http::Uri;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ConnectError, TargetHost, dial::Wire};
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
    roots: Roots,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub const fn new(roots: Roots) -> Self {
        Self {
            roots,
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
        let roots = match &self.roots {
            Roots::Only(store) => Arc::clone(store),
            Roots::System => Arc::new(system_roots().await),
            Roots::SystemAnd(further) => {
                let mut store = system_roots().await;
                store.add_parsable_certificates(further.iter().cloned());
                Arc::new(store)
            }
        };
        if roots.is_empty() {
            let detail = "this machine has no trusted certificate authorities; install its ca-certificates package";
            return Err(ConnectError::new(Cause::Internal, detail));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::new(Cause::Internal, error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
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

fn cause_of(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_cause(certificate),
        _ => Cause::TlsFailed,
    }
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
