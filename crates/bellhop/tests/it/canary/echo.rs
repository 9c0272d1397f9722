//! A receiver that sends back what it was sent, in as many ways as there are paths.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bellhop::random::{SystemRandom, bytes};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

use super::canaries::hex;

/// Listens on loopback until it is dropped. It is an authorization server as well (OAuth 2).
pub struct Echo {
    address: SocketAddr,
    /// The access tokens that it has issued.
    issued: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Echo {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issued = Arc::<Mutex<Vec<String>>>::default();
        let issuing = issued.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let issuing = issuing.clone();
                let service = service_fn(move |request| answer(request, issuing.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            issued,
            accepting,
        }
    }

    /// The access tokens that webhooks were given here.
    pub fn issued(&self) -> Vec<String> {
        self.issued.lock().unwrap().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    issuing: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let body = body.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let all = format!(
        "{} {}\n{:?}\n{text}",
        parts.method, parts.uri, parts.headers
    );
    let response = Response::builder();
    let answered = match parts.uri.path() {
        "/ok" => response.status(204).body(String::new()),
        "/echo" => response.status(200).body(all),
        "/fail" => response.status(500).body(all),
        // Short-lived, so that there are many.
        "/token" => response.status(200).body(issue(&issuing)),
        // What an authorization server says when it refuses (RFC 6749 section 5.2), and far too much of it.
        "/no-token" => response.status(400).body(
            serde_json::json!({ "error": "invalid_client", "error_description": all }).to_string(),
        ),
        "/json" => response
            .status(422)
            .body(serde_json::json!({ "received": all }).to_string()),
        "/html" => response
            .status(400)
            .body(all.replace('"', "&quot;").replace('/', "&#x2F;")),
        "/header" => response
            .status(500)
            .header("x-received", header_of(&text))
            .header(
                "x-api-key",
                header_of(&format!("{:?}", parts.headers.get("x-api-key"))),
            )
            .body(String::new()),
        "/away" => response
            .status(307)
            .header(
                "location",
                format!("http://127.0.0.1:9/?{}", header_of(&text)),
            )
            .body(String::new()),
        // What is kept of a response ends in the middle of it.
        "/cut" => response.status(500).body(format!("{:4000}{text}{all}", "")),
        _ => response.status(404).body(all),
    };
    Ok(answered
        .unwrap_or_else(|error| Response::new(error.to_string()))
        .map(|body| Full::from(Bytes::from(body))))
}

fn issue(issuing: &Mutex<Vec<String>>) -> String {
    let token = hex(&bytes::<20>(&SystemRandom));
    issuing.lock().unwrap().push(token.clone());
    serde_json::json!({ "access_token": token, "token_type": "Bearer", "expires_in": 61 })
        .to_string()
}

/// What a header may hold.
fn header_of(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '{' | '}'))
        .collect()
}
