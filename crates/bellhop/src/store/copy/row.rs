//! One form of a row for both sides: as PostgreSQL's binary COPY has it. A row that is read from the source is made into
//! it; the target gives its rows back in it. Two rows are the same if their bytes are.
//!
//! The form: the number of fields (16 bits), then each field as its length (32 bits, -1 for NULL) and its bytes; numbers
//! are big-endian. See "COPY", section "Binary Format", in PostgreSQL's documentation.

use std::fmt::Write as _;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rusqlite::types::ValueRef;

use super::table::{Column, Kind, Table};

/// What comes before the first row: the signature, no flags, no extension.
pub const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What comes after the last one.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// PostgreSQL's number of the type `bigint`, of which lists are made.
const BIGINT: i32 = 20;

/// Adds a value as the target keeps it, or says why it cannot.
pub fn put(to: &mut BytesMut, kind: Kind, value: ValueRef<'_>) -> Result<(), &'static str> {
    match (kind, value) {
        (_, ValueRef::Null) => to.put_i32(-1),
        (Kind::Id, ValueRef::Blob(id)) if id.len() == 16 => put_field(to, id),
        (Kind::Number, ValueRef::Integer(number)) => put_field(to, &number.to_be_bytes()),
        (Kind::Small, ValueRef::Integer(number)) => {
            let small = i16::try_from(number).map_err(|_| "it is too large a number")?;
            put_field(to, &small.to_be_bytes());
        }
        (Kind::Flag, ValueRef::Integer(flag @ (0 | 1))) => put_field(to, &[flag as u8]),
        (Kind::Bytes, ValueRef::Blob(bytes)) => put_field(to, bytes),
        (Kind::Text, ValueRef::Text(text)) => {
            if std::str::from_utf8(text).is_err() {
                return Err("it is not UTF-8");
            }
            if text.contains(&0) {
                return Err("it holds a zero character, which PostgreSQL does not keep in text");
            }
            put_field(to, text);
        }
        (Kind::Numbers, ValueRef::Text(json)) => {
            let numbers: Vec<i64> =
                serde_json::from_slice(json).map_err(|_| "it is not a list of numbers")?;
            put_numbers(to, &numbers);
        }
        _ => return Err("it is not of the kind that the column holds"),
    }
    Ok(())
}

fn put_field(to: &mut BytesMut, bytes: &[u8]) {
    to.put_i32(bytes.len() as i32);
    to.put_slice(bytes);
}

/// An array of one dimension that begins at 1, without NULL; one without items has no dimension.
fn put_numbers(to: &mut BytesMut, numbers: &[i64]) {
    let dimensions = i32::from(!numbers.is_empty());
    to.put_i32(12 + dimensions * (8 + 12 * numbers.len() as i32));
    to.put_i32(dimensions);
    to.put_i32(0);
    to.put_i32(BIGINT);
    if !numbers.is_empty() {
        to.put_i32(numbers.len() as i32);
        to.put_i32(1);
        for number in numbers {
            put_field(to, &number.to_be_bytes());
        }
    }
}

/// Rows one after the other, as they come out of pieces that end anywhere.
#[derive(Debug, Default)]
pub struct Rows {
    unread: BytesMut,
    /// Bytes that come before the first row and are not read yet.
    header: usize,
}

impl Rows {
    /// Rows alone.
    pub fn bare() -> Self {
        Self::default()
    }

    /// Rows between a header and a trailer.
    pub fn framed() -> Self {
        Self {
            unread: BytesMut::new(),
            header: HEADER.len(),
        }
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
    }

    /// The next row, if all of it is here.
    pub fn next(&mut self) -> Option<Bytes> {
        if self.header > 0 {
            if self.unread.len() < self.header {
                return None;
            }
            self.unread.advance(self.header);
            self.header = 0;
        }
        let length = length(&self.unread)?;
        Some(self.unread.split_to(length).freeze())
    }
}

/// How long the first row is, if all of it is here.
fn length(bytes: &[u8]) -> Option<usize> {
    let (count, _) = bytes.split_first_chunk::<2>()?;
    let count = i16::from_be_bytes(*count);
    if count < 0 {
        return None;
    }
    let mut length = 2;
    for _ in 0..count {
        let (field, _) = bytes.get(length..)?.split_first_chunk::<4>()?;
        // NULL has no bytes.
        length += 4 + usize::try_from(i32::from_be_bytes(*field)).unwrap_or(0);
    }
    (bytes.len() >= length).then_some(length)
}

/// The fields of a whole row.
pub fn fields(row: &[u8]) -> Vec<Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    let mut fields = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (field, after) = after
            .split_at_checked(length.unwrap_or(0))
            .unwrap_or((after, &[]));
        fields.push(length.map(|_| field));
        rest = after;
    }
    fields
}

