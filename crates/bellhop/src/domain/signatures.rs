//! How a webhook's requests are signed: which signatures, and what they are made with.

use std::{fmt, str::FromStr};

use bellhop_webhook::{HEADER_SIGNATURE, SigningKey};
use jiff::Timestamp;

use super::webhook::{Webhook, WebhookSecret};

/// One way to sign a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signature {
    /// Standard Webhooks, HMAC-SHA256 with the secret.
    V1,
    /// Standard Webhooks, ed25519 with the key pair.
    V1a,
    /// HTTP Message Signatures (RFC 9421), HMAC-SHA256 with the secret.
    Rfc9421HmacSha256,
    /// HTTP Message Signatures (RFC 9421), ed25519 with the key pair.
    Rfc9421Ed25519,
}

/// What signs: what both sides know, or what only we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// `whsec_…`
    Shared,
    /// `whsk_…`
    KeyPair,
}

/// The signatures of a webhook: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures(u8);

/// Other signatures for a webhook, and what makes them if it has nothing for one of them.
#[derive(Debug, Clone)]
pub struct SignatureChoice {
    /// From now on.
    pub signatures: Signatures,
    /// One of each kind, just made: used only where the webhook has none.
    pub spare: Vec<WebhookSecret>,
}

impl Signature {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::V1,
        Self::V1a,
        Self::Rfc9421HmacSha256,
        Self::Rfc9421Ed25519,
    ];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
            Self::Rfc9421HmacSha256 => "rfc9421-hmac-sha256",
            Self::Rfc9421Ed25519 => "rfc9421-ed25519",
        }
    }

    /// What makes it.
    pub const fn kind(self) -> SecretKind {
        match self {
            Self::V1 | Self::Rfc9421HmacSha256 => SecretKind::Shared,
            Self::V1a | Self::Rfc9421Ed25519 => SecretKind::KeyPair,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl SecretKind {
    /// Of a secret in its printed form.
    pub fn of(text: &str) -> Self {
        if text.starts_with(SigningKey::PREFIX) {
            Self::KeyPair
        } else {
            Self::Shared
        }
    }

    /// What it begins with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "whsec",
            Self::KeyPair => "whsk",
        }
    }

    /// The signature that is made with it unless others are chosen.
    pub const fn usual(self) -> Signatures {
        match self {
            Self::Shared => Signatures(Signature::V1.bit()),
            Self::KeyPair => Signatures(Signature::V1a.bit()),
        }
    }
}

impl Signatures {
    /// These; `None` if there are none.
    pub fn of(signatures: &[Signature]) -> Option<Self> {
        let bits = signatures.iter().fold(0, |bits, each| bits | each.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// What secrets of these kinds sign where nothing was chosen.
    pub fn of_secrets(secrets: &[WebhookSecret]) -> Self {
        let bits = secrets
            .iter()
            .fold(0, |bits, secret| bits | secret.kind().usual().0);
        if bits == 0 {
            return SecretKind::Shared.usual();
        }
        Self(bits)
    }

    /// Whether this one is made.
    pub const fn contains(self, signature: Signature) -> bool {
        self.0 & signature.bit() != 0
    }

    /// In the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Signature> {
        Signature::ALL
            .into_iter()
            .filter(move |each| self.contains(*each))
    }

    /// Whether one of them is made with a secret of this kind.
    pub fn need(self, kind: SecretKind) -> bool {
        self.iter().any(|each| each.kind() == kind)
    }

    /// As a store keeps it.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// As a store kept it; what a later version may have added does not count.
    pub fn from_bits(bits: u8) -> Option<Self> {
        let known: Vec<_> = Self(bits).iter().collect();
        Self::of(&known)
    }
}

/// The signature of an attempt as it is recorded: the value of `webhook-signature`, then a line `name: value` for each
/// further header that signed.
pub fn recorded(signature: String, further: &[(&str, &str)]) -> String {
    further.iter().fold(signature, |mut text, (name, value)| {
        for part in ["\n", name, ": ", value] {
            text.push_str(part);
        }
        text
    })
}

/// The headers that signed an attempt, from what was recorded.
pub fn headers_of(recorded: &str) -> impl Iterator<Item = (&str, &str)> {
    let (first, further) = recorded.split_once('\n').unwrap_or((recorded, ""));
    let first = (!first.is_empty()).then_some((HEADER_SIGNATURE, first));
    first
        .into_iter()
        .chain(further.lines().filter_map(|line| line.split_once(": ")))
}

impl SignatureChoice {
    /// From now on the webhook signs like this.
    pub fn apply_to(self, webhook: &mut Webhook) {
        webhook.signatures = self.signatures;
        for spare in self.spare {
            let kind = spare.kind();
            let has = webhook
                .secrets
                .iter()
                .any(|secret| secret.kind() == kind && secret.expires.is_none());
            if self.signatures.need(kind) && !has {
                webhook.secrets.insert(0, spare);
            }
        }
    }
}

impl WebhookSecret {
    /// What it is.
    pub fn kind(&self) -> SecretKind {
        SecretKind::of(self.text.expose())
    }

    /// Whether it signs at this moment.
    pub fn signs(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|until| now < until)
    }
}

impl fmt::Display for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, each) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            f.write_str(each.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|signature| signature.as_str() == text)
            .ok_or_else(|| format!("no signature is called {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret_text::SecretText;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret {
            text: SecretText::new(text),
            created: Timestamp::UNIX_EPOCH,
            expires: None,
        }
    }

    #[test]
    fn every_choice_is_kept_and_none_is_no_choice() {
        for bits in 1..16 {
            let signatures = Signatures::from_bits(bits).unwrap();
            assert_eq!(signatures.bits(), bits);
            let names: Vec<_> = signatures.iter().collect();
            assert_eq!(Signatures::of(&names), Some(signatures));
            for name in names {
                assert_eq!(name.as_str().parse(), Ok(name));
                assert!(signatures.need(name.kind()));
            }
        }
        assert_eq!(Signatures::of(&[]), None);
        assert_eq!(Signatures::from_bits(0b1110_0000), None);
        assert!(
            !Signatures::of(&[Signature::V1])
                .unwrap()
                .need(SecretKind::KeyPair)
        );
    }

    #[test]
    fn what_is_recorded_comes_back() {
        for signature in ["v1,AAAA= v1a,BBBB=", ""] {
            for further in [
                &[][..],
                &[
                    ("signature-input", "bellhop=()"),
                    ("signature", "bellhop=:AA:"),
                ],
            ] {
                let text = recorded(signature.to_owned(), further);
                let mut wanted = further.to_vec();
                if !signature.is_empty() {
                    wanted.insert(0, (HEADER_SIGNATURE, signature));
                }
                assert_eq!(headers_of(&text).collect::<Vec<_>>(), wanted);
            }
        }
    }

    #[test]
    fn without_a_choice_the_secrets_say() {
        let of = |texts: &[&str]| {
            let secrets: Vec<_> = texts.iter().map(|text| secret(text)).collect();
            Signatures::of_secrets(&secrets).to_string()
        };
        assert_eq!(of(&["whsec_x"]), "v1");
        assert_eq!(of(&["whsk_x"]), "v1a");
        assert_eq!(of(&["whsk_x", "whsec_x"]), "v1, v1a");
        assert_eq!(of(&[]), "v1");
    }
}
