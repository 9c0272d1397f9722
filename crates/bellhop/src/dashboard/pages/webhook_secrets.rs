//! What a webhook signs with: which signatures, its secrets and keys, and their rotation.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, copyable, hidden, hidden_once},
            moments::both,
        },
        form::{Form, number},
        seen::webhook_name,
    },
    domain::{
        signatures::{SecretKind, Signature},
        webhook::Webhook,
    },
    store::Noun,
};

/// What each signature is, and for whom.
const MEANINGS: [(Signature, &str); 4] = [
    (
        Signature::V1,
        "Standard Webhooks, HMAC-SHA256 with the secret: what nearly all libraries verify.",
    ),
    (
        Signature::V1a,
        "Standard Webhooks, ed25519: the receiver keeps a public key and no secret.",
    ),
    (
        Signature::Rfc9421HmacSha256,
        "HTTP Message Signatures (RFC 9421) with the secret: signs method, host and path as well.",
    ),
    (
        Signature::Rfc9421Ed25519,
        "HTTP Message Signatures (RFC 9421) with the key pair.",
    ),
];

/// Which signatures it makes, and what with.
pub async fn signatures(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let present = webhook.signatures.iter();
    let values = present.fold(Form::default(), |form, each| {
        form.and("Signatures", each.as_str())
    });
    choosing(&visit, &webhook, &Filled::with(values)).await
}

/// Chooses others.
pub async fn choose(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let chosen: Value = visit.form().all("Signatures").collect();
    let mut document = Map::new();
    document.insert("Signatures".to_owned(), chosen);
    let path = format!("/v1/webhooks/{}", webhook.id);
    let asking = visit.ask(http::Method::PATCH, path).with(document);
    let done = |changed: &Value| {
        if changed["Secret"].is_string() {
            let name = webhook_name(&webhook);
            let title = "The webhook has a secret now";
            return Done::page(secret_once(&visit, changed, &name, title));
        }
        let path = format!("/dashboard/webhooks/{}/signatures", webhook.id);
        Done::see(path, "saved")
    };
    let again = async |filled: &Filled| choosing(&visit, &webhook, filled).await;
    visit.settle(asking.send().await, done, again).await
}

async fn choosing(visit: &Visit, webhook: &Webhook, filled: &Filled) -> Result<Page, Wrong> {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let shown = visit
        .ask(http::Method::GET, format!("/v1/webhooks/{}", webhook.id))
        .send()
        .await?;
    let body = html! {
        (filled.summary())
        form.panel.stack method="post" action=(format!("{path}/signatures")) {
            (hidden(visit))
            (boxes(&filled.values))
            p.hint { "What has no secret or key pair yet gets one. A receiver that verifies one of them may ignore the others." }
            div.actions {
                button.primary type="submit" { "Save" }
                a.button href=(path) { "Cancel" }
            }
        }
        (secrets(visit, webhook))
        @if let Some(key) = shown["PublicKey"].as_str() {
            section aria-labelledby="key" {
                h2 #key { "Public key" }
                p { "It is no secret. The receiver verifies " code { "v1a" } " and " code { "rfc9421-ed25519" } " with it." }
                p { (copyable(key, "the public key")) }
                @if let Some(url) = shown["PublicKeysUrl"].as_str() {
                    p.quiet { "As a set of keys (JWK), also during a rotation: " code { (url) } }
                }
            }
        }
        p { a.button href=(format!("{path}/debug-signature")) { "Find out why a signature does not match" } }
    };
    let page = Page::new("Webhooks", "Signatures", body).below("Webhooks", "/dashboard/webhooks");
    Ok(page.below(webhook_name(webhook), path))
}

/// The signatures to choose from.
pub fn boxes(values: &Form) -> Markup {
    let chosen: Vec<&str> = values.all("Signatures").collect();
    html! {
        fieldset {
            legend { "Signatures" }
            @for (signature, meaning) in MEANINGS {
                label.choice {
                    input type="checkbox" name="Signatures" value=(signature.as_str()) checked[chosen.contains(&signature.as_str())];
                    span { code { (signature.as_str()) } br; span.quiet { (meaning) } }
                }
            }
        }
    }
}

