//! What is not copied: each with its reason, and nothing changed on either side.

use std::path::Path;

use bellhop::store::{
    Store as _, StoreError,
    copy::{CopyError, Done, TABLES, reopen},
};
use rusqlite::Connection;

use super::{copied, copied_with, filled, raw};
use crate::store::{
    databases::Sqlite,
    postgres::{TestDatabase, execute, open, try_open},
};

/// All rows of the file, and whether it is marked.
fn rows(path: &Path) -> (Vec<Vec<raw::Row>>, u64) {
    let file = Connection::open(path).unwrap();
    let marks = file.query_row("SELECT count(*) FROM moved", [], |row| row.get(0));
    let rows = TABLES.iter().map(|table| raw::of_file(&file, table));
    (rows.collect(), marks.unwrap())
}

/// Nothing of Bellhop is in the database.
pub async fn is_untouched(database: &TestDatabase) {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let found = raw::client(&database.url())
        .await
        .query(sql, &[])
        .await
        .unwrap();
    let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, [""; 0]);
}

/// Every table that is copied is there, and empty.
pub async fn is_empty(database: &TestDatabase) {
    let client = raw::client(&database.url()).await;
    for table in TABLES {
        let rows = raw::of_postgres(&client, table).await;
        assert!(rows.is_empty(), "{}: {rows:?}", table.name);
    }
}

#[tokio::test]
async fn a_source_that_is_open_elsewhere() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    let running = Sqlite::in_folder(folder);
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Source {
                error: StoreError::InUse(_),
                ..
            }
        ),
        "{refused}"
    );
    is_untouched(&database).await;
    let _folder = running.close().await;
    assert_eq!(rows(&path).1, 0);
}

#[tokio::test]
async fn another_key_than_that_of_the_source() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    let refused = copied_with(&path, &database.url(), [8; 32])
        .await
        .unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Sealed {
                table: "webhooks",
                ..
            }
        ),
        "{refused}"
    );
    is_untouched(&database).await;
    assert_eq!(rows(&path), before);
}

#[tokio::test]
async fn a_target_with_another_key() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    let other = try_open(&database.url(), 1, [9; 32]).await.unwrap();
    other.close().await.unwrap();
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Target {
                error: StoreError::OtherKey,
                ..
            }
        ),
        "{refused}"
    );
    is_empty(&database).await;
    assert_eq!(rows(&path), before);
}

#[tokio::test]
async fn a_newer_schema_on_either_side() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    let set = |version: u32| {
        let file = Connection::open(&path).unwrap();
        file.pragma_update(None, "user_version", version).unwrap();
    };
    let known: u32 = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    set(1000);
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Source {
                error: StoreError::Newer { found: 1000, .. },
                ..
            }
        ),
        "{refused}"
    );
    is_untouched(&database).await;
    set(known);
    open(&database.url(), 1).await.close().await.unwrap();
    execute(&database.url(), "UPDATE schema_version SET version = 1000").await;
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Target {
                error: StoreError::Newer { found: 1000, .. },
                ..
            }
        ),
        "{refused}"
    );
    is_empty(&database).await;
    assert_eq!(rows(&path), before);
}

#[tokio::test]
async fn a_target_that_holds_anything() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    open(&database.url(), 1).await.close().await.unwrap();
    for (table, insert) in [
        (
            "applications",
            "INSERT INTO applications VALUES (gen_random_uuid(), 'x', 1)",
        ),
        (
            "api_keys",
            "INSERT INTO api_keys VALUES (gen_random_uuid(), 'x', 'operator', NULL, 'x', 1, NULL)",
        ),
        (
            "paces",
            "INSERT INTO paces VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now())",
        ),
    ] {
        execute(&database.url(), insert).await;
        let refused = copied(&path, &database.url()).await.unwrap_err();
        assert!(
            matches!(&refused, CopyError::NotEmpty { table: found, .. } if *found == table),
            "{refused}"
        );
        execute(&database.url(), &format!("DELETE FROM {table}")).await;
    }
    is_empty(&database).await;
    assert_eq!(rows(&path), before);
    assert!(matches!(
        copied(&path, &database.url()).await,
        Ok(Done::Copied(_))
    ));
}

#[tokio::test]
async fn a_target_that_is_away_or_a_pooler() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    let away = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable";
    let refused = copied(&path, away).await.unwrap_err();
    assert!(matches!(&refused, CopyError::Away { .. }), "{refused}");
    let pooled = format!("{}&prepared_statements=off", database.url());
    let refused = copied(&path, &pooled).await.unwrap_err();
    assert!(matches!(&refused, CopyError::Pooled { .. }), "{refused}");
    let nothing = folder.path().join("nothing.db");
    let refused = copied(&nothing, &database.url()).await.unwrap_err();
    assert!(matches!(&refused, CopyError::NoSource(_)), "{refused}");
    assert_eq!(rows(&path), before);
}

