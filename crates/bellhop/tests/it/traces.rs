//! Traces: a real server, and a collector that reads what it is sent.

use std::time::{Duration, Instant};

use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use zoo::ClosedPort;

use crate::{
    authentication::mutual_tls::Authority,
    support::{
        collector::{Collector, Told},
        receiver::Receiver,
        server::Server,
    },
};

const ENTERPRISE: &str = "8865aa96-f62d-4f9b-a912-ab2100f60f42";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(30);
/// What the last traces may take, and the rest of the end.
const END_WITHIN: Duration = Duration::from_secs(5 + 5);
/// What an attempt may tell of itself, and nothing else.
const OF_AN_ATTEMPT: [&str; 9] = [
    "bellhop.attempt",
    "bellhop.delivery_id",
    "bellhop.integration_id",
    "bellhop.webhook_id",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "server.address",
    "server.port",
];
const OF_A_REQUEST: [&str; 3] = [
    "http.request.method",
    "http.response.status_code",
    "http.route",
];

/// A server with these variables, and an application with a webhook to the receiver.
async fn platform(variables: &[(&str, &str)], receiver: &Receiver) -> (Server, String, Value) {
    let mut settings = vec![("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8")];
    settings.extend(variables);
    let server = Server::start(&settings).await;
    let application = server.application("Key cards").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let url = receiver.url("/hook?secret=1");
    let webhook = json!({ "Url": url, "RetrySchedule": [0, 0, 3600] });
    let webhook = server.make(&path, &webhook).await;
    (server, application, webhook)
}

/// Makes an integration with these headers; answers with its id.
async fn integration(server: &Server, application: &str, headers: &[(&str, &str)]) -> String {
    let document = json!({
        "ApplicationId": application, "EnterpriseId": ENTERPRISE, "Name": "Grand Hotel"
    });
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let made = server
        .fetch(
            Method::POST,
            "/v1/integrations",
            &all,
            &document.to_string(),
        )
        .await;
    assert_eq!(made.0, 201);
    let made: Value = serde_json::from_slice(&made.2).unwrap();
    made["Id"].as_str().unwrap().to_owned()
}

