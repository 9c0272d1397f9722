//! The built-in receiver: an address to try things out with, what came there, and how it is to behave.

use bellhop_webhook::{DEFAULT_TOLERANCE_SECONDS, Explanation};
use maud::{Markup, html};

use super::debug_signature::{explained, known_secrets};
use crate::{
    dashboard::{
        Done, Page, Visit, Wrong,
        components::{
            body::{body, headers},
            controls::{button, copyable, empty, fact, hidden, tail},
            figures::count,
            marks,
            moments::{ago, clock},
        },
        seen::webhook_name,
    },
    domain::webhook::Webhook,
    id::ApplicationId,
    receiving::{
        Answer, Behaviour, Caught, MOST_REQUESTS, PLAY_URL, Play, Receiver, RequestHead, SYNTAX,
        When, explain_request, masked,
    },
    store::{Noun, Page as StorePage},
};

/// Most webhooks that are looked through for those that send to an address.
const MOST_WEBHOOKS: u32 = 1000;
/// What can be chosen with one press, and what it shows of a receiver.
const BEHAVIOURS: [(&str, &str); 11] = [
    ("200", "Accepts everything"),
    ("500", "Fails"),
    ("failing:2", "Fails the first two attempts of each message"),
    ("flaky:0.5", "Fails every other time"),
    ("404", "Does not know the path"),
    ("401", "Refuses the signature"),
    ("429:30", "Wants 30 s of rest (Retry-After)"),
    ("410", "Is gone: the webhook is disabled"),
    ("slow:8s", "Answers after 8 s"),
    ("drop", "Drops the connection"),
    ("redirect", "Sends the sender elsewhere"),
];

/// The addresses of those who look.
pub async fn list(visit: Visit) -> Result<Page, Wrong> {
    let play = play(&visit)?;
    let addresses = play.list(visit.only());
    let body = html! {
        p { "A receiver within this server: no port, no network, nothing to install. Give its address to a webhook, let it behave well or \
            badly, and see every request with the verdict on its signature." }
        @if addresses.is_empty() {
            (empty("No receiver yet", "Make one, then a webhook that sends to it. It lives in memory, and keeps the newest requests alone.", None))
        } @else {
            table.cards {
                caption.unseen { "Receivers" }
                thead { tr { th scope="col" { "Address" } th scope="col" { "Behaves as" } th.number scope="col" { "Requests kept" } } }
                tbody {
                    @for (id, receiver) in &addresses {
                        tr {
                            th scope="row" data-label="Address" { a href=(format!("/dashboard/play/{id}")) { (PLAY_URL) (id) } }
                            td data-label="Behaves as" { code { (receiver.behaviour()) } }
                            td.number data-label="Requests kept" { (count(receiver.caught().len() as u64)) }
                        }
                    }
                }
            }
        }
        (button(&visit, "/dashboard/play", "primary", "Make a receiver"))
    };
    Ok(Page::new("Receiver", "Built-in receiver", body))
}

/// Makes one.
pub async fn make(visit: Visit) -> Result<Done, Wrong> {
    let id = play(&visit)?.make(visit.only());
    Ok(Done::See(format!("/dashboard/play/{id}")))
}

/// Makes one for an application, and leads to the form of a webhook that sends to it.
pub async fn make_for(visit: Visit) -> Result<Done, Wrong> {
    let application = visit.application(visit.id(Noun::Application)?).await?;
    let id = play(&visit)?.make(visit.only());
    Ok(Done::See(new_webhook(application.id, &id)))
}

