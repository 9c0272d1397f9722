//! Reading a `webhook-signature` leniently, to tell what is wrong with it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Cause;
use crate::{MAX_SIGNATURES, Scheme};

/// A signature that the header holds, somehow.
pub(super) struct Item {
    pub scheme: Scheme,
    pub signature: Vec<u8>,
    /// Why a receiver that keeps to the standard does not see it; none if it
    /// does.
    pub flaw: Option<Cause>,
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Every signature in the header, also behind wrong separators and in wrong
/// encodings.
pub(super) fn read(header: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut scheme = None;
    for word in header
        .split(|c: char| c.is_whitespace() || [',', ';', '"'].contains(&c))
        .filter(|word| !word.is_empty())
    {
        if items.len() == MAX_SIGNATURES {
            break;
        }
        match word {
            "v1" => scheme = Some(Scheme::V1),
            "v1a" => scheme = Some(Scheme::V1a),
            _ => items.extend(read_word(header, word, scheme.take())),
        }
    }
    items
}

fn read_word(header: &str, word: &str, scheme: Option<Scheme>) -> Option<Item> {
    // `v1=…` is how other senders write it.
    let (scheme, encoded, glued) = match word.split_once('=') {
        Some(("v1" | "sha256", rest)) if !rest.is_empty() => (Some(Scheme::V1), rest, true),
        Some(("v1a", rest)) if !rest.is_empty() => (Some(Scheme::V1a), rest, true),
        _ => (scheme, word, false),
    };
    let (signature, encoding_flaw) = decode(encoded)?;
    let length_says = match signature.len() {
        32 => Scheme::V1,
        64 => Scheme::V1a,
        _ => return None,
    };
    let exact = format!("{length_says},{encoded}");
    let flaw = if glued {
        Some(encoding_flaw.unwrap_or(Cause::SignatureSeparator))
    } else if scheme.is_none() {
        Some(Cause::SignatureWithoutScheme)
    } else if encoding_flaw.is_some() {
        encoding_flaw
    } else if header.split_ascii_whitespace().any(|item| item == exact) {
        None
    } else {
        Some(Cause::SignatureSeparator)
    };
    Some(Item {
        scheme: length_says,
        signature,
        flaw,
    })
}

/// The bytes of a signature, and what is wrong with how they are written.
fn decode(encoded: &str) -> Option<(Vec<u8>, Option<Cause>)> {
    if let Some(bytes) = decode_hex(encoded.as_bytes()) {
        return Some((bytes, Some(Cause::SignatureInHex)));
    }
    if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(encoded) {
        // base64 around hexadecimal digits: the digest was taken as text.
        return match decode_hex(&bytes) {
            Some(inner) => Some((inner, Some(Cause::SignatureInHex))),
            None => Some((bytes, None)),
        };
    }
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|engine| engine.decode(encoded).ok())
        .map(|bytes| (bytes, Some(Cause::SignatureBase64)))
}

/// The bytes of 64 or 128 hexadecimal digits. As base64 these lengths are no
/// signature, so the two cannot be mistaken for each other.
fn decode_hex(digits: &[u8]) -> Option<Vec<u8>> {
    if ![64, 128].contains(&digits.len()) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(hex_value(pair[0])? << 4 | hex_value(pair[1])?))
        .collect()
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| value.try_into().ok())
}
