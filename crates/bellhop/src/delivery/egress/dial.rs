//! The network is a parameter, as the clock is: what opens connections can be the machine's TCP or a simulated one.

use std::{fmt, io, net::SocketAddr};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Opens connections. Asked for judged addresses only.
#[async_trait]
pub trait Dial: Send + Sync + fmt::Debug {
    /// A connection to there, however long it takes: the caller has a deadline.
    async fn dial(&self, to: SocketAddr) -> io::Result<Box<dyn Wire>>;
}

/// One end of a connection, before TLS.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {
    /// The other end's address, as the connection has it.
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    /// This end's address.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The one host that no name server is asked for: what answers is in this process.
pub const INSIDE_HOST: &str = "play.bellhop.internal";

/// What is reached under [`INSIDE_HOST`], without a socket: there is no address that anything else could have.
pub trait Inside: Send + Sync + fmt::Debug {
    /// A connection, whose other end is in this process.
    fn connect(&self) -> io::Result<Box<dyn Wire>>;
}

/// TCP of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, to: SocketAddr) -> io::Result<Box<dyn Wire>> {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        Ok(Box::new(tcp))
    }
}

impl Wire for TcpStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Self::peer_addr(self)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}
