//! The way to the database: TLS, a pooler, hints, and a server that is away.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bellhop::{
    domain::{
        event::Event, integration::Command, operational::Destination, secret_text::SecretText,
    },
    id::WebhookId,
    store::{
        ClaimRequest, Commit, Page, Store, StoreError, Write,
        postgres::{Address, Hints, PostgresOptions, PostgresStore},
    },
    vault::Vault,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

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

/// A way to the cluster on which, at a word, everything that is open falls silent. What is opened later is carried.
async fn way(cluster: &str) -> (String, watch::Sender<()>) {
    let (user, to) = cluster.rsplit_once('@').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{user}@{}", listener.local_addr().unwrap());
    let (silence, heard) = (watch::Sender::new(()), to.to_owned());
    let told = silence.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut hush, to) = (told.subscribe(), heard.clone());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = hush.changed() => std::future::pending().await,
                }
            });
        }
    });
    (url, silence)
}

#[tokio::test]
async fn connections_that_fell_silent_are_given_up_together() {
    let Some(at) = cluster() else {
        return;
    };
    let world: World<Postgres> = World::new().await;
    let (way, silence) = way(&at).await;
    let url = format!("{way}/{}?sslmode=disable", world.database.name());
    let store = Arc::new(open(&url, 7).await);
    let id = world.new_integration().await;
    let command = || async {
        let write = Write::Command {
            id,
            command: Command::Disable,
            requestor: None,
        };
        let at = world.now();
        let remember = None;
        store
            .commit(Commit {
                at,
                write,
                by: bellhop::domain::audit::By::system(),
                remember,
            })
            .await
    };
    let claim = || async {
        let (now, wants) = (world.now(), Vec::new());
        store.claim(ClaimRequest { now, wants }).await.unwrap();
    };
    // Each takes a connection of its own.
    tokio::join!(claim(), claim(), claim(), claim());
    silence.send_replace(());
    let failed = tokio::time::timeout(WITHIN, command()).await;
    assert!(failed.expect("it does not wait for ever").is_err());
    let done = tokio::time::timeout(WITHIN, command()).await;
    done.expect("the others are not tried").unwrap();
}

#[tokio::test]
async fn neither_word_to_others_nor_the_end_waits_for_what_fell_silent() {
    let Some(at) = cluster() else {
        return;
    };
    let world: World<Postgres> = World::new().await;
    let (way, silence) = way(&at).await;
    let url = format!("{way}/{}?sslmode=disable", world.database.name());
    let store = open(&url, 7).await;
    let word = [(0, Event::Missed)];
    store.tell_replicas(&word).await.unwrap();
    silence.send_replace(());
    let told = tokio::time::timeout(WITHIN, store.tell_replicas(&word)).await;
    assert!(told.expect("it does not wait for ever").is_err());
    let told = tokio::time::timeout(WITHIN, store.tell_replicas(&word)).await;
    told.expect("another connection").unwrap();
    silence.send_replace(());
    let closed = tokio::time::timeout(WITHIN, store.close()).await;
    closed.expect("it does not wait for ever").unwrap();
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
