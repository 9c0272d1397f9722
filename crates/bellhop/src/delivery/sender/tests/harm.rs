//! The table "receivers that must do no harm": each ends at its deadline or its limit, with a cause.

use std::time::Instant;

use super::*;
use zoo::Behaviour;

/// What a receiver can make Bellhop read at most: the limit on the wire and what fits into sockets' buffers.
const MOST_READ: usize = 8 * 1024 * 1024;

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn what_never_ends_ends_at_a_limit() {
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, head, piece) in [
        ("endless chunked body", chunked, chunk.as_str()),
        ("endless body of tiny chunks", chunked, "1\r\nx\r\n"),
        (
            "endless body without a length",
            "HTTP/1.1 200 OK\r\n\r\n",
            chunk.as_str(),
        ),
        (
            "body of a terabyte",
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
            chunk.as_str(),
        ),
        (
            "endless header line",
            "HTTP/1.1 200 OK\r\nx-endless: ",
            chunk.trim_end(),
        ),
        (
            "flood of 103",
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
        ),
        ("flood of 100", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("endless reason", "HTTP/1.1 200 ", "OK "),
        (
            "endless chunk extension",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "a",
        ),
        (
            "endless trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            "x-a: b\r\n",
        ),
    ] {
        let piece = piece.repeat(if piece.len() < 64 { 512 } else { 1 });
        let behaviour = Behaviour::Endless {
            head: bytes(head),
            piece: bytes(&piece),
        };
        let receiver = Receiver::start(behaviour).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        let ended = format!("{name}: {exchange:?}");
        match name {
            // The receiver said 200, and what followed was no body: it has the message.
            "endless chunk extension" | "endless trailers" => {
                assert!(exchange.outcome.is_ok(), "{ended}");
            }
            _ => assert!(
                matches!(
                    failed(&exchange),
                    Cause::ResponseTooLarge | Cause::ProtocolError
                ),
                "{ended}"
            ),
        }
        assert!(exchange.timings.total_us < 5_000_000, "{ended}");
        assert!(
            exchange
                .response()
                .is_none_or(|response| response.body.len() <= 4096),
            "{ended}"
        );
        assert!(receiver.written() < MOST_READ, "{ended}");
    }
}

#[tokio::test]
async fn endless_headers_end_at_a_limit() {
    let receiver = Receiver::start(Behaviour::Endless {
        head: bytes("HTTP/1.1 200 OK\r\n"),
        piece: bytes("a: b\r\n"),
    })
    .await
    .unwrap();
    let exchange = post(&receiver, PATIENT).await;
    assert!(
        matches!(
            failed(&exchange),
            Cause::ResponseTooLarge | Cause::ProtocolError
        ),
        "{exchange:?}"
    );
}

#[tokio::test]
async fn a_gzip_bomb_is_bytes_like_any_others() {
    let answer = [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n".as_slice(),
        &[0x1f, 0x8b, 8, 0],
    ]
    .concat();
    let receiver = Receiver::start(Behaviour::Answer(answer)).await.unwrap();
    let exchange = post(&receiver, PATIENT).await;
    assert_eq!(exchange.outcome.unwrap().body.as_ref(), [0x1f, 0x8b, 8, 0]);
}