/// One of them, with what came.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let (id, receiver) = find(&visit)?;
    let senders = senders(&visit, &id).await?;
    let caught = receiver.caught();
    let path = format!("/dashboard/play/{id}");
    let body = html! {
        dl.facts {
            (fact("Address", copyable(&format!("{PLAY_URL}{id}"), "the address")))
            (fact("Sent to by", html! {
                @if senders.is_empty() { "no webhook yet" }
                @for (place, webhook) in senders.iter().enumerate() {
                    @if place > 0 { ", " }
                    a href=(format!("/dashboard/webhooks/{}", webhook.id)) { (webhook_name(webhook)) }
                }
            }))
        }
        @if senders.is_empty() { (offer(&visit, &id).await?) }
        (switch(&visit, &path, receiver.behaviour()))
        section aria-labelledby="came" {
            div.title {
                h2 #came { "What came" }
                @if !caught.is_empty() { div.beside { (button(&visit, &format!("{path}/clear"), "", "Forget it")) } }
            }
            (tail(&path, "sse:deliveries, refresh, every 5s"))
            div #rows tabindex="-1" {
                @if caught.is_empty() {
                    (empty("Nothing yet", "Send a test from the webhook’s page, or let something happen to an integration.",
                        senders.first().map(|webhook| format!("/dashboard/webhooks/{}", webhook.id)).as_deref().map(|path| (path, "To the webhook"))))
                }
                @for caught in &caught { (request(&visit, caught, &senders)) }
                @if caught.len() == MOST_REQUESTS { p.quiet { "The newest " (MOST_REQUESTS) " are kept." } }
            }
        }
    };
    let page =
        Page::new("Receiver", "Receiver", body).below("Built-in receiver", "/dashboard/play");
    Ok(page)
}

/// Lets it behave in another way.
pub async fn behave(visit: Visit) -> Result<Done, Wrong> {
    let (id, receiver) = find(&visit)?;
    let text = visit.form().text("Own").or(visit.form().text("Behaviour"));
    let behaviour = text.unwrap_or_default().parse::<Behaviour>();
    let path = format!("/dashboard/play/{id}");
    match behaviour {
        Ok(behaviour) => {
            receiver.behave(behaviour);
            Ok(Done::see(path, "saved"))
        }
        Err(error) => {
            let page = show(visit).await?;
            let body = html! {
                div.notice.bad role="alert" { p { "Not understood: " (error) "." } }
                (page.body)
            };
            let status = http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(Done::page(Page { body, ..page }.status(status)))
        }
    }
}

/// Forgets what came.
pub async fn clear(visit: Visit) -> Result<Done, Wrong> {
    let (id, receiver) = find(&visit)?;
    receiver.clear();
    Ok(Done::See(format!("/dashboard/play/{id}")))
}

fn play(visit: &Visit) -> Result<&Play, Wrong> {
    visit.state().options.play.as_ref().ok_or_else(|| {
        Wrong::NotFound(
            "There is no built-in receiver here: it is switched off (play), or several servers share the database."
                .to_owned(),
        )
    })
}

/// The address in the path.
fn find(visit: &Visit) -> Result<(String, std::sync::Arc<Receiver>), Wrong> {
    let id = visit.part("Id");
    let found = play(visit)?.open(id, visit.only());
    let found = found.ok_or_else(|| Wrong::NotFound("There is no such receiver.".to_owned()))?;
    Ok((id.to_owned(), found))
}

fn new_webhook(application: ApplicationId, id: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("Url", &format!("{PLAY_URL}{id}"))
        .append_pair("Description", "Built-in receiver")
        .append_pair("RetrySchedule", "0, 5, 10, 30")
        .finish();
    format!("/dashboard/applications/{application}/webhooks/new?{query}")
}

/// The webhooks that send there, among those that the viewer sees.
async fn senders(visit: &Visit, id: &str) -> Result<Vec<Webhook>, Wrong> {
    let url = format!("{PLAY_URL}{id}");
    let page = StorePage {
        after: None,
        limit: MOST_WEBHOOKS,
    };
    let mut found = visit.store().webhooks(visit.only(), page).await?;
    found.retain(|webhook| webhook.url.expose() == url);
    Ok(found)
}

