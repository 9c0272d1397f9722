//! Secrets as people may see them.

use bellhop_webhook::{Action, Message};

/// What stands for a secret that is not shown.
pub const MASK: &str = "…";

/// A URL with its query masked: a receiver may keep a secret there.
pub fn masked_url(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?{MASK}"),
        None => url.to_owned(),
    }
}

/// An access token of which the integration can still be told, and no more.
pub fn masked_token(token: &str) -> String {
    let shown = token
        .split_once('-')
        .map_or("", |(integration, _)| integration);
    let hidden = token.chars().count() - shown.chars().count();
    let mut masked = String::with_capacity(token.len());
    masked.push_str(shown);
    if shown.is_empty() {
        masked.extend(std::iter::repeat_n('*', hidden));
    } else {
        masked.push('-');
        masked.extend(std::iter::repeat_n('*', hidden - 1));
    }
    masked
}

/// The body of a message with its access token masked, byte for byte the same elsewhere. `None` if it cannot
/// be told where the token is: then nothing is shown.
pub fn masked_body(action: Action, body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    if !action.carries_secret() {
        return Some(text.to_owned());
    }
    let message = Message::parse(body).ok()?;
    let token = match &message {
        Message::IntegrationCreated(data) => data.access_token.expose(),
        Message::IntegrationApiKeyCreated(data) => data.api_key.expose(),
        _ => return None,
    };
    Some(text.replace(token, &masked_token(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";

    #[test]
    fn a_token_keeps_its_length_and_its_integration() {
        let masked = masked_token(TOKEN);
        assert_eq!(masked, format!("{}-{}", &TOKEN[..32], "*".repeat(31)));
        assert_eq!(masked_token("odd"), "***");
    }

    #[test]
    fn a_body_changes_at_its_token_alone() {
        let body = format!(
            r#"{{"Action":"IntegrationApiKeyCreated","Data":{{"Integration":{{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"é"}},"ApiKey":"{TOKEN}"}}}}"#
        );
        let masked = masked_body(Action::IntegrationApiKeyCreated, body.as_bytes()).unwrap();
        assert_eq!(masked, body.replace(TOKEN, &masked_token(TOKEN)));
        assert_eq!(masked_body(Action::IntegrationCreated, b"{}"), None);
    }

    #[test]
    fn a_query_is_a_secret() {
        assert_eq!(
            masked_url("https://h.example/p?secret=1"),
            "https://h.example/p?…"
        );
        assert_eq!(masked_url("https://h.example/p"), "https://h.example/p");
    }
}
