//! A receiver that sends back what it was sent, in as many ways as there are paths.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// Listens on loopback until it is dropped.
pub struct Echo {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Echo {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serve);
            }
        });
        Self { address, accepting }
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

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
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

/// What a header may hold.
fn header_of(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '{' | '}'))
        .collect()
}
