//! The judge is tested with planted violations: each of them must be seen.

use super::*;
use crate::log::{Answered, ClockSet, Introspected, Parts, Stretch};

#[path = "checker_duplicates.rs"]
mod duplicates;

const INTEGRATION: &str = "9e5e84e9-974d-4f16-9662-ab2200f27cb1";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const S: u64 = 1_000_000;

/// A lane of three messages: the second fails once, all are taken in the end.
fn sound() -> Evidence {
    let actions = [
        "IntegrationCreated",
        "IntegrationDisabled",
        "IntegrationEnabled",
    ];
    let message = |sequence: u64| Acknowledged {
        integration: INTEGRATION.into(),
        sequence,
        action: actions[sequence as usize - 1].into(),
        body: format!(r#"{{"Action":"{}"}}"#, actions[sequence as usize - 1]),
        asked_us: sequence * S - 2000,
        at_us: sequence * S - 1000,
    };
    let mut evidence = Evidence {
        webhooks: vec![Subscribed {
            name: "one".into(),
            secret: SECRET.into(),
            actions: actions.map(String::from).to_vec(),
            waits_s: vec![0, 1, 1],
            max_in_flight: 2,
        }],
        acknowledged: (1..=3).map(message).collect(),
        ..Evidence::default()
    };
    let arrivals = vec![
        arrival(&evidence, 1, 1, S, 200),
        arrival(&evidence, 2, 1, 2 * S, 500),
        arrival(&evidence, 2, 2, 3 * S + 1000, 200),
        arrival(&evidence, 3, 1, 4 * S, 204),
    ];
    evidence.arrivals.insert("one".into(), arrivals);
    evidence
}

fn arrival(evidence: &Evidence, sequence: u64, attempt: u64, at_us: u64, status: u16) -> Arrival {
    let message = &evidence.acknowledged[sequence as usize - 1];
    arrival_of(message, attempt, at_us, status)
}

fn arrival_of(message: &Acknowledged, attempt: u64, at_us: u64, status: u16) -> Arrival {
    let sequence = message.sequence;
    let unix_s = 1_700_000_000 + (at_us / S) as i64;
    let id = message.message_id();
    let signature = Webhook::new(SECRET)
        .unwrap()
        .sign(&id, unix_s, message.body.as_bytes())
        .unwrap();
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", unix_s.to_string()),
        ("webhook-signature", signature),
        ("bellhop-action", message.action.clone()),
        ("bellhop-sequence", sequence.to_string()),
        ("bellhop-previous", (sequence - 1).to_string()),
        ("bellhop-attempt", attempt.to_string()),
    ];
    Arrival {
        at_us,
        unix_s,
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: message.body.clone(),
        answered: Some(Answered {
            at_us: at_us + 100,
            status,
            retry_after_s: None,
        }),
        hung_up: false,
    }
}

fn arrivals(evidence: &mut Evidence) -> &mut Vec<Arrival> {
    evidence.arrivals.get_mut("one").unwrap()
}

fn fault(at_us: u64) -> Fault {
    Fault {
        kind: "kill".into(),
        at_us,
        ends_us: at_us,
        parts: Parts::Records,
    }
}

/// Plants a violation in a sound run, and returns the verdict, which must not hold.
fn planted(plant: impl FnOnce(&mut Evidence)) -> Verdict {
    let mut evidence = sound();
    plant(&mut evidence);
    let verdict = judge(&evidence);
    assert!(!verdict.holds(), "{verdict}");
    assert!(!verdict.notes.is_empty());
    verdict
}

#[test]
fn a_sound_run_holds() {
    let verdict = judge(&sound());
    assert!(verdict.holds(), "{verdict}\n{}", verdict.told());
    assert_eq!(
        verdict.to_string(),
        "faults=0 messages=3 lost=0 phantom=0 order_violations=0 bad_signatures=0 early=0 duplicates=0 bound=0"
    );
    assert_eq!(missing(&sound()), Vec::<String>::new());
}

