//! A collector of OpenTelemetry: it takes traces by OTLP over HTTP and reads them with the types that the protocol's own
//! definition makes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};

/// Takes everything, until it is dropped.
pub struct Collector {
    address: SocketAddr,
    exports: Arc<Mutex<Vec<Export>>>,
    accepting: JoinHandle<()>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Export {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A span as it was told.
#[derive(Debug, Clone)]
pub struct Told {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub is_error: bool,
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// From its beginning to its end, in nanoseconds.
    pub took: u64,
    /// What it says of who told it.
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let exports = Arc::<Mutex<Vec<Export>>>::default();
        let all = exports.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = all.clone();
                let service = service_fn(move |request| take(request, all.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            exports,
            accepting,
        }
    }

    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` wants it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came.
    pub fn exports(&self) -> Vec<Export> {
        self.exports.lock().unwrap().clone()
    }

    /// All spans that came.
    pub fn spans(&self) -> Vec<Told> {
        self.exports().iter().flat_map(Export::spans).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Export {
    fn spans(&self) -> Vec<Told> {
        let decoded = ExportTraceServiceRequest::decode(self.body.clone()).unwrap();
        let mut told = Vec::new();
        for group in decoded.resource_spans {
            let resource = attributes(&group.resource.unwrap().attributes);
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                told.push(Told::of(&span, resource.clone()));
            }
        }
        told
    }
}

impl Told {
    fn of(span: &Span, resource: BTreeMap<String, String>) -> Self {
        assert_eq!(span.trace_state, "");
        let status = span.status.clone().unwrap_or_default();
        assert_eq!(status.message, "");
        assert!(span.links.is_empty());
        for event in &span.events {
            assert!(event.attributes.is_empty());
            assert!(
                (span.start_time_unix_nano..=span.end_time_unix_nano)
                    .contains(&event.time_unix_nano)
            );
        }
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name.clone(),
            kind: span.kind(),
            is_error: status.code() == StatusCode::Error,
            attributes: attributes(&span.attributes),
            events: span.events.iter().map(|event| event.name.clone()).collect(),
            took: span.end_time_unix_nano - span.start_time_unix_nano,
            resource,
        }
    }

    /// An attribute; empty if there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// The names of its attributes, in order.
    pub fn keys(&self) -> Vec<&str> {
        self.attributes.keys().map(String::as_str).collect()
    }
}

async fn take(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Export>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    all.lock().unwrap().push(Export {
        path: head.uri.to_string(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    });
    Ok(Response::new(Full::default()))
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{}: {other:?}", pair.key),
    };
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), text(pair)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
