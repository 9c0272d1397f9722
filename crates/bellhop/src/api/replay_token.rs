//! The token of a dry run: what was previewed, in a form that nobody else can make. Nothing is kept of a dry run;
//! the token carries its filter, the moment of the count, and a digest of what was counted.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::replay_objects::ReplayFilter;
use crate::{
    clock::{from_ms, to_ms},
    domain::access_token::TokenHash,
    id::DeliveryId,
    store::{Counted, DeliveryFilter},
};

/// Keeps these authentication codes apart from any others under the same key.
const CONTEXT: &[u8] = b"bellhop replay token 1\n";
const MAC_BYTES: usize = 32;

/// What was previewed.
#[derive(Debug, Clone, PartialEq)]
pub struct Previewed {
    /// Which deliveries.
    pub filter: DeliveryFilter,
    /// When they were counted.
    pub counted: Counted,
    /// Which they were.
    pub digest: [u8; 32],
    /// Until when they may be replayed.
    pub expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    filter: ReplayFilter,
    at_ms: i64,
    newest: DeliveryId,
    digest: [u8; 32],
    expires_ms: i64,
}

/// Writes a token. `secret` is the hash of the operator's first key: it outlives a restart.
pub fn write(secret: &TokenHash, previewed: &Previewed) -> String {
    let payload = Payload {
        filter: ReplayFilter::from(&previewed.filter),
        at_ms: to_ms(previewed.counted.at),
        newest: previewed.counted.newest,
        digest: previewed.digest,
        expires_ms: to_ms(previewed.expires),
    };
    let payload = serde_json::to_vec(&payload).expect("texts and numbers always serialise");
    let mut bytes = hmac::sign(&key(secret), &signed(&payload))
        .as_ref()
        .to_vec();
    bytes.extend_from_slice(&payload);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token. `None` if this server did not write it.
pub fn read(secret: &TokenHash, text: &str) -> Option<Previewed> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (mac, payload) = bytes.split_at_checked(MAC_BYTES)?;
    hmac::verify(&key(secret), &signed(payload), mac).ok()?;
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    Some(Previewed {
        filter: payload.filter.to_filter()?,
        counted: Counted {
            at: from_ms(payload.at_ms),
            newest: payload.newest,
        },
        digest: payload.digest,
        expires: from_ms(payload.expires_ms),
    })
}

fn key(secret: &TokenHash) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.0)
}

fn signed(payload: &[u8]) -> Vec<u8> {
    [CONTEXT, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_unless_it_was_touched() {
        let secret = TokenHash::of("bhk_operator");
        let at = from_ms(1_576_248_172_250);
        let previewed = Previewed {
            filter: DeliveryFilter {
                state: Some(crate::domain::delivery::DeliveryState::Failed),
                action: Some(bellhop_webhook::Action::IntegrationCreated),
                cause: Some(crate::domain::cause::Cause::Timeout),
                from: Some(at),
                ..DeliveryFilter::default()
            },
            counted: Counted {
                at,
                newest: DeliveryId(uuid::Uuid::from_u128(7)),
            },
            digest: [9; 32],
            expires: at,
        };
        let token = write(&secret, &previewed);
        assert_eq!(read(&secret, &token), Some(previewed));
        assert_eq!(read(&TokenHash::of("bhk_other"), &token), None);
        assert_eq!(read(&secret, ""), None);
        for place in [0, 50, token.len() - 2] {
            let mut touched = token.clone().into_bytes();
            touched[place] = if touched[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(&secret, std::str::from_utf8(&touched).unwrap()), None);
        }
    }
}
