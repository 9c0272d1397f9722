//! The resolver against scripted name servers on loopback: real questions and answers of DNS.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use zoo::{NameServer, Says};

use crate::delivery::egress::{Resolve, ResolveError, SystemResolver};

const NAME: &str = "hooks.example.com";
const PUBLIC: &str = "93.184.215.14";

async fn name_server(says: Says) -> NameServer {
    NameServer::start([(NAME, vec![says])]).await.unwrap()
}

fn asking(server: &NameServer) -> SystemResolver {
    SystemResolver::asking(vec![server.address()])
}

#[tokio::test]
async fn finds_an_address_with_a_fully_qualified_question() {
    let server = name_server(Says::addresses(&[PUBLIC])).await;
    let found = asking(&server).resolve(NAME).await.unwrap();
    assert_eq!(found, [IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14))]);
    let asked = server.asked();
    assert!(!asked.is_empty());
    let is_qualified = |name: &String| name.eq_ignore_ascii_case("hooks.example.com.");
    assert!(asked.iter().all(is_qualified), "{asked:?}");
}

#[tokio::test]
async fn no_address_of_either_kind_is_left_out() {
    let all = [PUBLIC, "10.0.0.1", "2606:4700::1111", "::1", "127.0.0.1"];
    let server = name_server(Says::addresses(&all)).await;
    let mut found = asking(&server).resolve(NAME).await.unwrap();
    let mut all: Vec<IpAddr> = all.iter().map(|text| text.parse().unwrap()).collect();
    found.sort();
    all.sort();
    assert_eq!(found, all);
}

#[tokio::test]
async fn asks_again_only_when_the_answer_has_expired() {
    let names = [(NAME, vec![Says::addresses(&[PUBLIC])])];
    let server = NameServer::start_with_ttl(names, 60).await.unwrap();
    let resolver = asking(&server);
    resolver.resolve(NAME).await.unwrap();
    let asked = server.asked().len();
    resolver.resolve(NAME).await.unwrap();
    assert!(server.asked().len() <= asked + 1, "the A record is cached");
}

#[tokio::test]
async fn an_answer_that_may_not_be_kept_is_not() {
    let says = vec![Says::addresses(&[PUBLIC]), Says::addresses(&["127.0.0.1"])];
    let server = NameServer::start([(NAME, says)]).await.unwrap();
    let resolver = asking(&server);
    let first = resolver.resolve(NAME).await.unwrap();
    let second = resolver.resolve(NAME).await.unwrap();
    assert_eq!(first, [PUBLIC.parse::<IpAddr>().unwrap()]);
    assert_eq!(second, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
}

#[tokio::test]
async fn fails_closed() {
    for (says, error) in [
        (Says::Code(3), ResolveError::NotFound),
        (Says::NoData, ResolveError::NotFound),
        (Says::Code(2), ResolveError::Failed),
        (Says::Code(5), ResolveError::Failed),
    ] {
        let server = name_server(says).await;
        assert_eq!(asking(&server).resolve(NAME).await, Err(error));
    }
}

#[tokio::test]
async fn aliases_that_go_in_circles_lead_nowhere() {
    let alias = |to: &str| vec![Says::Alias(to.to_owned())];
    let of_itself = [(NAME, alias(NAME))];
    let circle = [
        (NAME, alias("a.example.net")),
        ("a.example.net", alias("b.example.net")),
        ("b.example.net", alias(NAME)),
    ];
    for names in [&of_itself[..], &circle] {
        let server = NameServer::start(names.iter().cloned()).await.unwrap();
        assert!(asking(&server).resolve(NAME).await.is_err());
        assert!(server.asked().len() < 64, "{:?}", server.asked());
    }
}

#[tokio::test]
async fn silence_ends_within_the_limit() {
    let server = name_server(Says::Nothing).await;
    let resolver = asking(&server).within(Duration::from_millis(200));
    assert_eq!(resolver.resolve(NAME).await, Err(ResolveError::TimedOut));
}

/// On the runtime's clock, which jumps from one moment at which something happens to the next.
#[tokio::test(start_paused = true)]
async fn silence_ends_within_five_seconds_unless_told_otherwise() {
    let server = name_server(Says::Nothing).await;
    let began = tokio::time::Instant::now();
    let found = asking(&server).resolve(NAME).await;
    assert_eq!(found, Err(ResolveError::TimedOut));
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(1) && took <= Duration::from_millis(5001),
        "{took:?}"
    );
}

#[tokio::test]
async fn the_hosts_file_is_not_read() {
    let server = name_server(Says::Code(3)).await;
    // In the hosts file of every Debian machine; the guard refuses single labels before, this is the second wall.
    assert_eq!(
        asking(&server).resolve("ip6-allnodes").await,
        Err(ResolveError::NotFound)
    );
    assert_eq!(server.asked()[0], "ip6-allnodes.");
}
