//! One delivery: where it stands, why, what to do, and every attempt.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            body::{block, body, curl, headers},
            controls::{copyable, fact, hidden},
            marks,
            moments::{both, clock, coarse, full, iso, relative, took},
            waterfall::waterfall,
        },
        seen::Names,
    },
    domain::{
        delivery::{Attempt, Delivery, DeliveryState, Response},
        health::Circuit,
        masked::{masked_body, masked_url},
        sent::Sent,
        webhook::{Webhook, WebhookState},
    },
    id::DeliveryId,
    store::{MessageBody, Noun},
};

/// Attempts that are shown in full; the others are in the timeline.
const SHOWN_IN_FULL: usize = 10;

/// What the page is made of.
struct Seen {
    delivery: Delivery,
    webhook: Option<Webhook>,
    attempts: Vec<Attempt>,
    /// Masked.
    body: Option<String>,
    erased: Option<Timestamp>,
    now: Timestamp,
}

/// The page.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let delivery = visit.delivery(visit.id(Noun::Delivery)?).await?;
    let store = visit.store();
    let sent = store.body(delivery.id).await?;
    let seen = Seen {
        webhook: store.webhook(delivery.webhook_id).await?,
        attempts: store.attempts(delivery.id).await?,
        erased: match sent {
            Some(MessageBody::Erased { at }) => Some(at),
            _ => None,
        },
        body: match &sent {
            Some(MessageBody::Bytes(bytes)) => masked_body(delivery.action, bytes),
            Some(MessageBody::Erased { .. }) | None => None,
        },
        delivery,
        now: visit.now(),
    };
    let title = format!("{} #{}", seen.delivery.action, seen.delivery.sequence);
    let body = html! {
        section.panel.sentence {
            p.state { (marks::delivery(&seen.delivery)) " " (seen.sentence()) }
            (seen.diagnosis())
            (actions(&visit, &seen.delivery))
        }
        (facts(&visit, &seen).await?)
        section aria-labelledby="timeline" { h2 #timeline { "Attempts" } (seen.timeline()) }
        (seen.in_full())
        section aria-labelledby="sent" { h2 #sent { "What is sent" } (seen.request()) }
    };
    Ok(Page::new("Deliveries", title, body).below("Deliveries", "/dashboard/deliveries"))
}

/// Sends it again, and waits a moment for what comes of it.
pub async fn replay(visit: Visit) -> Result<Done, Wrong> {
    let id: DeliveryId = visit.id(Noun::Delivery)?;
    visit
        .post(format!("/v1/deliveries/{id}/replay"))
        .wait(3)
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/deliveries/{id}"),
        "replay",
    ))
}

/// Gives it up.
pub async fn discard(visit: Visit) -> Result<Done, Wrong> {
    let id: DeliveryId = visit.id(Noun::Delivery)?;
    let reason = visit.form().document(&["Reason"]);
    visit
        .post(format!("/v1/deliveries/{id}/discard"))
        .with(reason)
        .send()
        .await?;
    Ok(Done::see(
        format_args!("/dashboard/deliveries/{id}"),
        "discard",
    ))
}

fn actions(visit: &Visit, delivery: &Delivery) -> Markup {
    let path = format!("/dashboard/deliveries/{}", delivery.id);
    let is_pending = delivery.state == DeliveryState::Pending;
    let is_behind = is_pending && delivery.next_attempt.is_none();
    html! {
        div.actions {
            @if !is_behind {
                form method="post" action=(format!("{path}/replay")) {
                    (hidden(visit))
                    button.primary type="submit" { "Send again now" }
                }
            }
            @if is_pending {
                details.more {
                    summary.button { "Discard…" }
                    form.stack method="post" action=(format!("{path}/discard")) {
                        (hidden(visit))
                        p { "It is never sent, and its lane goes on with the next message. It can still be replayed later." }
                        label for="Reason" { "Why" }
                        input #Reason name="Reason" maxlength="500" required autocomplete="off";
                        button.danger type="submit" { "Discard this delivery" }
                    }
                }
            }
        }
        @if delivery.is_stale {
            p.quiet { "Its integration has a later message, so what this one says may no longer hold. Receivers tell by "
                code { "bellhop-sequence" } "." }
        }
    }
}