#[test]
fn a_lost_message_is_seen() {
    let verdict = planted(|evidence| arrivals(evidence).truncate(3));
    assert_eq!((verdict.lost, verdict.order_violations), (1, 0));
    // A receiver that only failed has not taken it.
    let verdict = planted(|evidence| {
        let last = &mut arrivals(evidence)[3];
        (last.answered, last.hung_up) = (None, true);
    });
    assert_eq!((verdict.lost, verdict.cut_off), (1, 0));
    let mut evidence = sound();
    arrivals(&mut evidence).pop();
    let id = evidence.acknowledged[2].message_id();
    assert_eq!(missing(&evidence), [format!("one {id}")]);
}

#[test]
fn a_phantom_is_seen() {
    let verdict = planted(|evidence| {
        let fourth = Acknowledged {
            sequence: 4,
            ..evidence.acknowledged[2].clone()
        };
        evidence.acknowledged.push(fourth);
        let phantom = arrival(evidence, 4, 1, 5 * S, 200);
        arrivals(evidence).push(phantom);
        // It was never acknowledged.
        evidence.acknowledged.pop();
    });
    assert_eq!(verdict.phantom, 1);
}

#[test]
fn a_message_that_the_webhook_does_not_subscribe_to_is_a_phantom() {
    let verdict = planted(|evidence| {
        evidence.webhooks[0].actions.pop();
    });
    assert_eq!(verdict.phantom, 1);
}

#[test]
fn an_inversion_is_seen() {
    let verdict = planted(|evidence| arrivals(evidence).swap(2, 3));
    assert_eq!(verdict.order_violations, 1);
}

#[test]
fn an_attempt_before_the_one_before_was_taken_is_seen() {
    // Ordered by their 2xx they would look well: but 3 was tried while 2 was failing.
    let verdict = planted(|evidence| {
        let hasty = arrival(evidence, 3, 1, 2 * S + 500, 500);
        arrivals(evidence).insert(2, hasty);
    });
    assert_eq!(verdict.order_violations, 1);
}

#[test]
fn a_gap_in_the_history_is_seen() {
    let verdict = planted(|evidence| {
        evidence.acknowledged.remove(1);
        arrivals(evidence).drain(1..3);
    });
    assert!(verdict.order_violations >= 1);
}

#[test]
fn a_message_that_was_made_twice_is_seen() {
    let verdict = planted(|evidence| {
        let again = evidence.acknowledged[2].clone();
        evidence.acknowledged.push(again);
    });
    assert_eq!(verdict.order_violations, 1);
}

#[test]
fn headers_that_tell_another_history_are_seen() {
    for header in ["bellhop-sequence", "bellhop-previous", "bellhop-action"] {
        let verdict = planted(|evidence| {
            arrivals(evidence)[3]
                .headers
                .insert(header.into(), "7".into());
        });
        assert_eq!(verdict.order_violations, 1, "{header}");
    }
}

#[test]
fn changed_bytes_are_seen_even_if_they_are_signed() {
    let verdict = planted(|evidence| {
        let mut changed = evidence.clone();
        changed.acknowledged[1].body.push(' ');
        arrivals(evidence)[2] = arrival(&changed, 2, 2, 3 * S + 1000, 200);
    });
    assert_eq!((verdict.phantom, verdict.bad_signatures), (1, 0));
}

#[test]
fn a_bad_signature_is_seen() {
    let of_another_attempt = planted(|evidence| {
        let first = arrivals(evidence)[1].header("webhook-signature").to_owned();
        let headers = &mut arrivals(evidence)[2].headers;
        headers.insert("webhook-signature".into(), first);
    });
    assert_eq!(of_another_attempt.bad_signatures, 1);
    let none = planted(|evidence| {
        arrivals(evidence)[0].headers.remove("webhook-signature");
    });
    assert_eq!(none.bad_signatures, 1);
    let signed_long_before = planted(|evidence| arrivals(evidence)[0].unix_s += 60);
    assert_eq!(signed_long_before.bad_signatures, 1);
}

#[test]
fn an_early_try_is_seen() {
    let verdict = planted(|evidence| {
        let hasty = arrival(evidence, 2, 2, 2 * S + 500_000, 200);
        arrivals(evidence)[2] = hasty;
    });
    assert_eq!(verdict.early, 1);
}

