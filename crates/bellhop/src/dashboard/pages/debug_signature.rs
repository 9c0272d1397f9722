//! Why a signature does not match: what a receiver got is pasted, the webhook's secrets stay here.

use bellhop_webhook::{DEFAULT_TOLERANCE_SECONDS, Explanation, SigningKey};
use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            controls::{Field, Filled, hidden},
            marks,
            moments::full,
        },
        seen::webhook_name,
    },
    domain::{secret_text::SecretText, signatures::SecretKind, webhook::Webhook},
    receiving::{GivenSecret, RequestHead, When, explain_request},
    store::Noun,
};

/// The form.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    Ok(page(&visit, &webhook, &html! {}))
}

/// The verdict.
pub async fn judge(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let form = visit.form();
    let head = RequestHead::parse(form.text("Headers").unwrap_or_default());
    if head.is_empty() {
        let told = html! {
            div.notice.bad role="alert" {
                p { strong { "There is nothing to verify. " } "Paste the lines " code { "webhook-id" } ", " code { "webhook-timestamp" } " and "
                    code { "webhook-signature" } ", or " code { "signature-input" } " and " code { "signature" } "." }
            }
        };
        let status = http::StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(Done::page(page(&visit, &webhook, &told).status(status)));
    }
    let came = form.text("ReceivedUtc").map(str::trim);
    let Ok(at) = came.map_or(Ok(visit.now()), str::parse::<Timestamp>) else {
        let told = html! {
            div.notice.bad role="alert" { p { "When it came: expected a moment such as 2026-01-31T09:30:00Z." } }
        };
        let status = http::StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(Done::page(page(&visit, &webhook, &told).status(status)));
    };
    // A browser sends each line break of a field as two bytes, whatever was pasted.
    let text = form.text("Body").unwrap_or_default().replace("\r\n", "\n");
    let when = When {
        now: at.as_second(),
        tolerance_seconds: DEFAULT_TOLERANCE_SECONDS,
    };
    let url = webhook.url.expose().parse().ok();
    let secrets: Vec<_> = known_secrets(&webhook, at).collect();
    let explanation = explain_request(&head, url.as_ref(), text.as_bytes(), &secrets, when);
    let told = html! {
        section.panel aria-labelledby="verdict" role="status" {
            h2 #verdict { "Verdict" }
            (explained(&explanation))
            p.quiet { "Judged as of " (full(at)) ", with " (secrets.len()) @if secrets.len() == 1 { " secret" } @else { " secrets and keys" }
                " of this webhook." }
        }
    };
    Ok(Done::page(page(&visit, &webhook, &told)))
}

/// What a webhook signs with, and what it did, as a receiver would have it.
pub fn known_secrets(webhook: &Webhook, at: Timestamp) -> impl Iterator<Item = GivenSecret> {
    webhook.secrets.iter().filter_map(move |secret| {
        let fingerprint = secret.fingerprint();
        let text = match secret.kind() {
            SecretKind::Shared => secret.text.clone(),
            SecretKind::KeyPair => {
                let key: SigningKey = secret.text.expose().parse().ok()?;
                SecretText::new(key.verifying_key().to_string())
            }
        };
        let is_current = secret.signs(at);
        let label = if is_current {
            format!("the secret {fingerprint}")
        } else {
            format!("the former secret {fingerprint}")
        };
        Some(GivenSecret {
            label,
            text,
            is_current,
        })
    })
}

/// The checks, and what follows from them.
pub fn explained(explanation: &Explanation) -> Markup {
    let verdict = &explanation.verdict;
    html! {
        p.state {
            (marks::verdict(verdict.verified, if verdict.verified { "Verified" } else { "Not verified" }))
            " " (verdict.summary)
        }
        @if !verdict.verified { p { strong { "Next: " } (verdict.next_step) } }
        table.checks {
            caption.unseen { "Checks" }
            thead { tr { th scope="col" { "Check" } th scope="col" { "Result" } th scope="col" { "Found" } } }
            tbody {
                @for step in &explanation.steps {
                    tr {
                        th scope="row" { (step.check) }
                        td { (marks::verdict(step.ok, if step.ok { "Right" } else { "Wrong" })) }
                        td { (step.detail) }
                    }
                }
            }
        }
    }
}

fn page(visit: &Visit, webhook: &Webhook, told: &Markup) -> Page {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let filled = Filled::with(visit.form().clone());
    let body = html! {
        p { "Paste what the receiver got. It is compared with what this webhook signs, and the usual mistakes are tried: a body that was \
            parsed and written again, another or a former secret, the secret’s text in place of its bytes, milliseconds, a wrong clock. \
            Nothing of it is kept, and no secret is shown." }
        (told)
        form.panel.stack method="post" action=(format!("{path}/debug-signature")) {
            (hidden(visit))
            (filled.area(Field { name: "Headers", label: "Headers", hint: "One a line; others do not matter.", kind: "" }))
            (filled.area(Field { name: "Body", label: "Body",
                hint: "As it came. For exact bytes, line breaks too: bellhop verify.", kind: "" }))
            (filled.field(Field { name: "ReceivedUtc", label: "When it came (optional)",
                hint: "As in 2026-01-31T09:30:00Z. Empty: now; then an old request is too old.", kind: "text" }))
            div.actions {
                button.primary type="submit" { "Find the mistake" }
                a.button href=(path) { "Back to the webhook" }
            }
        }
    };
    let page = Page::new("Webhooks", "Why does a signature not match?", body)
        .below("Webhooks", "/dashboard/webhooks");
    page.below(webhook_name(webhook), path)
}
