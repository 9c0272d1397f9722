//! A behaviour, played on one connection.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    behaviour::Behaviour,
    receiver::{Shared, header},
};

/// Between two pieces of what drips.
const DRIP: Duration = Duration::from_millis(10);
/// No request of a sender is longer.
const MOST_REQUEST_BYTES: usize = 16 << 20;

/// A connection that can be reset.
pub trait Link: AsyncRead + AsyncWrite + Unpin + Send {
    /// Ends it with a RST.
    fn reset(self);
}

impl Link for TcpStream {
    fn reset(self) {
        // Without it the end is a FIN, and the test that wants a RST says so.
        let _ = self.set_zero_linger();
    }
}

impl Link for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) {
        self.into_inner().0.reset();
    }
}

pub struct Script {
    pub behaviour: Behaviour,
    pub shared: Arc<Shared>,
}

impl Script {
    /// Ends when the connection does.
    pub async fn play(self, mut stream: impl Link) -> Option<()> {
        match &self.behaviour {
            Behaviour::Close => return None,
            Behaviour::Reset => {
                stream.reset();
                return None;
            }
            Behaviour::Blurt(bytes) => {
                stream.read_u8().await.ok()?;
                self.write(&mut stream, bytes).await?;
                return until_it_ends(&mut stream).await;
            }
            Behaviour::ReadSlowly => loop {
                stream.read_u8().await.ok()?;
                tokio::time::sleep(DRIP).await;
            },
            _ => {}
        }
        loop {
            let request = self.read_request(&mut stream).await?;
            match self.answer_of(self.shared.received()) {
                Behaviour::Answer(bytes) => self.write(&mut stream, bytes).await?,
                Behaviour::AnswerAndClose(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    stream.shutdown().await.ok()?;
                    return None;
                }
                Behaviour::AnswerAndReset(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    // Otherwise the reset can overtake the answer.
                    tokio::time::sleep(DRIP * 3).await;
                    stream.reset();
                    return None;
                }
                Behaviour::AnswerOnce(bytes) => {
                    self.write(&mut stream, bytes).await?;
                    self.read_request(&mut stream).await?;
                    return None;
                }
                Behaviour::Echo => self.echo(&mut stream, &request).await?,
                Behaviour::Endless { head, piece } => {
                    self.write(&mut stream, head).await?;
                    loop {
                        self.write(&mut stream, piece).await?;
                    }
                }
                Behaviour::Drip { head, piece } => {
                    self.write(&mut stream, head).await?;
                    loop {
                        tokio::time::sleep(DRIP).await;
                        self.write(&mut stream, piece).await?;
                    }
                }
                Behaviour::ReadAndReset => {
                    stream.reset();
                    return None;
                }
                Behaviour::Hang => return until_it_ends(&mut stream).await,
                Behaviour::Close
                | Behaviour::Reset
                | Behaviour::Blurt(_)
                | Behaviour::InTurn(_)
                | Behaviour::ReadSlowly => return pending().await,
            }
        }
    }

    /// How the request is answered that came as so manieth.
    fn answer_of(&self, number: usize) -> &Behaviour {
        match &self.behaviour {
            Behaviour::InTurn(answers) => answers
                .get(number.saturating_sub(1))
                .or(answers.last())
                .unwrap_or(&Behaviour::Hang),
            one => one,
        }
    }

    async fn echo(&self, stream: &mut impl Link, request: &[u8]) -> Option<()> {
        let head = format!(
            "HTTP/1.1 500 No\r\nx-echo: {}\r\ncontent-length: {}\r\n\r\n",
            header(request, "x-secret"),
            request.len()
        );
        self.write(stream, &[head.as_bytes(), request].concat())
            .await
    }

    async fn write(&self, stream: &mut impl Link, bytes: &[u8]) -> Option<()> {
        stream.write_all(bytes).await.ok()?;
        stream.flush().await.ok()?;
        self.shared.wrote(bytes.len());
        Some(())
    }

    /// One request with a `content-length`.
    async fn read_request(&self, stream: &mut impl Link) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        let mut head_end = None;
        loop {
            head_end = head_end.or_else(|| end_of_head(&request));
            if let Some(end) = head_end {
                let length: usize = header(&request[..end], "content-length")
                    .parse()
                    .unwrap_or(0);
                if request.len() >= end + length {
                    self.shared.note(&request);
                    return Some(request);
                }
            }
            if request.len() > MOST_REQUEST_BYTES || stream.read_buf(&mut request).await.ok()? == 0
            {
                return None;
            }
        }
    }
}

fn end_of_head(request: &[u8]) -> Option<usize> {
    let blank = request
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?;
    Some(blank + 4)
}

/// Says nothing more, and notices when the other side hangs up.
async fn until_it_ends(stream: &mut impl Link) -> Option<()> {
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await.ok()? > 0 {}
    Some(())
}