/// The key of a row, for people.
pub fn key_shown(table: &Table, row: &[u8]) -> String {
    let shown = |(column, field): (&Column, Option<&[u8]>)| {
        format!("{} {}", column.name, shown(column.kind, field))
    };
    let keys: Vec<_> = table
        .columns
        .iter()
        .zip(fields(row))
        .take(table.key)
        .map(shown)
        .collect();
    keys.join(", ")
}

fn shown(kind: Kind, field: Option<&[u8]>) -> String {
    let Some(bytes) = field else {
        return "NULL".to_owned();
    };
    match (kind, bytes.try_into(), bytes.try_into()) {
        (Kind::Id, Ok(id), _) => uuid::Uuid::from_bytes(id).to_string(),
        (Kind::Number, _, Ok(number)) => i64::from_be_bytes(number).to_string(),
        (Kind::Text, ..) => String::from_utf8_lossy(bytes).into_owned(),
        _ => bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, value: ValueRef<'_>) -> Result<Vec<u8>, &'static str> {
        let mut to = BytesMut::new();
        put(&mut to, kind, value).map(|()| to.to_vec())
    }

    #[test]
    fn values_are_written_as_postgresql_has_them() {
        let id = [7; 16];
        for (kind, value, expected) in [
            (Kind::Text, ValueRef::Null, &b"\xff\xff\xff\xff"[..]),
            (Kind::Text, ValueRef::Text(b"ab"), b"\0\0\0\x02ab"),
            (Kind::Bytes, ValueRef::Blob(b"\0"), b"\0\0\0\x01\0"),
            (Kind::Flag, ValueRef::Integer(1), b"\0\0\0\x01\x01"),
            (Kind::Small, ValueRef::Integer(255), b"\0\0\0\x02\0\xff"),
            (
                Kind::Number,
                ValueRef::Integer(-2),
                b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe",
            ),
        ] {
            assert_eq!(written(kind, value).unwrap(), expected, "{kind:?}");
        }
        assert_eq!(
            written(Kind::Id, ValueRef::Blob(&id)).unwrap()[4..],
            id,
            "an id is its bytes"
        );
        // As `COPY (SELECT '{0,5}'::bigint[]) TO STDOUT (FORMAT binary)` writes it.
        let list = written(Kind::Numbers, ValueRef::Text(b"[0, 5]")).unwrap();
        let expected = [
            &[0, 0, 0, 44, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20][..],
            &[0, 0, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5],
        ];
        assert_eq!(list, expected.concat());
        let none = written(Kind::Numbers, ValueRef::Text(b"[]")).unwrap();
        assert_eq!(none, [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20]);
    }

    #[test]
    fn what_the_target_cannot_keep_is_refused() {
        for (kind, value) in [
            (Kind::Id, ValueRef::Blob(b"short")),
            (Kind::Id, ValueRef::Text(b"0123456789abcdef")),
            (Kind::Flag, ValueRef::Integer(2)),
            (Kind::Small, ValueRef::Integer(40_000)),
            (Kind::Text, ValueRef::Text(b"a\0b")),
            (Kind::Text, ValueRef::Text(b"\xff")),
            (Kind::Numbers, ValueRef::Text(b"[0.5]")),
            (Kind::Number, ValueRef::Real(1.0)),
        ] {
            assert!(written(kind, value).is_err(), "{kind:?} {value:?}");
        }
    }

    #[test]
    fn rows_come_out_whole_however_they_were_cut() {
        let rows: [&[u8]; 3] = [
            b"\0\x02\0\0\0\x01a\xff\xff\xff\xff",
            b"\0\x01\0\0\0\0",
            b"\0\x01\0\0\0\x03xyz",
        ];
        let all = [&HEADER[..], rows[0], rows[1], rows[2], &TRAILER].concat();
        for size in 1..all.len() {
            let mut reading = Rows::framed();
            let mut found = Vec::new();
            for piece in all.chunks(size) {
                reading.push(piece);
                while let Some(row) = reading.next() {
                    found.push(row);
                }
            }
            assert_eq!(found, rows, "in pieces of {size}");
        }
        assert_eq!(fields(rows[0]), [Some(&b"a"[..]), None]);
        assert_eq!(fields(rows[1]), [Some(&b""[..])]);
    }
}
