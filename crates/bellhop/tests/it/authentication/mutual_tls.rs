//! Client certificates, against a server of rustls that asks for them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest::{SHA256, digest};
use bellhop::delivery::egress::Roots;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::attempt;
use crate::support::{app::text, sending::Sending};

/// An authority of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A request, by the connection that it came over and the certificate that was shown there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    pub path: String,
    connection: usize,
    pub fingerprint: Option<String>,
}

/// A receiver that asks for a client certificate of the authority.
pub struct Server {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    accepting: JoinHandle<()>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A client's certificate, as a webhook takes it.
    pub fn client(&self, name: &str) -> Value {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        json!({ "CertificatePem": certificate.pem(), "PrivateKeyPem": key.serialize_pem() })
    }

    /// Asks for a certificate of `clients`; takes connections without one too, unless it must be.
    pub async fn serve(
        &self,
        clients: &Self,
        is_required: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(default_provider());
        let asks = WebPkiClientVerifier::builder_with_provider(clients.roots(), provider.clone());
        let asks = if is_required {
            asks
        } else {
            asks.allow_unauthenticated()
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(asks.build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Server::start(Arc::new(config)).await
    }
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let acceptor = TlsAcceptor::from(config);
        let all = came.clone();
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let accepted = acceptor.accept(stream).into_fallible();
                let came = all.clone();
                tokio::spawn(async move {
                    let stream = match accepted.await {
                        Ok(stream) => stream,
                        Err((_, mut stream)) => {
                            // Reads to the end, so that the alert is not lost in a reset.
                            let _ = stream.read_to_end(&mut Vec::new()).await;
                            return;
                        }
                    };
                    let shown = stream.get_ref().1.peer_certificates();
                    let fingerprint = shown.map(|chain| hexadecimal(&chain[0]));
                    let service = service_fn(move |request: Request<Incoming>| {
                        came.lock().unwrap().push(Came {
                            path: request.uri().path().to_owned(),
                            connection,
                            fingerprint: fingerprint.clone(),
                        });
                        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            came,
            accepting,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn hexadecimal(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = digest(&SHA256, der);
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

async fn webhook(sending: &Sending, url: String, certificate: Value) -> Value {
    let mut settings = json!({ "Url": url, "RetrySchedule": [0] });
    if certificate.is_object() {
        settings["ClientCertificate"] = certificate;
    }
    sending.app.webhook(&sending.application, settings).await
}

#[tokio::test]
async fn each_webhook_shows_its_own_and_shares_no_connection() {
    let authority = Authority::new("ours");
    let server = authority
        .serve(&authority, false, rustls::ALL_VERSIONS)
        .await;
    let mut sending = Sending::trusting(Roots::Only(authority.roots())).await;
    let first = webhook(&sending, server.url("/first"), authority.client("first")).await;
    let second = webhook(&sending, server.url("/second"), authority.client("second")).await;
    webhook(&sending, server.url("/without"), Value::Null).await;
    // Rounds, so that idle connections of each lie in the pools when the others connect.
    for round in 0..4 {
        for name in 0..3 {
            sending.integration(&format!("{round} {name}")).await;
        }
        assert_eq!(sending.drain().await, 9);
    }
    let wanted = |webhook: &Value| Some(text(&webhook["ClientCertificate"]["FingerprintSha256"]));
    let came = server.came();
    assert_eq!(came.len(), 36);
    for each in &came {
        let fingerprint = match &*each.path {
            "/first" => wanted(&first),
            "/second" => wanted(&second),
            _ => None,
        };
        assert_eq!(each.fingerprint, fingerprint, "{each:?}");
        let shared = came
            .iter()
            .any(|other| other.connection == each.connection && other.path != each.path);
        assert!(!shared, "{each:?}");
    }
    // Connections are kept and used again all the same.
    let connections: std::collections::HashSet<_> =
        came.iter().map(|each| each.connection).collect();
    assert!(connections.len() < came.len(), "{connections:?}");

    // Another certificate is shown from the next request on, over another connection.
    let path = format!("/v1/webhooks/{}", text(&first["Id"]));
    let change = json!({ "ClientCertificate": authority.client("anew") });
    let asking = sending.app.operator(Method::PATCH, &path).json(&change);
    let changed = asking.send().await.expect(200);
    sending.integration("last").await;
    sending.drain().await;
    let last = server
        .came()
        .into_iter()
        .rfind(|each| each.path == "/first")
        .unwrap();
    assert_eq!(last.fingerprint, wanted(&changed));
    assert!(!connections.contains(&last.connection));
}

#[tokio::test]
async fn a_receiver_that_wants_another_is_told_apart_from_other_failures() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let server = authority.serve(&authority, true, versions).await;
        let mut sending = Sending::trusting(Roots::Only(authority.roots())).await;
        webhook(&sending, server.url("/right"), authority.client("right")).await;
        webhook(&sending, server.url("/none"), Value::Null).await;
        webhook(&sending, server.url("/wrong"), stranger.client("wrong")).await;
        sending.integration("one").await;
        assert_eq!(sending.drain().await, 3);
        let list = sending.app.get("/v1/deliveries").await.expect(200);
        let causes: Vec<_> = list["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| each["Cause"].clone())
            .collect();
        let refused = causes
            .iter()
            .filter(|cause| **cause == "tls_client_certificate")
            .count();
        assert_eq!((refused, server.came().len()), (2, 1), "{list}");
    }
}

#[tokio::test]
async fn it_goes_with_a_bearer_token() {
    let authority = Authority::new("ours");
    let server = authority
        .serve(&authority, true, rustls::ALL_VERSIONS)
        .await;
    let mut sending = Sending::trusting(Roots::Only(authority.roots())).await;
    let settings = json!({
        "Url": server.url("/both"), "RetrySchedule": [0], "ClientCertificate": authority.client("both"),
        "Authentication": { "Type": "Bearer", "Token": "canary" }
    });
    sending.app.webhook(&sending.application, settings).await;
    let id = sending.integration("one").await;
    sending.drain().await;
    let attempt = attempt(&sending, &id).await;
    assert_eq!(attempt["Outcome"], "Succeeded", "{attempt}");
    assert_eq!(server.came().len(), 1);
}
