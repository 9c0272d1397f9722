//! One webhook: how it fares, and what can be done with it.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            body::body,
            controls::{button, copyable, empty, fact, hidden},
            deliveries::rows,
            figures::{Summary, bars, figure},
            marks,
            moments::{both, coarse, relative, took},
        },
        pages::{webhook_credentials as credentials, webhook_history::history},
        seen::{Names, webhook_name},
    },
    domain::{
        cause::Cause,
        health::Circuit,
        masked::masked_url,
        webhook::{Webhook, WebhookState},
    },
    id::WebhookId,
    receiving::PLAY_URL,
    store::{self, DeliveryFilter, Noun},
};

/// How long the page waits for what comes of a test.
const TEST_WAIT_SECONDS: u32 = 15;
const NEWEST: u32 = 10;

/// The page.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let body = html! {
        (standing(&visit, &webhook))
        (health(&visit, &webhook).await?)
        (history(&visit, &webhook).await?)
        (settings(&visit, &webhook).await?)
        section aria-labelledby="newest" {
            h2 #newest { "Newest deliveries" }
            (newest(&visit, &webhook).await?)
        }
    };
    let mark = marks::webhook(webhook.state, webhook.health.circuit(visit.now()));
    let page = Page::new("Webhooks", webhook_name(&webhook), body)
        .below("Webhooks", "/dashboard/webhooks");
    Ok(page.beside(mark))
}

/// Holds it.
pub async fn pause(visit: Visit) -> Result<Done, Wrong> {
    let id: WebhookId = visit.id(Noun::Webhook)?;
    let reason = visit.form().document(&["Reason"]);
    visit
        .post(format!("/v1/webhooks/{id}/pause"))
        .with(reason)
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/webhooks/{id}"),
        "paused",
    ))
}

/// Lets it go on.
pub async fn resume(visit: Visit) -> Result<Done, Wrong> {
    let id: WebhookId = visit.id(Noun::Webhook)?;
    visit
        .post(format!("/v1/webhooks/{id}/resume"))
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/webhooks/{id}"),
        "resumed",
    ))
}

/// Sends a test message, and shows what came of it.
pub async fn test(visit: Visit) -> Result<Done, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let path = format!("/v1/webhooks/{}/test", webhook.id);
    let is_newest_alone = visit.form().text("NewestSecretOnly") == Some("true");
    let document = json!({ "NewestSecretOnly": is_newest_alone });
    let asking = visit.post(path).with(document).wait(TEST_WAIT_SECONDS);
    let tested = asking.send().await?;
    let body = html! {
        section.panel { (verdict(&tested)) }
        div.actions {
            (button(&visit, &format!("/dashboard/webhooks/{}/test", webhook.id), "primary", "Send another test"))
            a.button href=(format!("/dashboard/webhooks/{}", webhook.id)) { "Back to the webhook" }
        }
    };
    let page = Page::new("Webhooks", "Test message", body).below("Webhooks", "/dashboard/webhooks");
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    Ok(Done::Page(Box::new(
        page.below(webhook_name(&webhook), path),
    )))
}

/// Asks once more.
pub async fn ask_deletion(visit: Visit) -> Result<Page, Wrong> {
    let webhook = visit.webhook(visit.id(Noun::Webhook)?).await?;
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let body = html! {
        section.panel {
            p { "What it has still to send is discarded, and it gets nothing more. Nothing undoes this. To stop for a while, pause \
                it instead: then everything is held." }
            form.actions method="post" action=(format!("{path}/delete")) {
                (hidden(&visit))
                button.danger type="submit" { "Delete the webhook" }
                a.button href=(path) { "Leave it as it is" }
            }
        }
    };
    let title = format!("Delete: {}", webhook_name(&webhook));
    let page = Page::new("Webhooks", title, body).below("Webhooks", "/dashboard/webhooks");
    Ok(page.below(webhook_name(&webhook), path))
}

/// Deletes it.
pub async fn delete(visit: Visit) -> Result<Done, Wrong> {
    let id: WebhookId = visit.id(Noun::Webhook)?;
    visit
        .ask(http::Method::DELETE, format!("/v1/webhooks/{id}"))
        .send()
        .await?;
    Ok(Done::see("/dashboard/webhooks", "deleted"))
}