async fn facts(visit: &Visit, seen: &Seen) -> Result<Markup, Wrong> {
    let delivery = &seen.delivery;
    let mut names = Names::default();
    let integration = names.of_integration(visit, delivery.integration_id).await?;
    let webhook = names.of_webhook(visit, delivery.webhook_id).await?;
    let application = names.of_application(visit, delivery.application_id).await?;
    let link = |path: &str, id: String, name: String| html! { a href=(format!("/dashboard/{path}/{id}")) { (name) } };
    Ok(html! {
        dl.facts {
            (fact("Integration", link("integrations", delivery.integration_id.to_string(), integration)))
            (fact("Webhook", link("webhooks", delivery.webhook_id.to_string(), webhook)))
            (fact("Application", link("applications", delivery.application_id.to_string(), application)))
            (fact("Made", both(delivery.created, seen.now)))
            @if let Some(ended) = delivery.ended { (fact("Ended", both(ended, seen.now))) }
            (fact("webhook-id", copyable(&delivery.message_id().to_string(), "the message’s id")))
            (fact("Delivery id", copyable(&delivery.id.to_string(), "the delivery’s id")))
        }
    })
}

impl Seen {
    fn schedule_tries(&self) -> Option<usize> {
        self.webhook
            .as_ref()
            .map(|webhook| webhook.retry_schedule.seconds().len())
    }

    /// What holds it, if anything does.
    fn hold(&self) -> Option<String> {
        let webhook = self.webhook.as_ref()?;
        if self.delivery.state != DeliveryState::Pending {
            return None;
        }
        let reason = || {
            webhook
                .state_reason
                .as_deref()
                .map_or(String::new(), |reason| format!(" ({reason})"))
        };
        match (webhook.state, webhook.health.circuit(self.now)) {
            (WebhookState::Paused, _) => Some(format!(
                "The webhook is paused{}: its deliveries are held.",
                reason()
            )),
            (WebhookState::Disabled, _) => Some(format!(
                "The webhook is disabled{}: its deliveries are held.",
                reason()
            )),
            (_, Circuit::Open { until }) => Some(format!(
                "The webhook failed {} times in a row: its circuit is open, and one attempt finds out {} whether it is back.",
                webhook.health.failures,
                relative(until, self.now)
            )),
            (_, Circuit::HalfOpen | Circuit::Closed) => None,
        }
    }

    /// Where it stands, in a sentence.
    fn sentence(&self) -> String {
        let delivery = &self.delivery;
        let attempts = |count: u32| {
            if count == 1 {
                "1 attempt".to_owned()
            } else {
                format!("{count} attempts")
            }
        };
        match (delivery.state, delivery.next_attempt) {
            (DeliveryState::Pending, _) if self.hold().is_some() => self.hold().unwrap_or_default(),
            (DeliveryState::Pending, None) => {
                "It waits behind an earlier delivery of its lane: order is kept.".to_owned()
            }
            (DeliveryState::Pending, Some(at)) => {
                let when = if at <= self.now {
                    "now".to_owned()
                } else {
                    relative(at, self.now)
                };
                match self.schedule_tries() {
                    Some(tries) if (delivery.tries as usize) < tries => {
                        format!("Attempt {} of {tries} {when}.", delivery.tries + 1)
                    }
                    _ => format!("The next attempt is {when}."),
                }
            }
            (DeliveryState::Delivered, next) => {
                let ended = delivery.ended.unwrap_or(delivery.created);
                let span = coarse(ended.duration_since(delivery.created).unsigned_abs());
                let again = if next.is_some() {
                    " It is being sent again."
                } else {
                    ""
                };
                format!(
                    "The receiver took it at attempt {}, within {span}.{again}",
                    delivery.attempt_count
                )
            }
            (DeliveryState::Failed, next) => {
                let again = if next.is_some() {
                    " It is being sent again."
                } else {
                    " It is kept, and can be sent again."
                };
                format!(
                    "The schedule is used up after {}.{again}",
                    attempts(delivery.attempt_count)
                )
            }
            (DeliveryState::Discarded, _) => {
                format!(
                    "Somebody discarded it: {}",
                    delivery.reason.as_deref().unwrap_or("no reason was given")
                )
            }
        }
    }

    /// Why it failed, and what to do.
    fn diagnosis(&self) -> Markup {
        let failed = self
            .attempts
            .iter()
            .rev()
            .find(|attempt| attempt.cause.is_some());
        let cause = self
            .delivery
            .cause
            .or_else(|| failed.and_then(|attempt| attempt.cause));
        let is_over = self.delivery.state == DeliveryState::Delivered;
        let filter = format!(
            "IntegrationId={}&WebhookId={}&State=Pending",
            self.delivery.integration_id, self.delivery.webhook_id
        );
        html! {
            @if let Some(cause) = cause.filter(|_| !is_over) {
                div.diagnosis {
                    p { strong { (cause.title()) } " " code { (cause) } }
                    p { (cause.next_step()) }
                    @if let Some(detail) = failed.and_then(|attempt| attempt.detail.as_deref()) {
                        p.quiet { "Detail: " (detail) }
                    }
                    @if cause.is_ours() { p { "This is Bellhop’s own fault, not the receiver’s." } }
                }
            }
            @if self.delivery.state == DeliveryState::Pending && self.delivery.next_attempt.is_none() {
                p { a href=(format!("/dashboard/deliveries?{filter}")) { "The pending deliveries of this lane" } }
            }
        }
    }

