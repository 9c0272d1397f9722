//! Names that lead where no webhook may lead, or nowhere: a real resolver, a name server that lies, and the whole way
//! from the command to the attempt.

use serde_json::{Value, json};
use zoo::{Behaviour, NameServer, Receiver, Says, Trap};

use crate::support::sending::Sending;

const NAME: &str = "hooks.example.com";
/// Stands for the public internet: the only network that is allowed.
const PUBLIC: &str = "127.0.0.2";
const PRIVATE: &str = "127.0.0.1";

/// Two listeners with one port: a receiver where webhooks may lead, and a trap where they may not.
async fn receiver_and_trap() -> (Receiver, Trap) {
    loop {
        let trap = Trap::set().await.unwrap();
        let address = (
            PUBLIC.parse::<std::net::IpAddr>().unwrap(),
            trap.address().port(),
        );
        // Each attempt makes a connection of its own.
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let behaviour = Behaviour::AnswerAndClose(answer.into());
        if let Ok(receiver) = Receiver::start_at(address.into(), behaviour, None).await {
            return (receiver, trap);
        }
    }
}

/// A webhook to the name, which the name server answers for as it is told.
struct Named {
    sending: Sending,
    receiver: Receiver,
    trap: Trap,
    _name_server: NameServer,
}

impl Named {
    async fn new(names: Vec<(&str, Vec<Says>)>) -> Self {
        let (receiver, trap) = receiver_and_trap().await;
        let name_server = NameServer::start(names).await.unwrap();
        let sending = Sending::resolving(&["127.0.0.2/32"], name_server.address()).await;
        let url = format!("http://{NAME}:{}/hook", trap.address().port());
        let settings = json!({ "Url": url, "RetrySchedule": [0, 5, 5, 5] });
        sending.app.webhook(&sending.application, settings).await;
        Self {
            sending,
            receiver,
            trap,
            _name_server: name_server,
        }
    }

    /// Sends one message; answers with its delivery after one attempt.
    async fn send(&mut self) -> Value {
        let id = self.sending.integration("one").await;
        assert_eq!(self.sending.drain().await, 1);
        self.sending.delivery(&id, 1).await
    }
}

fn cause(delivery: &Value, attempt: usize) -> &str {
    delivery["Attempts"][attempt]["Cause"]
        .as_str()
        .unwrap_or("none")
}

#[tokio::test]
async fn a_name_that_leads_inside_gets_no_connection() {
    for (script, expected) in [
        (vec![Says::addresses(&[PRIVATE])], "dns_refused_address"),
        (
            vec![Says::addresses(&[PUBLIC, PRIVATE])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PRIVATE, PUBLIC])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PUBLIC, "::1"])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PUBLIC, "::ffff:127.0.0.1"])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PUBLIC, "64:ff9b::7f00:1"])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PUBLIC, "2002:7f00:1::"])],
            "dns_refused_address",
        ),
        (
            vec![Says::addresses(&[PUBLIC, "169.254.169.254"])],
            "dns_refused_address",
        ),
        (vec![Says::addresses(&["0.0.0.0"])], "dns_refused_address"),
        (
            vec![Says::addresses(&["255.255.255.255"])],
            "dns_refused_address",
        ),
        (vec![Says::Code(3)], "dns_not_found"),
        (vec![Says::NoData], "dns_not_found"),
        (vec![Says::Code(2)], "dns_failed"),
        (vec![Says::Code(5)], "dns_failed"),
    ] {
        let told = format!("{script:?}");
        let mut named = Named::new(vec![(NAME, script)]).await;
        let delivery = named.send().await;
        assert_eq!(cause(&delivery, 0), expected, "{told}: {delivery}");
        assert_eq!(delivery["State"], "Pending", "it is tried again: {told}");
        assert_eq!(
            (named.trap.caught(), named.receiver.connections()),
            (0, 0),
            "{told}"
        );
    }
}

#[tokio::test]
async fn aliases_are_followed_to_the_address_that_is_judged() {
    let mut inside = Named::new(vec![
        (NAME, vec![Says::Alias("cdn.example.net".into())]),
        ("cdn.example.net", vec![Says::addresses(&[PRIVATE])]),
    ])
    .await;
    let delivery = inside.send().await;
    assert_eq!(cause(&delivery, 0), "dns_refused_address", "{delivery}");
    assert_eq!(inside.trap.caught(), 0);

    let mut fine = Named::new(vec![
        (NAME, vec![Says::Alias("cdn.example.net".into())]),
        ("cdn.example.net", vec![Says::addresses(&[PUBLIC])]),
    ])
    .await;
    assert_eq!(fine.send().await["State"], "Delivered");

    let mut looping = Named::new(vec![
        (NAME, vec![Says::Alias("b.example.net".into())]),
        ("b.example.net", vec![Says::Alias(NAME.into())]),
    ])
    .await;
    let delivery = looping.send().await;
    assert!(cause(&delivery, 0).starts_with("dns_"), "{delivery}");
    assert_eq!(looping.trap.caught(), 0);
}

#[tokio::test]
async fn a_name_that_turns_bad_later_gets_no_further_connection() {
    let mut named = Named::new(vec![(
        NAME,
        vec![Says::addresses(&[PUBLIC]), Says::addresses(&[PRIVATE])],
    )])
    .await;
    assert_eq!(named.send().await["State"], "Delivered");
    let delivery = named.send().await;
    assert_eq!(cause(&delivery, 0), "dns_refused_address", "{delivery}");
    assert_eq!(
        (named.trap.caught(), named.receiver.requests().len()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_name_that_gets_better_is_delivered_to_in_the_end() {
    let mut named = Named::new(vec![(
        NAME,
        vec![Says::addresses(&[PRIVATE]), Says::addresses(&[PUBLIC])],
    )])
    .await;
    let refused = named.send().await;
    assert_eq!(cause(&refused, 0), "dns_refused_address", "{refused}");
    assert_eq!(named.sending.after(7).await, 1);
    assert_eq!(
        (named.trap.caught(), named.receiver.requests().len()),
        (0, 1)
    );
}