fn standing(visit: &Visit, webhook: &Webhook) -> Markup {
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let now = visit.now();
    let circuit = webhook.health.circuit(now);
    let held = format!(
        "/dashboard/deliveries?WebhookId={}&State=Pending",
        webhook.id
    );
    let is_enabled = webhook.state == WebhookState::Enabled;
    html! {
        section.panel.sentence {
            p.state {
                @match (webhook.state, circuit) {
                    (WebhookState::Paused, _) => {
                        "It is paused" (reason(webhook)) ". What happens is held, and is sent in order when it is resumed."
                    }
                    (WebhookState::Disabled, _) => {
                        "It is disabled" (reason(webhook)) ". What happens is held. Mend the receiver, send a test, then enable it."
                    }
                    (_, Circuit::Open { until }) => {
                        "It failed " (webhook.health.failures) " times in a row, so its circuit is open: one attempt finds out "
                        (relative(until, now)) " whether the receiver is back."
                    }
                    (_, Circuit::HalfOpen) => { "One attempt at a time finds out whether the receiver is back." }
                    (_, Circuit::Closed) if webhook.health.failures > 0 => {
                        "It is sent to. "
                        @if webhook.health.failures == 1 { "Its newest attempt failed." }
                        @else { "Its newest " (webhook.health.failures) " attempts failed." }
                    }
                    (_, Circuit::Closed) => { "It is sent to, and takes what it is sent." }
                }
            }
            @if let Some(until) = webhook.not_before.filter(|until| *until > now) {
                p { "The receiver asked for a pause (Retry-After): nothing is sent before " (both(until, now)) "." }
            }
            div.actions {
                @if is_enabled {
                    (button(visit, &format!("{path}/test"), "primary", "Send a test"))
                    @if circuit != Circuit::Closed {
                        (button(visit, &format!("{path}/resume"), "", "Try everything now"))
                    }
                    details.more {
                        summary.button { "Pause…" }
                        form.stack method="post" action=(format!("{path}/pause")) {
                            (hidden(visit))
                            p { "Nothing is lost: what happens meanwhile is held." }
                            label for="Reason" { "Why (optional)" }
                            input #Reason name="Reason" maxlength="500" autocomplete="off";
                            button type="submit" { "Pause" }
                        }
                    }
                } @else {
                    (button(visit, &format!("{path}/resume"), "primary", "Enable, and send what is held"))
                    (button(visit, &format!("{path}/test"), "", "Send a test"))
                }
                a.button href=(held) { "What it has to send" }
                @if let Some(id) = webhook.url.expose().strip_prefix(PLAY_URL) {
                    a.button href=(format!("/dashboard/play/{id}")) { "What the receiver got" }
                }
            }
        }
    }
}

fn reason(webhook: &Webhook) -> String {
    let reason = webhook.state_reason.as_deref();
    reason.map_or(String::new(), |reason| {
        format!(" ({})", reason.trim_end_matches('.'))
    })
}

async fn health(visit: &Visit, webhook: &Webhook) -> Result<Markup, Wrong> {
    let attempts = visit.store().recent_attempts(webhook.id).await?;
    let Some(summary) = Summary::of(&attempts) else {
        return Ok(html! {
            section aria-labelledby="health" {
                h2 #health { "Health" }
                p.quiet { "No attempt was made lately. A test message shows whether the receiver answers." }
            }
        });
    };
    let now = visit.now();
    let oldest = attempts
        .last()
        .map(|attempt| now.duration_since(attempt.started).unsigned_abs());
    let failing = webhook
        .health
        .failing_since
        .map(|since| now.duration_since(since).unsigned_abs());
    let is_bad = summary.succeeded * 20 < summary.count * 19;
    Ok(html! {
        section aria-labelledby="health" {
            h2 #health { "Health" }
            p.quiet {
                @if summary.count == 1 { "Of its one attempt" } @else { "Of the newest " (summary.count) " attempts" }
                @if let Some(oldest) = oldest { ", over " (coarse(oldest)) } "."
            }
            dl.figures {
                (figure("Success", &summary.rate(), if is_bad { "bad" } else { "good" }, html! {
                    (summary.succeeded) " of " (summary.count)
                }))
                (figure("Median", &took(summary.p50), "", html! { "half are quicker" }))
                (figure("p95", &took(summary.p95), "", html! {}))
                (figure("p99", &took(summary.p99), "", html! { "time-out " (took(webhook.timeout)) }))
                (figure("Failing for", &failing.map_or("–".to_owned(), coarse), if failing.is_some() { "bad" } else { "" }, html! {
                    @if failing.is_some() { "disabled after " (coarse(crate::domain::health::FAILING_FOR_TOO_LONG)) }
                }))
            }
            (bars(&attempts, now))
            (causes(&attempts))
        }
    })
}