    fn timeline(&self) -> Markup {
        let planned = self.delivery.next_attempt;
        html! {
            @if self.attempts.is_empty() && planned.is_none() {
                p.quiet { "No attempt was made yet." }
            }
            ol.timeline {
                @for attempt in &self.attempts {
                    li.(if attempt.cause.is_none() { "good" } else { "bad" }) {
                        div.when {
                            time datetime=(iso(attempt.started)) title=(full(attempt.started)) { (clock(attempt.started)) }
                            span.quiet { (relative(attempt.started, self.now)) }
                        }
                        div.what {
                            p {
                                a href=(format!("#attempt-{}", attempt.number)) { "Attempt " (attempt.number) }
                                " " (marks::attempt(attempt.cause.is_none()))
                                @if attempt.is_replay { " " span.tag { "Replay" } }
                            }
                            p.quiet { (result(attempt)) " in " (took(attempt.duration)) }
                        }
                    }
                }
                @if let Some(at) = planned {
                    li.planned {
                        div.when { time datetime=(iso(at)) { (full(at)) } span.quiet { (relative(at, self.now)) } }
                        div.what { p { "Attempt " (self.delivery.attempt_count + 1) " is planned" } }
                    }
                }
            }
        }
    }

    fn in_full(&self) -> Markup {
        let newest = self.attempts.last().map(|attempt| attempt.number);
        html! {
            @for attempt in self.attempts.iter().rev().take(SHOWN_IN_FULL) {
                details.attempt id=(format!("attempt-{}", attempt.number)) open[newest == Some(attempt.number)] {
                    summary {
                        span.heading { "Attempt " (attempt.number) }
                        " " (marks::attempt(attempt.cause.is_none())) " " span.quiet { (result(attempt)) }
                    }
                    div.inside {
                        h3 { "Where the time went" }
                        (waterfall(&attempt.timings, attempt.duration))
                        p.quiet {
                            "Began " (full(attempt.started)) ", took " (took(attempt.duration))
                            @if let Some(remote) = attempt.remote { ", connected to " code { (remote) } }
                        }
                        @if let Some(cause) = attempt.cause {
                            p { strong { (cause.title()) } " " code { (cause) } }
                            p { (cause.next_step()) }
                        }
                        @if let Some(detail) = &attempt.detail { p.quiet { "Detail: " (detail) } }
                        h3 { "Response" }
                        @match attempt.response.as_deref() {
                            None => p.quiet { "There was none." },
                            Some(response) => (answered(response, attempt.number)),
                        }
                        h3 { "Request" }
                        @let sent = Sent::of(&self.delivery, self.webhook.as_ref()).headers(attempt);
                        (headers("Headers that were sent", sent.iter().map(|(name, value)| (&**name, &**value))))
                        @if let Some(webhook) = &self.webhook {
                            details.raw {
                                summary { "As curl, with secrets left out" }
                                (block(&format!("Attempt {} as curl", attempt.number),
                                    &curl(&masked_url(webhook.url.expose()), &sent, self.body.as_deref())))
                            }
                        }
                    }
                }
            }
            @if self.attempts.len() > SHOWN_IN_FULL {
                p.quiet { "The newest " (SHOWN_IN_FULL) " attempts are shown in full." }
            }
        }
    }

    fn request(&self) -> Markup {
        html! {
            @if let Some(at) = self.erased {
                p { "The bytes carried an access token and were erased " (both(at, self.now)) ". To tell the receiver a token, \
                    regenerate it: " a href=(format!("/dashboard/integrations/{}/regenerate-access-token", self.delivery.integration_id)) { "the integration" } "." }
            } @else if let Some(text) = &self.body {
                @if self.delivery.action.carries_secret() {
                    p.quiet { "The access token is masked here. The receiver gets the whole." }
                }
                (body("Body", text))
            } @else {
                p.quiet { "The bytes cannot be shown." }
            }
        }
    }
}

fn result(attempt: &Attempt) -> String {
    match (attempt.response.as_deref(), attempt.cause) {
        (Some(response), _) => format!("Status {}", response.status),
        (None, Some(cause)) => cause.as_str().to_owned(),
        (None, None) => "No response".to_owned(),
    }
}

fn answered(response: &Response, number: u32) -> Markup {
    let text = String::from_utf8_lossy(&response.body);
    html! {
        p {
            "Status " strong { (response.status) } ", " (response.body.len()) " bytes of the body kept"
            @if response.is_truncated { ": there was more" } "."
        }
        (headers("Headers that came back", response.headers.iter().map(|(name, value)| (&**name, &**value))))
        (body(&format!("Response of attempt {number}"), &text))
    }
}
