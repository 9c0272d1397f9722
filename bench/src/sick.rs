//! Receivers that do harm: one accepts connections and never says a word, the other is not there.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Listens on every address of loopback, accepts, and holds what it accepted. Ends when dropped.
pub struct Hanging {
    port: u16,
    open: Rc<Count>,
    accepting: AbortHandle,
}

/// How many connections are open, and the most that ever were.
#[derive(Default)]
struct Count {
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Hanging {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
            .await
            .context("listening")?;
        let port = listener.local_addr()?.port();
        let open = Rc::new(Count::default());
        let count = open.clone();
        let accepting = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(hold(stream, count.clone()));
            }
        });
        Ok(Self {
            port,
            open,
            accepting: accepting.abort_handle(),
        })
    }

    /// A host of its own for each number.
    pub fn address(&self, number: usize) -> SocketAddr {
        (host(number), self.port).into()
    }

    /// The most connections that were open at a time.
    pub fn most_open(&self) -> usize {
        self.open.most.get()
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads what comes, answers nothing, and lets go when the other side does.
async fn hold(stream: tokio::net::TcpStream, count: Rc<Count>) {
    count.now.set(count.now.get() + 1);
    count.most.set(count.most.get().max(count.now.get()));
    let mut bytes = [0; 1024];
    loop {
        if stream.readable().await.is_err() {
            break;
        }
        match stream.try_read(&mut bytes) {
            Ok(0) => break,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
            Ok(_) | Err(_) => {}
        }
    }
    count.now.set(count.now.get() - 1);
}

/// An address of loopback where nobody listens: the port was free a moment ago.
pub fn dead(number: usize) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((host(number), port).into())
}

/// Far from 127.0.0.1, where the sink is: caps by host must not mix the two.
fn host(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(
        127,
        1 + (number / 62_500) as u8,
        (number / 250 % 250) as u8,
        (number % 250 + 1) as u8,
    )
}