#[tokio::test]
async fn what_is_slow_ends_at_the_deadline() {
    for (behaviour, cause) in [
        (Behaviour::Hang, Cause::Timeout),
        (
            Behaviour::Drip {
                head: bytes("HTTP/1.1 200 OK\r\n"),
                piece: bytes("x-drip: 1\r\n"),
            },
            Cause::Timeout,
        ),
        (
            Behaviour::Drip {
                head: vec![],
                piece: bytes("HTTP/1.1 103 Early Hints\r\n\r\n"),
            },
            Cause::Timeout,
        ),
        (
            Behaviour::Drip {
                head: bytes("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"),
                piece: bytes("x"),
            },
            Cause::Timeout,
        ),
        // The status is known: it decides.
        (
            Behaviour::Drip {
                head: bytes("HTTP/1.1 410 Gone\r\ncontent-length: 999\r\n\r\n"),
                piece: bytes("x"),
            },
            Cause::Gone,
        ),
    ] {
        let name = format!("{behaviour:?}");
        let receiver = Receiver::start(behaviour).await.unwrap();
        let began = Instant::now();
        let exchange = post(&receiver, SHORT).await;
        assert_eq!(failed(&exchange), cause, "{name}");
        assert!(
            began.elapsed() >= SHORT && began.elapsed() < SHORT * 5,
            "{name}: {:?}",
            began.elapsed()
        );
        assert!(exchange.timings.total_us >= 300_000, "{name}");
        if name.contains("content-length") {
            let response = exchange.response().unwrap();
            assert!(
                response.truncated && response.body.starts_with(b"x") && response.body_len < 999,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_receiver_that_reads_slowly_ends_at_the_deadline() {
    let receiver = Receiver::start(Behaviour::ReadSlowly).await.unwrap();
    let target = target(&receiver.url("/hook"));
    let post = PostRequest {
        timeout: SHORT,
        ..PostRequest::new(&target, HeaderMap::new(), vec![b'x'; 16 << 20].into())
    };
    assert_eq!(failed(&sender().post(post).await), Cause::Timeout);
}

#[tokio::test]
async fn connections_that_end_have_their_cause() {
    let partial = "HTTP/1.1 200 OK\r\ncontent-le";
    for (behaviour, causes) in [
        (Behaviour::Close, [Cause::ClosedEarly, Cause::Reset]),
        (Behaviour::Reset, [Cause::Reset, Cause::Reset]),
        (Behaviour::ReadAndReset, [Cause::Reset, Cause::Reset]),
        (
            Behaviour::AnswerAndClose(vec![]),
            [Cause::ClosedEarly, Cause::ClosedEarly],
        ),
        (
            Behaviour::AnswerAndClose(bytes(partial)),
            [Cause::ClosedEarly, Cause::ClosedEarly],
        ),
        (
            Behaviour::AnswerAndReset(bytes(partial)),
            [Cause::Reset, Cause::Reset],
        ),
    ] {
        let name = format!("{behaviour:?}");
        let receiver = Receiver::start(behaviour).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        assert!(causes.contains(&failed(&exchange)), "{name}: {exchange:?}");
        assert!(exchange.response().is_none());
    }
}

#[tokio::test]
async fn a_200_whose_body_is_cut_is_delivered() {
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
    let chunked = "HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n";
    for behaviour in [
        Behaviour::AnswerAndReset(bytes(sized)),
        Behaviour::AnswerAndClose(bytes(sized)),
        Behaviour::AnswerAndReset(bytes(chunked)),
        Behaviour::AnswerAndClose(bytes(chunked)),
        Behaviour::AnswerAndReset(bytes("HTTP/1.1 204 No Content\r\n\r\n")),
    ] {
        let receiver = Receiver::start(behaviour.clone()).await.unwrap();
        let exchange = post(&receiver, PATIENT).await;
        let response = exchange
            .outcome
            .unwrap_or_else(|failure| panic!("{behaviour:?}: {failure:?}"));
        let expected = if response.status == 204 {
            (&b""[..], false)
        } else {
            (&b"part"[..], true)
        };
        assert_eq!((response.body.as_ref(), response.truncated), expected);
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    for answer in [
        "hello\r\n\r\n",
        "<html>HTTP/0.9 knows no status</html>",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-nul: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        let receiver = Receiver::start(Behaviour::AnswerAndClose(bytes(answer)))
            .await
            .unwrap();
        let exchange = post(&receiver, PATIENT).await;
        assert_eq!(
            failed(&exchange),
            Cause::ProtocolError,
            "{answer:?}: {exchange:?}"
        );
    }
}
