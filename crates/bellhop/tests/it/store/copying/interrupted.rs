//! The real command, killed in the middle, and at its very end.
//!
//! A trigger of the target waits for a lock that the test holds. So the test knows where the command is.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bellhop::store::{
    Store as _,
    copy::{CopyError, Done},
};
use tokio_postgres::Client;

use super::{copied, filled, raw, refused::is_empty};
use crate::store::{
    databases::Sqlite,
    postgres::{TestDatabase, execute, open},
    world::ALL,
};

/// What the trigger waits for: any number.
const GATE: i64 = 20_261_126;
/// Far more than it takes, for machines that are busy.
const WITHIN: Duration = Duration::from_secs(40);

/// A trigger that waits.
async fn plant(database: &TestDatabase, trigger: &str) {
    open(&database.url(), 1).await.close().await.unwrap();
    let plant = format!(
        "CREATE FUNCTION plant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_advisory_xact_lock({GATE}); RETURN NEW; END $$; \
         CREATE {trigger} EXECUTE FUNCTION plant()"
    );
    execute(&database.url(), &plant).await;
}

/// The command, with no limit on how long it waits for the gate.
fn start(path: &Path, database: &TestDatabase) -> Child {
    let key = "07".repeat(32);
    Command::new(env!("CARGO_BIN_EXE_bellhop"))
        .args(["store", "copy", "--from"])
        .arg(format!("sqlite:{}", path.display()))
        .env_clear()
        .env("BELLHOP_DATABASE_URL", database.url())
        .env("BELLHOP_ENCRYPTION_KEY", key)
        .current_dir(path.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Looks again and again until so many wait at the gate.
async fn waiting(client: &Client, how_many: i64) {
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let began = Instant::now();
    loop {
        let row = client.query_one(sql, &[&(GATE as u32)]).await.unwrap();
        if row.get::<_, i64>(0) == how_many {
            return;
        }
        assert!(began.elapsed() < WITHIN, "nobody is at the gate");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Looks again and again until no transaction is open but the test's.
async fn over(client: &Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
    let began = Instant::now();
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(began.elapsed() < WITHIN, "a transaction is still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts the command, waits until it is at the gate, kills it, opens the gate, and waits until the database has done
/// with it.
async fn kill_at_the_gate(path: &Path, database: &TestDatabase) {
    let client = raw::client(&database.url()).await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&GATE])
        .await
        .unwrap();
    let mut child = start(path, database);
    waiting(&client, 1).await;
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&GATE])
        .await
        .unwrap();
    over(&client).await;
}

#[tokio::test]
async fn killed_in_the_middle_it_leaves_nothing_and_can_be_run_again() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    plant(
        &database,
        "TRIGGER plant BEFORE INSERT ON deliveries FOR EACH ROW",
    )
    .await;
    execute(&database.url(), "ALTER FUNCTION plant SET lock_timeout = 0").await;
    kill_at_the_gate(&path, &database).await;
    is_empty(&database).await;
    // The source is as it was: a server may go on with it,
    let store = Sqlite::try_open(folder.path()).unwrap();
    store.close().await.unwrap();
    drop(store);
    // or it is copied, without anything to clean up.
    let done = copied(&path, &database.url()).await;
    assert!(matches!(done, Ok(Done::Copied(_))), "{done:?}");
}

/// The database commits although whoever asked for it is gone. The source is marked already, and the next run says so.
#[tokio::test]
async fn killed_while_it_is_committed_it_is_there() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    let last = "CONSTRAINT TRIGGER plant AFTER INSERT ON copied DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
    plant(&database, last).await;
    execute(&database.url(), "ALTER FUNCTION plant SET lock_timeout = 0").await;
    kill_at_the_gate(&path, &database).await;
    let refused = Sqlite::try_open(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("was moved to"), "{refused}");
    let done = copied(&path, &database.url()).await;
    assert!(matches!(done, Ok(Done::AlreadyThere(_))), "{done:?}");
    let store = open(&database.url(), 1).await;
    let all = store.enterprises(ALL).await;
    assert_eq!(all.unwrap().len(), 1);
}

/// The same, but the database was told to give up: the source is marked, and the next run copies it.
#[tokio::test]
async fn killed_before_it_is_committed_it_is_copied_by_the_next_run() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    let last = "CONSTRAINT TRIGGER plant AFTER INSERT ON copied DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
    plant(&database, last).await;
    execute(&database.url(), "ALTER FUNCTION plant SET lock_timeout = 0").await;
    let client = raw::client(&database.url()).await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&GATE])
        .await
        .unwrap();
    let mut child = start(&path, &database);
    waiting(&client, 1).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.execute(end, &[]).await.unwrap();
    // It cannot know what became of it, and says so.
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    over(&client).await;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&GATE])
        .await
        .unwrap();
    is_empty(&database).await;
    assert!(Sqlite::try_open(folder.path()).is_err());
    let done = copied(&path, &database.url()).await;
    assert!(matches!(done, Ok(Done::Copied(_))), "{done:?}");
}

/// A refusal at the very end: the mark is taken away again.
#[tokio::test]
async fn a_commit_that_is_refused_leaves_no_mark() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    open(&database.url(), 1).await.close().await.unwrap();
    let plant = "CREATE FUNCTION plant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE EXCEPTION 'no'; END $$; \
        CREATE CONSTRAINT TRIGGER plant AFTER INSERT ON copied DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
        EXECUTE FUNCTION plant()";
    execute(&database.url(), plant).await;
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(matches!(&refused, CopyError::Target { .. }), "{refused}");
    is_empty(&database).await;
    let store = Sqlite::try_open(folder.path()).unwrap();
    store.close().await.unwrap();
}

/// Two at once: one waits for the other, and finds that there is nothing to do for it.
#[tokio::test]
async fn a_second_one_waits_and_gives_up() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let Some((_other_folder, other, _)) = filled().await else {
        return;
    };
    let client = raw::client(&database.url()).await;
    plant(
        &database,
        "TRIGGER plant BEFORE INSERT ON deliveries FOR EACH ROW",
    )
    .await;
    execute(&database.url(), "ALTER FUNCTION plant SET lock_timeout = 0").await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&GATE])
        .await
        .unwrap();
    let mut first = start(&path, &database);
    waiting(&client, 1).await;
    let refused = copied(&other, &database.url()).await.unwrap_err();
    assert!(matches!(&refused, CopyError::InUse { .. }), "{refused}");
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&GATE])
        .await
        .unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
}
