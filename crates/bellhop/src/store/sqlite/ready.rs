//! What is due and lies ready in memory, so that a message that is sent at once is neither looked for nor read and
//! opened again.
//!
//! The database stays the truth. For each webhook this memory knows a moment before which nothing else is due than
//! what it holds and what is claimed. Until then claims need no database; after it they read there, and some rows
//! ahead. Whatever may make something due without saying so here makes it forget: then the database is asked.

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{
    id::{IntegrationId, WebhookId},
    store::Claim,
};

/// Rows of a webhook that are read ahead of what is wanted.
pub const AHEAD: usize = 128;

/// Rows that are read ahead while half of the bytes lie ready: many webhooks have a backlog, and each gets little.
const LITTLE_AHEAD: usize = 8;

/// Bytes that may lie ready; beyond them the database keeps what is due.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Of one webhook: one that takes its time does not fill the memory.
const MOST_OF_WEBHOOK: usize = 4 * 1024 * 1024;

/// What a delivery takes beside its body, about.
const BESIDE_BODY: usize = 320;

/// Most webhooks that are known; beyond it all are forgotten.
const MOST_WEBHOOKS: usize = 20_000;

/// Most lanes of which it is known that they go on.
const MOST_LANES: usize = 4096;

/// The database is asked again after so long, whatever is known: the net under this memory.
const TRUSTED: SignedDuration = SignedDuration::from_secs(5);

/// A delivery that is due, all but claimed.
pub struct Head {
    /// Since when.
    pub due: Timestamp,
    /// What is claimed; its fence is not yet one.
    pub claim: Claim,
    /// Whether nothing of its lane waits behind it.
    pub is_alone: bool,
    /// Whether another of its lane has a time too, and was passed over because of this one.
    pub is_waited_for: bool,
}

/// What lies ready.
#[derive(Default)]
pub struct Ready {
    webhooks: HashMap<WebhookId, Known>,
    bytes: usize,
    /// Heads that this transaction made.
    made: Vec<Head>,
    /// Lanes that lie ready and go on behind their head.
    go_on: HashSet<(WebhookId, IntegrationId)>,
}

/// What is known of a webhook.
struct Known {
    heads: VecDeque<Head>,
    bytes: usize,
    /// Before it nothing else is due.
    until: Timestamp,
    /// When the database was asked.
    asked: Timestamp,
}

impl Ready {
    /// This transaction made a head.
    pub fn make(&mut self, head: Head) {
        self.made.push(head);
    }

    /// A delivery was put behind the head of its lane.
    pub fn follow(&mut self, webhook: WebhookId, integration: IntegrationId) {
        if self.go_on.len() >= MOST_LANES {
            self.forget_all();
        }
        self.go_on.insert((webhook, integration));
    }

    /// Something of this webhook that does not lie ready is due then.
    pub fn expect(&mut self, webhook: WebhookId, due: Timestamp) {
        if let Some(known) = self.webhooks.get_mut(&webhook) {
            known.until = known.until.min(due);
        }
    }

    /// The transaction is durable: what it made lies ready where nothing older waits in the database.
    pub fn committed(&mut self) {
        for head in self.made.drain(..) {
            let Some(known) = self.webhooks.get_mut(&head.claim.webhook_id) else {
                continue;
            };
            let has_room = self.bytes < MOST_BYTES && known.bytes < MOST_OF_WEBHOOK;
            if has_room && head.due < known.until {
                let size = size(&head);
                self.bytes += size;
                known.bytes += size;
                known.heads.push_back(head);
            } else {
                known.until = known.until.min(head.due);
            }
        }
    }

    /// Forgets a webhook: the database knows.
    pub fn forget(&mut self, webhook: WebhookId) {
        if let Some(known) = self.webhooks.remove(&webhook) {
            self.bytes -= known.bytes;
        }
    }

    /// Forgets everything, this transaction's too.
    pub fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Takes the first head.
    pub fn next(&mut self, webhook: WebhookId) -> Option<Head> {
        let known = self.webhooks.get_mut(&webhook)?;
        let mut head = known.heads.pop_front()?;
        let size = size(&head);
        self.bytes -= size;
        known.bytes -= size;
        if self.go_on.remove(&(webhook, head.claim.integration_id)) {
            head.is_alone = false;
        }
        Some(head)
    }

    /// The integration whose lane the first head is of.
    pub fn first_lane(&self, webhook: WebhookId) -> Option<IntegrationId> {
        let first = self.webhooks.get(&webhook)?.heads.front()?;
        Some(first.claim.integration_id)
    }

    /// When something of this webhook is due next, if the database need not be asked.
    pub fn next_due(&self, webhook: WebhookId) -> Option<Timestamp> {
        let known = self.webhooks.get(&webhook)?;
        let first = known.heads.front().map(|head| head.due);
        let later = (known.until < Timestamp::MAX).then_some(known.until);
        first.into_iter().chain(later).min()
    }

    /// Whether something that lies ready is due.
    pub fn has_due(&self, webhook: WebhookId, now: Timestamp) -> bool {
        let first = self
            .webhooks
            .get(&webhook)
            .and_then(|known| known.heads.front());
        first.is_some_and(|head| head.due <= now)
    }

    /// Whether all that is due by now lies ready.
    pub fn is_certain(&self, webhook: WebhookId, now: Timestamp) -> bool {
        self.webhooks.get(&webhook).is_some_and(|known| {
            now < known.until && now.duration_since(known.asked).abs() < TRUSTED
        })
    }

    /// How many rows to read ahead of what is wanted.
    pub fn ahead(&self) -> usize {
        const HALF: usize = MOST_BYTES / 2;
        match self.bytes {
            ..HALF => AHEAD,
            HALF..MOST_BYTES => LITTLE_AHEAD,
            MOST_BYTES.. => 0,
        }
    }

    /// The database was asked: these heads are due, and nothing else before this moment.
    pub fn learn(
        &mut self,
        webhook: WebhookId,
        heads: VecDeque<Head>,
        until: Timestamp,
        now: Timestamp,
    ) {
        if self.webhooks.len() >= MOST_WEBHOOKS {
            self.forget_all();
        }
        self.forget(webhook);
        let bytes = heads.iter().map(size).sum();
        self.bytes += bytes;
        let known = Known {
            heads,
            bytes,
            until,
            asked: now,
        };
        self.webhooks.insert(webhook, known);
    }
}

fn size(head: &Head) -> usize {
    BESIDE_BODY + head.claim.body.as_ref().map_or(0, bytes::Bytes::len)
}