fn causes(attempts: &[store::RecentAttempt]) -> Markup {
    let mut counted: Vec<(Cause, usize)> = Vec::new();
    for cause in attempts.iter().filter_map(|attempt| attempt.cause) {
        match counted.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => counted.push((cause, 1)),
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    html! {
        @if !counted.is_empty() {
            ul.causes {
                @for (cause, count) in counted {
                    li { strong { (count) " × " code { (cause) } } " " (cause.title()) " " span.quiet { (cause.next_step()) } }
                }
            }
        }
    }
}

async fn settings(visit: &Visit, webhook: &Webhook) -> Result<Markup, Wrong> {
    let application = Names::default()
        .of_application(visit, webhook.application_id)
        .await?;
    let path = format!("/dashboard/webhooks/{}", webhook.id);
    let now = visit.now();
    let waits = webhook.retry_schedule.seconds().iter();
    let waits = waits.map(|wait| {
        if *wait == 0 {
            "at once".to_owned()
        } else {
            coarse(Duration::from_secs((*wait).into()))
        }
    });
    let actions = webhook.actions.actions();
    Ok(html! {
        section aria-labelledby="settings" {
            div.title {
                h2 #settings { "Settings" }
                div.beside.actions {
                    a.button href=(format!("{path}/settings")) { "Change" }
                    a.button href=(format!("{path}/signatures")) { "Signatures" }
                    a.button href=(format!("{path}/credentials")) { "Credentials" }
                    a.button href=(format!("{path}/rotate-secret")) { "Rotate the secret…" }
                    a.button href=(format!("{path}/debug-signature")) { "Debug a signature" }
                    a.button href=(format!("{path}/backfill")) { "Backfill…" }
                    a.button.danger href=(format!("{path}/delete")) { "Delete…" }
                }
            }
            dl.facts {
                (fact("URL", html! { code { (masked_url(webhook.url.expose())) } }))
                (fact("Application", html! {
                    a href=(format!("/dashboard/applications/{}", webhook.application_id)) { (application) }
                }))
                (fact("Actions", html! {
                    @if actions.is_empty() { "All of its profile" }
                    @for (place, action) in actions.iter().enumerate() { @if place > 0 { ", " } (action) }
                }))
                (fact("Profile", html! { (webhook.profile) }))
                (fact("Tries", html! { (waits.collect::<Vec<_>>().join(", ")) }))
                (fact("Time-out", html! { (took(webhook.timeout)) }))
                (fact("At a time", html! { (webhook.max_in_flight) " requests" }))
                (fact("Rate limit", html! { @match webhook.rate_limit { Some(rate) => { (rate) " a second" } None => "none" } }))
                (fact("Redirects", html! { @if webhook.follow_redirects { "307 and 308 within the origin" } @else { "refused" } }))
                (fact("Further headers", html! {
                    @if webhook.headers.is_empty() { "none" }
                    @for (name, _) in &webhook.headers { code { (name) ": …" } " " }
                }))
                (fact("Signatures", html! { (webhook.signatures) }))
                (fact("Credentials", credentials::named(webhook)))
                (fact("Secrets that sign", html! { (webhook.active_secrets(now).count()) }))
                (fact("Created", both(webhook.created, now)))
                (fact("Id", copyable(&webhook.id.to_string(), "the webhook’s id")))
            }
        }
    })
}

async fn newest(visit: &Visit, webhook: &Webhook) -> Result<Markup, Wrong> {
    let filter = DeliveryFilter {
        webhook_id: Some(webhook.id),
        application_id: Some(webhook.application_id),
        ..DeliveryFilter::default()
    };
    let page = store::Page {
        after: None,
        limit: NEWEST,
    };
    let found = visit.deliveries(filter, page).await?;
    if found.items.is_empty() {
        return Ok(empty(
            "No deliveries yet",
            "A delivery is made when something happens to an integration of its application. A test message is not one.",
            None,
        ));
    }
    Ok(html! {
        (rows(visit, &found.items).await?)
        p { a.button href=(format!("/dashboard/deliveries?WebhookId={}", webhook.id)) { "All its deliveries" } }
    })
}

/// What came of a test, as the API tells it.
fn verdict(tested: &Value) -> Markup {
    let attempt = &tested["attempt"];
    let attempt = if attempt.is_object() {
        attempt
    } else {
        &tested["Attempt"]
    };
    let id = tested["MessageId"].as_str().unwrap_or_default();
    if !attempt.is_object() {
        return html! {
            p { "No answer within " (TEST_WAIT_SECONDS) " s. The receiver’s log may tell whether it came: " code { (id) } "." }
        };
    }
    let cause = attempt["Cause"]
        .as_str()
        .and_then(|cause| cause.parse::<Cause>().ok());
    let span = Duration::from_secs_f64(
        attempt["DurationMs"]
            .as_f64()
            .unwrap_or_default()
            .clamp(0.0, 1e9)
            / 1e3,
    );
    html! {
        p.state {
            (marks::attempt(cause.is_none()))
            @if let Some(status) = attempt["StatusCode"].as_u64() { " Status " (status) }
            " in " (took(span)) "."
        }
        @if let Some(cause) = cause {
            p { strong { (cause.title()) } " " code { (cause) } }
            p { (cause.next_step()) }
        } @else {
            p { "The receiver took a signed test message. It belongs to no integration and changed nothing." }
        }
        @if let Some(detail) = attempt["Detail"].as_str() { p.quiet { "Detail: " (detail) } }
        p.quiet { "webhook-id " code { (id) } }
        @if let Some(text) = attempt["Response"]["Body"].as_str() {
            h2 { "Response" }
            (body("Response", text))
        }
    }
}
