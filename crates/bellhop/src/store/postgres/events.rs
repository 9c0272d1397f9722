//! What live views of other replicas are told: NOTIFY on a channel of its own. As with all hints, it may be lost.

use uuid::Uuid;

use super::{Shared, listen::notify};
use crate::{
    domain::event::Event,
    id::{ApplicationId, DeliveryId, IntegrationId, WebhookId},
    store::StoreError,
};

/// Where they go.
pub const CHANNEL: &str = "bellhop_events";
/// A notification has fewer than 8,000 bytes.
const MOST_BYTES: usize = 7900;

/// Tells other replicas.
pub async fn tell(shared: &Shared, events: &[(i64, Event)]) -> Result<(), StoreError> {
    let told = notify(shared, CHANNEL, &written(shared.holder, events)).await;
    told.map_err(|failed| failed.error)
}

/// Events as notifications: who tells, then for each a letter, its moment and its ids.
fn written(holder: Uuid, events: &[(i64, Event)]) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for (at_ms, event) in events {
        let word = word(*at_ms, *event);
        match payloads.last_mut() {
            Some(payload) if payload.len() + 1 + word.len() <= MOST_BYTES => {
                payload.push(' ');
                payload.push_str(&word);
            }
            _ => payloads.push(format!("{} {word}", holder.simple())),
        }
    }
    payloads
}

fn word(at_ms: i64, event: Event) -> String {
    match event {
        Event::Delivery(id) => format!("d{at_ms:x},{}", id.0.simple()),
        Event::Webhook(id) => format!("w{at_ms:x},{}", id.0.simple()),
        Event::WebhookDeleted { id, application_id } => {
            format!("x{at_ms:x},{},{}", id.0.simple(), application_id.0.simple())
        }
        Event::Integration { id, sequence } => {
            format!("i{at_ms:x},{},{sequence:x}", id.0.simple())
        }
        Event::Missed => format!("m{at_ms:x}"),
    }
}

/// The events of a notification, unless it is this replica's own. What a later version tells and this one does not know
/// was missed.
pub fn read(payload: &str, holder: Uuid) -> Vec<(i64, Event)> {
    let mut words = payload.split(' ');
    match words.next().map(Uuid::try_parse) {
        Some(Ok(teller)) if teller != holder => {}
        _ => return Vec::new(),
    }
    let read = words.map(|word| event(word).unwrap_or((0, Event::Missed)));
    read.collect()
}

fn event(word: &str) -> Option<(i64, Event)> {
    let mut parts = word.get(1..)?.split(',');
    let at_ms = i64::from_str_radix(parts.next()?, 16).ok()?;
    let mut part = || parts.next();
    let id = |part: Option<&str>| Uuid::try_parse(part?).ok();
    let event = match word.as_bytes()[0] {
        b'd' => Event::Delivery(DeliveryId(id(part())?)),
        b'w' => Event::Webhook(WebhookId(id(part())?)),
        b'x' => Event::WebhookDeleted {
            id: WebhookId(id(part())?),
            application_id: ApplicationId(id(part())?),
        },
        b'i' => Event::Integration {
            id: IntegrationId(id(part())?),
            sequence: u64::from_str_radix(part()?, 16).ok()?,
        },
        b'm' => Event::Missed,
        _ => return None,
    };
    Some((at_ms, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(u128::MAX - number)
    }

    #[test]
    fn every_event_is_read_as_it_is_written_in_notifications_that_fit() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut events = Vec::new();
        for number in 0..200_u128 {
            events.push((1_790_000_000_000, Event::Delivery(DeliveryId(id(number)))));
            events.push((1, Event::Webhook(WebhookId(id(number)))));
            let integration = Event::Integration {
                id: IntegrationId(id(number)),
                sequence: u64::MAX,
            };
            events.push((2, integration));
            let application_id = ApplicationId(id(3));
            let id = WebhookId(id(number));
            events.push((3, Event::WebhookDeleted { id, application_id }));
            events.push((4, Event::Missed));
        }
        let payloads = written(theirs, &events);
        assert!(payloads.iter().all(|payload| payload.len() < 8000));
        let again: Vec<_> = payloads
            .iter()
            .flat_map(|payload| read(payload, ours))
            .collect();
        assert_eq!(again, events);
        assert!(
            payloads
                .iter()
                .all(|payload| read(payload, theirs).is_empty())
        );
    }

    #[test]
    fn what_is_not_understood_was_missed() {
        let payload = format!("{} q1,2 d5", Uuid::from_u128(2).simple());
        let missed = [(0, Event::Missed), (0, Event::Missed)];
        assert_eq!(read(&payload, Uuid::from_u128(1)), missed);
        assert_eq!(read("nonsense", Uuid::from_u128(1)), []);
    }
}
