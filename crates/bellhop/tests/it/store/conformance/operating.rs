//! Operational messages: written with their cause, handed out in order, recorded once.

use std::time::Duration;

use bellhop::{
    domain::{
        cause::Cause,
        delivery::{Next, WebhookEffect},
        operational::{Destination, MAX_LISTED, OperationalMessage, OperationalType, SendState},
        webhook::WebhookState,
    },
    id::WebhookId,
    store::{OperationalClaim, OperationalDue, OperationalRequest, Page, Purge, Write},
};
use serde_json::Value;

use crate::store::{
    databases::Database,
    operating::attempted,
    world::{ALL, World},
};

fn gone() -> WebhookEffect {
    WebhookEffect::Disable {
        reason: "The receiver answered 410 Gone.".into(),
    }
}

impl<D: Database> World<D> {
    async fn operational(&self) -> Vec<OperationalMessage> {
        let mut messages = self.store().operational_messages(ALL).await.unwrap();
        messages.reverse();
        messages
    }

    async fn operational_due(&self, destinations: &[Destination]) -> OperationalDue {
        let request = OperationalRequest {
            now: self.now(),
            destinations: destinations.to_vec(),
        };
        self.store().operational_due(request).await.unwrap()
    }

    async fn to_webhook(&self) -> OperationalClaim {
        let mut due = self.operational_due(&[Destination::Webhook]).await;
        assert_eq!(due.claims.len(), 1);
        due.claims.remove(0)
    }

    /// Makes a delivery of a new integration that arrives: the webhook is not taken for one that fails altogether.
    async fn deliver_one(&self, webhook: WebhookId) {
        self.new_integration().await;
        let claim = self.claim_one(webhook).await;
        self.succeed(&claim).await;
    }

    /// Makes a delivery of a new integration and fails it for good.
    async fn lose_one(&self, webhook: WebhookId) {
        self.new_integration().await;
        let claim = self.claim_one(webhook).await;
        self.record(&claim, Next::Failed, None).await;
        // And another one arrives: the webhook does not fail as such.
        self.new_integration().await;
        let claim = self.claim_one(webhook).await;
        self.succeed(&claim).await;
    }

    async fn disable(&self, webhook: WebhookId) {
        self.new_integration().await;
        let claim = self.claim_one(webhook).await;
        let retry = Next::Retry { at: self.now() };
        self.record(&claim, retry, Some(gone())).await;
    }
}

fn body(message: &OperationalMessage) -> Value {
    serde_json::from_str(&message.body).unwrap()
}

pub async fn nothing_is_told_of_what_arrives_or_is_retried<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    let at = world.later();
    world.record(&claim, Next::Retry { at }, None).await;
    let claim = world.claim_one(webhook).await;
    world.succeed(&claim).await;
    assert_eq!(world.operational().await, []);
    let due = world.operational_due(Destination::ALL).await;
    assert_eq!((due.claims.len(), due.next), (0, None));
}

pub async fn a_disabled_webhook_is_told_once<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    world.new_integration().await;
    let claims = world.claim(webhook).await;
    for claim in &claims {
        let retry = Next::Retry { at: world.now() };
        world.record(claim, retry, Some(gone())).await;
    }
    let told = world.operational().await;
    assert_eq!(told.len(), 1);
    let message = &told[0];
    assert_eq!(message.about, OperationalType::WebhookDisabled);
    assert_eq!(message.webhook_id, webhook);
    assert_eq!(message.application_id, world.application);
    assert_eq!(message.created, world.now());
    let body = body(message);
    assert_eq!(body["Type"], "webhook.disabled");
    assert_eq!(body["TimestampUtc"], "2019-12-13T14:42:52Z");
    assert_eq!(body["Data"]["Application"]["Name"], "Booking engine");
    assert_eq!(
        body["Data"]["Webhook"]["Url"],
        "https://receiver.example/hooks?…"
    );
    assert_eq!(body["Data"]["Reason"], "The receiver answered 410 Gone.");
    assert!(!message.body.contains("key=secret"));
    // Enabled and gone again: that is news.
    world.set_state(webhook, WebhookState::Enabled).await;
    let claim = world.claim_some(webhook, 1).await.claims.remove(0);
    let retry = Next::Retry { at: world.now() };
    world.record(&claim, retry, Some(gone())).await;
    assert_eq!(world.operational().await.len(), 2);
}

