//! Cursors: where a page ended, opaque to callers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{code::Code, error::ApiError};

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
}

/// Writes a cursor: after this position.
pub fn write(list: List, position: Uuid) -> String {
    let mut bytes = [0; 17];
    bytes[0] = list as u8;
    bytes[1..].copy_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What every cursor of this list looks like, as a regular expression: 17 bytes in base64, of which the first is the list.
pub fn pattern(list: List) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let kind = list as usize;
    let first = char::from(DIGITS[kind >> 2]);
    let second: String = DIGITS[(kind & 3) << 4..][..16]
        .iter()
        .map(|digit| char::from(*digit))
        .collect();
    let second = second.replace('-', "\\-");
    format!("^{first}[{second}][A-Za-z0-9_\\-]{{20}}[AEIMQUYcgkosw048]$")
}

/// Reads a cursor of this list.
pub fn read(list: List, text: &str) -> Result<Uuid, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    match <[u8; 17]>::try_from(bytes) {
        Ok([kind, position @ ..]) if kind == list as u8 => Ok(Uuid::from_bytes(position)),
        _ => Err(ApiError::new(
            Code::BadCursor,
            "Cursor is not the NextCursor of an earlier page of this list.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_list_alone() {
        let position = Uuid::from_u128(7);
        let cursor = write(List::Deliveries, position);
        assert_eq!(read(List::Deliveries, &cursor).unwrap(), position);
        for bad in [
            read(List::Keys, &cursor),
            read(List::Keys, ""),
            read(List::Keys, "é"),
        ] {
            assert_eq!(bad.unwrap_err().code(), Code::BadCursor);
        }
    }
}
