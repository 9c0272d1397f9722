//! What a webhook proves itself with to its receiver, ready to be used. Most webhooks have none of it.

use std::{fmt, sync::OnceLock};

use http::{HeaderMap, HeaderValue, header};

use super::{
    egress::{ClientIdentity, EgressPolicy},
    oauth::{OAuth, basic, bearer},
    sender::Sender,
};
use crate::domain::{
    authentication::{Authentication, ClientCertificate},
    webhook::Webhook,
};

/// Kept over changes of other settings: tokens and connections stay.
pub struct Credentials {
    authentication: Option<Authentication>,
    certificate: Option<ClientCertificate>,
    /// `Authorization`, where it is always the same.
    fixed: Option<HeaderValue>,
    /// Where it is a token that is fetched.
    pub oauth: Option<OAuth>,
    /// Has connections of its own: what was opened with one certificate carries no other webhook's requests.
    sender: OnceLock<Sender>,
}

impl Credentials {
    /// Those of a webhook; `None` if it has none.
    pub fn of(webhook: &Webhook, policy: &EgressPolicy) -> Option<Self> {
        let authentication = webhook.authentication.clone();
        let certificate = webhook.client_certificate.clone();
        if authentication.is_none() && certificate.is_none() {
            return None;
        }
        let (fixed, oauth) = match &authentication {
            None => (None, None),
            Some(Authentication::Bearer { token }) => (Some(bearer(token.expose())), None),
            Some(Authentication::Basic { username, password }) => {
                (Some(basic(username, password.expose())), None)
            }
            Some(Authentication::OAuth2(client)) => {
                (None, Some(OAuth::new(client.clone(), policy)))
            }
        };
        Some(Self {
            authentication,
            certificate,
            fixed,
            oauth,
            sender: OnceLock::new(),
        })
    }

    /// Whether these are the webhook's still.
    pub fn are_of(&self, webhook: &Webhook) -> bool {
        self.authentication == webhook.authentication
            && self.certificate == webhook.client_certificate
    }

    /// Adds what is the same in every request.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.fixed {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
    }

    /// What no kept response may contain.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let mut secrets = match &self.authentication {
            None => Vec::new(),
            Some(Authentication::Bearer { token }) => vec![bytes(token.expose())],
            Some(Authentication::Basic { password, .. }) => vec![bytes(password.expose())],
            Some(Authentication::OAuth2(client)) => vec![bytes(client.client_secret.expose())],
        };
        let encoded = self.fixed.as_ref().and_then(|value| value.to_str().ok());
        secrets.extend(encoded.and_then(|value| Some(bytes(value.split_once(' ')?.1))));
        secrets
    }

    /// Who sends: the one that all share, or one with this webhook's certificate.
    pub fn sender<'a>(&'a self, shared: &'a Sender) -> &'a Sender {
        let Some(certificate) = &self.certificate else {
            return shared;
        };
        self.sender.get_or_init(|| {
            let identity = ClientIdentity::from_pem(&certificate.chain, certificate.key.expose());
            shared.identified(identity)
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}