/// Those that sign, by their fingerprints.
fn secrets(visit: &Visit, webhook: &Webhook) -> Markup {
    let now = visit.now();
    html! {
        section aria-labelledby="secrets" {
            div.title {
                h2 #secrets { "What signs" }
                div.beside { a.button href=(format!("/dashboard/webhooks/{}/rotate-secret", webhook.id)) { "Rotate the secret…" } }
            }
            table.cards {
                caption.unseen { "Secrets and key pairs that sign" }
                thead {
                    tr {
                        th scope="col" { "Fingerprint" } th scope="col" { "Kind" } th scope="col" { "Made" }
                        th scope="col" { "Signs until" }
                    }
                }
                tbody {
                    @for secret in webhook.active_secrets(now) {
                        tr {
                            th scope="row" data-label="Fingerprint" { code { (secret.fingerprint()) } }
                            td data-label="Kind" { @match secret.kind() {
                                SecretKind::Shared => "Secret (whsec_)",
                                SecretKind::KeyPair => "Key pair (whsk_)",
                            } }
                            td data-label="Made" { (both(secret.created, now)) }
                            td data-label="Signs until" { @match secret.expires { Some(at) => (both(at, now)), None => "it is rotated" } }
                        }
                    }
                }
            }
            p.quiet { "A fingerprint is the beginning of the SHA-256 of the secret’s text: compare it with that of what the receiver has." }
        }
    }
}

/// Asks how a secret is to be rotated.
pub async fn ask_rotation(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let filled = Filled::with(Form::default().with("OverlapSeconds", "86400"));
    Ok(rotating(&visit, &webhook, &filled))
}

/// Rotates it.
pub async fn rotate(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let mut document = visit.form().document(&["Kind", "Secret"]);
    if let Some(overlap) = visit.form().text("OverlapSeconds") {
        document.insert("OverlapSeconds".to_owned(), number(overlap));
    }
    let path = format!("/v1/webhooks/{}/rotate-secret", webhook.id);
    let asking = visit.post(path).with(document).once();
    let done = |rotated: &Value| {
        let name = webhook_name(&webhook);
        let title = "The secret is another now";
        Done::page(secret_once(&visit, rotated, &name, title))
    };
    let again = async |filled: &Filled| Ok(rotating(&visit, &webhook, filled));
    visit.settle(asking.send().await, done, again).await
}

/// What the former one does after a rotation.
pub const OVERLAPS: &[(&str, &str)] = &[
    ("0", "not at all"),
    ("3600", "an hour"),
    ("86400", "a day"),
    ("604800", "a week"),
];

fn rotating(visit: &Visit, webhook: &Webhook, filled: &Filled) -> Page {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let needs = |kind| webhook.signatures.need(kind);
    let has_both = needs(SecretKind::Shared) && needs(SecretKind::KeyPair);
    let body = html! {
        (filled.summary())
        section.panel {
            p { "A new secret is made and shown once. Until the overlap ends, each message carries two signatures, so that the \
                receiver can change over without losing one." }
            form.stack method="post" action=(format!("{path}/rotate-secret")) {
                (hidden_once(visit))
                (filled.choice(Field { name: "OverlapSeconds", label: "The former secret signs as well for",
                    hint: "If it was given away: not at all.", kind: "" }, OVERLAPS))
                @if has_both {
                    (filled.choice(Field { name: "Kind", label: "What is rotated", hint: "This webhook signs with both.", kind: "" },
                        &[("Secret", "The secret (whsec_)"), ("KeyPair", "The key pair")]))
                }
                (filled.secret(Field { name: "Secret", label: "A secret of your own (optional)",
                    hint: "whsec_… as the receiver has it already; empty: one is made.", kind: "" }))
                div.actions {
                    button.danger type="submit" { "Rotate the secret" }
                    a.button href=(path) { "Leave it as it is" }
                }
            }
        }
    };
    let page =
        Page::new("Webhooks", "Rotate the secret", body).below("Webhooks", "/dashboard/webhooks");
    page.below(webhook_name(webhook), path)
}

/// A secret, which nobody sees again.
pub fn secret_once(visit: &Visit, made: &Value, name: &str, title: &str) -> Page {
    let text = |member: &str| made[member].as_str().unwrap_or_default().to_owned();
    let path = format!("/dashboard/webhooks/{}", text("Id"));
    let body = html! {
        section.panel.once {
            @if made["Secret"].is_string() {
                p { "The secret of " strong { (name) } " is shown now and never again. The receiver checks signatures with it." }
                p { (copyable(&text("Secret"), "the secret")) }
            } @else {
                p { "The key pair of " strong { (name) } " is another now. Its private part stays here; the receiver checks \
                    signatures with the public key." }
            }
            @if made["PublicKey"].is_string() {
                p { "Public key: " (copyable(&text("PublicKey"), "the public key")) }
            }
            p.quiet { "Give it to the receiver, then send a test that it alone signs: if that is accepted, the receiver has it." }
            div.actions {
                form method="post" action=(format!("{path}/test")) {
                    (hidden(visit))
                    input type="hidden" name="NewestSecretOnly" value="true";
                    button.primary type="submit" { "Send a test with it alone" }
                }
                a.button href=(path) { "To the webhook" }
                a.button href="/dashboard/catalogue#handlers" { "How a receiver verifies" }
            }
        }
    };
    Page::new("Webhooks", title, body).below("Webhooks", "/dashboard/webhooks")
}
