//! Masking access tokens in what is shown.

use bellhop_webhook::Message;

use crate::domain::access_token::{LENGTH, integration_of};

/// Characters of a token that may be shown: the integration's id, which is no secret.
const SHOWN: usize = 33;

/// The body as text with each access token masked after the integration's id. Bytes that are no UTF-8 are replaced.
pub fn masked(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    // Another sender's tokens may look otherwise.
    let named = match Message::parse(body) {
        Ok(Message::IntegrationCreated(data)) => Some(data.access_token),
        Ok(Message::IntegrationApiKeyCreated(data)) => Some(data.api_key),
        _ => None,
    };
    if let Some(token) = named.filter(|token| !token.expose().is_empty()) {
        text = text.replace(token.expose(), &mask(token.expose()));
    }
    while let Some(at) = find_token(&text) {
        let token = text[at..at + LENGTH].to_owned();
        text = text.replace(&token, &mask(&token));
    }
    text
}

fn mask(token: &str) -> String {
    if integration_of(token).is_some() {
        let (shown, hidden) = token.split_at(SHOWN);
        shown.to_owned() + &"*".repeat(hidden.len())
    } else {
        "*".repeat(token.chars().count())
    }
}

fn find_token(text: &str) -> Option<usize> {
    let ends = text.len().checked_sub(LENGTH)?;
    (0..=ends).find(|&at| {
        text.get(at..at + LENGTH)
            .is_some_and(|part| integration_of(part).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "9E5E84E9974D4F169662AB2200F27CB1-00B343A0DDA725CACAC028E38E3EABF";
    const MASKED: &str = "9E5E84E9974D4F169662AB2200F27CB1-*******************************";

    #[test]
    fn a_token_is_masked_wherever_it_is() {
        for body in ["TOKEN", "{\"AccessToken\":\"TOKEN\"}", "é TOKEN TOKEN é"] {
            assert_eq!(
                masked(body.replace("TOKEN", TOKEN).as_bytes()),
                body.replace("TOKEN", MASKED)
            );
        }
        assert_eq!(masked(b"{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(masked(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn a_token_of_another_form_is_masked_where_the_contract_has_it() {
        let body = r#"{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"9e5e84e9-974d-4f16-9662-ab2200f27cb1","Name":"n"},"ApiKey":"other-form"}}"#;
        let shown = masked(body.as_bytes());
        assert!(
            !shown.contains("other-form") && shown.contains("**********"),
            "{shown}"
        );
    }
}
