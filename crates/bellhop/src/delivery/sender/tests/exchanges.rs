//! What receivers answer, and what is recorded of it.

use std::time::Duration;

use super::*;
use zoo::{Behaviour, header};

#[tokio::test]
async fn a_success_is_recorded() {
    let receiver = Receiver::start(Behaviour::Answer(ok())).await.unwrap();
    let sender = sender();
    let target = target(&receiver.url("/hook?key=s3cr3t-value"));
    let first = sender.post(request(&target, PATIENT)).await;
    let second = sender.post(request(&target, PATIENT)).await;

    let response = first.outcome.as_ref().unwrap();
    assert_eq!(
        (
            response.status,
            response.body.as_ref(),
            response.body_len,
            response.truncated
        ),
        (200, &b"ok"[..], 2, false)
    );
    assert_eq!(
        response.headers.to_pairs(),
        [("content-length".to_owned(), "2".to_owned())]
    );
    assert_eq!(first.remote, Some("127.0.0.1".parse().unwrap()));
    assert!(!first.connection_reused && first.timings.connect_us.is_some());
    assert_eq!((first.timings.dns_us, first.timings.tls_us), (None, None));
    assert!(
        first.timings.send_us.is_some()
            && first.timings.wait_us.is_some()
            && first.timings.receive_us.is_some()
    );

    assert!(second.outcome.is_ok() && second.connection_reused);
    assert_eq!((second.timings.connect_us, second.cause()), (None, None));
    assert_eq!(receiver.connections(), 1);

    let requests = receiver.requests();
    assert_eq!(requests[0], requests[1]);
    let text = String::from_utf8(requests[0].clone()).unwrap();
    assert!(
        text.starts_with("POST /hook?key=s3cr3t-value HTTP/1.1\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n{\"Action\":1}"), "{text}");
    assert_eq!(
        header(text.as_bytes(), "host"),
        receiver.address().to_string()
    );
    assert_eq!(header(text.as_bytes(), "content-length"), "12");
    assert_eq!(
        text.matches("\r\n").count(),
        5,
        "nothing but content-type, host and content-length: {text}"
    );
}

