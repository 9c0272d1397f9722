use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Uri;
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};

use super::allowing;
use crate::{
    delivery::egress::{
        ConnectError, Connector, EgressPolicy, Resolve, ResolveError, Roots, ScriptedResolver,
    },
    domain::cause::Cause,
};

/// A listener on loopback that counts connections.
async fn counting_listener() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            drop(stream);
        }
    });
    (address, count)
}

fn connector(policy: EgressPolicy, resolver: impl Resolve + 'static) -> Connector {
    Connector::new(Arc::new(policy), Arc::new(resolver), Roots::System)
}

async fn connect(connector: &mut Connector, uri: &str) -> Result<(), ConnectError> {
    let uri: Uri = uri.parse().unwrap();
    connector.ready().await.unwrap().call(uri).await.map(drop)
}

#[tokio::test]
async fn a_refused_address_sees_no_connection() {
    let (address, count) = counting_listener().await;
    let port = address.port();
    for (answers, cause) in [
        (["127.0.0.1"].as_slice(), Cause::DnsRefusedAddress),
        (&["8.8.8.8", "127.0.0.1"], Cause::DnsRefusedAddress),
        (&["127.0.0.1", "8.8.8.8"], Cause::DnsRefusedAddress),
        (
            &["2606:4700::1111", "::ffff:127.0.0.1"],
            Cause::DnsRefusedAddress,
        ),
        (&["::1"], Cause::DnsRefusedAddress),
        (&["169.254.169.254"], Cause::DnsRefusedAddress),
        (&[], Cause::DnsNotFound),
    ] {
        let mut connector = connector(
            EgressPolicy::default(),
            ScriptedResolver::answering(&[answers]),
        );
        for scheme in ["https", "http"] {
            let error = connect(
                &mut connector,
                &format!("{scheme}://hooks.example.com:{port}/"),
            )
            .await
            .unwrap_err();
            assert_eq!(error.cause, cause, "{answers:?}: {error}");
        }
        let error = connect(&mut connector, &format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap_err();
        assert_eq!(error.cause, Cause::UrlRefused);
        assert!(error.to_string().contains("loopback"), "{error}");
    }
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test]
async fn one_bad_answer_among_many_refuses_them_all() {
    let (address, count) = counting_listener().await;
    let resolver = ScriptedResolver::answering(&[&["127.0.0.1", "10.0.0.1"]]);
    let mut connector = connector(allowing(&["127.0.0.0/8"]), resolver);
    let error = connect(
        &mut connector,
        &format!("http://hooks.example.com:{}/", address.port()),
    )
    .await
    .unwrap_err();
    assert_eq!(error.cause, Cause::DnsRefusedAddress);
    assert_eq!(
        error.to_string(),
        "hooks.example.com: 10.0.0.1 is an address of a private network"
    );
    assert_eq!(count.load(SeqCst), 0);
}

/// Wherever the bad one stands among how many, and whatever it is.
#[tokio::test]
async fn one_bad_answer_at_any_place_refuses_them_all() {
    for bad in [
        "10.0.0.1",
        "127.0.0.1",
        "::ffff:10.0.0.1",
        "::1",
        "fd00::1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ] {
        for place in 0..12 {
            let mut answers = vec!["93.184.215.14"; 11];
            answers.insert(place, bad);
            let resolver = ScriptedResolver::answering(&[&answers]);
            let mut connector = connector(EgressPolicy::default(), resolver);
            let error = connect(&mut connector, "https://hooks.example.com/")
                .await
                .unwrap_err();
            assert_eq!(error.cause, Cause::DnsRefusedAddress, "{bad} at {place}");
        }
    }
}

#[tokio::test]
async fn a_name_is_judged_at_every_connection() {
    let (address, count) = counting_listener().await;
    let resolver = Arc::new(ScriptedResolver::answering(&[
        &["127.0.0.1"],
        &["127.0.0.1"],
        &["10.0.0.1"],
    ]));
    let policy = Arc::new(allowing(&["127.0.0.0/8"]));
    let mut connector = Connector::new(policy, Arc::clone(&resolver) as _, Roots::System);
    let uri = format!("http://hooks.example.com:{}/", address.port());
    assert_eq!(connect(&mut connector, &uri).await, Ok(()));
    assert_eq!(connect(&mut connector, &uri).await, Ok(()));
    assert_eq!(
        connect(&mut connector, &uri).await.unwrap_err().cause,
        Cause::DnsRefusedAddress
    );
    assert_eq!(resolver.asked.load(SeqCst), 3);
    assert!(count.load(SeqCst) <= 2);
}

#[tokio::test]
async fn plain_http_goes_to_allowed_networks_only() {
    let mut to_public = connector(
        allowing(&["127.0.0.0/8"]),
        ScriptedResolver::answering(&[&["8.8.8.8"]]),
    );
    assert_eq!(
        connect(&mut to_public, "http://hooks.example.com/")
            .await
            .unwrap_err()
            .cause,
        Cause::PlainHttpRefused
    );
    assert_eq!(
        connect(&mut to_public, "http://8.8.8.8/")
            .await
            .unwrap_err()
            .cause,
        Cause::PlainHttpRefused
    );
}

#[tokio::test]
async fn bellhop_does_not_send_to_itself() {
    let (address, count) = counting_listener().await;
    let mut policy = allowing(&["127.0.0.0/8"]);
    policy.own_addresses = vec![SocketAddr::new("0.0.0.0".parse().unwrap(), address.port())];
    let mut connector = connector(policy, ScriptedResolver::answering(&[&["127.0.0.1"]]));
    let error = connect(
        &mut connector,
        &format!("http://hooks.example.com:{}/", address.port()),
    )
    .await
    .unwrap_err();
    assert_eq!(error.cause, Cause::DnsRefusedAddress);
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test]
async fn name_server_trouble_has_its_cause() {
    for (error, cause) in [
        (ResolveError::NotFound, Cause::DnsNotFound),
        (ResolveError::Failed, Cause::DnsFailed),
        (ResolveError::TimedOut, Cause::DnsTimeout),
    ] {
        let mut connector = connector(EgressPolicy::default(), ScriptedResolver::failing(error));
        assert_eq!(
            connect(&mut connector, "https://hooks.example.com/")
                .await
                .unwrap_err()
                .cause,
            cause
        );
    }
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_refuses() {
    let (address, count) = counting_listener().await;
    // Nothing listens at that port of 127.0.0.2.
    let resolver = ScriptedResolver::answering(&[&["127.0.0.2", "127.0.0.1"]]);
    let mut connector = connector(allowing(&["127.0.0.0/8"]), resolver);
    connect(
        &mut connector,
        &format!("http://hooks.example.com:{}/", address.port()),
    )
    .await
    .unwrap();
    while count.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut connector = connector(
        allowing(&["127.0.0.0/8"]),
        ScriptedResolver::failing(ResolveError::Failed),
    );
    let error = connect(&mut connector, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(error.cause, Cause::ConnectRefused);
    assert_eq!(error.to_string(), format!("{address}: connection refused"));
}
