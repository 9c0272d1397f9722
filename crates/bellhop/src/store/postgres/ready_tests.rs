use bellhop_webhook::Action;
use uuid::Uuid;

use super::*;
use crate::{domain::delivery::DeliveryState, id::IntegrationId};

const WEBHOOK: WebhookId = WebhookId(Uuid::from_u128(1));

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn made(number: u64, due: Timestamp) -> Made {
    let claim = Claim {
        delivery_id: DeliveryId(Uuid::from_u128(number.into())),
        fence: Fence(number),
        webhook_id: WEBHOOK,
        integration_id: IntegrationId(Uuid::from_u128(number.into())),
        sequence: 1,
        previous: 0,
        action: Action::IntegrationCreated,
        state: DeliveryState::Pending,
        number: 1,
        tries: 0,
        planned: None,
        created: due,
        body: None,
        replay_id: None,
    };
    (claim, due)
}

fn want(limit: usize) -> Want {
    Want {
        webhook_id: WEBHOOK,
        limit,
    }
}

/// What the database is asked for besides.
fn asks(handed: &Handed) -> Option<usize> {
    handed.ask.map(|want| want.limit)
}

fn fences(handed: &Handed) -> Vec<u64> {
    let claims = handed.of.claims.iter();
    claims.map(|claim| claim.fence.0).collect()
}

/// The database gave so many, and has more then.
fn answer(ready: &Ready, limit: usize, given: u64, next_due: Option<Timestamp>, is_free: bool) {
    let of = WebhookClaims {
        webhook_id: WEBHOOK,
        revision: 7,
        claims: (100..100 + given)
            .map(|number| made(number, at(0)).0)
            .collect(),
        next_due,
        most_in_flight: Some(5),
    };
    ready.asked(&of, limit, is_free);
}

/// The database was asked at this moment, for so many, and had nothing.
fn asked(limit: usize, is_free: bool) -> Ready {
    let ready = Ready::default();
    let handed = ready.hand_out(&want(limit), at(0));
    assert_eq!(asks(&handed), Some(limit), "nothing is known");
    answer(&ready, limit, 0, None, is_free);
    ready
}

/// So many are made, as far as they are wanted.
fn make(ready: &Ready, numbers: std::ops::Range<u64>) -> usize {
    let epoch = ready.epoch();
    let wanted = numbers
        .map(|number| made(number, at(0)))
        .filter(|(claim, _)| ready.wants(WEBHOOK, claim.delivery_id));
    let wanted: Vec<Made> = wanted.collect();
    let ids: Vec<DeliveryId> = wanted.iter().map(|(claim, _)| claim.delivery_id).collect();
    ready.made(&ids, wanted, epoch);
    ids.len()
}

#[test]
fn as_much_is_wanted_as_there_was_room_for() {
    assert_eq!(make(&asked(2, true), 0..3), 2);
    assert_eq!(make(&asked(2, false), 0..3), 0, "something holds it back");
    assert_eq!(make(&Ready::default(), 0..3), 0, "nobody has asked");
}

#[test]
fn what_lies_ready_is_handed_out_in_order_and_once() {
    let ready = asked(3, true);
    make(&ready, 0..3);
    let first = ready.hand_out(&want(2), at(1));
    assert_eq!((fences(&first), asks(&first)), (vec![0, 1], None));
    assert_eq!((first.of.revision, first.of.most_in_flight), (7, Some(5)));
    assert_eq!(first.of.next_due, Some(at(0)), "there is one more");
    let rest = ready.hand_out(&want(2), at(1));
    assert_eq!((fences(&rest), rest.of.next_due), (vec![2], None));
    // The room that is left of the last want is there for what is made next.
    assert_eq!(make(&ready, 3..6), 1);
}

