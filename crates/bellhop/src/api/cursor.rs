//! Cursors: where a page ended, opaque to callers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{code::Code, error::ApiError};
use crate::store::AuditKey;

/// Which list a cursor belongs to, so that one of another list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// Enterprises.
    Enterprises = 1,
    /// Applications.
    Applications,
    /// Webhooks.
    Webhooks,
    /// Integrations.
    Integrations,
    /// Messages of an integration.
    Messages,
    /// Deliveries.
    Deliveries,
    /// API keys.
    Keys,
    /// Operational messages.
    OperationalMessages,
    /// Replays in bulk and backfills.
    Replays,
    /// Entries of the audit log.
    Audit,
}

/// Writes a cursor: after this position.
pub fn write(list: List, position: Uuid) -> String {
    encode(list, position.as_bytes())
}

/// What every cursor of this list looks like, as a regular expression: 17 bytes in base64, of which the first is the
/// list; of the audit log 25.
pub fn pattern(list: List) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let kind = list as usize;
    let first = char::from(DIGITS[kind >> 2]);
    let second: String = DIGITS[(kind & 3) << 4..][..16]
        .iter()
        .map(|digit| char::from(*digit))
        .collect();
    let second = second.replace('-', "\\-");
    // The last digit has bits that are none of the bytes'.
    let (between, last) = match list {
        List::Audit => (31, "AQgw"),
        _ => (20, "AEIMQUYcgkosw048"),
    };
    format!("^{first}[{second}][A-Za-z0-9_\\-]{{{between}}}[{last}]$")
}

/// Reads a cursor of this list.
pub fn read(list: List, text: &str) -> Result<Uuid, ApiError> {
    decode(list, text).map(Uuid::from_bytes)
}

/// Writes a cursor of the audit log: its order is not that of ids alone.
pub fn write_audit(position: AuditKey) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&position.group.to_be_bytes());
    bytes[8..].copy_from_slice(position.id.as_bytes());
    encode(List::Audit, &bytes)
}

/// Reads one.
pub fn read_audit(text: &str) -> Result<AuditKey, ApiError> {
    let [group, id]: [u128; 2] = {
        let bytes: [u8; 24] = decode(List::Audit, text)?;
        let number = |part: &[u8]| {
            part.iter()
                .fold(0, |sum, byte| sum << 8 | u128::from(*byte))
        };
        [number(&bytes[..8]), number(&bytes[8..])]
    };
    Ok(AuditKey {
        group: group as u64,
        id: Uuid::from_u128(id),
    })
}

fn encode(list: List, position: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&[list as u8], position].concat())
}

fn decode<const N: usize>(list: List, text: &str) -> Result<[u8; N], ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    bytes
        .split_first()
        .filter(|(kind, _)| **kind == list as u8)
        .and_then(|(_, position)| position.try_into().ok())
        .ok_or_else(|| {
            ApiError::new(
                Code::BadCursor,
                "Cursor is not the NextCursor of an earlier page of this list.",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_list_alone() {
        let position = Uuid::from_u128(7);
        let cursor = write(List::Deliveries, position);
        assert_eq!(read(List::Deliveries, &cursor).unwrap(), position);
        let of_log = AuditKey {
            group: u64::MAX,
            id: position,
        };
        assert_eq!(read_audit(&write_audit(of_log)).unwrap(), of_log);
        for bad in [
            read(List::Deliveries, &write_audit(of_log)),
            read_audit(&cursor).map(|key| key.id),
            read(List::Keys, &cursor),
            read(List::Keys, ""),
            read(List::Keys, "é"),
        ] {
            assert_eq!(bad.unwrap_err().code(), Code::BadCursor);
        }
    }
}
