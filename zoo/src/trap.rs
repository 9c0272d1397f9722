//! A listener that nobody may reach.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{net::TcpListener, task::JoinSet};

/// Counts the connections to an address that should get none. Ends when it is dropped.
#[derive(Debug)]
pub struct Trap {
    address: SocketAddr,
    caught: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Trap {
    /// Listens on a free port of 127.0.0.1.
    pub async fn set() -> io::Result<Self> {
        Self::set_at(([127, 0, 0, 1], 0).into()).await
    }

    /// Listens there.
    pub async fn set_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let caught = Arc::new(AtomicUsize::new(0));
        let counted = caught.clone();
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            loop {
                if listener.accept().await.is_ok() {
                    counted.fetch_add(1, SeqCst);
                }
            }
        });
        Ok(Self {
            address,
            caught,
            _listening: listening,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made to it.
    pub fn caught(&self) -> usize {
        self.caught.load(SeqCst)
    }
}
