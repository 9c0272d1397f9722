//! What is sealed, against what the schemas have; and that nothing sealed opens in another place.

use std::collections::BTreeSet;

use bellhop::{
    store::copy::{Column, Kind, TABLES, Table},
    vault::{Place, Vault, VaultError},
};
use rusqlite::Connection;

use super::{
    copying::{filled::filled, raw},
    databases::KEY,
    postgres::{TestDatabase, cluster, open},
};

/// Columns by table that hold something sealed, by their names: those that say so, and the bodies beside `is_sealed`.
fn by_name(columns: &[(String, String)]) -> BTreeSet<String> {
    let has_flag = |table: &str| {
        let flag = (table.to_owned(), "is_sealed".to_owned());
        columns.contains(&flag)
    };
    columns
        .iter()
        .filter(|(table, column)| {
            column.ends_with("_sealed") && column != "is_sealed"
                || has_flag(table) && column.starts_with("body")
        })
        .map(|(table, column)| format!("{table}.{column}"))
        .collect()
}

/// Those that are sealed anew.
fn listed() -> BTreeSet<String> {
    let of = |table: &'static Table| {
        let sealed = table.columns.iter().filter(|each| each.sealed.is_some());
        sealed.map(|column| format!("{}.{}", table.name, column.name))
    };
    TABLES.iter().flat_map(of).collect()
}

#[tokio::test]
async fn every_sealed_column_is_sealed_anew() {
    let (folder, _) = filled().await;
    let file = Connection::open(folder.path().join("bellhop.db")).unwrap();
    let columns = || {
        let sql = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'";
        let mut select = file.prepare(sql).unwrap();
        let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let found: Vec<(String, String)> = found.unwrap().map(Result::unwrap).collect();
        found
    };
    assert_eq!(listed(), by_name(&columns()));
    assert!(listed().len() >= 6);
    // The test can fail.
    file.execute_batch("ALTER TABLE webhooks ADD COLUMN bearer_sealed BLOB")
        .unwrap();
    assert_ne!(listed(), by_name(&columns()));
    if cluster().is_none() {
        return;
    }
    let database = TestDatabase::new().await;
    let store = open(&database.url(), 1).await;
    bellhop::store::Store::close(&store).await.unwrap();
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
        WHERE table_schema = current_schema()";
    let rows = raw::client(&database.url()).await.query(sql, &[]).await;
    let columns: Vec<_> = rows
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(listed(), by_name(&columns));
}

/// Every sealed value of a column: what its row is bound to, and the value.
fn values(file: &Connection, table: &Table, column: &Column) -> Vec<(Vec<u8>, Vec<u8>)> {
    let key = &table.columns[..table.key];
    let names: Vec<_> = key.iter().map(|each| each.name).collect();
    let flag = column.sealed.unwrap().only_if.unwrap_or("1");
    let sql = format!(
        "SELECT {}, {} FROM {} WHERE {} IS NOT NULL AND {flag}",
        column.name,
        names.join(", "),
        table.name,
        column.name
    );
    let mut select = file.prepare(&sql).unwrap();
    let rows = select.query_map([], |row| {
        let mut bound = Vec::new();
        for (place, part) in key.iter().enumerate() {
            match part.kind {
                Kind::Number => bound.extend(row.get::<_, i64>(place + 1)?.to_be_bytes()),
                _ => bound.extend(row.get::<_, Vec<u8>>(place + 1)?),
            }
        }
        Ok((bound, row.get(0)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The two forms of a message's body share a place: they are bytes of the same message, with the same access token.
#[tokio::test]
async fn nothing_sealed_opens_in_another_row_or_column() {
    let (folder, _) = filled().await;
    let file = Connection::open(folder.path().join("bellhop.db")).unwrap();
    let vault = Vault::new(&[KEY]).unwrap();
    let sealed: Vec<_> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
        .filter_map(|(table, column)| Some((table, column, column.sealed?.place)))
        .collect();
    let places: BTreeSet<_> = sealed.iter().map(|(_, _, place)| *place).collect();
    for (table, column, place) in &sealed {
        let values = values(&file, table, column);
        let name = format!("{}.{}", table.name, column.name);
        assert!(!values.is_empty(), "{name} has nothing");
        for (row, value) in &values {
            let open = |column, row: &[u8]| vault.open(Place { column, row }, value);
            assert!(open(place, row).is_ok(), "{name}");
            let others = places.iter().filter(|other| *other != place);
            for other in others {
                assert_eq!(open(other, row), Err(VaultError::Damaged { column: other }));
            }
            let mut elsewhere = row.clone();
            *elsewhere.last_mut().unwrap() ^= 1;
            assert!(open(place, &elsewhere).is_err(), "{name}");
            assert!(open(place, b"").is_err(), "{name}");
        }
        for ((_, value), (row, _)) in values.iter().zip(values.iter().skip(1)) {
            let moved = vault.open(Place { column: place, row }, value);
            assert_eq!(moved, Err(VaultError::Damaged { column: place }), "{name}");
        }
    }
}
