//! One box for any id, and for parts of names.

use bellhop_webhook::MessageId;
use maud::html;
use uuid::Uuid;

use crate::{
    dashboard::{Page, Visit, Wrong, components::controls::empty},
    id::{ApplicationId, DeliveryId, EnterpriseId, IntegrationId, ReplayId, WebhookId},
};

/// Most that are shown of a kind.
const SHOWN: u32 = 20;

/// Something that was found.
struct Found {
    kind: &'static str,
    name: String,
    path: String,
}

/// The page.
pub async fn show(visit: Visit) -> Result<Page, Wrong> {
    let text = visit
        .query()
        .text("Text")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let found = if text.is_empty() {
        Vec::new()
    } else {
        match id_in(&text) {
            Some(id) => by_id(&visit, id).await?,
            None => by_name(&visit, &text).await?,
        }
    };
    let body = html! {
        @if text.is_empty() {
            (empty("What do you look for?", "Paste any id (a delivery’s, an integration’s, a webhook-id), or a part of an enterprise’s or \
                application’s name.", None))
        } @else if found.is_empty() {
            (empty("Nothing found", "No id is this one, and no name of an enterprise or application has this in it. Ids are whole.", Some(("/dashboard/deliveries", "Deliveries"))))
        } @else {
            ul.found {
                @for each in found {
                    li { span.tag { (each.kind) } " " a href=(each.path) { (each.name) } }
                }
            }
        }
    };
    let title = if text.is_empty() {
        "Search".to_owned()
    } else {
        format!("Search: {text}")
    };
    Ok(Page::new("", title, body))
}

/// An id, also one inside a message's id or an access token's beginning.
fn id_in(text: &str) -> Option<Uuid> {
    if let Ok(id) = text.parse::<Uuid>() {
        return Some(id);
    }
    if text.parse::<MessageId>().is_ok() || text.starts_with("msg_") {
        return text.split('_').nth(1)?.parse().ok();
    }
    None
}

async fn by_id(visit: &Visit, id: Uuid) -> Result<Vec<Found>, Wrong> {
    let named = |kind, name: String, path: &str| Found {
        kind,
        name,
        path: format!("/dashboard/{path}/{id}"),
    };
    let mut found = Vec::new();
    if let Some(delivery) = seen(visit.delivery(DeliveryId(id)).await)? {
        let name = format!("{} #{}", delivery.action, delivery.sequence);
        found.push(named("Delivery", name, "deliveries"));
    }
    if let Some(integration) = seen(visit.integration(IntegrationId(id)).await)? {
        found.push(named("Integration", integration.name, "integrations"));
    }
    if let Some(webhook) = seen(visit.webhook(WebhookId(id)).await)? {
        found.push(named(
            "Webhook",
            crate::dashboard::seen::webhook_name(&webhook),
            "webhooks",
        ));
    }
    if let Some(application) = seen(visit.application(ApplicationId(id)).await)? {
        found.push(named("Application", application.name, "applications"));
    }
    if let Some(enterprise) = seen(visit.enterprise(EnterpriseId(id)).await)? {
        found.push(named("Enterprise", enterprise.name, "enterprises"));
    }
    if let Some(replay) = seen(visit.replay(ReplayId(id)).await)? {
        found.push(named(
            "Replay",
            replay.selection.kind().to_owned(),
            "replays",
        ));
    }
    Ok(found)
}

/// What the viewer may not see is not found.
fn seen<T>(found: Result<T, Wrong>) -> Result<Option<T>, Wrong> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Wrong::NotFound(_) | Wrong::Forbidden) => Ok(None),
        Err(wrong) => Err(wrong),
    }
}

async fn by_name(visit: &Visit, text: &str) -> Result<Vec<Found>, Wrong> {
    let mut found = Vec::new();
    let store = visit.store();
    if visit.is_operator() {
        let enterprises = store.enterprises_named(text.to_owned(), SHOWN).await?;
        found.extend(enterprises.into_iter().map(|each| Found {
            kind: "Enterprise",
            path: format!("/dashboard/enterprises/{}", each.id),
            name: each.name,
        }));
    }
    let applications = match visit.only() {
        Some(own) => {
            let own = store.application(own).await?;
            let part = text.to_lowercase();
            own.into_iter()
                .filter(|own| own.name.to_lowercase().contains(&part))
                .collect()
        }
        None => store.applications_named(text.to_owned(), SHOWN).await?,
    };
    found.extend(applications.into_iter().map(|each| Found {
        kind: "Application",
        path: format!("/dashboard/applications/{}", each.id),
        name: each.name,
    }));
    // What begins so is meant more often.
    let part = text.to_lowercase();
    found.sort_by_cached_key(|each| {
        let name = each.name.to_lowercase();
        (!name.starts_with(&part), name)
    });
    Ok(found)
}
