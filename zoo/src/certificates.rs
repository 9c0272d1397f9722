//! A certificate authority for tests, and certificates of it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// Why making a certificate cannot fail here.
const MADE: &str = "the parameters are fixed";

/// A certificate authority, made anew each time.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for another host.
    OtherHost,
    /// Nobody else signed it.
    SelfSigned,
    /// Nobody else signed it, and it calls itself an authority.
    SelfSignedAuthority,
    /// An authority that nobody knows signed it.
    UnknownAuthority,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A fresh one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect(MADE);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect(MADE);
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect(MADE),
        }
    }

    /// Trust in it, and in nobody else.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect(MADE);
        Arc::new(roots)
    }

    /// Its certificate, as a file has it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's configuration with a certificate for `host`, a name or an address.
    pub fn server(&self, host: &str, flaw: Flaw) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect(MADE);
        let host = if flaw == Flaw::OtherHost {
            "other.example.com"
        } else {
            host
        };
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect(MADE);
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(2100, 1, 1),
            Flaw::SelfSignedAuthority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Flaw::None | Flaw::OtherHost | Flaw::SelfSigned | Flaw::UnknownAuthority => {}
        }
        let certificate = match flaw {
            Flaw::SelfSigned | Flaw::SelfSignedAuthority => params.self_signed(&key),
            Flaw::UnknownAuthority => params.signed_by(&key, &Self::new().issuer),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.expect(MADE).der().clone();
        configured(certificate, &key, Arc::new(NoClientAuth))
    }

    /// The same without a flaw, and nobody is served who shows no certificate of this authority.
    pub fn server_asking(&self, host: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect(MADE);
        let params = CertificateParams::new(vec![host.to_owned()]).expect(MADE);
        let certificate = params.signed_by(&key, &self.issuer).expect(MADE);
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem().as_bytes()).expect(MADE);
        roots.add(own).expect(MADE);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let clients = clients.build().expect(MADE);
        configured(certificate.der().clone(), &key, clients)
    }
}

fn configured(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect(MADE)
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .expect(MADE);
    Arc::new(config)
}
