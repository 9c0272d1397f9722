//! Two replicas of the real server on one PostgreSQL.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_postgres::NoTls;

use crate::{
    store::postgres::{TestDatabase, cluster, execute, pooler},
    support::{
        receiver::{Received, Receiver},
        server::Server,
    },
};

/// One key ring for all replicas.
const ENCRYPTION_KEY: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";
/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(40);

pub async fn replica(database: &TestDatabase) -> Server {
    replica_at(&database.url()).await
}

async fn replica_at(url: &str) -> Server {
    Server::start(&[
        ("BELLHOP_DATABASE_URL", url),
        ("BELLHOP_ENCRYPTION_KEY", ENCRYPTION_KEY),
        ("BELLHOP_EGRESS_ALLOW", "127.0.0.0/8"),
    ])
    .await
}

async fn webhook(server: &Server, application: &str, url: &str) -> String {
    let path = format!("/v1/applications/{application}/webhooks");
    let made = server
        .make(&path, &json!({"Url": url, "RetrySchedule": [0, 1, 1, 1]}))
        .await;
    made["Id"].as_str().unwrap().to_owned()
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn deliveries(server: &Server) -> Vec<Value> {
    let listed = server.get("/v1/deliveries?Limit=1000").await;
    listed["Items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_lanes_and_see_a_revocation_at_once() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let receiver = Receiver::start().await;
    let application = one.application("Booking engine").await;
    webhook(&one, &application, &receiver.url("/hooks")).await;
    let mut integrations = Vec::new();
    for number in 0..8 {
        let server = [&one, &other][number % 2];
        integrations.push(
            server
                .integration(&application, &format!("Desk {number}"))
                .await,
        );
    }
    for round in 0..5 {
        let command = ["disable", "enable"][round % 2];
        for (number, integration) in integrations.iter().enumerate() {
            let server = [&one, &other][(number + round) % 2];
            let id = integration["Id"].as_str().unwrap();
            let path = format!("/v1/integrations/{id}/{command}");
            let (status, done) = server.ask(Method::POST, &path, Some(&json!({}))).await;
            assert_eq!((status, &done["Changed"]), (200, &json!(true)), "{done}");
        }
    }
    until("everything is delivered", async || {
        let all = deliveries(&one).await;
        all.len() == 48 && all.iter().all(|each| each["State"] == "Delivered")
    })
    .await;
    let mut lanes: HashMap<String, Vec<u64>> = HashMap::new();
    for received in receiver.received() {
        let id = received.header("webhook-id").to_owned();
        let (lane, _) = id.rsplit_once('_').unwrap();
        lanes
            .entry(lane.to_owned())
            .or_default()
            .push(received.sequence());
    }
    assert_eq!(lanes.len(), 8);
    // In order, and none twice.
    for lane in lanes.values() {
        assert_eq!(lane, &[1, 2, 3, 4, 5, 6]);
    }

    // It was disabled last: the token opens again once it is enabled, on whichever replica.
    let (id, token) = (
        &integrations[0]["Id"],
        integrations[0]["AccessToken"].as_str().unwrap(),
    );
    let path = |command: &str| format!("/v1/integrations/{}/{command}", id.as_str().unwrap());
    for (command, is_active) in [("enable", true), ("cancel", false), ("reinstate", true)] {
        let (status, _) = one
            .ask(Method::POST, &path(command), Some(&json!({})))
            .await;
        assert_eq!(status, 200);
        assert_eq!(other.is_active(token).await, is_active, "after {command}");
    }
    assert!(one.end().await && other.end().await);
}

/// Answers 204, but for the first request: that one hangs until the gate opens, and then gets a 500.
struct Hanging {
    url: String,
    gate: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Hanging {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let gate = Arc::new(Semaphore::new(0));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (opens, notes) = (gate.clone(), asked.clone());
        let count = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (opens, notes, count) = (opens.clone(), notes.clone(), count.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (opens, notes) = (opens.clone(), notes.clone());
                        let number = count.fetch_add(1, Ordering::SeqCst);
                        async move {
                            let attempt = &request.headers()["bellhop-attempt"];
                            let attempt = attempt.to_str().unwrap().parse().unwrap();
                            let _ = request.into_body().collect().await;
                            notes.lock().unwrap().push(attempt);
                            let status = if number == 0 {
                                let _ = opens.acquire().await;
                                500
                            } else {
                                204
                            };
                            let answer = Response::builder().status(status);
                            Ok::<_, Infallible>(answer.body(Full::<Bytes>::default()).unwrap())
                        }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, gate, asked }
    }

    /// Waits until the first attempt is under way.
    async fn is_asked(&self) {
        until("the first attempt is under way", async || {
            self.asked.lock().unwrap().len() == 1
        })
        .await;
    }
}

/// The leases of all claims are over.
async fn end_leases(database: &TestDatabase) {
    let end = "UPDATE claims SET lease_until = clock_timestamp() - interval '1 second'";
    execute(&database.url(), end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_stopped_past_its_lease_records_nothing() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let one = replica(&database).await;
    let receiver = Hanging::start().await;
    let application = one.application("Booking engine").await;
    webhook(&one, &application, &receiver.url).await;
    one.integration(&application, "Front desk").await;
    receiver.is_asked().await;
    // Its replica is stopped, and the lease runs out. Not by waiting: the database's clock cannot be moved.
    one.stop();
    let other = replica(&database).await;
    end_leases(&database).await;
    until("the other replica delivers it", async || {
        deliveries(&other)
            .await
            .iter()
            .all(|each| each["State"] == "Delivered")
    })
    .await;
    assert_eq!(*receiver.asked.lock().unwrap(), [1, 1]);
    // The stopped one goes on, and its attempt fails. Nobody learns of that.
    receiver.gate.add_permits(1);
    one.signal(Signal::SIGCONT);
    assert!(one.end().await);
    let listed = deliveries(&other).await;
    let id = listed[0]["Id"].as_str().unwrap();
    let delivery = other.get(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(delivery["State"], "Delivered");
    let attempts = delivery["Attempts"].as_array().unwrap();
    let statuses: Vec<_> = attempts
        .iter()
        .map(|attempt| &attempt["StatusCode"])
        .collect();
    assert_eq!(statuses, [&json!(204)]);
    assert!(other.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_left_nothing_goes_on_when_the_one_that_had_all_is_dead() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let one = replica(&database).await;
    let receiver = Hanging::start().await;
    let application = one.application("Booking engine").await;
    let path = format!("/v1/applications/{application}/webhooks");
    let settings = json!({"Url": receiver.url, "MaxInFlight": 1});
    one.make(&path, &settings).await;
    one.integration(&application, "Front desk").await;
    receiver.is_asked().await;
    // The other one asks for what is due of the webhook, and all that may be in flight is.
    let other = replica(&database).await;
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for number in 0..10 {
        other
            .integration(&application, &format!("Desk {number}"))
            .await;
    }
    let claims = "SELECT 1 FROM claims";
    assert_eq!(client.query(claims, &[]).await.unwrap().len(), 1);
    one.kill();
    end_leases(&database).await;
    until("the other replica delivers everything", async || {
        let all = deliveries(&other).await;
        all.len() == 11 && all.iter().all(|each| each["State"] == "Delivered")
    })
    .await;
    assert!(other.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_stopped_in_a_transaction_holds_nobody_up_for_long() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let application = one.application("Booking engine").await;
    let made = one.integration(&application, "Front desk").await;
    let path = format!("/v1/integrations/{}/disable", made["Id"].as_str().unwrap());
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // A command locks its integration, and then wants to read this table.
    let lock = "BEGIN; LOCK TABLE lane_ends IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let stopped = async {
        let waiting = "SELECT 1 FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("the command has locked its integration", async || {
            !client.query(waiting, &[]).await.unwrap().is_empty()
        })
        .await;
        one.stop();
        client.batch_execute("COMMIT").await.unwrap();
        let done = other.ask(Method::POST, &path, Some(&json!({}))).await;
        one.signal(Signal::SIGCONT);
        done
    };
    let asked = async { one.ask(Method::POST, &path, Some(&json!({}))).await };
    let ((status, problem), (done_status, done)) = tokio::join!(asked, stopped);
    assert_eq!(
        (done_status, &done["Changed"]),
        (200, &json!(true)),
        "{done}"
    );
    assert_eq!(status, 503, "{problem}");
    assert!(one.end().await && other.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_nothing_is_acknowledged_and_nothing_is_lost() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let server = replica(&database).await;
    let receiver = Receiver::start().await;
    let application = server.application("Booking engine").await;
    webhook(&server, &application, &receiver.url("/hooks")).await;
    let made = server.integration(&application, "Front desk").await;
    let path = format!("/v1/integrations/{}/disable", made["Id"].as_str().unwrap());
    let (cluster, name) = (cluster().unwrap(), database.name());
    execute(
        &cluster,
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity";
    execute(&cluster, &format!("{end} WHERE datname = '{name}'")).await;
    let (status, problem) = server.ask(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("database"));
    assert_eq!(server.ask(Method::GET, "/readyz", None).await.0, 503);
    assert_eq!(server.ask(Method::GET, "/livez", None).await.0, 200);
    execute(
        &cluster,
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
    )
    .await;
    until("it is ready again", async || {
        server.ask(Method::GET, "/readyz", None).await.0 == 200
    })
    .await;
    let (status, done) = server.ask(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!((status, &done["Sequence"]), (200, &json!(2)), "{done}");
    until("both messages are delivered", async || {
        let all = deliveries(&server).await;
        all.len() == 2 && all.iter().all(|each| each["State"] == "Delivered")
    })
    .await;
    assert!(server.end().await);
}

#[tokio::test]
async fn a_replica_with_another_key_does_not_start() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let one = replica(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .arg("serve")
        .env_clear()
        .env("BELLHOP_LISTEN", "127.0.0.1:0")
        .env("BELLHOP_DATABASE_URL", database.url())
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("the same BELLHOP_ENCRYPTION_KEY"), "{said}");
    assert!(one.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_behind_a_pooler_deliver_in_order() {
    let (Some(_), Some(pooler)) = (cluster(), pooler()) else {
        return;
    };
    let database = TestDatabase::new().await;
    let url = database.url_at(&pooler, "prepared_statements=off");
    let (one, other) = (replica_at(&url).await, replica_at(&url).await);
    let receiver = Receiver::start().await;
    let application = one.application("Booking engine").await;
    webhook(&one, &application, &receiver.url("/hooks")).await;
    let made = other.integration(&application, "Front desk").await;
    let id = made["Id"].as_str().unwrap();
    for (server, command) in [(&one, "disable"), (&other, "enable"), (&one, "cancel")] {
        let path = format!("/v1/integrations/{id}/{command}");
        let (status, done) = server.ask(Method::POST, &path, Some(&json!({}))).await;
        assert_eq!((status, &done["Changed"]), (200, &json!(true)), "{done}");
    }
    until("everything is delivered", async || {
        let all = deliveries(&other).await;
        all.len() == 4 && all.iter().all(|each| each["State"] == "Delivered")
    })
    .await;
    let sequences: Vec<u64> = receiver.received().iter().map(Received::sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert!(one.end().await && other.end().await);
}
