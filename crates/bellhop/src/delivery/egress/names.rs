//! Which host names are refused before DNS is asked: names that mean something inside a network only.

use super::UrlRefused;

/// Suffixes (whole labels) that never lead to a public host: special-use names (RFC 6761, 6762, 7686, 8375, 9476),
/// ICANN's `internal`, and what home routers and Kubernetes use.
const PRIVATE_SUFFIXES: &[&str] = &[
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "svc",
    "cluster.local",
    "test",
    "invalid",
    "example",
    "onion",
    "alt",
];

/// Public-looking names of clouds' metadata services; those under `.internal` are refused with it.
const METADATA_NAMES: &[&str] = &[
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.nicdc.net",
];

/// Judges a lower-case ASCII host name without trailing dot. No DNS.
pub(super) fn judge_name(name: &str) -> Result<(), UrlRefused> {
    if name.is_empty() || name.len() > 253 || !name.split('.').all(is_label) {
        return Err(UrlRefused::HostName);
    }
    if name == "localhost" || is_below(name, "localhost") {
        return Err(UrlRefused::Localhost);
    }
    if !name.contains('.') {
        return Err(UrlRefused::SingleLabel {
            name: name.to_owned(),
        });
    }
    if METADATA_NAMES
        .iter()
        .any(|metadata| name == *metadata || is_below(name, metadata))
    {
        return Err(UrlRefused::MetadataName {
            name: name.to_owned(),
        });
    }
    match PRIVATE_SUFFIXES
        .iter()
        .find(|suffix| is_below(name, suffix))
    {
        Some(suffix) => Err(UrlRefused::PrivateName { suffix }),
        None => Ok(()),
    }
}

/// Letters, digits, hyphens inside, and the underscore that some hosts bear although it is no host name's.
fn is_label(label: &str) -> bool {
    let inside = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|rest| rest.ends_with('.'))
}
