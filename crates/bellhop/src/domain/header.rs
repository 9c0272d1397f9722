//! Headers that a webhook may add to its requests.

/// Most such headers of a webhook.
pub const MAX_HEADERS: usize = 20;
/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 2048;

/// Names that are Bellhop's own, that belong to the connection (RFC 9110 section 7.6.1), or that proxies and
/// clouds believe.
const REFUSED: &[&str] = &[
    "accept-encoding",
    "cdn-loop",
    "client-ip",
    "connection",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "metadata",
    // CGI hands it to programs as HTTP_PROXY.
    "proxy",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded",
];
const REFUSED_BEGINNINGS: &[&str] = &[
    "bellhop-",
    "cf-",
    "content-",
    "fastly-",
    "forwarded-",
    "metadata-",
    "proxy-",
    "sec-",
    "webhook-",
    "x-aliyun-",
    "x-aws-ec2-",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forwarded-",
    "x-google-metadata",
    "x-http-method",
    "x-metadata-",
    "x-original-",
    "x-originating-",
    "x-real-",
    "x-remote-",
    "x-rewrite-",
];

/// Why a webhook may not have a header with this name, for people.
pub fn refuse_name(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Some(format!(
            "A header's name has 1 to {MAX_NAME_BYTES} characters."
        ));
    }
    if !name.bytes().all(is_token) {
        return Some("A header's name has letters, digits and !#$%&'*+-.^_`|~ only.".into());
    }
    let lower = name.to_ascii_lowercase();
    let is_refused = REFUSED.contains(&&*lower)
        || REFUSED_BEGINNINGS
            .iter()
            .any(|beginning| lower.starts_with(beginning));
    is_refused.then(|| "This header is set by Bellhop, or belongs to the connection.".into())
}

/// Why a webhook may not have a header with this value, for people.
pub fn refuse_value(value: &str) -> Option<String> {
    if value.len() > MAX_VALUE_BYTES {
        return Some(format!(
            "A header's value has at most {MAX_VALUE_BYTES} bytes."
        ));
    }
    let is_plain = value
        .bytes()
        .all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte));
    if !is_plain || value.trim_ascii() != value {
        return Some(
            "A header's value is visible ASCII, without line breaks and without space at its ends."
                .into(),
        );
    }
    None
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_harm_are_refused() {
        for name in [
            "",
            "a b",
            "a:b",
            "a\r\nb",
            "é",
            "Host",
            "Content-Length",
            "Webhook-Id",
            "TE",
            "X-Forwarded-For",
            "Metadata",
            "Metadata-Flavor",
            "X-aws-ec2-metadata-token",
            "X-Google-Metadata-Request",
            "X-aliyun-ecs-metadata-token",
            "bellhop-action",
            "Connection",
            "Keep-Alive",
            "Proxy",
            "Proxy-Authorization",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "True-Client-IP",
            "X-Original-URL",
            "X-HTTP-Method-Override",
        ] {
            assert!(refuse_name(name).is_some(), "{name:?}");
        }
        for name in ["X-Api-Key", "Authorization", "x-tenant_1"] {
            assert_eq!(refuse_name(name), None, "{name}");
        }
    }

    #[test]
    fn values_stay_on_their_line() {
        for value in ["a\r\nb", "a\0", " a", "a\n", "é", "\x7f"] {
            assert!(refuse_value(value).is_some(), "{value:?}");
        }
        for value in ["", "Basic dXNlcjpwYXNz", "a\tb"] {
            assert_eq!(refuse_value(value), None, "{value:?}");
        }
    }
}
