//! A TCP proxy on loopback that carries bytes, until it is told to do harm.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What is read at a time. A request or an answer of the battery fits.
const PIECE: usize = 16 * 1024;
/// What a replica sends to PostgreSQL when a transaction is to be durable.
const COMMIT: &[u8] = b"COMMIT\0";
/// While the network is slow: so many bytes, then a pause.
const SLOW_BYTES: usize = 16;
const SLOW_PAUSE: Duration = Duration::from_millis(2);

/// What happens to every connection that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// Both ends get a reset.
    Reset,
    /// Nothing gets through any more, and nobody is told.
    BlackHole,
    /// The far end is gone; the near one is not told.
    HalfOpen,
}

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    hits: watch::Sender<Option<Hit>>,
    /// New connections lead nowhere.
    is_dark: AtomicBool,
    /// New connections are reset.
    is_shut: AtomicBool,
    is_slow: AtomicBool,
    /// So many of the next requests, and answers, are cut in the middle.
    cut_requests: AtomicU64,
    cut_responses: AtomicU64,
    /// So many of the next commits are cut, before or after they have reached the database.
    cut_commits: AtomicU64,
    cut_committed: AtomicU64,
    cuts_made: AtomicU64,
}

/// Why a connection is no longer carried.
enum End {
    /// One of its ends closed it.
    Closed,
    /// It is cut: both ends get a reset.
    Cut,
    /// It was hit.
    Hit(Hit),
}

/// One way of a connection, and what may befall it.
struct Way<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    cuts: &'a AtomicU64,
    /// Whether commits go this way.
    is_asking: bool,
    /// Whether the answer to this connection's request is to be cut.
    is_doomed: &'a AtomicBool,
}

impl Proxy {
    /// Listens on a free port and carries everything to `to`.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to,
            hits: watch::Sender::new(None),
            is_dark: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            cut_requests: AtomicU64::new(0),
            cut_responses: AtomicU64::new(0),
            cut_commits: AtomicU64::new(0),
            cut_committed: AtomicU64::new(0),
            cuts_made: AtomicU64::new(0),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every open connection.
    pub fn reset(&self) {
        self.hit(Hit::Reset);
    }

    /// Open connections go dead without a word, and so do new ones until [`Proxy::heal`].
    pub fn black_hole(&self) {
        self.shared.is_dark.store(true, Ordering::Relaxed);
        self.hit(Hit::BlackHole);
    }

    /// The receiver's side of every open connection ends; the server's side is not told.
    pub fn half_open(&self) {
        self.hit(Hit::HalfOpen);
    }

    /// Everything trickles until [`Proxy::heal`].
    pub fn slow(&self) {
        self.shared.is_slow.store(true, Ordering::Relaxed);
    }

