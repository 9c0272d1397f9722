//! What is revoked on one replica opens nothing on another: two real servers on one PostgreSQL.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{
    replicas::{replica, until},
    secret_rotation::{is_retired, rotated_under_fire},
    store::postgres::{TestDatabase, cluster},
    support::{app::text, receiver::Receiver, server::Server},
};

const LIST: &str = "/v1/webhooks";
/// What is promised, and something for a machine that is busy: the test must not fail for that.
const REVOKED_WITHIN: Duration = Duration::from_millis(1000 + 500);

async fn do_at(server: &Server, method: Method, path: &str, document: &Value) -> Value {
    let (status, done) = server.ask(method, path, Some(document)).await;
    assert!((200..300).contains(&status), "{path}: {status} {done}");
    done
}

/// Asks the other replica with the key until it is refused; how long that took.
async fn refused_by(server: &Server, key: &str) -> Duration {
    let began = Instant::now();
    until("the key is refused", async || {
        server.status_with(key, LIST).await == 401
    })
    .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_replica_ends_is_refused_by_the_other_within_a_second() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let make = async |name: &str| {
        let document = json!({ "Scope": "operator", "Name": name });
        let made = one.make("/v1/keys", &document).await;
        (text(&made["Id"]), text(&made["Key"]))
    };
    let (deleted_id, deleted) = make("deleted").await;
    let (rotated_id, rotated) = make("rotated").await;
    let (_, kept) = make("kept").await;
    for key in [&deleted, &rotated, &kept] {
        until("the other replica knows the key", async || {
            other.status_with(key, LIST).await == 200
        })
        .await;
    }

    let path = format!("/v1/keys/{deleted_id}");
    assert_eq!(one.ask(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(one.status_with(&deleted, LIST).await, 401);
    let took = refused_by(&other, &deleted).await;
    assert!(took <= REVOKED_WITHIN, "{took:?}");

    let path = format!("/v1/keys/{rotated_id}/rotate");
    let no_overlap = json!({ "OverlapSeconds": 0 });
    let fresh = do_at(&one, Method::POST, &path, &no_overlap).await;
    assert_eq!(one.status_with(&rotated, LIST).await, 401);
    let took = refused_by(&other, &rotated).await;
    assert!(took <= REVOKED_WITHIN, "{took:?}");
    let fresh = text(&fresh["Key"]);
    assert_eq!(other.status_with(&fresh, LIST).await, 200);
    assert_eq!(other.status_with(&kept, LIST).await, 200);

    // What the table has of the keys that are left: their hashes, and, once a replica has ended, when they were used.
    assert!(other.end().await);
    let listed = one.get("/v1/keys").await;
    let items = listed["Items"].as_array().unwrap();
    assert!(
        items.iter().all(|key| !key["LastUsedUtc"].is_null()),
        "{listed}"
    );
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let rows = client
        .query("SELECT row_to_json(k)::text FROM api_keys k", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    let table: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(table.contains("\\\\x"), "{table}");
    for key in [&deleted, &rotated, &kept, &fresh] {
        assert!(!table.contains(&key[4..]));
    }
    assert!(one.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_on_the_other_replica_within_a_second_of_its_key() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let made = one.make("/v1/keys", &json!({ "Scope": "operator" })).await;
    let session = one.sign_in(&text(&made["Key"])).await;
    let status = async |server: &Server| {
        let cookie = [("cookie", session.as_str())];
        server
            .fetch(Method::GET, "/dashboard/keys", &cookie, "")
            .await
            .0
    };
    until("the other replica knows the key", async || {
        status(&other).await == 200
    })
    .await;
    assert_eq!(status(&one).await, 200);
    let path = format!("/v1/keys/{}", text(&made["Id"]));
    assert_eq!(one.ask(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(status(&one).await, 303);
    let began = Instant::now();
    until("the session is over", async || status(&other).await == 303).await;
    assert!(began.elapsed() <= REVOKED_WITHIN, "{:?}", began.elapsed());
    assert!(one.end().await && other.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_replaced_without_overlap_is_inactive_at_once_on_both_replicas() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let application = one.application("Booking engine").await;
    let mut made = one.integration(&application, "Front desk").await;
    let path = format!(
        "/v1/integrations/{}/regenerate-access-token",
        text(&made["Id"])
    );
    for (here, there) in [(&one, &other), (&other, &one), (&one, &other)] {
        let former = text(&made["AccessToken"]);
        assert!(here.is_active(&former).await && there.is_active(&former).await);
        made = do_at(here, Method::POST, &path, &json!({ "OverlapSeconds": 0 })).await;
        assert!(!there.is_active(&former).await && !here.is_active(&former).await);
        let newest = text(&made["AccessToken"]);
        assert!(there.is_active(&newest).await && here.is_active(&newest).await);
    }
    // With an overlap both are.
    let former = text(&made["AccessToken"]);
    made = do_at(&one, Method::POST, &path, &json!({ "OverlapSeconds": 600 })).await;
    assert!(other.is_active(&former).await);
    assert!(other.is_active(&text(&made["AccessToken"])).await);
    assert!(one.end().await && other.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_one_replica_retires_signs_nothing_on_the_other_a_second_later() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let (one, other) = (replica(&database).await, replica(&database).await);
    let receiver = Receiver::start().await;
    let (answered, secrets, received) = rotated_under_fire([&one, &other], &receiver).await;
    is_retired(answered, 1, &secrets, &received);
    assert!(one.end().await && other.end().await);
}
