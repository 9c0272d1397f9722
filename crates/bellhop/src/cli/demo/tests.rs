//! The demo's judgement must be able to fail: each thing that it claims is broken here once.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::{
    account::{Account, Judgement},
    life::{STEPS, Sample},
    platform::{Delivery, HistoryMessage},
};
use crate::{
    id::IntegrationId,
    receiving::{Answer, Order, Received, Signature},
};

fn sample() -> Sample {
    Sample {
        id: IntegrationId(uuid::Uuid::from_u128(7)),
        name: "North Wing",
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

/// Requests for sequences 1 to 6, the second of which is retried once; commands are a second apart.
fn attempts() -> Vec<Received> {
    let one = |sequence: u64, attempt: u32, status: u16, ms: i64| Received {
        at: at(ms),
        path: "/".into(),
        id: String::new(),
        action: Some(STEPS[sequence as usize - 1].action.to_string()),
        integration: Some(sample().id.0),
        integration_name: Some(sample().name.into()),
        sequence: Some(sequence),
        previous: Some(sequence - 1),
        attempt: Some(attempt),
        signature: verified(),
        order: Order::InOrder,
        answer: Answer::Status(status),
        body: Bytes::from(format!("{{\"n\":{sequence}}}")),
    };
    vec![
        one(1, 1, 200, 3),
        one(2, 1, 500, 1005),
        one(2, 2, 200, 2005),
        one(3, 1, 200, 2007),
        one(4, 1, 200, 3009),
        one(5, 1, 200, 4004),
        one(6, 1, 200, 5001),
    ]
}

fn verified() -> Signature {
    Signature::Verified(bellhop_webhook::Verified {
        scheme: bellhop_webhook::Scheme::V1,
        index: 0,
        timestamp: 0,
    })
}

fn history() -> Vec<HistoryMessage> {
    (1..)
        .zip(STEPS)
        .map(|(sequence, step)| HistoryMessage {
            sequence,
            action: step.action.to_string(),
            body: RawValue::from_string(format!("{{\"n\":{sequence}}}")).unwrap(),
        })
        .collect()
}

fn deliveries() -> Vec<Delivery> {
    let one = |attempt_count| Delivery {
        state: "Delivered".into(),
        attempt_count,
    };
    [1, 2, 1, 1, 1, 1].map(one).into()
}

fn judge(
    attempts: &[Received],
    history: Vec<HistoryMessage>,
    deliveries: &[Delivery],
) -> Judgement {
    let mut account = Account::new(&[sample()]);
    for index in 0..6 {
        account.command(0, at(0) + SignedDuration::from_secs(index));
    }
    for received in attempts {
        account.receive(received).unwrap();
    }
    account.judge(&[history], deliveries)
}

#[test]
fn a_good_show_is_good() {
    let judgement = judge(&attempts(), history(), &deliveries());
    assert!(judgement.is_good(), "{judgement:?}");
    assert_eq!(judgement.retried, 1);
    // Sequence 3 waited for 2 and does not count: 1, 3, 4, 5 and 9 ms do.
    let (median, slowest) = judgement.first_attempts.unwrap();
    assert_eq!((median.as_millis(), slowest.as_millis()), (4, 9));
}

/// What breaks a show, and how.
type Breakage = (&'static str, fn(&mut Vec<Received>));

#[test]
fn whatever_is_wrong_is_seen() {
    let broken: [Breakage; 8] = [
        ("lost", |all| drop(all.pop())),
        ("swapped", |all| all.swap(3, 4)),
        ("twice", |all| all.push(all[6].clone())),
        ("before the retry", |all| all.swap(2, 3)),
        ("gap", |all| all[5].order = Order::Gap { last: 1 }),
        ("signature", |all| {
            all[1].signature = Signature::Wrong(bellhop_webhook::VerifyError::NoMatch);
        }),
        ("body", |all| {
            all[1].body = Bytes::from_static(b"{\"n\": 2}");
        }),
        ("action", |all| all[4].action = all[3].action.clone()),
    ];
    for (name, break_it) in broken {
        let mut attempts = attempts();
        break_it(&mut attempts);
        let judgement = judge(&attempts, history(), &deliveries());
        assert!(!judgement.is_good(), "{name}: {judgement:?}");
    }
}

#[test]
fn what_the_server_does_not_confirm_does_not_count() {
    let mut pending = deliveries();
    pending[5].state = "Pending".into();
    assert!(!judge(&attempts(), history(), &pending).is_good());
    let mut more = deliveries();
    more[5].attempt_count = 2;
    assert!(!judge(&attempts(), history(), &more).is_good());
    let mut short = history();
    short.pop();
    assert!(!judge(&attempts(), short, &deliveries()).is_good());
    assert!(!judge(&[], history(), &[]).is_good());
}
