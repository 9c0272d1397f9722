//! The digest of a body, as a header carries it.

use aws_lc_rs::digest::{self, SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The value of `content-digest` for a body: `sha-256=:…:` (RFC 9530 section 2).
pub fn content_digest(body: &[u8]) -> String {
    let digest = digest::digest(&SHA256, body);
    format!("sha-256=:{}:", STANDARD.encode(digest))
}

/// Whether a `content-digest` is of this body: it has a digest of a strong algorithm, and all that it has match.
pub(super) fn is_of(header: &str, body: &[u8]) -> bool {
    let Ok(digests) = Parser::new(header).parse::<Dictionary>() else {
        return false;
    };
    let mut matched = false;
    for (name, value) in &digests {
        let algorithm = match name.as_str() {
            "sha-256" => &SHA256,
            "sha-512" => &SHA512,
            _ => continue,
        };
        let ListEntry::Item(item) = value else {
            return false;
        };
        let BareItem::ByteSequence(given) = &item.bare_item else {
            return false;
        };
        if digest::digest(algorithm, body).as_ref() != given.as_slice() {
            return false;
        }
        matched = true;
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530 appendix B.1 and RFC 9421 appendix B.2.
    #[test]
    fn the_published_digests() {
        let body = b"{\"hello\": \"world\"}\n";
        let of_9530 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(content_digest(body), of_9530);
        assert!(is_of(of_9530, body));
        let of_9421 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
        assert!(is_of(of_9421, b"{\"hello\": \"world\"}"));
    }

    #[test]
    fn a_digest_that_says_nothing_or_something_else_is_not_of_the_body() {
        let right = content_digest(b"body");
        for wrong in [
            "",
            "md5=:AAAA:",
            "sha-256",
            "sha-256=:AAAA:",
            "sha-256=\"x\"",
            &right.replace("sha-256=:", "sha-512=:"),
            &format!("{right}, sha-512=:AAAA:"),
            "sha-256=(:AAAA:)",
            "not a dictionary!",
        ] {
            assert!(!is_of(wrong, b"body"), "{wrong}");
        }
        assert!(is_of(&format!("unixsum=1, {right}"), b"body"));
        assert!(!is_of(&right, b"bodY"));
    }
}