#[tokio::test]
async fn each_status_has_its_cause() {
    for (status, cause) in [
        (200, None),
        (204, None),
        (299, None),
        (300, Some(Cause::RedirectRefused)),
        (304, Some(Cause::RedirectRefused)),
        (400, Some(Cause::ClientError)),
        (401, Some(Cause::ClientError)),
        (410, Some(Cause::Gone)),
        (429, Some(Cause::RateLimited)),
        (500, Some(Cause::ServerError)),
        (503, Some(Cause::Unavailable)),
        (599, Some(Cause::ServerError)),
        (600, Some(Cause::ProtocolError)),
        (999, Some(Cause::ProtocolError)),
        (101, Some(Cause::ProtocolError)),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes();
        let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        assert_eq!(exchange.cause(), cause, "{status}");
        assert_eq!(exchange.response().unwrap().status, status);
        assert!(exchange.retry_after.is_none());
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let elsewhere = Receiver::start(Behaviour::Answer(ok())).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        for to in [
            elsewhere.url("/"),
            "/hook".to_owned(),
            "http://169.254.169.254/".to_owned(),
            "//127.0.0.1/".to_owned(),
        ] {
            let answer =
                format!("HTTP/1.1 {status} Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                    .into_bytes();
            let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
            let exchange = post(&receiver, PATIENT).await;
            assert_eq!(failed(&exchange), Cause::RedirectRefused);
            assert_eq!(
                exchange.response().unwrap().headers.get("location"),
                Some(to.as_str())
            );
            assert_eq!(receiver.requests().len(), 1);
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn retry_after_is_kept_with_429_and_503_only() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    for (status, headers, expected) in [
        (429, "retry-after: 120\r\n", Some(Some(120))),
        (
            503,
            "Retry-After: 60\r\nretry-after: 90\r\n",
            Some(Some(90)),
        ),
        (503, "retry-after: soon\r\n", Some(None)),
        (503, "", None),
        (500, "retry-after: 120\r\n", None),
        (200, "retry-after: 120\r\n", None),
    ] {
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n").into_bytes();
        let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        let wait = exchange
            .retry_after
            .map(|retry_after| retry_after.wait(now).map(|wait| wait.as_secs()));
        assert_eq!(wait, expected, "{status} {headers}");
    }
}

#[tokio::test]
async fn a_long_body_is_kept_in_part() {
    let body = "x".repeat(60 * 1024);
    let answer = format!(
        "HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes();
    let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
    let exchange = post(&receiver, PATIENT).await;
    assert_eq!(failed(&exchange), Cause::ServerError);
    let response = exchange.response().unwrap();
    assert_eq!(
        (response.body.len(), response.body_len, response.truncated),
        (4096, 60 * 1024, true)
    );
}

#[tokio::test]
async fn many_and_long_headers_are_kept_in_part() {
    let many = "x-many: 1\r\n".repeat(90);
    let long = format!("x-long: {}\r\n", "é".repeat(5000));
    for headers in [many, long] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{headers}set-cookie: session=1\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes();
        let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        let headers = exchange.outcome.unwrap().headers.to_pairs();
        assert!(headers.len() <= 64);
        assert!(
            headers
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
                <= 8 * 1024
        );
        assert!(!headers.iter().any(|(_, value)| value.contains("session=1")));
    }
}

#[tokio::test]
async fn an_echo_leaks_nothing() {
    let receiver = Receiver::start(Behaviour::Echo).await.unwrap();
    let token = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";
    let custom = "custom-header-secret";
    let secrets = [token.as_bytes(), custom.as_bytes()];
    let target = target(&receiver.url("/hook?key=query-secret"));
    // The token stands across the limit of what is kept.
    for padding in (3850..4096).step_by(7) {
        let body = format!(
            "{{\"Padding\":\"{}\",\"AccessToken\":\"{token}\"}}",
            "p".repeat(padding)
        );
        let mut request = PostRequest::new(&target, HeaderMap::new(), body.into());
        request.headers.insert("x-secret", custom.parse().unwrap());
        request.secrets = &secrets;
        request.timeout = PATIENT;
        let exchange = sender().post(request).await;
        assert_eq!(failed(&exchange), Cause::ServerError);
        let response = exchange.response().unwrap();
        assert_eq!(response.headers.get("x-echo"), Some("[redacted]"));
        assert!((3900..=4096).contains(&response.body.len()));
        let recorded = format!("{exchange:?}{}", String::from_utf8_lossy(&response.body));
        for secret in ["9E5E84E9", "00B343A0", custom, "query-secret"] {
            assert!(!recorded.contains(secret), "{padding}: {recorded}");
        }
    }
}

#[tokio::test]
async fn a_stale_connection_is_replaced_within_the_attempt() {
    let receiver = Receiver::start(Behaviour::AnswerOnce(ok())).await.unwrap();
    let sender = sender();
    let target = target(&receiver.url("/hook"));
    for _ in 0..3 {
        let exchange = sender.post(request(&target, PATIENT)).await;
        assert!(exchange.outcome.is_ok(), "{exchange:?}");
    }
    // The second and third POST were each read once on an old connection, and sent again on a new one.
    assert_eq!(receiver.requests().len(), 5);
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn a_failure_on_a_new_connection_is_not_repeated() {
    let receiver = Receiver::start(Behaviour::ReadAndReset).await.unwrap();
    assert_eq!(failed(&post(&receiver, PATIENT).await), Cause::Reset);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_that_spoke_nonsense_is_not_used_again() {
    let answer =
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec();
    let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
    let sender = sender();
    let target = target(&receiver.url("/hook"));
    for expected_connections in 1..=2 {
        let exchange = sender.post(request(&target, PATIENT)).await;
        assert_eq!(failed(&exchange), Cause::ProtocolError, "{exchange:?}");
        assert_eq!(receiver.connections(), expected_connections);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_large_request_to_a_healthy_receiver_arrives_whole() {
    let receiver = Receiver::start(Behaviour::Answer(ok())).await.unwrap();
    let target = target(&receiver.url("/hook"));
    let body: Bytes = (0..2_000_000u32)
        .map(|number| number as u8)
        .collect::<Vec<u8>>()
        .into();
    let post = PostRequest {
        timeout: PATIENT,
        ..PostRequest::new(&target, HeaderMap::new(), body.clone())
    };
    assert!(sender().post(post).await.outcome.is_ok());
    assert!(receiver.requests()[0].ends_with(&body));
}
