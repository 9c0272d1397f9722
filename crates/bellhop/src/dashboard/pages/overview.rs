//! What is failing and why, what waits, and what happened lately.

use std::{collections::HashSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::{
    dashboard::{
        Page, Visit, Wrong,
        components::{
            controls::empty,
            deliveries::rows,
            figures::{count, figure},
            moments::{ago, coarse},
        },
        seen::{Leafed, Names},
    },
    domain::{authentication::CertificateEnd, operational::OperationalType},
    store::{self, DeliveryFilter, Failing, MOST_FAILING, Stats},
};

/// How far back deliveries that failed for good are counted.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
/// Most groups that are shown.
const MOST_GROUPS: usize = 20;
/// Newest operational messages that are looked at for certificates that end.
const LOOKED_AT: u32 = 200;
/// Newest deliveries that are shown.
const NEWEST: u32 = 10;

/// The page.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let now = visit.now();
    let since = now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
    let failing = visit.store().failing(visit.only(), since).await?;
    let page = store::Page {
        after: None,
        limit: NEWEST,
    };
    let Leafed { items, .. } = visit.deliveries(DeliveryFilter::default(), page).await?;
    // Those are of the whole platform.
    let stats = if visit.is_operator() {
        Some(visit.store().stats(now).await?)
    } else {
        None
    };
    let newest = if items.is_empty() {
        beginning(&visit)
    } else {
        html! {
            (rows(&visit, &items).await?)
            p { a.button href="/dashboard/deliveries" { "All deliveries" } }
        }
    };
    let body = html! {
        @if let Some(stats) = stats { (totals(&stats, now)) }
        (certificates(&visit).await?)
        section aria-labelledby="failing" {
            h2 #failing { "What is failing" }
            (groups(&visit, &failing, since).await?)
        }
        section aria-labelledby="newest" {
            h2 #newest { "Newest deliveries" }
            (newest)
        }
    };
    Ok(Page::new("Overview", "Overview", body))
}

/// Client certificates that end, among what was told lately. Whoever may see the webhook may see this: it is theirs to renew.
async fn certificates(visit: &Visit) -> Result<Markup, Wrong> {
    let page = store::Page {
        after: None,
        limit: LOOKED_AT,
    };
    let told = visit.store().operational_messages(page).await?;
    let told = told.iter().filter(|message| {
        let is_own = visit.only().is_none_or(|own| own == message.application_id);
        is_own && message.about == OperationalType::CertificateExpiring
    });
    let (mut names, mut seen, mut shown) = (Names::default(), HashSet::new(), Vec::new());
    for message in told {
        let id = message.webhook_id;
        if shown.len() == MOST_GROUPS || !seen.insert(id) {
            continue;
        }
        let certificate = names.webhook(visit, id).await?;
        let certificate = certificate.and_then(|webhook| webhook.client_certificate.clone());
        // It may have been renewed since.
        let Some(certificate) = certificate.filter(|it| it.end(visit.now()).is_some()) else {
            continue;
        };
        let is_over = certificate.end(visit.now()) == Some(CertificateEnd::Past);
        let name = names.of_webhook(visit, id).await?;
        shown.push(html! {
            p.notice.bad[is_over].warn[!is_over] {
                "The client certificate of " a href=(format!("/dashboard/webhooks/{id}")) { (name) }
                @if is_over { " has expired, " } @else { " expires " }
                (ago(certificate.not_after, visit.now()))
                ". A receiver that asks for it refuses one that has expired. Renew it: "
                code { "PATCH /v1/webhooks/" (id) } " with " code { "ClientCertificate" } "."
            }
        });
    }
    Ok(html! { @for notice in shown { (notice) } })
}