/// Until so many attempts have been recorded.
async fn attempted(server: &Server, count: u64) {
    let began = Instant::now();
    loop {
        let metrics = server.metrics().await;
        let lines = metrics.lines();
        let counted = lines.filter_map(|line| line.strip_prefix("bellhop_attempts_total{"));
        let sum: u64 = counted
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum();
        if sum >= count {
            return;
        }
        assert!(began.elapsed() < WITHIN, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn of_kind(spans: &[Told], kind: SpanKind) -> Vec<&Told> {
    spans.iter().filter(|span| span.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_its_attempts_are_traced() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    receiver.answers([503, 204]);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=hotels"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging",
        ),
    ];
    let (server, application, webhook) = platform(&variables, &receiver).await;
    let caller = [("traceparent", CALLER), ("tracestate", "a=secret")];
    let made = integration(&server, &application, &caller).await;
    attempted(&server, 2).await;
    let path = format!("/v1/integrations/{made}?Limit=1");
    let other = [("traceparent", NOT_SAMPLED)];
    server.fetch(Method::GET, &path, &other, "").await;
    server.ask(Method::GET, &path, None).await;
    server
        .ask(Method::from_bytes(b"BREW").unwrap(), "/v1/nothing", None)
        .await;
    // Before the usual delay of 5 s: what waits is sent at the end.
    assert!(server.end().await);

    let spans = collector.spans();
    judge_requests(&of_kind(&spans, SpanKind::Server));
    let attempts = of_kind(&spans, SpanKind::Client);
    judge_attempts(&attempts, &receiver);
    for span in attempts {
        assert_eq!(span.attribute("bellhop.integration_id"), made);
        assert_eq!(
            span.attribute("bellhop.webhook_id"),
            webhook["Id"].as_str().unwrap()
        );
    }
    for export in collector.exports() {
        assert_eq!(export.path, "/v1/traces");
        assert_eq!(export.headers["x-tenant"], "hotels");
        assert_eq!(export.headers["content-type"], "application/x-protobuf");
    }
}

/// The caller's trace goes on; what a caller does not keep is not told; names are those of routes.
fn judge_requests(requests: &[&Told]) {
    let create = requests.iter().find(|span| span.trace == TRACE).unwrap();
    assert_eq!(create.parent, "b7ad6b7169203331");
    assert_eq!(create.name, "POST /v1/integrations");
    assert_eq!(create.keys(), OF_A_REQUEST);
    assert_eq!(create.attribute("http.response.status_code"), "201");
    assert!(create.took > 0 && !create.is_error);
    assert_eq!(create.resource["service.name"], "bellhop");
    assert_eq!(create.resource["deployment.environment.name"], "staging");
    // A caller who does not keep a trace is not asked again, and nobody else's is another one.
    let route = "GET /v1/integrations/{Id}";
    let reads: Vec<_> = requests.iter().filter(|span| span.name == route).collect();
    assert_eq!(reads.len(), 1);
    assert!(reads[0].parent.is_empty() && reads[0].trace != TRACE);
    let unknown = requests.iter().find(|span| span.name == "_OTHER").unwrap();
    assert_eq!(unknown.keys(), OF_A_REQUEST[..2]);
    // Probes and figures are not people's requests.
    let is_probe = |name: &str| {
        ["/readyz", "/metrics"]
            .iter()
            .any(|path| name.ends_with(path))
    };
    assert!(!requests.iter().any(|span| is_probe(&span.name)));
}

/// The receiver got the ids of the spans, and the spans tell what came of it.
fn judge_attempts(attempts: &[&Told], receiver: &Receiver) {
    let received = receiver.received();
    assert_eq!((attempts.len(), received.len()), (2, 2));
    for (number, (span, came)) in attempts.iter().zip(&received).enumerate() {
        let told = format!("00-{}-{}-01", span.trace, span.id);
        assert_eq!(told, came.header("traceparent"));
        assert!(came.header("tracestate").is_empty() && span.parent.is_empty());
        assert_eq!(span.name, "POST");
        assert_eq!(span.attribute("bellhop.attempt"), (number + 1).to_string());
        assert_eq!(span.attribute("server.address"), "127.0.0.1");
        let url = receiver.url("");
        assert!(url.ends_with(&format!(":{}", span.attribute("server.port"))));
        assert!(
            span.events
                .ends_with(&["sent", "first_byte", "last_byte"].map(str::to_owned)),
            "{:?}",
            span.events
        );
    }
    let (failed, arrived) = (attempts[0], attempts[1]);
    assert_eq!(failed.keys(), OF_AN_ATTEMPT);
    assert!(failed.is_error && !arrived.is_error);
    assert_eq!(failed.attribute("error.type"), "unavailable");
    assert_eq!(failed.attribute("http.response.status_code"), "503");
    assert_eq!(arrived.attribute("http.response.status_code"), "204");
    assert!(arrived.attribute("error.type").is_empty());
    assert_eq!(
        failed.attribute("bellhop.delivery_id"),
        arrived.attribute("bellhop.delivery_id")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_where_the_variables_say_so() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    let endpoint = collector.endpoint();
    let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    for variables in [
        &[("OTEL_SERVICE_NAME", "bellhop")][..],
        &[on, ("OTEL_SDK_DISABLED", "true")],
        &[on, ("OTEL_TRACES_EXPORTER", "none")],
        &[on, ("OTEL_TRACES_SAMPLER", "always_off")],
    ] {
        let (server, application, _) = platform(variables, &receiver).await;
        integration(&server, &application, &[]).await;
        attempted(&server, 1).await;
        assert!(server.end().await);
        assert!(collector.exports().is_empty(), "{variables:?}");
    }
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_disturbs_nothing() {
    let nobody = ClosedPort::take().unwrap();
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [nobody.address().unwrap(), silent.local_addr().unwrap()] {
        let receiver = Receiver::start().await;
        let endpoint = format!("http://{address}");
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ];
        let (server, application, _) = platform(&variables, &receiver).await;
        for n in 1..=20 {
            integration(&server, &application, &[]).await;
            attempted(&server, n).await;
        }
        let began = Instant::now();
        while server.figure("bellhop_traces_dropped_total").await < 20 {
            assert!(began.elapsed() < WITHIN, "{}", server.log());
            server.get("/v1/webhooks").await;
        }
        assert_eq!(receiver.received().len(), 20);
        let folder = server.folder();
        let began = Instant::now();
        assert!(server.end().await);
        assert!(began.elapsed() < END_WITHIN, "{:?}", began.elapsed());
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(
            log.matches("the collector takes no traces").count(),
            1,
            "{log}"
        );
    }
}

/// The longest that a collector may hold the end up, whatever its time-out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_a_collector_that_hangs() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
    ];
    let receiver = Receiver::start().await;
    let (server, application, _) = platform(&variables, &receiver).await;
    integration(&server, &application, &[]).await;
    attempted(&server, 1).await;
    let began = Instant::now();
    assert!(server.end().await);
    assert!(began.elapsed() < END_WITHIN, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_asked_over_tls() {
    let authority = Authority::new("collectors");
    let collector = authority
        .serve(&authority, false, rustls::ALL_VERSIONS)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = [Authority::new("others"), authority].map(|authority| authority.pem());
    let pem = folder.path().join("authority.pem");
    let endpoint = collector.url("/otlp");
    let receiver = Receiver::start().await;
    for (trusted, arrives) in trusted.iter().zip([false, true]) {
        std::fs::write(&pem, trusted).unwrap();
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", pem.to_str().unwrap()),
        ];
        let (server, ..) = platform(&variables, &receiver).await;
        assert!(server.end().await);
        let came = collector.came();
        assert_eq!(
            came.iter().any(|came| came.path == "/otlp/v1/traces"),
            arrives
        );
    }
}
