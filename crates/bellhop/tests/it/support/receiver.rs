//! A receiver on loopback that answers as it is told, and writes down what came.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// A receiver. What it is not told to answer, it answers with 204.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Scripted {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its path, with the query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<VecDeque<Scripted>>,
    received: Mutex<Vec<Received>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    is_held: watch::Sender<bool>,
}

impl Receiver {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next answers, in order.
    pub fn answers(&self, answers: impl IntoIterator<Item = impl Into<Scripted>>) {
        self.shared
            .script
            .lock()
            .unwrap()
            .extend(answers.into_iter().map(Into::into));
    }

    /// From now on it answers with 204 again.
    pub fn forget_answers(&self) {
        self.shared.script.lock().unwrap().clear();
    }

    /// Whether what comes waits for its answer.
    pub fn hold(&self, is_held: bool) {
        self.shared.is_held.send_replace(is_held);
    }

    /// The most requests that were under way at a time.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(SeqCst)
    }

    /// Everything that came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Received {
    /// A header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The sequence of the message.
    pub fn sequence(&self) -> u64 {
        self.header("bellhop-sequence").parse().unwrap()
    }
}

impl From<u16> for Scripted {
    fn from(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

impl Scripted {
    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body; `{echo}` in it becomes the request's body.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, shared.clone()));
            // A connection that the sender drops is its affair.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let open = shared.open.fetch_add(1, SeqCst) + 1;
    shared.most_open.fetch_max(open, SeqCst);
    // So that all that is sent at the same time is here at the same time.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let scripted = shared
        .script
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or_else(|| 204.into());
    let text = scripted
        .body
        .replace("{echo}", &String::from_utf8_lossy(&body));
    shared.received.lock().unwrap().push(Received {
        path: head.uri.to_string(),
        headers: head.headers,
        body,
    });
    let mut is_held = shared.is_held.subscribe();
    is_held.wait_for(|is_held| !is_held).await.unwrap();
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::from_u16(scripted.status).unwrap();
    for (name, value) in scripted.headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    shared.open.fetch_sub(1, SeqCst);
    Ok(response)
}