#[test]
fn what_is_due_in_the_database_is_asked_for_besides() {
    let ready = asked(8, true);
    make(&ready, 0..2);
    ready.expect(WEBHOOK, at(5));
    let early = ready.hand_out(&want(1), at(4));
    assert_eq!((fences(&early), asks(&early)), (vec![0], None));
    // Of the seven that are left, three are for what is made meanwhile.
    let handed = ready.hand_out(&want(8), at(5));
    assert_eq!((fences(&handed), asks(&handed)), (vec![1], Some(4)));
    assert_eq!(make(&ready, 10..20), 3);
    assert!(ready.unwanted().is_empty());
    // It had as much as was asked for: the next room is all for what it has, and what is made waits there.
    answer(&ready, 4, 4, Some(at(0)), true);
    assert_eq!(make(&ready, 20..30), 0);
    let handed = ready.hand_out(&want(8), at(5));
    assert_eq!((fences(&handed).len(), asks(&handed)), (3, Some(5)));
    assert_eq!(make(&ready, 30..40), 0);
    // It had less: it need not be asked again for what comes.
    answer(&ready, 5, 1, None, true);
    assert_eq!(make(&ready, 40..50), 4);
    let handed = ready.hand_out(&want(8), at(5));
    assert_eq!((fences(&handed).len(), asks(&handed)), (4, None));
}

#[test]
fn where_there_is_no_room_but_for_what_lies_ready_the_database_is_next() {
    let ready = asked(2, true);
    make(&ready, 0..2);
    ready.expect(WEBHOOK, at(0));
    let handed = ready.hand_out(&want(2), at(1));
    assert_eq!((fences(&handed), asks(&handed)), (vec![0, 1], None));
    assert_eq!(handed.of.next_due, Some(at(0)));
    assert_eq!(make(&ready, 2..4), 0);
    assert_eq!(asks(&ready.hand_out(&want(2), at(1))), Some(1));
}

#[test]
fn what_was_due_before_the_first_is_not_walked_along_again() {
    let ready = asked(3, true);
    let now = at(100_000);
    assert_eq!(ready.since_ms(WEBHOOK, now), i64::MIN, "nobody has looked");
    ready.saw(WEBHOOK, i64::MIN, Some(40_000));
    assert_eq!(ready.since_ms(WEBHOOK, now), 40_000);
    ready.saw(WEBHOOK, 40_000, Some(70_000));
    assert_eq!(
        ready.since_ms(WEBHOOK, now),
        40_000,
        "not all was looked at"
    );
    // What comes meanwhile is due a moment ago at the earliest.
    ready.saw(WEBHOOK, i64::MIN, Some(99_999));
    assert_eq!(ready.since_ms(WEBHOOK, now), 99_000);
    ready.saw(WEBHOOK, i64::MIN, None);
    assert_eq!(ready.since_ms(WEBHOOK, now), 99_000);
    ready.forget(WEBHOOK);
    assert_eq!(ready.since_ms(WEBHOOK, now), i64::MIN);
}

#[test]
fn what_is_not_due_yet_is_not_handed_out() {
    let ready = asked(3, true);
    make(&ready, 0..1);
    let handed = ready.hand_out(&want(1), at(-1));
    assert_eq!((fences(&handed), asks(&handed)), (Vec::new(), Some(1)));
    let unwanted = ready.unwanted();
    assert_eq!(unwanted.len(), 1);
    ready.gave_back(&unwanted);
    assert!(ready.unwanted().is_empty());
}

#[test]
fn what_was_made_meanwhile_is_not_wanted_of_a_webhook_that_is_held_back() {
    let ready = asked(8, true);
    ready.expect(WEBHOOK, at(0));
    assert_eq!(asks(&ready.hand_out(&want(8), at(0))), Some(4));
    assert_eq!(make(&ready, 0..3), 3);
    answer(&ready, 4, 0, None, false);
    assert_eq!(ready.unwanted().len(), 3);
    assert!(!ready.is_free(WEBHOOK));
}

#[test]
fn what_was_made_for_what_was_forgotten_is_not_wanted() {
    let ready = asked(3, true);
    let (claim, due) = made(1, at(0));
    let (id, epoch) = (claim.delivery_id, ready.epoch());
    assert!(ready.wants(WEBHOOK, id));
    ready.forget_all();
    ready.made(&[id], vec![(claim, due)], epoch);
    assert_eq!(ready.unwanted(), [(id, Fence(1))]);
}

#[test]
fn nothing_is_made_while_claims_that_nobody_knows_of_are_ended() {
    let ready = asked(3, true);
    let (claim, _) = made(1, at(0));
    assert!(ready.wants(WEBHOOK, claim.delivery_id));
    assert!(ready.hold_off(), "one is being made");
    assert!(!ready.wants(WEBHOOK, DeliveryId(Uuid::nil())));
    ready.made(&[claim.delivery_id], Vec::new(), ready.epoch());
    assert!(!ready.hold_off());
    ready.go_on();
    assert!(ready.wants(WEBHOOK, claim.delivery_id));
}
