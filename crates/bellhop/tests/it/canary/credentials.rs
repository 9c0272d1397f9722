//! Webhooks that prove themselves to their receivers, in each way that there is: what they do it with is a secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    canaries::{Canaries, hex},
    echo::Echo,
};
use crate::authentication::mutual_tls::{Authority, Server};

/// A receiver that asks for a certificate, and the authority of both.
pub struct Certified {
    authority: Authority,
    receiver: Server,
}

impl Certified {
    pub async fn start() -> Self {
        let authority = Authority::new("canaries");
        let receiver = authority
            .serve(&authority, true, rustls::ALL_VERSIONS)
            .await;
        Self {
            authority,
            receiver,
        }
    }

    /// What the server has to trust.
    pub fn pem(&self) -> String {
        self.authority.pem()
    }

    /// Whether somebody came who has shown a certificate.
    pub fn was_visited(&self) -> bool {
        self.receiver
            .came()
            .iter()
            .any(|came| came.fingerprint.is_some())
    }
}

/// Settings of webhooks, one for each way and each receiver that makes much of what it got.
pub fn webhooks(echo: &Echo, certified: &Certified, canaries: &mut Canaries) -> Vec<Value> {
    let mut settings = Vec::new();
    for way in ["/ok", "/echo", "/fail", "/json", "/html"] {
        let bearer = json!({ "Type": "Bearer", "Token": canaries.make("bearer token") });
        let basic = json!({
            "Type": "Basic", "Username": "bellhop", "Password": canaries.make("basic password")
        });
        for authentication in [bearer, basic] {
            settings.push(json!({ "Url": echo.url(way), "Authentication": authentication }));
        }
        for (style, token) in [
            ("Header", "/token"),
            ("Body", "/token"),
            ("Header", "/no-token"),
            ("Body", "/no-token"),
        ] {
            let token_url = format!("{token}?{}", canaries.make("query of a token URL"));
            settings.push(json!({ "Url": echo.url(way), "Authentication": {
                "Type": "OAuth2ClientCredentials", "TokenUrl": echo.url(&token_url), "ClientId": "bellhop",
                "ClientSecret": canaries.make("client secret"), "AuthStyle": style
            } }));
        }
    }
    for name in ["one", "two"] {
        let client = certified.authority.client(name);
        key_of(&client, canaries);
        settings.push(json!({ "Url": certified.receiver.url("/"), "ClientCertificate": client }));
    }
    for settings in &mut settings {
        settings["RetrySchedule"] = json!([0, 1]);
    }
    settings
}

/// A private key of P-256 in PKCS #8: what is secret of it are 32 bytes from the 37th on, as bytes and as PEM has them.
fn key_of(client: &Value, canaries: &mut Canaries) {
    let pem = client["PrivateKeyPem"].as_str().unwrap();
    let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(lines.concat()).unwrap();
    assert_eq!(der[34..36], [0x04, 0x20], "an octet string of 32 bytes");
    canaries.add("client's private key", hex(&der[36..68]));
    canaries.add("client's private key in PEM", &lines[1][..24]);
}
