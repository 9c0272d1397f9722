//! What a run would be about, counted row by row: the same in both databases.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};

use super::{Counted, MAX_COUNTED_WEBHOOKS, MAX_TOTAL, ReplayCount, sealed::body_row};
use crate::{
    domain::delivery::DeliveryState,
    id::{DeliveryId, IntegrationId, WebhookId},
};

/// A count that grows.
pub struct Tally {
    count: ReplayCount,
    by_webhook: HashMap<WebhookId, u64>,
    digest: Context,
}

/// A delivery that fits.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of its own, and none rules another out"
)]
pub struct Fitting {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    pub state: DeliveryState,
    /// Whether it has a next attempt.
    pub is_due: bool,
    /// Whether the integration has a later message.
    pub is_stale: bool,
    /// Whether its bytes are gone.
    pub is_erased: bool,
    /// Whether its webhook is there.
    pub has_webhook: bool,
}

impl Tally {
    /// Nothing yet.
    pub fn new(counted: Counted) -> Self {
        let count = ReplayCount {
            counted,
            total: 0,
            by_state: [0; DeliveryState::ALL.len()],
            by_webhook: Vec::new(),
            stale: 0,
            erased: 0,
            without_webhook: 0,
            behind: 0,
            digest: [0; 32],
        };
        Self {
            count,
            by_webhook: HashMap::new(),
            digest: Context::new(&SHA256),
        }
    }

    /// Says whether to go on.
    pub fn add_delivery(&mut self, delivery: &Fitting) -> bool {
        let count = &mut self.count;
        count.by_state[delivery.state as usize] += 1;
        count.stale += u64::from(delivery.is_stale);
        if !delivery.has_webhook {
            count.without_webhook += 1;
        } else if delivery.is_erased {
            count.erased += 1;
        } else if delivery.state == DeliveryState::Pending && !delivery.is_due {
            count.behind += 1;
        }
        self.digest.update(delivery.id.0.as_bytes());
        self.add(delivery.webhook_id)
    }

    /// A message that a webhook has no delivery of. Says whether to go on.
    pub fn add_message(
        &mut self,
        webhook: WebhookId,
        (integration, sequence): (IntegrationId, u64),
        is_stale: bool,
        is_erased: bool,
    ) -> bool {
        self.count.stale += u64::from(is_stale);
        self.count.erased += u64::from(is_erased);
        self.digest.update(&body_row(integration, sequence));
        self.add(webhook)
    }

    fn add(&mut self, webhook: WebhookId) -> bool {
        self.count.total += 1;
        *self.by_webhook.entry(webhook).or_default() += 1;
        self.count.total <= MAX_TOTAL
    }

    /// The count.
    pub fn finish(self) -> ReplayCount {
        let mut by_webhook: Vec<_> = self.by_webhook.into_iter().collect();
        by_webhook.sort_unstable_by_key(|(id, n)| (std::cmp::Reverse(*n), *id));
        by_webhook.truncate(MAX_COUNTED_WEBHOOKS);
        let mut count = self.count;
        count.by_webhook = by_webhook;
        count.digest.copy_from_slice(self.digest.finish().as_ref());
        count
    }
}