pub async fn a_record_that_is_lost_tells_nothing<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    world.new_integration().await;
    let claim = world.claim_one(webhook).await;
    world.database.reopen().await;
    world.record(&claim, Next::Failed, Some(gone())).await;
    assert_eq!(world.operational().await, []);
}

pub async fn the_first_lost_delivery_is_told_at_once_and_more_of_them_together<D: Database>(
    world: World<D>,
) {
    let webhook = world.new_webhook().await;
    world.lose_one(webhook).await;
    let lost = u64::try_from(MAX_LISTED).unwrap() + 3;
    for place in 0..lost {
        if place % 5 == 0 {
            world.deliver_one(webhook).await;
        }
        world.lose_one(webhook).await;
    }
    let told = world.operational().await;
    assert_eq!(told.len(), 1);
    let first = body(&told[0]);
    assert_eq!(first["Type"], "delivery.failed");
    assert_eq!(first["Data"]["Count"], 1);
    let listed = &first["Data"]["Deliveries"][0];
    assert_eq!(listed["Integration"]["Name"], "Front desk");
    assert_eq!(listed["Action"], "IntegrationCreated");
    assert_eq!(
        (&listed["Sequence"], &listed["AttemptCount"]),
        (&1.into(), &1.into())
    );
    assert_eq!(listed["Cause"], "server_error");

    // Nothing before a minute is over; then all of them in one.
    let closes = world.now() + Duration::from_mins(1);
    assert_eq!(world.operational_due(&[]).await.next, Some(closes));
    assert_eq!(world.operational().await.len(), 1);
    world.clock.advance(Duration::from_mins(1));
    let due = world.operational_due(&[]).await;
    assert_eq!(due.next, Some(world.now() + Duration::from_mins(1)));
    let told = world.operational().await;
    assert_eq!(told.len(), 2);
    let second = body(&told[1]);
    assert_eq!(second["Data"]["Count"], lost);
    let listed = second["Data"]["Deliveries"].as_array().unwrap();
    assert_eq!(listed.len(), MAX_LISTED);

    // A quiet minute ends it: the next one is told at once again.
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(world.operational_due(&[]).await.next, None);
    world.lose_one(webhook).await;
    assert_eq!(world.operational().await.len(), 3);
}

pub async fn webhooks_lose_apart<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    let other_application = world.new_application("Key cards").await;
    world.lose_one(webhook).await;
    world.application = other_application;
    let other = world.new_webhook().await;
    world.lose_one(other).await;
    let told = world.operational().await;
    let whose: Vec<WebhookId> = told.iter().map(|each| each.webhook_id).collect();
    assert_eq!(whose, [webhook, other]);
}

pub async fn what_is_gathered_survives_and_tells_of_a_deleted_webhook<D: Database>(
    mut world: World<D>,
) {
    let webhook = world.new_webhook().await;
    world.lose_one(webhook).await;
    world.lose_one(webhook).await;
    world.write(Write::DeleteWebhook { id: webhook }).await;
    world.database.reopen().await;
    world.clock.advance(Duration::from_mins(1));
    world.operational_due(&[]).await;
    let told = world.operational().await;
    assert_eq!(told.len(), 2);
    assert_eq!(body(&told[1])["Data"]["Count"], 1);
}

pub async fn each_destination_gets_them_in_order<D: Database>(mut world: World<D>) {
    let webhook = world.new_webhook().await;
    world.lose_one(webhook).await;
    world.disable(webhook).await;
    let told = world.operational().await;
    let bytes: Vec<&[u8]> = told.iter().map(|each| each.body.as_bytes()).collect();

    let due = world.operational_due(Destination::ALL).await;
    let heads: Vec<_> = due
        .claims
        .iter()
        .map(|each| (each.destination, each.id))
        .collect();
    assert_eq!(
        heads,
        [
            (Destination::Webhook, told[0].id),
            (Destination::Email, told[0].id)
        ]
    );
    let claim = &due.claims[0];
    assert_eq!((claim.number, &*claim.body), (1, bytes[0]));
    assert_eq!(
        (claim.about, claim.created),
        (told[0].about, told[0].created)
    );

    // The first is tried again in 5 s; the second waits behind it, and mail does not.
    let failed = attempted(claim, false, world.now());
    assert!(world.store().record_operational(failed).await.unwrap());
    let mailed = attempted(&due.claims[1], true, world.now());
    assert!(world.store().record_operational(mailed).await.unwrap());
    let due = world.operational_due(Destination::ALL).await;
    assert_eq!(due.claims.len(), 1);
    assert_eq!(
        (due.claims[0].destination, due.claims[0].id),
        (Destination::Email, told[1].id)
    );
    assert_eq!(due.next, Some(world.now() + Duration::from_secs(5)));

    // A restart changes nothing of that.
    world.database.reopen().await;
    world.clock.advance(Duration::from_secs(5));
    let again = world.to_webhook().await;
    assert_eq!(
        (again.id, again.number, &*again.body),
        (told[0].id, 2, bytes[0])
    );
    assert!(
        world
            .store()
            .record_operational(attempted(&again, true, world.now()))
            .await
            .unwrap()
    );
    let second = world.to_webhook().await;
    assert_eq!(
        (second.id, second.number, &*second.body),
        (told[1].id, 1, bytes[1])
    );
}

