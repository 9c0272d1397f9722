//! What both databases hold, as text, read by nothing of the copy.

use std::fmt::Write as _;

use bellhop::store::copy::{Kind, Table};
use rusqlite::{Connection, types::ValueRef};
use tokio_postgres::{Client, NoTls};

/// A row as the text of its values.
pub type Row = Vec<Option<String>>;

/// A connection of the tests' own.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The rows of a table of the file, sorted.
pub fn of_file(file: &Connection, table: &Table) -> Vec<Row> {
    let join = table.join.map_or_else(String::new, |join| {
        format!("LEFT JOIN {} ON {}", join.table, join.on)
    });
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let own = format!("{}.{}", table.name, column.name);
            column.found.map_or(own, str::to_owned)
        })
        .collect();
    let sql = format!("SELECT {} FROM {} {join}", columns.join(", "), table.name);
    let mut select = file.prepare(&sql).unwrap();
    let mut rows = select.query([]).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |position| match row.get_ref(position).unwrap() {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
            ValueRef::Blob(bytes) => Some(hex(bytes)),
            ValueRef::Real(number) => panic!("{number} in {}", table.name),
        };
        all.push((0..table.columns.len()).map(value).collect::<Row>());
    }
    all.sort();
    all
}

/// The same of the other side.
pub async fn of_postgres(client: &Client, table: &Table) -> Vec<Row> {
    let text = |column: &bellhop::store::copy::Column| {
        let name = column.name;
        match column.kind {
            Kind::Id => format!("replace({name}::text, '-', '')"),
            Kind::Bytes => format!("encode({name}, 'hex')"),
            Kind::Flag => format!("{name}::int::text"),
            Kind::Numbers => format!("array_to_json({name})::text"),
            Kind::Number | Kind::Small | Kind::Text => format!("{name}::text"),
        }
    };
    let columns: Vec<_> = table.columns.iter().map(text).collect();
    let sql = format!("SELECT {} FROM {}", columns.join(", "), table.name);
    let rows = client.query(&sql, &[]).await.unwrap();
    let mut all: Vec<Row> = rows
        .iter()
        .map(|row| (0..row.len()).map(|position| row.get(position)).collect())
        .collect();
    all.sort();
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