/// The way to a webhook that sends there.
async fn offer(visit: &Visit, id: &str) -> Result<Markup, Wrong> {
    let applications = visit.applications().await?;
    Ok(html! {
        section.panel {
            h2 { "A webhook for it" }
            @if applications.items.is_empty() {
                p { "A webhook belongs to an application, and there is none yet." }
                p { a.button.primary href="/dashboard/applications" { "Add an application" } }
            } @else {
                p { "Of which application?" }
                div.actions {
                    @for application in applications.items.iter().take(8) {
                        a.button href=(new_webhook(application.id, id)) { (application.name) }
                    }
                }
            }
        }
    })
}

fn switch(visit: &Visit, path: &str, present: Behaviour) -> Markup {
    let present = present.to_string();
    let is_listed = BEHAVIOURS.iter().any(|(each, _)| *each == present);
    html! {
        section.panel aria-labelledby="behaviour" {
            h2 #behaviour { "It behaves as one that …" }
            form method="post" action=(format!("{path}/behaviour")) {
                (hidden(visit))
                div.switch {
                    @for (each, meaning) in BEHAVIOURS {
                        button type="submit" name="Behaviour" value=(each) aria-pressed=(if each == present { "true" } else { "false" }) {
                            code { (each) } span { (meaning) }
                        }
                    }
                }
            }
            form.inline method="post" action=(format!("{path}/behaviour")) {
                (hidden(visit))
                div.field {
                    label for="Own" { "Another behaviour" }
                    input #Own name="Own" autocomplete="off" spellcheck="false" value=(if is_listed { "" } else { &present });
                    p.hint { (SYNTAX) }
                }
                button type="submit" { "Behave so" }
            }
        }
    }
}

fn request(visit: &Visit, caught: &Caught, senders: &[Webhook]) -> Markup {
    let received = &caught.received;
    let explanation = verdict(caught, senders);
    let name = received
        .action
        .clone()
        .unwrap_or_else(|| "No message".to_owned());
    html! {
        details.attempt {
            summary {
                span.heading { (if received.is_test() { "Test message".to_owned() } else { name }) }
                @if let Some(sequence) = received.sequence.filter(|sequence| *sequence > 0) { " " span.quiet { "#" (sequence) } }
                @if let Some(attempt) = received.attempt { " " span.quiet { "attempt " (attempt) } }
                " " (signature(explanation.as_ref()))
                " " (answer(received.answer))
                " " span.quiet { (clock(received.at)) " " (ago(received.at, visit.now())) }
            }
            div.inside {
                @if !received.order.note().is_empty() { p { "Order: " (received.order.note()) "." } }
                @match &explanation {
                    Some(explanation) => (explained(explanation)),
                    None => p.quiet { "No webhook that you see sends here, so there is no secret to verify it with." },
                }
                (headers("Headers", caught.headers.iter().map(|(name, value)| (&**name, &**value))))
                (body("Body", &masked(&received.body)))
            }
        }
    }
}

/// Whether it is signed with what one of those webhooks has.
fn verdict(caught: &Caught, senders: &[Webhook]) -> Option<Explanation> {
    let at = caught.received.at;
    let secrets: Vec<_> = senders
        .iter()
        .flat_map(|webhook| known_secrets(webhook, at))
        .collect();
    if secrets.is_empty() {
        return None;
    }
    let url = senders
        .first()
        .and_then(|webhook| webhook.url.expose().parse().ok());
    let head = RequestHead::parse(&caught.head());
    let when = When {
        now: at.as_second(),
        tolerance_seconds: DEFAULT_TOLERANCE_SECONDS,
    };
    Some(explain_request(
        &head,
        url.as_ref(),
        &caught.received.body,
        &secrets,
        when,
    ))
}

fn signature(explanation: Option<&Explanation>) -> Markup {
    html! {
        @if let Some(explanation) = explanation {
            (marks::verdict(explanation.verdict.verified, if explanation.verdict.verified { "Verified" } else { "Not verified" }))
        }
    }
}

fn answer(answer: Answer) -> Markup {
    let word = match answer {
        Answer::Status(status) => format!("Answered {status}"),
        Answer::None => "Never answered".to_owned(),
        Answer::Dropped => "Dropped".to_owned(),
    };
    html! { span.tag { (word) } }
}
