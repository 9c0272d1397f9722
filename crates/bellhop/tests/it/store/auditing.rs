//! The audit log of real databases under attack: by somebody who can write to them, and drops the triggers first.

use bellhop::{
    domain::{
        audit::{By, Digest, Fact},
        integration::Command,
        secret_text::SecretText,
    },
    store::{
        AuditLog, Commit, Store as _, Write,
        audit::{Broken, Verified, Verifier},
        copy::Done,
        postgres::{Address, PostgresAuditLog},
        sqlite::SqliteAuditLog,
    },
};
use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    audit_purging::{the_oldest_go_and_the_rest_verifies, what_went_otherwise_is_found},
    copying::copied,
    databases::{Database, Sqlite},
    postgres::{Postgres, TestDatabase, cluster, open},
    world::World,
};

/// A database that somebody can get at.
pub trait Attacked: Database {
    /// Runs statements on it.
    async fn attack(&self, sql: &str) -> Result<(), String>;
    /// Opens the log as the command line does.
    async fn log(&self) -> Box<dyn AuditLog>;
    /// An id as the database writes it.
    fn literal(id: Uuid) -> String;
    /// How the triggers are dropped.
    const DROP: &str;
}

impl Attacked for Sqlite {
    async fn attack(&self, sql: &str) -> Result<(), String> {
        let connection = Connection::open(self.path()).unwrap();
        connection
            .execute_batch(sql)
            .map_err(|error| error.to_string())
    }

    async fn log(&self) -> Box<dyn AuditLog> {
        Box::new(SqliteAuditLog::open(&self.path()).unwrap())
    }

    fn literal(id: Uuid) -> String {
        format!("x'{}'", id.simple())
    }

    const DROP: &str = "DROP TRIGGER audit_entries_stay; DROP TRIGGER audit_entries_are_kept; \
        DROP TRIGGER audit_links_stay; DROP TRIGGER audit_links_are_kept;";
}

impl Attacked for Postgres {
    async fn attack(&self, sql: &str) -> Result<(), String> {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        done.map_err(|error| error.as_db_error().unwrap().message().to_owned())
    }

    async fn log(&self) -> Box<dyn AuditLog> {
        let address = Address::parse(&SecretText::new(self.url())).unwrap();
        Box::new(PostgresAuditLog::open(&address).await.unwrap())
    }

    fn literal(id: Uuid) -> String {
        format!("'{id}'")
    }

    const DROP: &str = "DROP TRIGGER audit_entries_stay ON audit_entries; \
        DROP TRIGGER audit_entries_are_kept ON audit_entries; \
        DROP TRIGGER audit_links_stay ON audit_links; DROP TRIGGER audit_links_are_kept ON audit_links;";
}

pub async fn verify<D: Attacked>(database: &D, head: Option<Digest>) -> Result<Verified, Broken> {
    let log = database.log().await;
    Verifier::new(&*log, head).run(&mut ()).await.unwrap()
}

/// Ten entries: an enterprise, an application, an integration and seven commands, linked one by one.
pub async fn ten<D: Attacked>() -> World<D> {
    let world: World<D> = World::new().await;
    world.link_all().await;
    let id = world.new_integration().await;
    for _ in 0..7 {
        world.later();
        world.toggle(id, 1).await;
        world.link_all().await;
    }
    assert_eq!(world.audited().await.len(), 10);
    world
}

async fn holds_until_touched<D: Attacked>() {
    let world = ten::<D>().await;
    let head = world.link_all().await.chain;
    let before = verify(&world.database, Some(head.head)).await.unwrap();
    assert_eq!((before.chain, before.unlinked), (head, 0));
    assert_eq!(before.found, Some(10));
    for refused in [
        "UPDATE audit_entries SET details = NULL",
        "DELETE FROM audit_entries",
        "UPDATE audit_links SET position = 1 WHERE position = 10",
        "DELETE FROM audit_links",
    ] {
        let why = world.database.attack(refused).await.unwrap_err();
        assert!(why.contains("the audit log is append-only"), "{why}");
    }
    assert_eq!(verify(&world.database, None).await.unwrap().chain, head);
}

/// What an attack does to the entries with these ids, oldest first.
type Attack = fn(&[String]) -> String;

