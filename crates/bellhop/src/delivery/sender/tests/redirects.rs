//! Redirects that are followed: one deadline, one guard, one connection.

use super::*;
use crate::delivery::egress::ScriptedResolver;
use zoo::{Behaviour, redirect};

async fn follow(receiver: &Receiver, timeout: Duration) -> Exchange {
    let target = target(&receiver.url("/hook"));
    let request = PostRequest {
        follow_redirects: true,
        ..request(&target, timeout)
    };
    sender().post(request).await
}

#[tokio::test]
async fn one_connection_serves_all_hops() {
    let receiver = Receiver::start(Behaviour::InTurn(vec![
        redirect(307, "/one"),
        redirect(308, "/two"),
        Behaviour::Answer(ok()),
    ]))
    .await
    .unwrap();
    let exchange = follow(&receiver, PATIENT).await;
    assert!(exchange.outcome.is_ok(), "{exchange:?}");
    assert_eq!(receiver.connections(), 1);
    let lines: Vec<String> = receiver
        .requests()
        .iter()
        .map(|one| {
            String::from_utf8_lossy(one)
                .lines()
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        lines,
        [
            "POST /hook HTTP/1.1",
            "POST /one HTTP/1.1",
            "POST /two HTTP/1.1"
        ]
    );
    let timings = exchange.timings;
    assert!(
        timings.connect_us.is_some(),
        "of the first hop: {timings:?}"
    );
    let parts = [timings.send_us, timings.wait_us, timings.receive_us];
    let parts: u64 = parts.into_iter().flatten().sum();
    assert!(parts <= timings.total_us, "{timings:?}");
}

#[tokio::test]
async fn one_deadline_is_over_all_hops() {
    let receiver = Receiver::start(Behaviour::InTurn(vec![
        redirect(307, "/one"),
        Behaviour::Hang,
    ]))
    .await
    .unwrap();
    let began = std::time::Instant::now();
    let exchange = follow(&receiver, SHORT).await;
    let took = began.elapsed();
    assert_eq!(failed(&exchange), Cause::Timeout);
    assert!(took >= SHORT && took < SHORT * 5, "{took:?}");
    let detail = exchange.outcome.unwrap_err().detail;
    assert!(
        detail.contains("followed 307 to http://127.0.0.1:"),
        "{detail}"
    );
}

/// A redirect whose body never ends uses the time up: there is none left for the next hop.
#[tokio::test]
async fn a_redirect_that_drips_is_not_followed_after_the_deadline() {
    let head = "HTTP/1.1 307 Go\r\nlocation: /one\r\ntransfer-encoding: chunked\r\n\r\n";
    let receiver = Receiver::start(Behaviour::drip(head, "1\r\nx\r\n"))
        .await
        .unwrap();
    let exchange = follow(&receiver, SHORT).await;
    assert_eq!(failed(&exchange), Cause::RedirectRefused);
    assert_eq!(receiver.requests().len(), 1);
    let detail = exchange.outcome.unwrap_err().detail;
    assert!(detail.contains("the time was over"), "{detail}");
}

/// A receiver that closes after its redirect makes the next hop connect anew: the name is resolved and judged again.
#[tokio::test]
async fn a_name_that_leads_elsewhere_at_the_next_hop_is_refused() {
    let mut head = b"HTTP/1.1 307 Go\r\nlocation: /one\r\nconnection: close\r\n".to_vec();
    head.extend_from_slice(b"content-length: 0\r\n\r\n");
    let receiver = Receiver::start(Behaviour::AnswerAndClose(head))
        .await
        .unwrap();
    let port = receiver.address().port();
    let resolver = ScriptedResolver::answering(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let policy = policy();
    let sender = Sender::new(SenderOptions {
        resolver: Arc::new(resolver),
        ..SenderOptions::new(policy.clone())
    });
    let target = policy
        .judge_url(&format!("http://hooks.example.com:{port}/hook"))
        .unwrap();
    let exchange = sender
        .post(PostRequest {
            follow_redirects: true,
            ..request(&target, PATIENT)
        })
        .await;
    assert_eq!(failed(&exchange), Cause::DnsRefusedAddress, "{exchange:?}");
    assert_eq!(receiver.requests().len(), 1);
}