#[test]
fn a_try_during_the_pause_that_the_receiver_asked_for_is_seen() {
    let pause = |evidence: &mut Evidence| {
        let answered = arrivals(evidence)[1].answered.as_mut().unwrap();
        (answered.status, answered.retry_after_s) = (429, Some(10));
    };
    // Once for the delivery itself, and for each arrival during the pause.
    let verdict = planted(pause);
    assert_eq!(verdict.early, 3);
    // A fault right after the answer: the server cannot know of it.
    let mut evidence = sound();
    pause(&mut evidence);
    evidence.faults.push(fault(2 * S + 200));
    let same = arrival(&evidence, 2, 1, 3 * S + 1000, 200);
    arrivals(&mut evidence)[2] = same;
    let verdict = judge(&evidence);
    assert!(verdict.holds(), "{}", verdict.told());
}

#[test]
fn a_request_that_the_server_does_not_wait_for_is_seen() {
    let cut_off = |evidence: &mut Evidence| {
        let whole = arrivals(evidence)[2].clone();
        arrivals(evidence)[2].answered = None;
        let again = Arrival {
            at_us: whole.at_us + 500,
            ..whole
        };
        arrivals(evidence).insert(3, again);
    };
    let verdict = planted(cut_off);
    assert_eq!((verdict.cut_off, verdict.unexplained_duplicates), (1, 0));
    let mut killed = sound();
    cut_off(&mut killed);
    killed.faults.push(fault(3 * S + 1200));
    assert!(judge(&killed).holds());
}

#[test]
fn an_attempt_that_bears_the_signature_of_the_one_before_is_seen() {
    let verdict = planted(|evidence| {
        let first = arrivals(evidence)[1].headers.clone();
        let headers = &mut arrivals(evidence)[2].headers;
        for name in ["webhook-timestamp", "webhook-signature"] {
            headers.insert(name.into(), first[name].clone());
        }
    });
    assert_eq!(verdict.bad_signatures, 1, "{}", verdict.told());
}

/// A process that was stopped between signing and sending sends what it signed; anybody else must sign anew.
#[test]
fn what_was_signed_before_a_stop_may_come_after_it() {
    let stopped = |kind: &str| {
        let mut evidence = sound();
        let mut late = arrival(&evidence, 3, 1, 4 * S, 204);
        (late.at_us, late.unix_s) = (10 * S, late.unix_s + 6);
        late.answered.as_mut().unwrap().at_us = 10 * S + 100;
        *arrivals(&mut evidence).last_mut().unwrap() = late;
        evidence.faults.push(Fault {
            kind: kind.into(),
            ends_us: 10 * S,
            ..fault(4 * S)
        });
        judge(&evidence)
    };
    let verdict = stopped(STOPPED);
    assert!(verdict.holds(), "{}", verdict.told());
    assert_eq!(stopped("slow").bad_signatures, 1);
}

/// A stopped process that goes on sends what another has sent meanwhile. The wait is counted from the other's attempt.
#[test]
fn what_a_stopped_process_sends_too_begins_no_wait_anew() {
    let copied = |kind: &str| {
        let mut evidence = sound();
        let copy = arrival(&evidence, 2, 1, 2 * S + 900_000, 503);
        arrivals(&mut evidence).insert(2, copy);
        evidence.faults.push(Fault {
            kind: kind.into(),
            ends_us: 2 * S + 800_000,
            ..fault(S)
        });
        judge(&evidence)
    };
    let verdict = copied(STOPPED);
    assert!(verdict.holds(), "{}", verdict.told());
    assert_eq!(copied("slow").early, 1);
}

