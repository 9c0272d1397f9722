//! One keep-alive connection of HTTP/1.1, as lean as hyper has it.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The body of a request.
pub type Body = Full<Bytes>;

/// A connection; requests follow each other on it. One that the server has closed, because it was idle for long, is
/// opened again.
pub struct Connection {
    sender: SendRequest<Body>,
    address: SocketAddr,
    host: String,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; an error shows at the next request.
        tokio::task::spawn_local(driver);
        Ok(Self {
            sender,
            address,
            host: address.to_string(),
        })
    }

    /// A request to this connection's host, to be completed and sent.
    pub fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
    }

    /// Sends a request; the status and the whole body of the answer.
    pub async fn send(&mut self, request: Request<Body>) -> anyhow::Result<(StatusCode, Bytes)> {
        if self.sender.is_closed() {
            *self = Self::open(self.address).await?;
        }
        self.sender
            .ready()
            .await
            .context("the connection is gone")?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }

    /// Fetches a page that must be there.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = self.request(Method::GET, path).body(Body::default())?;
        let (status, body) = self.send(request).await?;
        ensure!(status.is_success(), "{path} answers {status}");
        Ok(body)
    }
}
