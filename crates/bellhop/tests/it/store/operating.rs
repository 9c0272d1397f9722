//! Operational messages of two stores, compared.

use bellhop::{
    domain::{
        cause::Cause,
        delivery::Outcome,
        operational::{Destination, OperationalMessage, after_attempt},
    },
    store::{OperationalAttempted, OperationalClaim, OperationalRequest, Store},
};
use jiff::Timestamp;
use serde_json::Value;

/// Sends what is due to the operator now, to both destinations, in both stores.
pub async fn send(one: &dyn Store, other: &dyn Store, now: Timestamp, is_taken: bool) {
    let request = OperationalRequest {
        now,
        destinations: Destination::ALL.to_vec(),
    };
    let ours = one.operational_due(request.clone()).await.unwrap();
    let others = other.operational_due(request).await.unwrap();
    assert_eq!(ours.next, others.next);
    let told = |claims: &[OperationalClaim]| -> Vec<String> { claims.iter().map(claim).collect() };
    assert_eq!(told(&ours.claims), told(&others.claims));
    for (store, claims) in [(one, ours.claims), (other, others.claims)] {
        for claim in claims {
            let attempted = attempted(&claim, is_taken, now);
            assert!(store.record_operational(attempted.clone()).await.unwrap());
            // Of two who made the same attempt, one records it.
            assert!(!store.record_operational(attempted).await.unwrap());
        }
    }
}

/// An attempt of a claim, taken or deferred.
pub fn attempted(claim: &OperationalClaim, is_taken: bool, at: Timestamp) -> OperationalAttempted {
    let cause = Cause::MailDeferred;
    let outcome = if is_taken {
        Outcome::Succeeded
    } else {
        Outcome::Failed {
            cause,
            retry_after: None,
        }
    };
    OperationalAttempted {
        id: claim.id,
        destination: claim.destination,
        number: claim.number,
        at,
        cause: (!is_taken).then_some(cause),
        detail: (!is_taken).then(|| "it said 451".to_owned()),
        next: after_attempt(claim.number, outcome, at, 0.0),
    }
}

/// All of a message but ids that stores choose.
pub fn message(message: &OperationalMessage) -> String {
    format!(
        "{} {} {} {} {} {:?}",
        message.about,
        message.application_id,
        message.webhook_id,
        message.created,
        body(message.body.as_bytes()),
        message.sends
    )
}

fn claim(claim: &OperationalClaim) -> String {
    format!(
        "{} {} {} {} {}",
        claim.destination,
        claim.about,
        claim.created,
        claim.number,
        body(&claim.body)
    )
}

fn body(bytes: &[u8]) -> Value {
    let mut body: Value = serde_json::from_slice(bytes).unwrap();
    if let Some(listed) = body["Data"]["Deliveries"].as_array_mut() {
        for delivery in listed {
            delivery["Id"].take();
        }
    }
    body
}
