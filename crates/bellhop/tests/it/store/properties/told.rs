//! What a store says, as text: without what differs from store to store.

use std::fmt::Debug;

use bellhop::{
    domain::{
        audit::{AuditEntry, AuditSubject},
        delivery::Delivery,
    },
    id::{DeliveryId, IntegrationId, WebhookId},
    store::{
        AuditFilter, Claim, CommitError, DeliveryFilter, IntegrationFilter, Receipt, Store, Written,
    },
};
use jiff::Timestamp;

use super::{ALL, operating, runs};

/// Names a delivery in both stores: their ids differ.
pub type Place = (WebhookId, IntegrationId, u64);

/// A claim without what differs from store to store.
pub fn claim_told(claim: &Claim) -> String {
    let Claim {
        delivery_id: _,
        fence: _,
        body,
        ..
    } = claim;
    format!(
        "{:?} {} {} {:?} {:?} {} {} {:?} {} {body:?}",
        (claim.webhook_id, claim.integration_id),
        claim.sequence,
        claim.previous,
        claim.action,
        claim.state,
        claim.number,
        claim.tries,
        claim.planned,
        claim.created,
    )
}

/// A delivery without its id.
pub fn delivery_told(delivery: &Delivery) -> (Place, String) {
    let place = (
        delivery.webhook_id,
        delivery.integration_id,
        delivery.sequence,
    );
    let anonymous = Delivery {
        id: DeliveryId(uuid::Uuid::nil()),
        ..delivery.clone()
    };
    (place, format!("{anonymous:?}"))
}

/// An entry of the audit log, without its id and that of a delivery.
fn entry_told(entry: &AuditEntry) -> String {
    let is_delivery = entry.subject == AuditSubject::Delivery.as_str();
    let anonymous = AuditEntry {
        id: uuid::Uuid::nil(),
        subject_id: entry.subject_id.filter(|_| !is_delivery),
        ..entry.clone()
    };
    format!("{anonymous:?}")
}

/// An answer without what differs from store to store, and without wording.
pub fn told(answer: &Result<Receipt, CommitError>) -> String {
    fn plain(value: &impl Debug) -> String {
        format!("{value:?}")
    }
    match answer {
        Ok(Receipt::Done { written, due }) => {
            let mut due = due.clone();
            due.sort_unstable();
            let written = match written {
                Written::Delivery(delivery) => plain(&delivery_told(delivery)),
                other => plain(other),
            };
            format!("{written} {due:?}")
        }
        Ok(Receipt::Repeated(answer)) => String::from_utf8_lossy(&answer.0).into_owned(),
        Err(CommitError::NotNow(_)) => "NotNow".into(),
        // Ids of deliveries differ.
        Err(CommitError::NotFound { noun, .. }) => format!("NotFound {noun}"),
        Err(other) => plain(other),
    }
}

/// All that a store says of what it holds.
pub async fn everything(store: &dyn Store, now: Timestamp) -> Vec<String> {
    let deleted_too = IntegrationFilter {
        with_deleted: true,
        ..IntegrationFilter::default()
    };
    let integrations = store.integrations(deleted_too, ALL).await.unwrap();
    let deliveries = store
        .deliveries(DeliveryFilter::default(), ALL)
        .await
        .unwrap();
    let runs = store.replays(None, ALL).await.unwrap();
    let stats = store.stats(now).await.unwrap();
    let mut all = vec![
        format!("{:?}", store.enterprises(ALL).await.unwrap()),
        format!("{:?}", store.applications(ALL).await.unwrap()),
        format!("{:?}", store.webhooks(None, ALL).await.unwrap()),
        format!("{integrations:?}"),
        format!("{:?}", store.due().await.unwrap()),
        format!(
            "{:?} {:?}",
            store.running_replays().await.unwrap(),
            runs.iter().map(runs::run_told).collect::<Vec<_>>()
        ),
        format!(
            "{:?}",
            (
                stats.deliveries,
                stats.oldest_due,
                stats.lanes_held,
                stats.operational_pending,
                stats.circuits_open
            )
        ),
    ];
    let audited = store.audited(AuditFilter::default(), None, 1000).await;
    all.extend(audited.unwrap().entries.iter().map(entry_told));
    let operational = store.operational_messages(ALL).await.unwrap();
    all.extend(operational.iter().map(operating::message));
    for integration in &integrations {
        let messages = store.messages(integration.id, 0, 1000).await.unwrap();
        let access = store.access(integration.id).await.unwrap();
        all.push(format!("{messages:?} {access:?}"));
    }
    for delivery in &deliveries {
        let attempts = store.attempts(delivery.id).await.unwrap();
        let body = store.body(delivery.id).await.unwrap();
        all.push(format!(
            "{:?} {attempts:?} {body:?}",
            delivery_told(delivery)
        ));
    }
    all
}
