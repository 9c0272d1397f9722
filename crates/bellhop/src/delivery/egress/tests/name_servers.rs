//! The resolver against scripted name servers on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::net::UdpSocket;

use crate::delivery::egress::{Resolve, ResolveError, SystemResolver};

/// What a scripted name server answers to every question.
#[derive(Clone, Copy)]
enum Says {
    /// An A record with this address to questions for A; nothing to others.
    Address([u8; 4]),
    /// A response code: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Code(u8),
    /// No record of the kind, and no error.
    NoData,
    /// The name is another name for itself.
    AliasOfItself,
    Nothing,
}

/// Starts a name server; the names that it is asked for are noted.
async fn name_server(says: Says) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let names = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&names);
    tokio::spawn(async move {
        let mut buffer = [0u8; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let (name, response) = answer(&buffer[..length], says);
            noted.lock().unwrap().push(name);
            if let Some(response) = response {
                socket.send_to(&response, from).await.unwrap();
            }
        }
    });
    (address, names)
}

/// The name asked for, and the response (RFC 1035, 4).
fn answer(query: &[u8], says: Says) -> (String, Option<Vec<u8>>) {
    let mut name = String::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push_str(std::str::from_utf8(&query[at + 1..=at + length]).unwrap());
        name.push('.');
        at += length + 1;
    }
    let question = &query[12..at + 5];
    let asks_for_a = query[at + 2] == 1;
    // A pointer to the question's name, the record's type, class IN, 60 s.
    let record = |kind: u8, data: &[u8]| {
        [
            &[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8],
            data,
        ]
        .concat()
    };
    let (code, records) = match says {
        Says::Nothing => return (name, None),
        Says::Code(code) => (code, vec![]),
        Says::Address(octets) if asks_for_a => (0, record(1, &octets)),
        Says::Address(_) | Says::NoData => (0, vec![]),
        Says::AliasOfItself => (0, record(5, &[0xc0, 12])),
    };
    let header = [
        query[0],
        query[1],
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::from(!records.is_empty()),
        0,
        0,
        0,
        0,
    ];
    (name, Some([&header, question, &records].concat()))
}

#[tokio::test]
async fn finds_an_address_with_a_fully_qualified_question() {
    let (server, names) = name_server(Says::Address([93, 184, 215, 14])).await;
    let resolver = SystemResolver::asking(vec![server]);
    let found = resolver.resolve("hooks.example.com").await.unwrap();
    assert_eq!(found, [IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14))]);
    assert!(
        names
            .lock()
            .unwrap()
            .iter()
            .all(|name| name.eq_ignore_ascii_case("hooks.example.com."))
    );
}

#[tokio::test]
async fn asks_again_only_when_the_answer_has_expired() {
    let (server, names) = name_server(Says::Address([93, 184, 215, 14])).await;
    let resolver = SystemResolver::asking(vec![server]);
    resolver.resolve("hooks.example.com").await.unwrap();
    let asked = names.lock().unwrap().len();
    resolver.resolve("hooks.example.com").await.unwrap();
    assert!(
        names.lock().unwrap().len() <= asked + 1,
        "the A record is cached"
    );
}

#[tokio::test]
async fn fails_closed() {
    for (says, error) in [
        (Says::Code(3), ResolveError::NotFound),
        (Says::NoData, ResolveError::NotFound),
        (Says::Code(2), ResolveError::Failed),
        (Says::Code(5), ResolveError::Failed),
    ] {
        let (server, _) = name_server(says).await;
        let resolver = SystemResolver::asking(vec![server]);
        assert_eq!(resolver.resolve("hooks.example.com").await, Err(error));
    }
}

#[tokio::test]
async fn an_alias_of_itself_leads_nowhere() {
    let (server, names) = name_server(Says::AliasOfItself).await;
    let resolver = SystemResolver::asking(vec![server]);
    assert!(resolver.resolve("hooks.example.com").await.is_err());
    assert!(names.lock().unwrap().len() < 64);
}

#[tokio::test]
async fn silence_ends_within_the_limit() {
    let (server, _) = name_server(Says::Nothing).await;
    let resolver = SystemResolver::asking(vec![server]).within(Duration::from_millis(200));
    assert_eq!(
        resolver.resolve("hooks.example.com").await,
        Err(ResolveError::TimedOut)
    );
}

#[tokio::test]
async fn the_hosts_file_is_not_read() {
    let (server, names) = name_server(Says::Code(3)).await;
    let resolver = SystemResolver::asking(vec![server]);
    // In the hosts file of every Debian machine; the guard refuses single labels before, this is the second wall.
    assert_eq!(
        resolver.resolve("ip6-allnodes").await,
        Err(ResolveError::NotFound)
    );
    assert!(!names.lock().unwrap().is_empty());
}