fn totals(stats: &Stats, now: Timestamp) -> Markup {
    let [pending, delivered, failed, discarded] = stats.deliveries;
    let late = stats.oldest_due.map(|due| now.duration_since(due));
    let late = late
        .filter(SignedDuration::is_positive)
        .map(SignedDuration::unsigned_abs);
    let is_late = late.is_some_and(|late| late >= Duration::from_mins(1));
    html! {
        dl.figures {
            (figure("Pending", &count(pending), "", html! { a href="/dashboard/deliveries?State=Pending" { "See them" } }))
            (figure("Lanes held", &count(stats.lanes_held), if stats.lanes_held > 0 { "warn" } else { "" }, html! {
                @if stats.circuits_open > 0 { (stats.circuits_open) " open circuits" } @else { "no open circuit" }
            }))
            (figure("Oldest that is due", &late.map_or("–".to_owned(), coarse), if is_late { "warn" } else { "" }, html! {
                @if is_late { "late" } @else { "on time" }
            }))
            (figure("Failed", &count(failed), if failed > 0 { "bad" } else { "" }, html! {
                a href="/dashboard/deliveries?State=Failed" { "See them" }
            }))
            (figure("Delivered", &count(delivered), "", html! { @if discarded > 0 { (count(discarded)) " discarded" } }))
        }
    }
}

async fn groups(visit: &Visit, failing: &[Failing], since: Timestamp) -> Result<Markup, Wrong> {
    if failing.is_empty() {
        return Ok(html! {
            p.allgood { "Nothing is failing: every webhook takes what it is sent, or has nothing to be sent." }
        });
    }
    let mut names = Names::default();
    let mut shown = Vec::new();
    for group in failing.iter().take(MOST_GROUPS) {
        let name = names.of_webhook(visit, group.webhook_id).await?;
        let webhook = names.webhook(visit, group.webhook_id).await?;
        let of = webhook.map(|webhook| webhook.application_id);
        let application = match of {
            Some(id) => names.of_application(visit, id).await?,
            None => String::new(),
        };
        shown.push(one(group, &name, &application, visit.now(), since));
    }
    let looked_at: u64 = failing.iter().map(|group| group.waiting).sum();
    Ok(html! {
        ul.groups { @for group in shown { (group) } }
        @if failing.len() > MOST_GROUPS {
            p.quiet { "And " (failing.len() - MOST_GROUPS) " more groups." }
        }
        @if looked_at >= u64::from(MOST_FAILING) {
            p.quiet { "Counted among the first " (MOST_FAILING) " lanes that wait: there are more." }
        }
    })
}

fn one(
    group: &Failing,
    webhook: &str,
    application: &str,
    now: Timestamp,
    since: Timestamp,
) -> Markup {
    let filter = format!("WebhookId={}&Cause={}", group.webhook_id, group.cause);
    // To the second, as a form would write it.
    let from = since.strftime("%Y-%m-%dT%H:%M:%SZ");
    html! {
        li.group {
            div.what {
                h3 {
                    a href=(format!("/dashboard/webhooks/{}", group.webhook_id)) { (webhook) }
                    @if !application.is_empty() { span.quiet { " of " (application) } }
                }
                p { strong { (group.cause.title()) } " " code { (group.cause) } }
                p.quiet { (group.cause.next_step()) }
            }
            dl.counts {
                @if group.waiting > 0 {
                    div { dt { "Waiting" } dd { (count(group.waiting)) " " span.quiet { @if group.waiting == 1 { "lane" } @else { "lanes" } } } }
                }
                @if group.failed > 0 {
                    div { dt { "Failed in 24 h" } dd { (count(group.failed)) } }
                }
                div { dt { "Oldest made" } dd { (ago(group.since, now)) } }
            }
            div.actions {
                @if group.waiting > 0 {
                    a.button href=(format!("/dashboard/deliveries?{filter}&State=Pending")) { "See those that wait" }
                }
                @if group.failed > 0 {
                    a.button.primary href=(format!("/dashboard/replays/new?{filter}&State=Failed&FromUtc={from}")) { "Replay the failed" }
                }
            }
        }
    }
}

fn beginning(visit: &Visit) -> Markup {
    if visit.is_operator() {
        empty(
            "No deliveries yet",
            "A delivery is made when something happens to an integration and its application has a webhook. Begin with an \
             application, give it a webhook, and connect it to an enterprise.",
            Some(("/dashboard/applications", "Add an application")),
        )
    } else {
        empty(
            "No deliveries yet",
            "A delivery is made when something happens to one of your integrations and you have a webhook.",
            Some(("/dashboard/webhooks", "Your webhooks")),
        )
    }
}
