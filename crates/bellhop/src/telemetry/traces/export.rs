//! The way of spans to the collector, over the HTTP and the TLS that everything else here uses. The collector is the
//! operator's own setting and no stranger's input, so the egress guard does not judge it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use prometheus_client::metrics::counter::Counter;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::runtime::Handle;

use crate::config;

/// A collector says in a few words what it did not take.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// Nobody could say whether the collector is who it should be.
    #[error(
        "this machine has no trusted certificate authorities, and the collector of traces is asked over https; \
         install its ca-certificates package, or name a file of them in OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    NoAuthorities,
    /// The file of authorities cannot be used.
    #[error("the certificate authorities in {} (OTEL_EXPORTER_OTLP_CERTIFICATE): {reason}", path.display())]
    Authorities {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS to the collector of traces: {0}")]
    Tls(#[from] rustls::Error),
    /// The library takes a variable for wrong.
    #[error("OTEL_EXPORTER_OTLP_…: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// What is known of the spans on their way.
#[derive(Debug, Clone)]
pub struct Exporting(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many wait to be sent.
    waiting: AtomicUsize,
    room: usize,
    /// The collector did not take what was sent last.
    is_away: AtomicBool,
    dropped: Counter,
}

/// The library's exporter, and what becomes of what it is given.
#[derive(Debug)]
struct Watched {
    exporter: opentelemetry_otlp::SpanExporter,
    exporting: Exporting,
}

/// The library asks on a thread of its own, where no runtime is; the client wants one.
#[derive(Debug)]
struct OnRuntime {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    runtime: Handle,
}

/// What sends to this collector.
pub fn exporter(
    to: &config::Traces,
    exporting: &Exporting,
) -> Result<impl SpanExporter + 'static, TracesError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(to)?)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let client = OnRuntime {
        client: Client::builder(TokioExecutor::new()).build(connector),
        timeout: to.timeout,
        runtime: Handle::current(),
    };
    // Headers it reads itself.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(to.endpoint.expose())
        .with_timeout(to.timeout)
        .build()?;
    Ok(Watched {
        exporter,
        exporting: exporting.clone(),
    })
}

/// What this machine trusts, and what the operator names.
fn authorities(to: &config::Traces) -> Result<RootCertStore, TracesError> {
    let mut store = RootCertStore::empty();
    if !to.endpoint.expose().starts_with("https:") {
        return Ok(store);
    }
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    if let Some(path) = &to.ca_file {
        store.add_parsable_certificates(read_authorities(path)?);
    }
    if store.is_empty() {
        return Err(TracesError::NoAuthorities);
    }
    Ok(store)
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TracesError> {
    let wrong = |reason: String| TracesError::Authorities {
        path: path.to_owned(),
        reason,
    };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let read = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(read)
}

impl Exporting {
    /// With room for so many.
    pub fn new(room: usize, dropped: Counter) -> Self {
        Self(Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            room,
            is_away: AtomicBool::new(false),
            dropped,
        }))
    }

    /// Takes a place for one more; if there is none, the span is dropped and counted. The library's own queue is as long,
    /// but it does not tell how many it dropped.
    pub fn has_room(&self) -> bool {
        let take = |waiting| (waiting < self.0.room).then_some(waiting + 1);
        let has_room = self.0.waiting.fetch_update(Relaxed, Relaxed, take).is_ok();
        if !has_room {
            self.0.dropped.inc();
        }
        has_room
    }

    /// Whether the collector did not take what was sent last.
    pub fn is_away(&self) -> bool {
        self.0.is_away.load(Relaxed)
    }

    /// One line when the collector goes away, and one when it is back.
    fn ended(&self, spans: usize, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                if self.0.is_away.swap(false, Relaxed) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(error) => {
                self.0.dropped.inc_by(spans as u64);
                if !self.0.is_away.swap(true, Relaxed) {
                    tracing::warn!(
                        %error,
                        "the collector takes no traces; they are dropped and counted until it does"
                    );
                }
            }
        }
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.exporting.0.waiting.fetch_sub(spans, Relaxed);
        let result = self.exporter.export(batch).await;
        self.exporting.ended(spans, &result);
        result
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let asked = self.client.request(request.map(Full::new));
        let sent = async {
            let (head, body) = asked.await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let within = self.timeout;
        let sent = self
            .runtime
            .spawn(async move { tokio::time::timeout(within, sent).await? });
        sent.await?
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_so_is_what_is_not_taken() {
        let dropped = Counter::default();
        let exporting = Exporting::new(2, dropped.clone());
        assert_eq!(
            [(); 4].map(|()| exporting.has_room()),
            [true, true, false, false]
        );
        assert_eq!(dropped.get(), 2);
        exporting.0.waiting.fetch_sub(2, Relaxed);
        exporting.ended(2, &Err(OTelSdkError::AlreadyShutdown));
        assert_eq!((dropped.get(), exporting.is_away()), (4, true));
        assert!(exporting.has_room());
        exporting.ended(1, &Ok(()));
        assert_eq!((dropped.get(), exporting.is_away()), (4, false));
    }
}