pub async fn an_attempt_is_recorded_once<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.disable(webhook).await;
    let claim = world.to_webhook().await;
    assert_eq!(world.to_webhook().await, claim);
    let failed = attempted(&claim, false, world.now());
    let mut taken = attempted(&claim, true, world.now());
    assert!(world.store().record_operational(failed).await.unwrap());
    assert!(
        !world
            .store()
            .record_operational(taken.clone())
            .await
            .unwrap()
    );
    let kept = world.operational().await[0].sends[0].clone();
    assert_eq!(
        (kept.destination, kept.state),
        (Destination::Webhook, SendState::Pending)
    );
    assert_eq!(
        (kept.attempt_count, kept.cause),
        (1, Some(Cause::MailDeferred))
    );
    assert_eq!(kept.detail.as_deref(), Some("it said 451"));
    assert_eq!(
        kept.next_attempt,
        Some(world.now() + Duration::from_secs(5))
    );

    taken.number = 2;
    assert!(
        world
            .store()
            .record_operational(taken.clone())
            .await
            .unwrap()
    );
    taken.number = 3;
    assert!(!world.store().record_operational(taken).await.unwrap());
    let kept = world.operational().await[0].sends[0].clone();
    assert_eq!(
        (kept.state, kept.attempt_count, kept.cause),
        (SendState::Delivered, 2, None)
    );
    assert_eq!((kept.next_attempt, kept.ended), (None, Some(world.now())));
}

pub async fn a_used_up_schedule_lets_the_next_go<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.lose_one(webhook).await;
    world.disable(webhook).await;
    let first = world.to_webhook().await;
    for number in 1..=10 {
        let claim = world.to_webhook().await;
        assert_eq!((claim.id, claim.number), (first.id, number));
        let failed = attempted(&claim, false, world.now());
        assert!(world.store().record_operational(failed).await.unwrap());
        world.clock.advance(Duration::from_hours(24));
    }
    assert_eq!(
        world.operational().await[0].sends[0].state,
        SendState::Failed
    );
    assert_ne!(world.to_webhook().await.id, first.id);
}

pub async fn operational_messages_are_paged_newest_first<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    for _ in 0..3 {
        world.disable(webhook).await;
        world.set_state(webhook, WebhookState::Enabled).await;
        let claim = world.claim_one(webhook).await;
        world.succeed(&claim).await;
        world.later();
    }
    let all = world.store().operational_messages(ALL).await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by(|one, next| one.id > next.id));
    let page = Page {
        after: Some(all[0].id.0),
        limit: 1,
    };
    let page = world.store().operational_messages(page).await.unwrap();
    assert_eq!(page, all[1..2]);
    assert_eq!(page[0].sends.len(), 2);
}

pub async fn old_operational_messages_go_whatever_came_of_them<D: Database>(world: World<D>) {
    let webhook = world.new_webhook().await;
    world.lose_one(webhook).await;
    let old = world.now();
    world.later();
    world.disable(webhook).await;
    let what = Purge {
        now: world.now(),
        deliveries: Some(old),
        tombstones: None,
        audit: None,
        again: true,
    };
    world.store().purge(what).await.unwrap();
    let left = world.operational().await;
    let types: Vec<_> = left.iter().map(|each| each.about).collect();
    assert_eq!(types, [OperationalType::WebhookDisabled]);
    assert_eq!(world.to_webhook().await.id, left[0].id);
}
