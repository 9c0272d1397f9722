//! Name servers, connections and TLS, as the sender meets them.

use std::time::Instant;

use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpSocket;
use zoo::{Authority, Behaviour, Flaw};

use super::*;
use crate::delivery::egress::{ResolveError, Roots, ScriptedResolver};

const HOST: &str = "hooks.example.com";

/// Posts to `https://HOST` at the receiver's port, which the scripted resolver finds on loopback.
async fn post_to_host(receiver: &Receiver, roots: Roots, timeout: Duration) -> Exchange {
    let resolver = Arc::new(ScriptedResolver::answering(&[&["127.0.0.1"]]));
    let sender = Sender::new(SenderOptions {
        resolver,
        roots,
        ..SenderOptions::new(policy())
    });
    let target = target(&format!(
        "https://{HOST}:{}/hook",
        receiver.address().port()
    ));
    let request = PostRequest {
        connect_timeout: SHORT,
        ..request(&target, timeout)
    };
    sender.post(request).await
}

async fn tls_receiver(config: Arc<ServerConfig>) -> Receiver {
    Receiver::start_tls(Behaviour::Answer(ok()), config)
        .await
        .unwrap()
}

#[tokio::test]
async fn tls_with_a_trusted_certificate() {
    let authority = Authority::new();
    let receiver = tls_receiver(authority.server(HOST, Flaw::None)).await;
    let exchange = post_to_host(&receiver, Roots::Only(authority.roots()), PATIENT).await;
    assert!(exchange.outcome.is_ok(), "{exchange:?}");
    assert!(exchange.timings.dns_us.is_some() && exchange.timings.tls_us.is_some());
    let requests = receiver.requests();
    assert!(
        String::from_utf8_lossy(&requests[0])
            .contains(&format!("host: {HOST}:{}\r\n", receiver.address().port()))
    );
}

#[tokio::test]
async fn bad_certificates_have_their_cause() {
    let authority = Authority::new();
    for (host, flaw, cause) in [
        (HOST, Flaw::Expired, Cause::TlsCertificateExpired),
        (HOST, Flaw::NotYetValid, Cause::TlsCertificateNotYetValid),
        ("other.example.com", Flaw::None, Cause::TlsWrongHost),
        (HOST, Flaw::SelfSigned, Cause::TlsUntrusted),
        (HOST, Flaw::SelfSignedAuthority, Cause::TlsUntrusted),
    ] {
        let receiver = tls_receiver(authority.server(host, flaw)).await;
        let exchange = post_to_host(&receiver, Roots::Only(authority.roots()), PATIENT).await;
        assert_eq!(failed(&exchange), cause, "{flaw:?}: {exchange:?}");
        assert!(receiver.requests().is_empty(), "nothing was sent");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let receiver = tls_receiver(Authority::new().server(HOST, Flaw::None)).await;
    let exchange = post_to_host(&receiver, Roots::Only(Authority::new().roots()), PATIENT).await;
    assert_eq!(failed(&exchange), Cause::TlsUntrusted);
}

#[tokio::test]
async fn without_any_authority_the_fault_is_ours() {
    let receiver = tls_receiver(Authority::new().server(HOST, Flaw::None)).await;
    let exchange = post_to_host(
        &receiver,
        Roots::Only(Arc::new(RootCertStore::empty())),
        PATIENT,
    )
    .await;
    assert!(failed(&exchange).is_ours(), "{exchange:?}");
}

#[tokio::test]
async fn broken_handshakes_have_their_cause() {
    // The alert `protocol_version`, which a server with TLS 1.1 only sends.
    let too_old = vec![0x15, 3, 1, 0, 2, 2, 70];
    for (behaviour, cause) in [
        (Behaviour::Blurt(too_old), Cause::TlsFailed),
        (
            Behaviour::Blurt(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Cause::TlsFailed,
        ),
        (Behaviour::Blurt(vec![]), Cause::TlsTimeout),
    ] {
        let receiver = Receiver::start(behaviour).await.unwrap();
        let began = Instant::now();
        let exchange =
            post_to_host(&receiver, Roots::Only(Authority::new().roots()), PATIENT).await;
        assert_eq!(failed(&exchange), cause, "{exchange:?}");
        assert!(began.elapsed() < PATIENT / 2);
    }
    for behaviour in [Behaviour::Close, Behaviour::Reset] {
        let receiver = Receiver::start(behaviour).await.unwrap();
        let exchange =
            post_to_host(&receiver, Roots::Only(Authority::new().roots()), PATIENT).await;
        assert!(
            matches!(failed(&exchange), Cause::ClosedEarly | Cause::Reset),
            "{exchange:?}"
        );
    }
}

#[tokio::test]
async fn the_whole_deadline_counts_during_tls_too() {
    let receiver = Receiver::start(Behaviour::Blurt(vec![])).await.unwrap();
    let exchange = post_to_host(&receiver, Roots::Only(Authority::new().roots()), SHORT / 2).await;
    assert_eq!(failed(&exchange), Cause::TlsTimeout, "{exchange:?}");
    assert!(exchange.timings.total_us < 290_000, "{exchange:?}");
}

#[tokio::test]
async fn a_full_queue_of_connections_is_a_connect_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream);
        assert!(queued.len() < 16);
    }
    let target = target(&format!("http://{address}/"));
    let post = PostRequest {
        connect_timeout: SHORT,
        ..request(&target, PATIENT)
    };
    assert_eq!(failed(&sender().post(post).await), Cause::ConnectTimeout);
}

