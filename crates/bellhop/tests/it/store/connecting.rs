//! The way to the database: TLS, a pooler, hints, and a server that is away.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bellhop::{
    domain::{operational::Destination, secret_text::SecretText},
    id::WebhookId,
    store::{
        Page, Store, StoreError,
        postgres::{Address, Hints, PostgresOptions, PostgresStore},
    },
    vault::Vault,
};
use tokio::sync::Notify;

use super::{
    databases::Unobserved,
    postgres::{Postgres, TestDatabase, cluster, execute, named, open, try_open},
    world::{ALL, World},
};
use crate::support::random::SeededRandom;

/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_database_is_reached_over_tls_and_its_certificate_is_verified() {
    let (Some(at), Some(certificate)) = (cluster(), named("TEST_POSTGRES_CERTIFICATE")) else {
        return;
    };
    let database = TestDatabase::new().await;
    let by_name = at.replace("127.0.0.1", "localhost");
    let trusting = format!("sslmode=verify-full&sslrootcert={certificate}");
    let store = open(&database.url_at(&by_name, &trusting), 1).await;
    assert!(store.enterprises(ALL).await.unwrap().is_empty());
    let unprotected = format!(
        "DO $$ BEGIN ASSERT (SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = '{}' AND application_name = 'bellhop'); END $$",
        database.name()
    );
    execute(&at, &unprotected).await;
    store.close().await.unwrap();

    let refused = |url: String| async move {
        match try_open(&url, 1, [7; 32]).await {
            Err(StoreError::Database(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    };
    let stranger = refused(database.url_at(&by_name, "sslmode=require")).await;
    assert!(stranger.contains("certificate"), "{stranger}");
    let misnamed = refused(database.url_at(&at, &trusting)).await;
    assert!(misnamed.contains("certificate"), "{misnamed}");
}

#[test]
fn words_that_are_not_known_are_refused() {
    let parse = |words: &str| {
        let url = format!("postgres://user:hush@db.example/hooks?{words}");
        Address::parse(&SecretText::new(url))
    };
    assert!(!parse("prepared_statements=off").unwrap().keeps_statements());
    assert!(parse("sslmode=allow").unwrap().keeps_statements());
    for words in ["prepared_statements=maybe", "sslmode=nonsense", "no=1"] {
        let refused = parse(words).unwrap_err().to_string();
        assert!(!refused.contains("hush"), "{refused}");
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Noted {
    webhooks: Mutex<Vec<WebhookId>>,
    is_listening: Notify,
    told: Notify,
}

impl Hints for Noted {
    fn due(&self, webhooks: Vec<WebhookId>) {
        self.webhooks.lock().unwrap().extend(webhooks);
        self.told.notify_one();
    }

    fn missed(&self) {
        self.is_listening.notify_one();
    }
}

#[tokio::test]
async fn what_one_replica_commits_is_hinted_to_the_others() {
    if cluster().is_none() {
        return;
    }
    let world: World<Postgres> = World::new().await;
    let noted = Arc::new(Noted::default());
    let other = PostgresStore::open(PostgresOptions {
        address: Address::parse(&SecretText::new(world.database.url())).unwrap(),
        vault: Arc::new(Vault::new(&[[7; 32]]).unwrap()),
        random: Arc::new(SeededRandom::new(3)),
        destinations: Destination::ALL.to_vec(),
        observer: Arc::new(Unobserved),
        hints: noted.clone(),
    });
    let _other = other.await.unwrap();
    let listens = tokio::time::timeout(WITHIN, noted.is_listening.notified());
    listens.await.expect("it listens");
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let told = tokio::time::timeout(WITHIN, noted.told.notified());
    told.await.expect("it is told");
    assert!(noted.webhooks.lock().unwrap().contains(&webhook));
}

#[tokio::test]
async fn a_database_that_is_away_is_not_asked_again_and_again() {
    if cluster().is_none() {
        return;
    }
    let world: World<Postgres> = World::new().await;
    let (at, name) = (cluster().unwrap(), world.database.name());
    execute(
        &at,
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity";
    execute(&at, &format!("{end} WHERE datname = '{name}'")).await;
    let page = Page {
        after: None,
        limit: 1,
    };
    let mut said = Vec::new();
    for _ in 0..50 {
        if let Err(error) = world.store().enterprises(page).await {
            said.push(error.to_string());
        }
    }
    let spared = said.iter().filter(|text| text.contains("a moment ago"));
    assert!(spared.count() > 10, "{said:?}");
    assert!(world.store().can_commit().await.is_err());
    execute(
        &at,
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
    )
    .await;
    let back = tokio::time::timeout(WITHIN, async {
        while world.store().enterprises(page).await.is_err()
            || world.store().can_commit().await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    back.await.expect("it comes back by itself");
}