const ATTACKS: [(&str, Attack); 8] = [
    ("a text", |ids| {
        format!(
            "UPDATE audit_entries SET details = '{{\"Sequence\":9}}' WHERE id = {}",
            ids[4]
        )
    }),
    ("a moment", |ids| {
        format!(
            "UPDATE audit_entries SET at_ms = at_ms + 1 WHERE id = {}",
            ids[4]
        )
    }),
    ("who it was", |ids| {
        format!(
            "UPDATE audit_entries SET actor = 'Key' WHERE id = {}",
            ids[4]
        )
    }),
    ("what is absent", |ids| {
        format!(
            "UPDATE audit_entries SET request_id = '' WHERE id = {}",
            ids[4]
        )
    }),
    ("one less", |ids| {
        format!("DELETE FROM audit_entries WHERE id = {}", ids[4])
    }),
    ("the oldest", |ids| {
        format!("DELETE FROM audit_entries WHERE id = {}", ids[0])
    }),
    ("two for each other", |ids| {
        format!(
            "UPDATE audit_entries SET action = CASE id WHEN {0} THEN 'IntegrationEnabled' ELSE 'IntegrationDisabled' END, \
             details = CASE id WHEN {0} THEN '{{\"Sequence\":3}}' ELSE '{{\"Sequence\":2}}' END WHERE id IN ({0}, {1})",
            ids[3], ids[4]
        )
    }),
    ("a link", |_| {
        "DELETE FROM audit_links WHERE position > 8; DELETE FROM audit_entries WHERE at_ms = \
        (SELECT MAX(at_ms) FROM audit_entries)"
            .to_owned()
    }),
];

async fn each_attack_is_found<D: Attacked>() {
    for (what, attack) in ATTACKS {
        let world = ten::<D>().await;
        let ids: Vec<_> = world
            .audited()
            .await
            .iter()
            .map(|each| D::literal(each.id))
            .collect();
        let head = world.link_all().await.chain.head;
        let sql = format!("{} {}", D::DROP, attack(&ids));
        world.database.attack(&sql).await.unwrap();
        let broken = verify(&world.database, Some(head)).await.unwrap_err();
        match &broken {
            // Up to where it is as it was.
            Broken::Changed { good, linked, .. } => {
                assert!(*good <= 4 && *linked > *good, "{what}: {broken:?}");
            }
            Broken::NoSuchHead { .. } | Broken::Unlinked { .. } | Broken::PurgedMeanwhile => {
                assert_eq!(what, "a link");
            }
        }
        assert!(!broken.to_string().is_empty());
    }
}

/// What a chain alone cannot show, and a hash that was kept elsewhere does.
async fn a_cut_end_is_found_by_a_head_that_was_kept<D: Attacked>() {
    let world = ten::<D>().await;
    let head = world.link_all().await.chain.head;
    let entries = world.audited().await;
    let gone: Vec<_> = entries[7..]
        .iter()
        .map(|each| D::literal(each.id))
        .collect();
    let sql = format!(
        "{} DELETE FROM audit_links WHERE position > 7; DELETE FROM audit_entries WHERE id IN ({})",
        D::DROP,
        gone.join(", ")
    );
    world.database.attack(&sql).await.unwrap();
    assert_eq!(
        verify(&world.database, None).await.unwrap().chain.position,
        7
    );
    let broken = verify(&world.database, Some(head)).await.unwrap_err();
    assert_eq!(
        broken,
        Broken::NoSuchHead {
            head,
            entries: 7,
            purged: 0
        }
    );
}

macro_rules! attacked {
    ($($case:ident)+) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<super::Sqlite>().await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $case() {
                if super::cluster().is_some() {
                    super::$case::<super::Postgres>().await;
                }
            })+
        }
    };
}

attacked! {
    holds_until_touched
    each_attack_is_found
    a_cut_end_is_found_by_a_head_that_was_kept
    the_oldest_go_and_the_rest_verifies
    what_went_otherwise_is_found
}

/// Where each entry has its link at once, one without is not Bellhop's.
#[tokio::test]
async fn an_entry_that_was_put_in_at_the_end_is_found() {
    let world = ten::<Sqlite>().await;
    let put = "INSERT INTO audit_entries (id, at_ms, action, actor, subject) \
        VALUES (x'ffffffffffffffffffffffffffffffff', 1, 'KeyDeleted', 'OperatorKey', 'Key')";
    world.database.attack(put).await.unwrap();
    let broken = verify(&world.database, None).await.unwrap_err();
    assert_eq!(
        broken,
        Broken::Unlinked {
            good: 10,
            beyond: 1
        }
    );
}

