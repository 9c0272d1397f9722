//! The table of all beasts.

use crate::{
    beasts::{
        Beast,
        Expected::{Delivered, Failed},
        Tls, overload, redirect,
    },
    behaviour::Behaviour,
    bomb::gzip_bomb,
    certificates::Flaw,
};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// Ends of a connection, of which the network decides which one is seen.
const CUT: Causes = &["closed_early", "reset"];
const TOO_MUCH: Causes = &["response_too_large", "protocol_error"];

type Causes = &'static [&'static str];

/// Every behaviour of a receiver that must do no harm.
pub fn beasts() -> Vec<Beast> {
    [
        redirects(),
        endless(),
        slow(),
        cut(),
        nonsense(),
        tls(),
        overloaded(),
    ]
    .concat()
}

fn redirects() -> Vec<Beast> {
    let places = [
        ("itself", "/hook"),
        ("loopback", "http://127.0.0.1:9/"),
        ("another_host", "https://other.example.com/"),
        ("plain_http", "http://other.example.com/"),
        ("metadata", "http://169.254.169.254/latest/meta-data/"),
    ];
    let hidden = [
        ("user_info", "http://user:pass@127.0.0.1:9/"),
        ("a_protocol_relative_host", "//other.example.com/"),
        ("a_host_behind_backslashes", "\\\\other.example.com/"),
    ];
    let mut beasts = Vec::new();
    for (place, to) in hidden {
        beasts.push(Beast::new(
            format!("redirect_307_to_{place}"),
            redirect(307, to),
            Failed(&["redirect_refused"]),
        ));
    }
    for status in [301, 302, 303, 307, 308] {
        for (place, to) in places {
            beasts.push(Beast::new(
                format!("redirect_{status}_to_{place}"),
                redirect(status, to),
                Failed(&["redirect_refused"]),
            ));
        }
    }
    beasts
}

/// What would fill the memory.
fn endless() -> Vec<Beast> {
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let many = |piece: &str| piece.repeat(512);
    let bomb = |bytes: usize| {
        let body = gzip_bomb(bytes);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Behaviour::Answer([head.as_bytes(), &body].concat())
    };
    let beast = |name: &str, head: &str, piece: &str| {
        Beast::new(name, Behaviour::endless(head, piece), Failed(TOO_MUCH))
    };
    vec![
        // Ten megabytes inside, and nobody looks.
        Beast::new("gzip_bomb", bomb(60_000), Delivered),
        Beast::new("large_gzip_bomb", bomb(600_000), Failed(TOO_MUCH)),
        beast("endless_chunked_body", CHUNKED, &chunk),
        beast("endless_body_of_tiny_chunks", CHUNKED, &many("1\r\nx\r\n")),
        beast(
            "endless_body_without_length",
            "HTTP/1.1 200 OK\r\n\r\n",
            &chunk,
        ),
        beast(
            "body_of_a_terabyte",
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
            &chunk,
        ),
        beast(
            "endless_header_line",
            "HTTP/1.1 200 OK\r\nx-endless: ",
            &"x".repeat(0x4000),
        ),
        beast("endless_headers", "HTTP/1.1 200 OK\r\n", &many("a: b\r\n")),
        beast("endless_reason", "HTTP/1.1 200 ", &many("OK ")),
        beast(
            "flood_of_103",
            "",
            &many("HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"),
        ),
        beast("flood_of_100", "", &many("HTTP/1.1 100 Continue\r\n\r\n")),
        // It said 200, and what followed was no body: it has the message.
        Beast::new(
            "endless_chunk_extension",
            Behaviour::endless(&format!("{CHUNKED}1;"), &many("a")),
            Delivered,
        ),
        Beast::new(
            "endless_trailers",
            Behaviour::endless(&format!("{CHUNKED}0\r\n"), &many("x-a: b\r\n")),
            Delivered,
        ),
    ]
}

