//! A copy tells the same as what it was copied from, and goes on as that would have.

use bellhop::{
    domain::enterprise::Enterprise,
    id::EnterpriseId,
    store::{
        Answer, Commit, DeliveryFilter, Receipt, Store, Write,
        copy::{Done, TABLES},
    },
};
use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;

use super::{
    Moving, copied,
    filled::{filled, remember},
    raw,
};
use crate::store::{
    databases::{Database as _, Sqlite},
    postgres::{TestDatabase, cluster, open},
    properties::{Pair, cases, config, told::everything},
    steps::{Step, a_history},
    world::ALL,
};

/// All that a store says, ids of deliveries included.
async fn says(store: &dyn Store, now: Timestamp) -> Vec<String> {
    let mut all = everything(store, now).await;
    let deliveries = store.deliveries(DeliveryFilter::default(), ALL).await;
    let replays = store.replays(None, ALL).await.unwrap();
    let keys = store.keys().await.unwrap();
    all.push(format!("{:?} {replays:?} {keys:?}", deliveries.unwrap()));
    for run in &replays {
        let next = store.next_of_replay(run.id).await.unwrap();
        let count = store.count_replay(run.selection.clone(), Some(run.counted), now);
        all.push(format!("{next:?} {:?}", count.await.unwrap()));
    }
    all
}

#[tokio::test]
async fn every_row_and_every_answer_is_the_same() {
    if cluster().is_none() {
        return;
    }
    let (folder, now) = filled().await;
    let sqlite = Sqlite::in_folder(folder);
    let before = says(&*sqlite.store(), now).await;
    let folder = sqlite.close().await;
    let path = folder.path().join("bellhop.db");
    let database = TestDatabase::new().await;
    let done = copied(&path, &database.url()).await.unwrap();
    let Done::Copied(tables) = done else {
        panic!("{done:?}");
    };
    let file = Connection::open(&path).unwrap();
    let client = raw::client(&database.url()).await;
    assert_eq!(tables.len(), TABLES.len());
    for (table, copied) in TABLES.iter().zip(&tables) {
        let ours = raw::of_file(&file, table);
        let theirs = raw::of_postgres(&client, table).await;
        assert_eq!(ours, theirs, "{}", table.name);
        assert_eq!((copied.table, copied.rows), (table.name, ours.len() as u64));
        assert!(copied.rows > 0, "{}", table.name);
    }
    drop(client);
    let store = open(&database.url(), 3).await;
    assert_eq!(says(&store, now).await, before);
    // A request that is repeated has the answer of then, and is not done.
    let repeated = Commit {
        at: now,
        write: Write::PutEnterprise {
            id: EnterpriseId(uuid::Uuid::nil()),
            name: "Another".into(),
        },
        by: bellhop::domain::audit::By::system(),
        remember: Some(remember(now)),
    };
    match store.commit(repeated).await.unwrap() {
        Receipt::Repeated(Answer(answer)) => assert_eq!(answer, b"the answer of then"),
        done @ Receipt::Done { .. } => panic!("{done:?}"),
    }
    let nobody = store.enterprise(EnterpriseId(uuid::Uuid::nil())).await;
    assert_eq!(nobody.unwrap(), None::<Enterprise>);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_copied_as_well() {
    if cluster().is_none() {
        return;
    }
    let folder = Sqlite::fresh().await.close().await;
    let database = TestDatabase::new().await;
    // A server has been there already, and has found nothing to do.
    open(&database.url(), 1).await.close().await.unwrap();
    let path = folder.path().join("bellhop.db");
    let done = copied(&path, &database.url()).await.unwrap();
    let Done::Copied(tables) = done else {
        panic!("{done:?}");
    };
    assert!(tables.iter().all(|table| table.rows == 0));
    let store = open(&database.url(), 1).await;
    assert!(store.enterprises(ALL).await.unwrap().is_empty());
    store.close().await.unwrap();
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        // A database for each case, and a round trip for each question.
        cases: cases(8),
        ..config()
    })]

    /// Half of its life on SQLite, the other half, after the copy, on PostgreSQL: the model sees no difference.
    #[test]
    fn a_history_goes_on_after_the_copy(before in a_history(40), after in a_history(25)) {
        if Moving::is_there() {
            let history = [before, vec![Step::Reopen], after].concat();
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async { Pair::<Moving>::new().await.live(history).await });
        }
    }
}
