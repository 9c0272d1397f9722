//! The list of what is copied, against what there is.

use std::collections::{BTreeMap, BTreeSet};

use bellhop::store::{
    Store as _,
    copy::{Kind, NOT_COPIED, TABLES, Table},
};
use rusqlite::Connection;

use super::{filled::filled, raw};
use crate::store::postgres::{TestDatabase, cluster, open};

type Columns = BTreeMap<String, String>;

/// Every table of a file, with its columns and their types.
fn of_file(file: &Connection) -> BTreeMap<String, Columns> {
    let sql = "SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) c \
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut select = file.prepare(sql).unwrap();
    let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    by_table(found.unwrap().map(Result::unwrap))
}

/// The same of PostgreSQL.
async fn of_postgres(url: &str) -> BTreeMap<String, Columns> {
    let sql = "SELECT table_name::text, column_name::text, udt_name::text FROM information_schema.columns \
        WHERE table_schema = current_schema()";
    let rows = raw::client(url).await.query(sql, &[]).await.unwrap();
    by_table(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))))
}

fn by_table(found: impl Iterator<Item = (String, String, String)>) -> BTreeMap<String, Columns> {
    let mut tables: BTreeMap<String, Columns> = BTreeMap::new();
    for (table, column, kind) in found {
        tables.entry(table).or_default().insert(column, kind);
    }
    tables
}

fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

fn is_left_out(name: &str) -> bool {
    NOT_COPIED.iter().any(|(table, _)| *table == name)
}

/// What is wrong with the list, for a side that has these tables.
fn complaints(
    side: &str,
    tables: &BTreeMap<String, Columns>,
    named: impl Fn(&Table) -> BTreeSet<&str>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, columns) in tables {
        match table(name) {
            None if is_left_out(name) => {}
            None => complaints.push(format!("{side}: the table {name} is not copied")),
            Some(table) => {
                let (named, there) = (named(table), columns.keys().map(String::as_str));
                let there: BTreeSet<_> = there.collect();
                for column in there.symmetric_difference(&named) {
                    complaints.push(format!(
                        "{side}: {name}.{column} is not copied, or not there"
                    ));
                }
            }
        }
    }
    for table in TABLES
        .iter()
        .filter(|table| !tables.contains_key(table.name))
    {
        complaints.push(format!("{side}: there is no table {}", table.name));
    }
    complaints
}

/// What the file must have.
fn in_file(table: &Table) -> BTreeSet<&str> {
    let own = table.columns.iter().filter(|column| column.found.is_none());
    own.map(|column| column.name).collect()
}

/// What PostgreSQL must have.
fn in_postgres(table: &Table) -> BTreeSet<&str> {
    let left = table.left_empty.iter().map(|(name, _)| *name);
    table
        .columns
        .iter()
        .map(|column| column.name)
        .chain(left)
        .collect()
}

#[tokio::test]
async fn no_table_and_no_column_of_the_file_is_forgotten() {
    let (folder, _) = filled().await;
    let file = Connection::open(folder.path().join("bellhop.db")).unwrap();
    let tables = of_file(&file);
    assert_eq!(complaints("sqlite", &tables, in_file), [""; 0]);
    // The test can fail.
    file.execute_batch("ALTER TABLE webhooks ADD COLUMN mood TEXT; CREATE TABLE moods (id BLOB);")
        .unwrap();
    assert_eq!(complaints("sqlite", &of_file(&file), in_file).len(), 2);

    for table in TABLES {
        let columns = &tables[table.name];
        let key = format!(
            "SELECT name FROM pragma_table_info('{}') WHERE pk > 0 ORDER BY pk",
            table.name
        );
        let mut key = file.prepare(&key).unwrap();
        let key = key.query_map([], |row| row.get(0)).unwrap();
        let key: Vec<String> = key.map(Result::unwrap).collect();
        let named: Vec<_> = table.columns[..table.key]
            .iter()
            .map(|each| each.name)
            .collect();
        assert_eq!(named, key, "the key of {}", table.name);
        for column in table.columns.iter().filter(|each| each.found.is_none()) {
            let kind = match column.kind {
                Kind::Id | Kind::Bytes => "BLOB",
                Kind::Number | Kind::Small | Kind::Flag => "INTEGER",
                Kind::Text | Kind::Numbers => "TEXT",
            };
            assert_eq!(columns[column.name], kind, "{}.{}", table.name, column.name);
        }
        // In the order of the key without sorting: memory does not grow with the rows.
        let mut plan = file
            .prepare(&format!("EXPLAIN QUERY PLAN {}", table.select()))
            .unwrap();
        let plan = plan.query_map([], |row| row.get(3)).unwrap();
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        assert!(
            plan.iter().all(|step| !step.contains("TEMP B-TREE")),
            "{plan:?}"
        );
    }
}

#[tokio::test]
async fn no_table_and_no_column_of_postgresql_is_forgotten() {
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    open(&database.url(), 1).await.close().await.unwrap();
    let tables = of_postgres(&database.url()).await;
    assert_eq!(complaints("postgres", &tables, in_postgres), [""; 0]);
    for table in TABLES {
        for column in table.columns {
            let kind = match column.kind {
                Kind::Id => "uuid",
                Kind::Bytes => "bytea",
                Kind::Number => "int8",
                Kind::Small => "int2",
                Kind::Flag => "bool",
                Kind::Text => "text",
                Kind::Numbers => "_int8",
            };
            let found = &tables[table.name][column.name];
            assert_eq!(found, kind, "{}.{}", table.name, column.name);
        }
    }
}

/// What the tests copy has a value in every column: none goes unseen.
#[tokio::test]
async fn the_filled_database_leaves_no_column_empty() {
    let (folder, _) = filled().await;
    let file = Connection::open(folder.path().join("bellhop.db")).unwrap();
    let mut empty = Vec::new();
    for table in TABLES {
        for column in in_file(table) {
            let sql = format!(
                "SELECT count({column}), count(DISTINCT {column}) FROM {}",
                table.name
            );
            let counted = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (some, distinct): (u64, u64) = file.query_row(&sql, [], counted).unwrap();
            let is_flag = table
                .columns
                .iter()
                .any(|each| each.name == column && each.kind == Kind::Flag);
            if some == 0 || (is_flag && distinct < 2) {
                empty.push(format!("{}.{column}", table.name));
            }
        }
    }
    assert_eq!(empty, [""; 0]);
}