    /// Cuts the next request in the middle.
    pub fn cut_request(&self) {
        self.shared.cut_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the next request through and cuts its answer in the middle.
    pub fn cut_response(&self) {
        self.shared.cut_responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Cuts the next commit: the database does not get it.
    pub fn cut_commit(&self) {
        self.shared.cut_commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the next commit through and cuts the word that it is done.
    pub fn cut_committed(&self) {
        self.shared.cut_committed.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests and answers that were cut.
    pub fn cuts_made(&self) -> u64 {
        self.shared.cuts_made.load(Ordering::Relaxed)
    }

    /// The far end is down: open connections are reset, and so is each new one, until [`Proxy::heal`].
    pub fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::Relaxed);
        self.hit(Hit::Reset);
    }

    /// Ends what lasts, and what was asked for and has not come about.
    pub fn heal(&self) {
        self.shared.is_dark.store(false, Ordering::Relaxed);
        self.shared.is_shut.store(false, Ordering::Relaxed);
        self.shared.is_slow.store(false, Ordering::Relaxed);
        self.shared.cut_requests.store(0, Ordering::Relaxed);
        self.shared.cut_responses.store(0, Ordering::Relaxed);
    }

    fn hit(&self, hit: Hit) {
        self.shared.hits.send_replace(Some(hit));
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut near: TcpStream, shared: Arc<Shared>) {
    if shared.is_dark.load(Ordering::Relaxed) {
        return swallow(near).await;
    }
    if shared.is_shut.load(Ordering::Relaxed) {
        let _ = near.set_zero_linger();
        return;
    }
    let mut hits = shared.hits.subscribe();
    let Ok(mut far) = TcpStream::connect(shared.to).await else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let is_doomed = AtomicBool::new(false);
    let end = {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let asking = Way {
            from: near_in,
            to: far_out,
            cuts: &shared.cut_requests,
            is_asking: true,
            is_doomed: &is_doomed,
        };
        let answering = Way {
            from: far_in,
            to: near_out,
            cuts: &shared.cut_responses,
            is_asking: false,
            is_doomed: &is_doomed,
        };
        tokio::select! {
            end = shared.carry(asking) => end,
            end = shared.carry(answering) => end,
            Ok(()) = hits.changed() => (*hits.borrow()).map_or(End::Closed, End::Hit),
        }
    };
    match end {
        End::Closed => {}
        End::Cut | End::Hit(Hit::Reset) => {
            let _ = (near.set_zero_linger(), far.set_zero_linger());
        }
        End::Hit(Hit::BlackHole) => {
            swallow(near).await;
            drop(far);
        }
        End::Hit(Hit::HalfOpen) => {
            drop(far);
            swallow(near).await;
        }
    }
}

/// Reads without an answer until the other side gives up.
async fn swallow(mut stream: TcpStream) {
    let mut piece = vec![0; PIECE];
    while stream.read(&mut piece).await.is_ok_and(|read| read > 0) {}
}

/// Whether there was one to take.
fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

impl Shared {
    async fn carry(&self, mut way: Way<'_>) -> End {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match way.from.read(&mut piece).await {
                Ok(0) | Err(_) => return End::Closed,
                Ok(read) => read,
            };
            if take_one(way.cuts) || self.is_fatal(&way, &piece[..read]) {
                let _ = way.to.write_all(&piece[..read / 2]).await;
                self.cuts_made.fetch_add(1, Ordering::Relaxed);
                return End::Cut;
            }
            if self.pass_on(&mut way.to, &piece[..read]).await.is_err() {
                return End::Closed;
            }
        }
    }

    /// Whether a connection ends with this piece because of a commit.
    fn is_fatal(&self, way: &Way<'_>, piece: &[u8]) -> bool {
        if !way.is_asking {
            return way.is_doomed.load(Ordering::Relaxed);
        }
        let is_commit = piece.windows(COMMIT.len()).any(|bytes| bytes == COMMIT);
        if is_commit && take_one(&self.cut_committed) {
            way.is_doomed.store(true, Ordering::Relaxed);
        }
        is_commit && take_one(&self.cut_commits)
    }

    async fn pass_on(&self, to: &mut WriteHalf<'_>, mut bytes: &[u8]) -> std::io::Result<()> {
        while self.is_slow.load(Ordering::Relaxed) && !bytes.is_empty() {
            let (now, later) = bytes.split_at(SLOW_BYTES.min(bytes.len()));
            to.write_all(now).await?;
            tokio::time::sleep(SLOW_PAUSE).await;
            bytes = later;
        }
        to.write_all(bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo server, a proxy before it, and a connection through it.
    async fn set() -> (Proxy, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, stream, echo)
    }

    async fn echoed(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        let read = stream.read(&mut answer).await?;
        answer.truncate(read);
        Ok(answer)
    }

    #[tokio::test]
    async fn it_carries_until_it_is_told_to_cut() {
        let (proxy, mut stream, _echo) = set().await;
        assert_eq!(echoed(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.cut_response();
        stream.write_all(b"goodbye!").await.unwrap();
        let mut got = Vec::new();
        assert!(stream.read_to_end(&mut got).await.is_err(), "not reset");
        assert_eq!(proxy.cuts_made(), 1);
        assert!(got.len() <= 4, "{got:?}");
    }

    #[tokio::test]
    async fn a_reset_reaches_both_ends() {
        let (proxy, mut stream, _echo) = set().await;
        assert_eq!(echoed(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.reset();
        assert!(stream.read(&mut [0; 8]).await.is_err());
    }

    #[tokio::test]
    async fn a_black_hole_is_silent_and_heals_for_new_connections() {
        let (proxy, mut stream, _echo) = set().await;
        assert_eq!(echoed(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.black_hole();
        let silence = tokio::time::timeout(
            Duration::from_millis(100),
            echoed(&mut stream, b"anybody there"),
        );
        assert!(silence.await.is_err());
        proxy.heal();
        let mut fresh = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echoed(&mut fresh, b"hello").await.unwrap(), b"hello");
    }
}
