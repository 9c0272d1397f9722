//! Duplicates that faults explain, and those that nothing does.

use super::*;

#[test]
fn a_duplicate_needs_a_fault() {
    let duplicate = |evidence: &mut Evidence| {
        let again = arrival(evidence, 3, 1, 5 * S, 200);
        arrivals(evidence).push(again);
    };
    let verdict = planted(duplicate);
    assert_eq!((verdict.duplicates, verdict.unexplained_duplicates), (1, 1));
    let mut explained = sound();
    duplicate(&mut explained);
    explained.faults.push(fault(4 * S + 200));
    let verdict = judge(&explained);
    assert!(verdict.holds(), "{}", verdict.told());
    assert_eq!((verdict.duplicates, verdict.bound), (1, 2));
    // One fault explains one duplicate of a message, and not another.
    let again = arrival(&explained, 3, 2, 6 * S, 200);
    arrivals(&mut explained).push(again);
    assert_eq!(judge(&explained).unexplained_duplicates, 1);
    // Nor does a fault long after the 2xx was recorded.
    let mut late = sound();
    let again = arrival(&late, 3, 1, 20 * S, 200);
    arrivals(&mut late).push(again);
    late.faults.push(fault(19 * S));
    assert_eq!(judge(&late).unexplained_duplicates, 1);
}

#[test]
fn only_a_fault_that_parts_an_answer_from_its_record_explains_a_duplicate() {
    let duplicate = |evidence: &mut Evidence| {
        let again = arrival(evidence, 3, 1, 5 * S, 200);
        arrivals(evidence).push(again);
    };
    let verdict = planted(|evidence| {
        duplicate(evidence);
        evidence.faults.push(Fault {
            kind: "drain".into(),
            parts: Parts::Nothing,
            ..fault(4 * S + 200)
        });
    });
    assert_eq!((verdict.unexplained_duplicates, verdict.bound), (1, 0));
    // One that lasts explains what was answered while it lasted.
    let mut lasting = sound();
    duplicate(&mut lasting);
    lasting.faults.push(Fault {
        ends_us: 4 * S + 200,
        ..fault(S)
    });
    assert!(judge(&lasting).holds());
}

#[test]
fn of_two_faults_near_each_other_each_explains_what_was_in_flight() {
    let mut evidence = sound();
    evidence.webhooks[0].max_in_flight = 1;
    for (sequence, attempt, at_us) in [(2, 2, 3 * S + 500_000), (3, 1, 4 * S + 600_000)] {
        let again = arrival(&evidence, sequence, attempt, at_us, 200);
        arrivals(&mut evidence).push(again);
    }
    arrivals(&mut evidence).sort_by_key(|arrival| arrival.at_us);
    let (first, second) = (3 * S + 400_000, 4 * S + 200);
    evidence.faults = vec![fault(first), fault(second)];
    let verdict = judge(&evidence);
    assert!(verdict.holds(), "{}", verdict.told());
    // One alone explains one.
    evidence.faults.pop();
    assert_eq!(judge(&evidence).unexplained_duplicates, 1);
}

#[test]
fn a_duplicate_after_a_failure_that_nobody_may_have_recorded_is_seen() {
    // The next number: so a failure was recorded of the attempt that was taken.
    let further = |evidence: &mut Evidence, parts: Parts| {
        let again = arrival(evidence, 3, 2, 6 * S, 200);
        arrivals(evidence).push(again);
        evidence.faults.push(Fault {
            parts,
            ..fault(4 * S + 200)
        });
    };
    let verdict = planted(|evidence| further(evidence, Parts::Records));
    assert_eq!((verdict.unexplained_duplicates, verdict.bound), (1, 2));
    // Where an answer can get lost, and where a server was stopped that waited for it, it cannot know better.
    for parts in [Parts::UnderWay, Parts::Answers] {
        let mut explained = sound();
        further(&mut explained, parts);
        assert!(judge(&explained).holds());
    }
    // But not where another one has sent it since.
    let verdict = planted(|evidence| {
        further(evidence, Parts::UnderWay);
        evidence.faults[0].at_us = 3 * S + 900_000;
        evidence.faults[0].ends_us = 5 * S;
    });
    assert_eq!(verdict.unexplained_duplicates, 1);
    // If the attempt was made twice, and failed once, that may be what was recorded.
    let mut twice = sound();
    let failed = arrival(&twice, 3, 1, 4 * S - 100, 500);
    arrivals(&mut twice).insert(3, failed);
    further(&mut twice, Parts::Records);
    assert!(judge(&twice).holds());
}

/// A process was stopped, another made its attempt again, and it went on.
#[test]
fn what_a_stopped_process_records_when_it_goes_on_is_seen() {
    let stopped = |attempts: [(u64, u16); 2]| {
        let mut evidence = sound();
        arrivals(&mut evidence).pop();
        for (at_us, status) in attempts {
            let one = arrival(&evidence, 3, 1, at_us, status);
            arrivals(&mut evidence).push(one);
        }
        let further = arrival(&evidence, 3, 2, 10 * S, 200);
        arrivals(&mut evidence).push(further);
        evidence.faults.push(Fault {
            kind: STOPPED.into(),
            ends_us: 9 * S,
            parts: Parts::UnderWay,
            ..fault(4 * S + 500)
        });
        judge(&evidence)
    };
    // Its own had failed, as nobody but itself knew, and the other one's was taken.
    let verdict = stopped([(4 * S, 500), (8 * S, 200)]);
    assert_eq!(verdict.unexplained_duplicates, 1, "{}", verdict.told());
    // The other one's failed, and what it had signed before was taken when it went on.
    let verdict = stopped([(8 * S - 500_000, 500), (8 * S + 900_000, 200)]);
    assert!(verdict.holds(), "{}", verdict.told());
}
