//! Clients that do harm by being slow, or by sending more than anybody needs: against the real server and its listener.
//! What each may take is bounded by time and by size, and while a thousand of them hang, others are answered.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::server::Server;

/// Connections that hang at a time, of each kind.
const HANGING: usize = 1000;
/// A request beside them takes a few milliseconds. On a machine that is busy with other tests it may take longer; one that
/// waits for those that hang would take 15 s.
const IN_NORMAL_TIME: Duration = Duration::from_secs(10);

const LIVE: &str = "GET /livez HTTP/1.1\r\nhost: bellhop\r\n\r\n";

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

/// Sends this and answers with all that came until the server closed, or until an answer stands there.
async fn ask(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server).await;
    // The server may close while it is still being sent: that is an answer too.
    let _ = stream.write_all(request).await;
    let mut answer = vec![0; 64 * 1024];
    let n = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await;
    let n = n.expect("the server answers or closes").unwrap_or(0);
    String::from_utf8_lossy(&answer[..n]).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("closed")
}

/// How long the slowest of some requests takes.
async fn slowest(server: &Server) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let began = Instant::now();
        let path = format!("/v1/enterprises/00000000-0000-4000-8000-0000000000{number:02}");
        let (status, _) = server
            .ask(http::Method::PUT, &path, Some(&json!({ "Name": "x" })))
            .await;
        assert!([200, 201].contains(&status));
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

fn may_open_many_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_hang_hold_nobody_up() {
    may_open_many_files();
    let server = Server::start(&[]).await;
    let big = format!("{{\"Name\": \"{}\"}}", "x".repeat(1000));
    let key = "the-operators-key-of-a-test-0123456789";
    let slow_body = format!(
        "PUT /v1/enterprises/00000000-0000-4000-8000-000000000099 HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{}",
        big.len(),
        &big[..20]
    );
    // Asks for much, over and over, and never reads: the system's buffers fill, and then the server's wait.
    let greedy = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let kinds = [
        ("head", LIVE[..20].to_owned()),
        ("body", slow_body),
        ("answer", greedy),
    ];
    for (kind, sent) in kinds {
        let before = server.resident_bytes();
        let mut hanging = Vec::with_capacity(HANGING);
        for _ in 0..HANGING {
            let mut stream = connect(&server).await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            hanging.push(stream);
        }
        let took = slowest(&server).await;
        assert!(took < IN_NORMAL_TIME, "{kind}: {took:?}");
        let each = server.resident_bytes().saturating_sub(before) / HANGING as u64;
        // Whatever one holds: less than the largest head and one answer.
        assert!(each < 1024 * 1024, "{kind}: {each} bytes each");
    }
    assert!(server.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused() {
    let server = Server::start(&[]).await;
    let with_headers = |headers: &str| format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: y\r\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    // 100 headers are what a request may have, one of them its host.
    assert_eq!(
        status(&ask(&server, with_headers(&many(99)).as_bytes()).await),
        "200"
    );
    assert_eq!(
        status(&ask(&server, with_headers(&many(100)).as_bytes()).await),
        "431"
    );
    assert_eq!(
        status(&ask(&server, with_headers(&many(5000)).as_bytes()).await),
        "431"
    );
    // 32 KiB are what its head may have, and up to as much again if it comes at once; in one header or in its path.
    let long = |bytes: usize| format!("x-long: {}\r\n", "y".repeat(bytes));
    assert_eq!(
        status(&ask(&server, with_headers(&long(30_000)).as_bytes()).await),
        "200"
    );
    assert_eq!(
        status(&ask(&server, with_headers(&long(100_000)).as_bytes()).await),
        "431"
    );
    assert_eq!(
        status(&ask(&server, with_headers(&long(2_000_000)).as_bytes()).await),
        "431"
    );
    let path = format!(
        "GET /livez?{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "y".repeat(70_000)
    );
    assert!(["414", "431"].contains(&status(&ask(&server, path.as_bytes()).await)));

    let key = "the-operators-key-of-a-test-0123456789";
    let put = |headers: &str, body: &str| {
        format!(
            "PUT /v1/enterprises/00000000-0000-4000-8000-000000000099 HTTP/1.1\r\nhost: x\r\n\
             authorization: Bearer {key}\r\n{headers}\r\n{body}"
        )
    };
    let sized = |body: &str| put(&format!("content-length: {}\r\n", body.len()), body);
    // Announced or not: a body of more than 1 MiB is refused, and not read to its end.
    let announced = put("content-length: 1048577\r\n", "");
    assert_eq!(status(&ask(&server, announced.as_bytes()).await), "413");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = put("transfer-encoding: chunked\r\n", &chunk.repeat(17));
    assert_eq!(status(&ask(&server, chunked.as_bytes()).await), "413");
    // As deep as a body can be: no stack overflows.
    for deep in [
        "[".repeat(500_000),
        "{\"Name\":".repeat(100_000),
        format!(
            "{{\"Name\":{}{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        ),
    ] {
        assert_eq!(status(&ask(&server, sized(&deep).as_bytes()).await), "400");
    }
    assert!(slowest(&server).await < IN_NORMAL_TIME);
    assert!(server.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_one_behind_the_other_are_answered_in_their_order() {
    const MANY: usize = 1000;
    let server = Server::start(&[]).await;
    let mut stream = connect(&server).await;
    let requests: Vec<String> = (0..MANY)
        .map(|n| format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-request-id: number-{n}\r\n\r\n"))
        .collect();
    let requests = requests.concat();
    let (mut read, mut write) = stream.split();
    let reading = async {
        let mut answers = String::new();
        let mut some = vec![0; 64 * 1024];
        while answers.matches("HTTP/1.1 200").count() < MANY
            || !answers.contains(&format!("x-request-id: number-{}\r\n", MANY - 1))
        {
            let n = read.read(&mut some).await.unwrap();
            assert_ne!(n, 0, "closed after {answers}");
            answers.push_str(&String::from_utf8_lossy(&some[..n]));
        }
        answers
    };
    let (answers, written) = tokio::join!(reading, write.write_all(requests.as_bytes()));
    written.unwrap();
    let ids: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.strip_prefix("x-request-id: number-"))
        .collect();
    let expected: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
    assert_eq!(ids, expected);
    assert!(server.end().await);
}
