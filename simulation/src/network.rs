//! The simulated network: connections are pairs of buffers, and end with the process that made them.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bellhop::delivery::egress::{Dial, Wire};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use crate::{
    random::Seeded,
    receiver::{Door, Receiver},
};

/// What fits into a connection before its reader reads.
const BUFFER_BYTES: usize = 64 * 1024;
const OWN: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    40_000,
);

/// The network as one life of the process sees it.
#[derive(Debug)]
pub struct Network {
    pub receivers: BTreeMap<SocketAddr, Arc<Receiver>>,
    pub random: Seeded,
    /// Whether the process lives.
    pub alive: Arc<AtomicBool>,
}

#[async_trait]
impl Dial for Network {
    async fn dial(&self, to: SocketAddr) -> io::Result<Box<dyn Wire>> {
        tokio::time::sleep(Duration::from_micros(self.random.within(50, 8_000))).await;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let receiver = self.receivers.get(&to).ok_or_else(refused)?;
        if !self.alive.load(Relaxed) {
            return pending().await;
        }
        match receiver.door() {
            Door::Open => {}
            Door::Refuses => return Err(refused()),
            Door::Silent => return pending().await,
        }
        let (ours, theirs) = duplex(BUFFER_BYTES);
        receiver.take(theirs);
        Ok(Box::new(SimulatedWire {
            stream: ours,
            to,
            alive: self.alive.clone(),
        }))
    }
}

/// One end of a connection. A process that has died writes and reads nothing more.
#[derive(Debug)]
struct SimulatedWire {
    stream: DuplexStream,
    to: SocketAddr,
    alive: Arc<AtomicBool>,
}

impl SimulatedWire {
    fn end(&mut self) -> io::Result<&mut DuplexStream> {
        if self.alive.load(Relaxed) {
            Ok(&mut self.stream)
        } else {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

impl Wire for SimulatedWire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.to)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(OWN)
    }
}

impl AsyncRead for SimulatedWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.end()?).poll_read(cx, buf)
    }
}

impl AsyncWrite for SimulatedWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.end()?).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.end()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.end()?).poll_shutdown(cx)
    }
}