/// Rows that nobody can copy: the text of one holds what PostgreSQL does not keep, the other belongs to nothing.
#[tokio::test]
async fn a_row_that_cannot_be_copied() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    for (sql, back, column) in [
        (
            "UPDATE applications SET name = name || char(0) WHERE id = (SELECT max(id) FROM applications)",
            "UPDATE applications SET name = 'x'",
            "name",
        ),
        (
            "INSERT INTO lane_ends VALUES (zeroblob(16), zeroblob(16), 1)",
            "DELETE FROM lane_ends WHERE integration_id = zeroblob(16)",
            "application_id",
        ),
    ] {
        let file = Connection::open(&path).unwrap();
        file.execute(sql, []).unwrap();
        let refused = copied(&path, &database.url()).await.unwrap_err();
        assert!(
            matches!(&refused, CopyError::Value { column: found, .. } if *found == column),
            "{refused}"
        );
        is_untouched(&database).await;
        file.execute(back, []).unwrap();
    }
}

/// Triggers of the target stand for whatever may happen to a row on its way.
#[tokio::test]
async fn a_row_that_did_not_arrive_as_it_was() {
    let Some((_folder, path, database)) = filled().await else {
        return;
    };
    let before = rows(&path);
    open(&database.url(), 1).await.close().await.unwrap();
    let one = "(SELECT id FROM deliveries ORDER BY id OFFSET 3 LIMIT 1)";
    for (when, does, said) in [
        (
            "BEFORE INSERT ON webhooks FOR EACH ROW",
            "NEW.timeout_ms = NEW.timeout_ms + 1; RETURN NEW",
            "the target has another timeout_ms",
        ),
        (
            "BEFORE INSERT ON messages FOR EACH ROW",
            "IF NEW.body_2025 IS NULL THEN NEW.body_2025 = ''; END IF; RETURN NEW",
            "the target has another body_2025",
        ),
        (
            "BEFORE INSERT ON attempts FOR EACH ROW",
            "IF NEW.number = 2 THEN RETURN NULL; END IF; RETURN NEW",
            "rows of attempts the target has taken",
        ),
        (
            "AFTER INSERT ON attempts FOR EACH STATEMENT",
            &format!("DELETE FROM deliveries WHERE id = {one}; RETURN NULL"),
            "in its place",
        ),
        (
            "AFTER INSERT ON attempts FOR EACH STATEMENT",
            "DELETE FROM deliveries WHERE id = (SELECT id FROM deliveries ORDER BY id DESC LIMIT 1); RETURN NULL",
            "the target has not got it",
        ),
        (
            "AFTER INSERT ON attempts FOR EACH STATEMENT",
            "INSERT INTO api_keys VALUES ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'x', 'operator', NULL, 'x', 1); RETURN NULL",
            "the target alone has it",
        ),
    ] {
        let plant = format!(
            "CREATE FUNCTION plant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; END $$; \
             CREATE TRIGGER plant {when} EXECUTE FUNCTION plant()"
        );
        execute(&database.url(), &plant).await;
        let refused = copied(&path, &database.url()).await.unwrap_err();
        assert!(
            matches!(
                &refused,
                CopyError::Differs { .. } | CopyError::Count { .. }
            ),
            "{does}: {refused}"
        );
        assert!(refused.to_string().contains(said), "{does}: {refused}");
        execute(&database.url(), "DROP FUNCTION plant CASCADE").await;
        is_empty(&database).await;
        assert_eq!(rows(&path), before);
    }
    let done = copied(&path, &database.url()).await;
    assert!(matches!(done, Ok(Done::Copied(_))), "{done:?}");
}

#[tokio::test]
async fn what_was_moved_is_not_opened_until_it_is_reopened() {
    let Some((folder, path, database)) = filled().await else {
        return;
    };
    copied(&path, &database.url()).await.unwrap();
    assert_eq!(rows(&path).1, 1);
    let refused = Sqlite::try_open(folder.path()).unwrap_err();
    assert!(matches!(&refused, StoreError::Moved { .. }), "{refused}");
    // Again to the same place: it is there, and nothing is done.
    let done = copied(&path, &database.url()).await.unwrap();
    assert!(matches!(done, Done::AlreadyThere(_)), "{done:?}");
    // To another place: what is there may have gone on.
    let another = TestDatabase::new().await;
    let refused = copied(&path, &another.url()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CopyError::Source {
                error: StoreError::Moved { .. },
                ..
            }
        ),
        "{refused}"
    );
    is_untouched(&another).await;
    let mark = reopen(&path).unwrap().unwrap();
    assert!(mark.target.ends_with(database.name()), "{mark:?}");
    assert_eq!(reopen(&path).unwrap(), None);
    let store = Sqlite::try_open(folder.path()).unwrap();
    store.close().await.unwrap();
    drop(store);
    // A copy that has a life of its own is not overwritten.
    let refused = copied(&path, &database.url()).await.unwrap_err();
    assert!(matches!(&refused, CopyError::NotEmpty { .. }), "{refused}");
    assert_eq!(rows(&path).1, 0);
}