#[tokio::test]
async fn nothing_listens() {
    let closed = zoo::ClosedPort::take().unwrap();
    let address = closed.address().unwrap();
    let exchange = sender()
        .post(request(&target(&format!("http://{address}/")), PATIENT))
        .await;
    assert_eq!(failed(&exchange), Cause::ConnectRefused);
    assert_eq!((exchange.remote, exchange.connection_reused), (None, false));
}

#[tokio::test]
async fn name_server_trouble_has_its_cause() {
    for (error, cause) in [
        (ResolveError::NotFound, Cause::DnsNotFound),
        (ResolveError::Failed, Cause::DnsFailed),
        (ResolveError::TimedOut, Cause::DnsTimeout),
    ] {
        let resolver = Arc::new(ScriptedResolver::failing(error));
        let sender = Sender::new(SenderOptions {
            resolver,
            ..SenderOptions::new(policy())
        });
        let exchange = sender
            .post(request(&target("https://hooks.example.com/"), PATIENT))
            .await;
        assert_eq!(failed(&exchange), cause);
    }
}

#[tokio::test]
async fn a_name_that_moves_inside_is_refused() {
    // The receiver closes after each answer, so that each attempt makes a connection of its own.
    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec();
    let receiver = Receiver::start(Behaviour::AnswerAndClose(answer))
        .await
        .unwrap();
    let resolver = Arc::new(ScriptedResolver::answering(&[
        &["127.0.0.1"],
        &["127.0.0.1", "10.0.0.1"],
    ]));
    let sender = Sender::new(SenderOptions {
        resolver,
        ..SenderOptions::new(policy())
    });
    let target = target(&format!("http://{HOST}:{}/", receiver.address().port()));
    assert_eq!(sender.post(request(&target, PATIENT)).await.cause(), None);
    assert_eq!(
        failed(&sender.post(request(&target, PATIENT)).await),
        Cause::DnsRefusedAddress
    );
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn plain_http_to_a_public_address_is_refused() {
    let resolver = Arc::new(ScriptedResolver::answering(&[&["8.8.8.8"]]));
    let sender = Sender::new(SenderOptions {
        resolver,
        ..SenderOptions::new(policy())
    });
    let exchange = sender
        .post(request(&target("http://hooks.example.com/"), PATIENT))
        .await;
    assert_eq!(failed(&exchange), Cause::PlainHttpRefused);
}