/// What would keep a connection for ever.
fn slow() -> Vec<Beast> {
    let beast = |name: &str, behaviour| Beast::new(name, behaviour, Failed(&["timeout"])).slow();
    vec![
        beast("never_answers", Behaviour::Hang),
        beast("reads_a_byte_at_a_time", Behaviour::ReadSlowly),
        beast(
            "header_drip",
            Behaviour::drip("HTTP/1.1 200 OK\r\n", "x-drip: 1\r\n"),
        ),
        beast(
            "letter_drip",
            Behaviour::drip("HTTP/1.1 200 OK\r\nx-drip: ", "x"),
        ),
        beast(
            "drip_of_103",
            Behaviour::drip("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        ),
        beast(
            "body_drip",
            Behaviour::drip("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "x"),
        ),
        beast("chunk_drip", Behaviour::drip(CHUNKED, "1\r\nx\r\n")),
        // The status is known: it decides.
        Beast::new(
            "body_drip_of_a_500",
            Behaviour::drip("HTTP/1.1 500 No\r\ncontent-length: 9999\r\n\r\n", "x"),
            Failed(&["server_error"]),
        )
        .slow(),
    ]
}

/// Connections that end too early.
fn cut() -> Vec<Beast> {
    let partial = "HTTP/1.1 200 OK\r\ncontent-le";
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
    let failed = |name: &str, behaviour| Beast::new(name, behaviour, Failed(CUT));
    let delivered = |name: &str, behaviour| Beast::new(name, behaviour, Delivered);
    vec![
        failed("closes_at_once", Behaviour::Close),
        failed("resets_at_once", Behaviour::Reset),
        failed("reads_and_resets", Behaviour::ReadAndReset),
        failed("reads_and_closes", Behaviour::AnswerAndClose(vec![])),
        failed(
            "closes_in_the_head",
            Behaviour::AnswerAndClose(partial.into()),
        ),
        failed(
            "resets_in_the_head",
            Behaviour::AnswerAndReset(partial.into()),
        ),
        delivered(
            "says_200_and_resets",
            Behaviour::AnswerAndReset(sized.into()),
        ),
        delivered(
            "says_200_and_closes",
            Behaviour::AnswerAndClose(sized.into()),
        ),
        delivered(
            "says_200_and_resets_in_a_chunk",
            Behaviour::AnswerAndReset(format!("{CHUNKED}4\r\npart\r\n").into()),
        ),
    ]
}

/// What is not HTTP.
fn nonsense() -> Vec<Beast> {
    let answers = [
        ("not_http", "hello\r\n\r\n"),
        ("http_0_9", "<html>HTTP/0.9 knows no status</html>"),
        ("http_2_by_surprise", "HTTP/2.0 200 OK\r\n\r\n"),
        ("two_digit_status", "HTTP/1.1 20 OK\r\n\r\n"),
        ("nul_in_a_header", "HTTP/1.1 200 OK\r\nx-nul: a\0b\r\n\r\n"),
        (
            "header_without_colon",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ),
        (
            "two_lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        ),
        (
            "length_and_chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunks_and_length",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        ),
        (
            "status_101",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        ),
        (
            "status_999",
            "HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        ),
    ];
    answers
        .into_iter()
        .map(|(name, answer)| {
            let behaviour = Behaviour::AnswerAndClose(answer.into());
            Beast::new(name, behaviour, Failed(&["protocol_error"]))
        })
        .collect()
}

/// TLS that must not be trusted, and TLS that is none.
fn tls() -> Vec<Beast> {
    let flawed = |name: &str, flaw, causes| {
        Beast::new(name, Behaviour::healthy(), Failed(causes)).tls(Tls::With(flaw))
    };
    let claimed = |name: &str, behaviour| {
        Beast::new(name, behaviour, Failed(&["tls_failed"])).tls(Tls::Claimed)
    };
    vec![
        flawed(
            "tls_expired",
            Flaw::Expired,
            &["tls_certificate_expired"] as &'static [_],
        ),
        flawed(
            "tls_not_yet_valid",
            Flaw::NotYetValid,
            &["tls_certificate_not_yet_valid"],
        ),
        flawed("tls_wrong_host", Flaw::OtherHost, &["tls_wrong_host"]),
        flawed("tls_self_signed", Flaw::SelfSigned, &["tls_untrusted"]),
        flawed(
            "tls_self_signed_authority",
            Flaw::SelfSignedAuthority,
            &["tls_untrusted"],
        ),
        flawed(
            "tls_unknown_authority",
            Flaw::UnknownAuthority,
            &["tls_untrusted"],
        ),
        claimed("tls_1_1_hello", Behaviour::Blurt(hello_of_tls_1_1())),
        // The alert `protocol_version`.
        claimed(
            "tls_1_1_alert",
            Behaviour::Blurt(vec![0x15, 3, 2, 0, 2, 2, 70]),
        ),
        claimed(
            "http_where_tls_should_be",
            Behaviour::Blurt(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ),
        Beast::new("tls_reset", Behaviour::Reset, Failed(CUT)).tls(Tls::Claimed),
        Beast::new(
            "tls_never_answers",
            Behaviour::Blurt(vec![]),
            Failed(&["tls_timeout"]),
        )
        .tls(Tls::Claimed)
        .slow(),
    ]
}

/// A ServerHello (RFC 4346, 7.4.1.3) of a server that knows TLS 1.1 and nothing newer.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([0x5a; 32]);
    // No session id, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0, 0x2f, 0]);
    hello
}

/// Receivers that ask for less, and one that repeats what it was sent.
fn overloaded() -> Vec<Beast> {
    let limited = |name: &str, values: &[&str]| {
        Beast::new(name, overload(429, values), Failed(&["rate_limited"]))
    };
    vec![
        limited("rate_limited", &["2"]),
        limited("rate_limited_with_nonsense", &["soon"]),
        limited("rate_limited_twice", &["1", "3"]),
        Beast::new(
            "unavailable",
            overload(503, &["2"]),
            Failed(&["unavailable"]),
        ),
        Beast::new(
            "echoes_in_a_500",
            Behaviour::Echo,
            Failed(&["server_error"]),
        ),
        Beast::new("gone", Behaviour::status(410, &[]), Failed(&["gone"])),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_beast_has_a_name_of_its_own() {
        let names: HashSet<String> = beasts().into_iter().map(|beast| beast.name).collect();
        assert_eq!(names.len(), beasts().len());
        assert!(names.len() > 70, "{}", names.len());
    }
}