#[test]
fn timestamps_and_waits_follow_the_clock_that_the_server_was_given() {
    let mut evidence = sound();
    let set = |at_us, offset_s| ClockSet { at_us, offset_s };
    // An hour forward after the failed attempt: by the server's clock its retry is not early.
    evidence.clock.push(set(2 * S + 1000, 3600));
    let mut hasty = arrival(&evidence, 2, 2, 2 * S + 500_000, 200);
    hasty.unix_s -= 3600;
    for late in [3 * S + 1000, 4 * S] {
        arrivals(&mut evidence).retain(|arrival| arrival.at_us != late);
    }
    let resigned = |evidence: &Evidence, sequence, attempt, at_us| {
        let mut forward = arrival(evidence, sequence, attempt, at_us + 3600 * S, 200);
        (forward.at_us, forward.unix_s) = (at_us, forward.unix_s - 3600);
        forward.answered.as_mut().unwrap().at_us = at_us + 100;
        forward
    };
    let retry = resigned(&evidence, 2, 2, 2 * S + 500_000);
    let third = resigned(&evidence, 3, 1, 20 * S);
    arrivals(&mut evidence).extend([retry, third]);
    let verdict = judge(&evidence);
    assert!(verdict.holds(), "{}", verdict.told());
    // Long after it was set, our own time is the wrong one.
    let verdict = planted(|planted| {
        *planted = evidence.clone();
        let ours = arrival(planted, 3, 1, 20 * S, 200);
        *arrivals(planted).last_mut().unwrap() = ours;
    });
    assert_eq!(verdict.bad_signatures, 1);
}

#[test]
fn a_token_that_works_after_its_revocation_is_seen() {
    let asked = |asked_us| Introspected {
        integration: INTEGRATION.into(),
        asked_us,
        active: true,
    };
    let deleted = |evidence: &mut Evidence| {
        evidence.acknowledged[2].action = "IntegrationDeleted".into();
        evidence.webhooks[0].actions[2] = "IntegrationDeleted".into();
        let last = arrival(evidence, 3, 1, 4 * S, 200);
        arrivals(evidence)[3] = last;
    };
    let verdict = planted(|evidence| {
        deleted(evidence);
        evidence.introspected.push(asked(3 * S));
    });
    assert_eq!(verdict.active_after_revocation, 1);
    let mut before = sound();
    deleted(&mut before);
    before.introspected.push(asked(2 * S));
    assert!(judge(&before).holds());
}

/// 200 integrations with a message each, 10 ms apart; each takes so long to arrive.
fn paced(waits_us: impl Fn(u64) -> u64) -> Evidence {
    let mut evidence = sound();
    evidence.acknowledged.clear();
    arrivals(&mut evidence).clear();
    for number in 0..200 {
        let asked_us = number * 10_000;
        let message = Acknowledged {
            integration: format!("9e5e84e9-974d-4f16-9662-{number:012}"),
            sequence: 1,
            action: "IntegrationCreated".into(),
            body: "{}".into(),
            asked_us,
            at_us: asked_us,
        };
        let one = arrival_of(&message, 1, asked_us + waits_us(number), 200);
        arrivals(&mut evidence).push(one);
        evidence.acknowledged.push(message);
    }
    evidence.stretches = vec![
        Stretch {
            with_sick: false,
            from_us: 0,
            until_us: S,
        },
        Stretch {
            with_sick: true,
            from_us: S,
            until_us: 2 * S,
        },
    ];
    evidence
}

#[test]
fn a_healthy_webhook_that_a_sick_one_slows_is_seen() {
    let held = judge(&paced(|_| 60_000));
    assert!(held.holds(), "{}", held.told());
    let slow = |number| if number < 100 { 60_000 } else { 130_000 };
    let verdict = judge(&paced(slow));
    assert_eq!((verdict.slowed, verdict.holds()), (1, false));
    // What is too fast to matter may double, and too few say nothing.
    let fast = |number| if number < 100 { 1_000 } else { 9_000 };
    assert!(judge(&paced(fast)).holds());
    let mut few = paced(|_| 60_000);
    few.stretches[1].from_us = 2 * S - 10_000;
    assert_eq!(judge(&few).slowed, 1);
}

#[test]
fn logs_can_be_judged_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut evidence = sound();
    evidence.faults.push(fault(7));
    let (at_us, offset_s) = (8, -3600);
    evidence.clock.push(ClockSet { at_us, offset_s });
    evidence.stretches = paced(|_| 1).stretches;
    evidence.write(folder.path()).unwrap();
    assert_eq!(Evidence::read(folder.path()).unwrap(), evidence);
}
