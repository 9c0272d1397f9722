//! The listener: bounds connections and the time they may take to ask, and drains them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

use crate::domain::audit::Peer;

use super::{forwarded::Proxies, impatient::Impatient};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most at a time; more wait in the system's queue.
    pub connections: usize,
    /// How long the head of a request may take; a connection that is kept open waits no longer for the next one.
    pub head: Duration,
    /// The longest head of a request, in bytes. It has at most 100 headers; both are answered with 431.
    pub head_bytes: usize,
    /// How long the client may be behind with reading what it was answered.
    pub answer: Duration,
}

impl Bounds {
    /// Those of the server.
    pub const STANDARD: Self = Self {
        connections: 10_000,
        head: Duration::from_secs(15),
        head_bytes: 32 * 1024,
        answer: Duration::from_mins(1),
    };
}

/// How long to wait after the system refused a connection: it has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets requests under way end, for `drain` at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    proxies: Proxies,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let proxies = Arc::new(proxies);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(bounds.head_bytes);
    tokio::pin!(stop);
    loop {
        let (stream, from, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let proxies = proxies.clone();
        let router = router
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                let client = proxies.client(from, request.headers());
                request.extensions_mut().insert(Peer(client));
                request
            });
        let service = TowerToHyperService::new(router);
        let stream = TokioIo::new(Impatient::new(stream, bounds.answer));
        let connection = graceful.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests did not end in time and were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, IpAddr, OwnedSemaphorePermit) {
    loop {
        let place = places
            .clone()
            .acquire_owned()
            .await
            .expect("the places are never closed");
        match listener.accept().await {
            Ok((stream, from)) => {
                // Without it an answer waits for the acknowledgement of the one before. It fails only on a
                // connection that is gone.
                let _ = stream.set_nodelay(true);
                return (stream, from.ip(), place);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::oneshot,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::config::ForwardedHeader;

    const SHORT: Bounds = Bounds {
        connections: 2,
        head: Duration::from_millis(300),
        answer: Duration::from_millis(300),
        ..Bounds::STANDARD
    };
    /// Far more than it takes, for machines that are busy.
    const WITHIN: Duration = Duration::from_secs(20);

    struct Listening {
        address: std::net::SocketAddr,
        stop: oneshot::Sender<()>,
        serving: tokio::task::JoinHandle<()>,
    }

    impl Listening {
        async fn start(bounds: Bounds) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let much = || async { vec![b'x'; 32 * 1024 * 1024] };
            let router = Router::new()
                .route("/", get(|| async { "hello" }))
                .route("/much", get(much));
            let (stop, stopped) = oneshot::channel::<()>();
            let serving = tokio::spawn(serve(
                listener,
                router,
                bounds,
                Proxies {
                    trusted: Vec::new(),
                    header: ForwardedHeader::XForwardedFor,
                },
                async {
                    let _ = stopped.await;
                },
                WITHIN,
            ));
            Self {
                address,
                stop,
                serving,
            }
        }

        async fn ask(&self, request: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        }

        async fn stop(self) {
            self.stop.send(()).unwrap();
            timeout(WITHIN, self.serving).await.unwrap().unwrap();
        }
    }

    /// Reads until the server closes; what came, and how long it took.
    async fn to_its_end(stream: &mut TcpStream) -> (usize, Duration) {
        let began = Instant::now();
        let mut all = Vec::new();
        // A connection that is reset has ended as well.
        let _ = timeout(WITHIN, stream.read_to_end(&mut all)).await.unwrap();
        (all.len(), began.elapsed())
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_ends_the_connection() {
        let listening = Listening::start(SHORT).await;
        for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n"] {
            let mut stream = listening.ask(begun).await;
            let (_, took) = to_its_end(&mut stream).await;
            assert!(took >= SHORT.head / 2, "{took:?}");
        }
        // Nor may it come byte by byte.
        let mut stream = listening.ask("GET / HTTP/1.1\r\n").await;
        let began = Instant::now();
        while stream.write_all(b"x: y\r\n").await.is_ok() {
            assert!(began.elapsed() < WITHIN);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        listening.stop().await;
    }

    #[tokio::test]
    async fn a_connection_that_is_kept_and_not_used_ends() {
        let listening = Listening::start(SHORT).await;
        let mut stream = listening.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (came, _) = to_its_end(&mut stream).await;
        assert!(came > "hello".len());
        listening.stop().await;
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends_the_connection() {
        let listening = Listening::start(SHORT).await;
        let mut stream = listening.ask("GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // Nothing is read until the server has long lost its patience.
        tokio::time::sleep(SHORT.answer * 4).await;
        let (came, _) = to_its_end(&mut stream).await;
        assert!(came < 32 * 1024 * 1024, "{came}");
        listening.stop().await;
    }

    #[tokio::test]
    async fn more_connections_than_there_is_room_for_wait_their_turn() {
        let listening = Listening::start(SHORT).await;
        let _hanging = [listening.ask("GET").await, listening.ask("GET").await];
        let began = Instant::now();
        let mut third = listening
            .ask("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await;
        let (came, _) = to_its_end(&mut third).await;
        // The first two have ended by then: for their slowness, not for their number.
        assert!(came > "hello".len() && began.elapsed() >= SHORT.head / 2);
        listening.stop().await;
    }
}
