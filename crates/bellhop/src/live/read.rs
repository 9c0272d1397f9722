//! From "something changed" to what it is now.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use super::{Gap, Told, What, newest};
use crate::{
    domain::{delivery::Delivery, integration::Integration, webhook::WebhookState},
    feed::{Event, Feed, Numbered},
    id::{EnterpriseId, IntegrationId, WebhookId},
    store::{DeliveryFilter, Page, Store, StoreError},
};

/// How much is read at a time. The API has the other connections.
const AT_A_TIME: usize = 4;
/// Most deliveries that are looked for when something happened to an integration: one for each webhook.
const MOST_OF_ONE_MESSAGE: u32 = 64;
/// Most things that are remembered of each kind; then it begins anew.
const MOST_REMEMBERED: usize = 16_384;

/// How a webhook was seen last.
type Fares = (WebhookState, Option<Timestamp>);

/// Reads what changed.
pub struct Reader {
    store: Arc<dyn Store>,
    enterprises: HashMap<IntegrationId, EnterpriseId>,
    fares: HashMap<WebhookId, Fares>,
}

/// What was read for one event.
type Found = Result<Vec<What>, StoreError>;

impl Reader {
    /// From this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            enterprises: HashMap::new(),
            fares: HashMap::new(),
        }
    }

    /// What has changed by these events, in their order.
    pub async fn read(&mut self, feed: &Feed, events: &[Numbered]) -> Vec<Told> {
        let newest = newest(events);
        let read: Vec<Found> = stream::iter(newest.clone())
            .map(|numbered| found(self.store.clone(), numbered.event))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        let mut told = Vec::with_capacity(read.len());
        for (numbered, found) in newest.iter().zip(read) {
            let mut all = found.unwrap_or_else(|error| {
                tracing::debug!(%error, "what live views are told could not be read");
                vec![What::Gap(Gap::Database)]
            });
            self.complete(&mut all).await;
            let place = feed.place_of(numbered.number, numbered.at_ms);
            let count = all.len();
            for (index, what) in all.into_iter().enumerate() {
                told.push(Told {
                    place: (index + 1 == count).then_some(place),
                    number: numbered.number,
                    what,
                });
            }
        }
        told
    }

    /// With what belongs to each.
    pub async fn completed(&mut self, mut all: Vec<What>) -> Vec<What> {
        self.complete(&mut all).await;
        all
    }

    /// Adds whose integration a delivery is about, and the webhook if it does not fare as it did.
    async fn complete(&mut self, all: &mut Vec<What>) {
        let mut fares = Vec::new();
        for what in all.iter_mut() {
            match what {
                What::Delivery {
                    delivery,
                    enterprise_id,
                } => {
                    *enterprise_id = self.enterprise_of(delivery.integration_id).await;
                    fares.extend(self.faring_otherwise(delivery).await);
                }
                What::Integration(integration) => {
                    make_room(&mut self.enterprises);
                    let (id, of) = (integration.id, integration.enterprise_id);
                    self.enterprises.insert(id, of);
                }
                What::Webhook(webhook) => {
                    make_room(&mut self.fares);
                    let seen = (webhook.state, webhook.health.open_until);
                    self.fares.insert(webhook.id, seen);
                }
                What::WebhookDeleted { id, .. } => drop(self.fares.remove(id)),
                What::Gap(_) => {}
            }
        }
        all.append(&mut fares);
    }

    /// An integration stays with its enterprise for good.
    async fn enterprise_of(&mut self, id: IntegrationId) -> Option<EnterpriseId> {
        if let Some(known) = self.enterprises.get(&id) {
            return Some(*known);
        }
        let found: Integration = self.store.integration(id).await.ok()??;
        make_room(&mut self.enterprises);
        self.enterprises.insert(id, found.enterprise_id);
        Some(found.enterprise_id)
    }

    /// The webhook of a delivery, if its circuit has opened or closed. What attempts show of a webhook is written with
    /// them, and nothing else says so.
    async fn faring_otherwise(&mut self, delivery: &Delivery) -> Option<What> {
        const WELL: Fares = (WebhookState::Enabled, None);
        let id = delivery.webhook_id;
        let before = self.fares.get(&id).copied();
        if delivery.attempt_count == 0 || (before == Some(WELL) && delivery.cause.is_none()) {
            return None;
        }
        let webhook = self.store.webhook(id).await.ok()??;
        let now = (webhook.state, webhook.health.open_until);
        make_room(&mut self.fares);
        self.fares.insert(id, now);
        (now != before.unwrap_or(WELL)).then(|| What::Webhook(Arc::new(webhook)))
    }
}

/// What one event is about, as it is now. What is gone is not told.
async fn found(store: Arc<dyn Store>, event: Event) -> Found {
    Ok(match event {
        Event::Delivery(id) => deliveries(store.delivery(id).await?),
        Event::Webhook(id) => {
            let found = store.webhook(id).await?;
            found
                .into_iter()
                .map(|it| What::Webhook(Arc::new(it)))
                .collect()
        }
        Event::WebhookDeleted { id, application_id } => {
            vec![What::WebhookDeleted { id, application_id }]
        }
        Event::Integration { id, sequence } => of_integration(&*store, id, sequence).await?,
        Event::Missed => vec![What::Gap(Gap::OtherReplicas)],
    })
}

/// The integration, unless word of a later change follows, and the deliveries of this message.
async fn of_integration(store: &dyn Store, id: IntegrationId, sequence: u64) -> Found {
    let Some(integration) = store.integration(id).await? else {
        return Ok(Vec::new());
    };
    let filter = DeliveryFilter {
        integration_id: Some(id),
        application_id: Some(integration.application_id),
        ..DeliveryFilter::default()
    };
    let page = Page {
        after: None,
        limit: MOST_OF_ONE_MESSAGE,
    };
    let mut made = store.deliveries(filter, page).await?;
    made.retain(|delivery| delivery.sequence == sequence);
    made.reverse();
    let mut all = Vec::new();
    if integration.sequence == sequence {
        all.push(What::Integration(Arc::new(integration)));
    }
    all.extend(deliveries(made));
    Ok(all)
}

/// Deliveries, each as it is now.
pub fn deliveries(found: impl IntoIterator<Item = Delivery>) -> Vec<What> {
    let told = found.into_iter().map(|delivery| What::Delivery {
        delivery: Arc::new(delivery),
        enterprise_id: None,
    });
    told.collect()
}

/// Deliveries that were made after this moment, oldest first, within a filter. `None` if there are more than so many.
pub async fn made_since(
    store: &dyn Store,
    filter: &DeliveryFilter,
    from: Timestamp,
    most: u32,
) -> Result<Option<Vec<What>>, StoreError> {
    let filter = DeliveryFilter {
        from: Some(from),
        ..filter.clone()
    };
    let page = Page {
        after: None,
        limit: most + 1,
    };
    let mut made: Vec<_> = store.deliveries(filter, page).await?;
    if made.len() > most as usize {
        return Ok(None);
    }
    made.reverse();
    Ok(Some(deliveries(made)))
}

fn make_room<K, V>(remembered: &mut HashMap<K, V>) {
    if remembered.len() >= MOST_REMEMBERED {
        remembered.clear();
    }
}
