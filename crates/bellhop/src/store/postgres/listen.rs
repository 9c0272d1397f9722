//! Hints between replicas: LISTEN and NOTIFY. They are sent after the commit, on their own, since a transaction that
//! notifies waits for every other that does; and they may be lost, as all hints may: whoever needs to know asks again.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;
use uuid::Uuid;

use super::{
    Shared,
    connect::{Address, Failed},
    connection::{execute, settled_soon},
    events,
};
use crate::{domain::event::Event, id::WebhookId};

/// Where hints go.
const CHANNEL: &str = "bellhop_due";
/// Most webhooks of one hint: 8,000 bytes are what a notification may have.
const MAX_HINTED: usize = 200;
/// How long hints are gathered before they are sent: other replicas need no word of every commit.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait before connecting again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Who is told what other replicas have committed.
pub trait Hints: Send + Sync {
    /// These webhooks may have something due, or are not what they were.
    fn due(&self, webhooks: Vec<WebhookId>);
    /// Hints may have been missed: everything may have changed.
    fn missed(&self);
    /// Something happened at another replica, at this moment by its clock.
    fn happened(&self, _at_ms: i64, _event: Event) {}
    /// Other replicas are not heard, and will not be.
    fn deaf(&self) {}
}

/// What is to be told to other replicas.
#[derive(Debug, Default)]
pub struct ToTell {
    webhooks: Mutex<BTreeSet<Uuid>>,
    wake: Notify,
}

impl ToTell {
    /// Tells, soon.
    pub fn due(&self, webhooks: impl IntoIterator<Item = WebhookId>) {
        let mut gathered = self.webhooks.lock().expect("no holder panics");
        let before = gathered.len();
        gathered.extend(webhooks.into_iter().map(|id| id.0));
        if gathered.len() > before {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Uuid> {
        let mut gathered = self.webhooks.lock().expect("no holder panics");
        let some: Vec<Uuid> = gathered.iter().take(MAX_HINTED).copied().collect();
        for id in &some {
            gathered.remove(id);
        }
        if !gathered.is_empty() {
            self.wake.notify_one();
        }
        some
    }
}

/// Tells other replicas, until the store is gone.
pub async fn tell(shared: Weak<Shared>, to_tell: Arc<ToTell>) {
    loop {
        to_tell.wake.notified().await;
        tokio::time::sleep(GATHER).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let webhooks = to_tell.take();
        let mut payload = shared.holder.simple().to_string();
        for webhook in webhooks {
            payload.push_str(&webhook.simple().to_string());
        }
        if let Err(failed) = notify(&shared, CHANNEL, &[payload]).await {
            tracing::debug!(error = %failed.error, "other replicas were not told; they ask by themselves");
        }
    }
}

/// Notifies whoever listens on this channel.
pub async fn notify(shared: &Shared, channel: &str, payloads: &[String]) -> Result<(), Failed> {
    let connection = shared.writers.get().await?;
    settled_soon(connection, async |connection| {
        let notify = "SELECT pg_notify($1, told) FROM unnest($2::text[]) AS told";
        execute(connection, notify, &[&channel, &payloads]).await
    })
    .await
    .map(drop)
}

/// Listens until the store is gone, and connects again and again.
pub async fn listen(shared: Weak<Shared>, address: Address, hints: Arc<dyn Hints>) {
    if !address.keeps_statements() {
        // A pooler shares the connections out: what is told to one of them reaches nobody.
        hints.deaf();
        return;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(holder) = shared.upgrade().map(|shared| shared.holder) else {
            return;
        };
        match listen_once(&shared, &address, &*hints, holder).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                let error = crate::store::StoreError::from(error);
                tracing::debug!(%error, "not listening to other replicas; asking the database instead");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Listens on one connection until it ends.
async fn listen_once(
    shared: &Weak<Shared>,
    address: &Address,
    hints: &dyn Hints,
    holder: Uuid,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = address.connect().await?;
    let begin = client.batch_execute("LISTEN bellhop_due; LISTEN bellhop_events");
    tokio::pin!(begin);
    let mut is_listening = false;
    loop {
        let message = tokio::select! {
            begun = &mut begin, if !is_listening => {
                begun?;
                is_listening = true;
                hints.missed();
                continue;
            }
            message = poll_fn(|context| connection.poll_message(context)) => message,
        };
        match message {
            None => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(AsyncMessage::Notification(told))) if told.channel() == events::CHANNEL => {
                for (at_ms, event) in events::read(told.payload(), holder) {
                    hints.happened(at_ms, event);
                }
            }
            Some(Ok(AsyncMessage::Notification(told))) => {
                if let Some(webhooks) = parse(told.payload(), holder) {
                    if let Some(shared) = shared.upgrade() {
                        for webhook in &webhooks {
                            shared.ready.ask(*webhook);
                        }
                    }
                    hints.due(webhooks);
                }
            }
            Some(Ok(_)) => {}
        }
        if shared.strong_count() == 0 {
            return Ok(());
        }
    }
}

/// The webhooks of a hint, unless it is this replica's own.
fn parse(payload: &str, holder: Uuid) -> Option<Vec<WebhookId>> {
    let mut ids = payload
        .as_bytes()
        .chunks(32)
        .filter_map(|id| Uuid::try_parse_ascii(id).ok());
    if ids.next()? == holder {
        return None;
    }
    Some(ids.map(WebhookId).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_of_another_replica_is_read_and_its_own_is_not() {
        let (ours, theirs, webhook) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let payload = format!("{}{}", theirs.simple(), webhook.simple());
        assert_eq!(parse(&payload, ours), Some(vec![WebhookId(webhook)]));
        assert_eq!(parse(&payload, theirs), None);
        assert_eq!(parse("nonsense", ours), None);
    }

    #[test]
    fn a_hint_fits_a_notification() {
        const { assert!((MAX_HINTED + 1) * 32 < 8000) };
    }
}
