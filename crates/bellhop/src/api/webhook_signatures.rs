//! How a webhook's requests are signed, as callers choose it, and the secrets that go with a choice.

use super::{Call, checks::Checks};
use crate::{
    domain::{
        secret_text::SecretText,
        signatures::{SecretKind, Signature, SignatureChoice, Signatures},
        webhook::WebhookSecret,
    },
    lifecycle::Lifecycle,
};

/// What a webhook is created with.
pub struct Chosen {
    /// What it begins with.
    pub secret: SecretText,
    /// How it signs.
    pub choice: SignatureChoice,
    /// What is shown once, if it comes to be used.
    pub fresh: Vec<SecretText>,
}

/// Reads a choice: at least one signature, each once.
pub fn check_signatures(checks: &mut Checks, names: Option<Vec<String>>) -> Option<Signatures> {
    let names = names?;
    let known = Signature::ALL.map(|signature| (signature.as_str(), signature));
    let mut chosen = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let pointer = format!("/Signatures/{index}");
        let Some(signature) = checks.one_of(&pointer, name, &known) else {
            continue;
        };
        if chosen.contains(&signature) {
            checks.invalid(pointer, "This signature is given twice.");
        }
        chosen.push(signature);
    }
    if names.is_empty() {
        checks.invalid(
            "/Signatures",
            "A webhook has at least one signature: without any, no receiver can trust what it is sent.",
        );
    }
    Signatures::of(&chosen)
}

/// Notes that a secret is of no use for these signatures.
pub fn check_use(checks: &mut Checks, secret: &SecretText, signatures: Signatures) {
    let kind = SecretKind::of(secret.expose());
    if !signatures.need(kind) {
        let detail = format!(
            "{} Its signatures are {signatures}: choose others in Signatures first.",
            match kind {
                SecretKind::Shared => "A whsec_ secret is not what this webhook signs with.",
                SecretKind::KeyPair => "A whsk_ key pair is not what this webhook signs with.",
            }
        );
        checks.invalid("/Secret", detail);
    }
}

/// For a new webhook: the secret that was given or one that is made, and what else its signatures need.
pub fn choose(
    checks: &mut Checks,
    lifecycle: &Lifecycle,
    given: Option<SecretText>,
    signatures: Option<Signatures>,
) -> Chosen {
    let given_kind = given
        .as_ref()
        .map_or(SecretKind::Shared, |secret| SecretKind::of(secret.expose()));
    let signatures = signatures.unwrap_or(given_kind.usual());
    if let Some(secret) = &given {
        check_use(checks, secret, signatures);
    }
    let secret = given.unwrap_or_else(|| lifecycle.secret_of(main_kind(signatures)));
    let has = SecretKind::of(secret.expose());
    let (choice, mut fresh) = change(lifecycle, signatures, Some(has));
    fresh.push(secret.clone());
    Chosen {
        secret,
        choice,
        fresh,
    }
}

/// A choice, with what it needs but for the kind that the webhook surely has; and that again, to be shown once if it
/// comes to be used.
pub fn change(
    lifecycle: &Lifecycle,
    signatures: Signatures,
    has: Option<SecretKind>,
) -> (SignatureChoice, Vec<SecretText>) {
    let needed = [SecretKind::KeyPair, SecretKind::Shared]
        .into_iter()
        .filter(|kind| signatures.need(*kind) && has != Some(*kind));
    let spare: Vec<_> = needed
        .map(|kind| WebhookSecret {
            text: lifecycle.secret_of(kind),
            created: lifecycle.now(),
            expires: None,
        })
        .collect();
    let fresh = spare.iter().map(|secret| secret.text.clone()).collect();
    (SignatureChoice { signatures, spare }, fresh)
}

/// What a webhook gets if nobody says which: a secret, unless it signs with its key pair alone.
pub fn main_kind(signatures: Signatures) -> SecretKind {
    if signatures.need(SecretKind::Shared) {
        SecretKind::Shared
    } else {
        SecretKind::KeyPair
    }
}

/// Where a webhook's public keys are.
pub fn public_keys_url(call: &Call) -> PublicKeys {
    PublicKeys {
        base: call.api.options.public_url.clone().unwrap_or_default(),
    }
}

/// Makes the URLs of public keys.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    base: String,
}

impl PublicKeys {
    /// Those of a webhook.
    pub fn url(&self, id: crate::id::WebhookId) -> String {
        format!("{}/.well-known/bellhop/webhooks/{id}/keys", self.base)
    }
}
