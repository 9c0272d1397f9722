//! A bare server: reads the body and answers always the same. What HTTP alone costs on this machine.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::measure::CpuMeter;
use crate::process::Guarded;

/// As long as the answer about an active token.
const ANSWER: &str = r#"{"active":true,"integration_id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","application_id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","enterprise_id":"8865aa96-f62d-4f9b-a912-ab2100f60f42","client_id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","token_type":"Bearer","iat":1576248172}"#;

/// A running bare server.
pub struct Bare {
    process: Guarded,
    address: SocketAddr,
}

impl Bare {
    pub fn start() -> anyhow::Result<Self> {
        let (process, address) = Guarded::start_own("bare")?;
        Ok(Self { process, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Measures the CPU time that it spends from now on.
    pub fn cpu(&self) -> anyhow::Result<CpuMeter> {
        CpuMeter::start(self.process.id())
    }
}

/// Serves until stdin ends, on as many threads as the real server has.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        let mut ended = stdin_ended();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                _ = &mut ended => return Ok(()),
            };
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // A client that hangs up is not the server's trouble.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request.into_body().collect().await);
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn stdin_ended() -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = tell.send(());
    });
    ended
}