/// A transaction that is open keeps its place.
#[tokio::test]
async fn what_is_not_over_yet_keeps_its_place() {
    if cluster().is_none() {
        return;
    }
    let world: World<Postgres> = World::new().await;
    world.link_all().await;
    // Somebody's transaction has its number, and is not over.
    let (client, connection) =
        tokio_postgres::connect(&world.database.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("BEGIN; SELECT pg_current_xact_id()")
        .await
        .unwrap();
    world.new_integration().await;
    let linked = world.store().link_audit(world.now()).await.unwrap();
    assert_eq!(linked.chain.position, 2, "what came after it waits for it");
    let late = "INSERT INTO audit_entries (xact, id, at_ms, action, actor, subject) \
        SELECT pg_current_xact_id()::text::bigint, gen_random_uuid(), 1, 'ServerStarted', 'System', 'Server'; COMMIT";
    let unlinked = verify(&world.database, None).await.unwrap();
    assert_eq!((unlinked.chain.position, unlinked.unlinked), (3, 1));
    client.batch_execute(late).await.unwrap();
    let actions: Vec<_> = world
        .audited()
        .await
        .iter()
        .map(|each| each.action.to_string())
        .collect();
    assert_eq!(actions[2..], ["ServerStarted", "IntegrationCreated"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_write_at_the_same_time_and_one_of_them_links() {
    if cluster().is_none() {
        return;
    }
    let world: World<Postgres> = World::new().await;
    let id = world.new_integration().await;
    let other = open(&world.database.url(), 7).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..60 {
        let store: std::sync::Arc<dyn bellhop::store::Store> = world.store();
        let at = world.now();
        running.spawn(async move {
            let command = if number % 2 == 0 {
                Command::Disable
            } else {
                Command::Enable
            };
            let write = Write::Command {
                id,
                command,
                requestor: None,
            };
            let commit = Commit {
                at,
                write,
                by: By::system(),
                remember: None,
            };
            store.commit(commit).await.unwrap();
            store.link_audit(at).await.unwrap();
        });
        let note = Write::Note(Box::new(Fact::of_server(
            bellhop::domain::audit::AuditAction::KeysRefused,
        )));
        let commit = Commit {
            at,
            write: note,
            by: By::system(),
            remember: None,
        };
        other.commit(commit).await.unwrap();
        other.link_audit(at).await.unwrap();
    }
    running.join_all().await;
    let chain = world.link_all().await.chain;
    let verified = verify(&world.database, Some(chain.head)).await.unwrap();
    assert_eq!((verified.chain, verified.unlinked), (chain, 0));
    other.close().await.unwrap();
}

/// A dump that is restored elsewhere counts transactions anew; what comes then still comes after.
#[tokio::test]
async fn a_restored_database_goes_on() {
    if cluster().is_none() {
        return;
    }
    let mut world = ten::<Postgres>().await;
    let far = "ALTER TABLE audit_entries DISABLE TRIGGER USER; ALTER TABLE audit_links DISABLE TRIGGER USER; \
        UPDATE audit_entries SET xact = xact + 1000000000000; \
        UPDATE audit_links SET last_xact = last_xact + 1000000000000";
    world.database.attack(far).await.unwrap();
    world.database.reopen().await;
    world.new_integration().await;
    let chain = world.link_all().await.chain;
    assert_eq!(chain.position, 11);
    assert_eq!(world.audited().await[10].action, "IntegrationCreated");
    assert_eq!(verify(&world.database, None).await.unwrap().chain, chain);
}

/// The chain of the file goes on in the copy.
#[tokio::test]
async fn a_copy_verifies_and_goes_on() {
    if cluster().is_none() {
        return;
    }
    let world = ten::<Sqlite>().await;
    let before = world.link_all().await.chain;
    let folder = world.database.close().await;
    let target = TestDatabase::new().await;
    let done = copied(&folder.path().join("bellhop.db"), &target.url())
        .await
        .unwrap();
    assert!(matches!(done, Done::Copied(_)));
    let address = Address::parse(&SecretText::new(target.url())).unwrap();
    let early = PostgresAuditLog::open(&address).await.unwrap();
    let verified = Verifier::new(&early, Some(before.head))
        .run(&mut ())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((verified.chain, verified.found), (before, Some(10)));
    drop(early);
    let store = open(&target.url(), 3).await;
    let at = Timestamp::UNIX_EPOCH;
    let fact = Fact::of_server(bellhop::domain::audit::AuditAction::KeysRefused);
    let write = Write::Note(Box::new(fact));
    let commit = Commit {
        at,
        write,
        by: By::system(),
        remember: None,
    };
    store.commit(commit).await.unwrap();
    let mut linked = store.link_audit(at).await.unwrap();
    while linked.chain.position < 11 {
        tokio::task::yield_now().await;
        linked = store.link_audit(at).await.unwrap();
    }
    store.close().await.unwrap();
    let log = PostgresAuditLog::open(&address).await.unwrap();
    let verified = Verifier::new(&log, Some(before.head))
        .run(&mut ())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((verified.chain, verified.found), (linked.chain, Some(10)));
}
