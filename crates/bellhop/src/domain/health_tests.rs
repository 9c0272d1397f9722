use super::*;
use proptest::prelude::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn observed(cause: Option<Cause>, ms: i64) -> Observed {
    Observed {
        cause,
        started: at(ms),
        ended: at(ms),
        max_in_flight: 8,
        state: WebhookState::Enabled,
        unit: 0.0,
    }
}

fn failed(health: Health, ms: i64) -> Diagnosis {
    let retry = Next::Retry { at: at(ms) };
    health.after(observed(Some(Cause::ServerError), ms), retry, None)
}

fn succeeded(health: Health, ms: i64) -> Diagnosis {
    health.after(observed(None, ms), Next::Delivered, None)
}

/// So many failures at the same moment.
fn failing(times: u32, ms: i64) -> Health {
    (0..times).fold(Health::default(), |health, _| failed(health, ms).health)
}

#[test]
fn ten_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let nine = failing(9, 0);
    assert_eq!(nine.circuit(at(0)), Circuit::Closed);
    assert_eq!(succeeded(nine, 0), Diagnosis::quiet(Health::default()));
    let ten = failed(nine, 1000);
    let until = at(6000);
    assert_eq!(ten.health.circuit(at(5999)), Circuit::Open { until });
    assert_eq!(ten.health.circuit(until), Circuit::HalfOpen);
    assert_eq!(ten.health.most_in_flight(at(5999)), Some(0));
    assert_eq!(ten.health.most_in_flight(until), Some(1));
    let failing = HealthEvent::Failing {
        since: at(0),
        failures: 10,
        cause: Cause::ServerError,
        open_until: until,
    };
    assert_eq!(ten.events, [failing]);
}

#[test]
fn each_failed_probe_opens_it_for_twice_as_long_and_tells_nobody_again() {
    let (mut health, mut now, mut waits) = (failing(10, 0), 0, Vec::new());
    for _ in 0..8 {
        let until = health.open_until.unwrap().as_millisecond();
        waits.push((until - now) / 1000);
        now = until;
        let probed = failed(health, now);
        assert_eq!(probed.events, []);
        health = probed.health;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 250, 250]);
    assert_eq!(health.failures, 18);
}

#[test]
fn what_was_under_way_when_it_opened_does_not_open_it_for_longer() {
    let open = failing(10, 0);
    let late = Observed {
        started: at(-15_000),
        ..observed(Some(Cause::Timeout), 6000)
    };
    let after = open.after(late, Next::Failed, None);
    assert_eq!(after.health.open_until, open.open_until);
    assert_eq!(after.health.failures, 11);
}

#[test]
fn a_success_closes_it_and_the_backlog_drains_on_a_ramp() {
    let closed = succeeded(failing(10, 0), 5000);
    let failing_since = at(0);
    assert_eq!(closed.events, [HealthEvent::Recovered { failing_since }]);
    let mut health = closed.health;
    let mut ramp = Vec::new();
    while let Some(most) = health.most_in_flight(at(5000)) {
        ramp.push(most);
        health = succeeded(health, 5000).health;
    }
    assert_eq!(ramp, [1, 2, 4]);
    assert!(health.is_clean());
}

#[test]
fn a_failure_on_the_ramp_starts_it_anew_and_the_next_opening_is_longer() {
    let climbing = succeeded(succeeded(failing(10, 0), 5000).health, 5000).health;
    assert_eq!(climbing.ramp, Some(2));
    let mut health = failed(climbing, 5000).health;
    assert_eq!(health.ramp, Some(1));
    for _ in 0..9 {
        health = failed(health, 5000).health;
    }
    assert_eq!(health.open_until, Some(at(15_000)));
}

#[test]
fn our_own_faults_say_nothing_of_the_receiver() {
    for cause in [Cause::Internal, Cause::Erased] {
        for before in [Health::default(), failing(9, 0), failing(10, 0)] {
            let after = before.after(observed(Some(cause), 9000), Next::Unchanged, None);
            assert_eq!(after, Diagnosis::quiet(before));
        }
    }
}

#[test]
fn five_days_of_nothing_but_failures_disable_it() {
    let days = |n: i64| n * 86_400_000;
    let almost = failed(failing(10, 0), days(5) - 1);
    assert_eq!(almost.disabled, None);
    let then = failed(almost.health, days(5));
    let reason = then.disabled.clone().unwrap();
    assert!(reason.contains("since 1970-01-01T00:00:00Z"), "{reason}");
    assert!(reason.contains("resume the webhook"), "{reason}");
    assert!(then.events.contains(&HealthEvent::Disabled { reason }));
    // One success in between, and the five days begin anew.
    let lucky = succeeded(almost.health, days(5) - 1).health;
    assert_eq!(failed(lucky, days(5)).disabled, None);
    // Two failures in five days are few messages, not a dead receiver.
    assert_eq!(failed(failing(1, 0), days(6)).disabled, None);
}

#[test]
fn gone_disables_it_and_a_used_up_schedule_is_told() {
    let effect = WebhookEffect::Disable {
        reason: "Gone.".into(),
    };
    let gone = observed(Some(Cause::Gone), 0);
    let told = Health::default().after(gone, Next::Retry { at: at(0) }, Some(&effect));
    let reason = "Gone.".to_owned();
    assert_eq!(told.disabled.as_ref(), Some(&reason));
    assert_eq!(told.events, [HealthEvent::Disabled { reason }]);
    let disabled = Observed {
        state: WebhookState::Disabled,
        ..gone
    };
    let again = Health::default().after(disabled, Next::Retry { at: at(0) }, Some(&effect));
    assert_eq!((again.disabled, again.events), (None, vec![]));
    let used_up = observed(Some(Cause::Timeout), 0);
    let told = Health::default().after(used_up, Next::Failed, None);
    let cause = Cause::Timeout;
    assert_eq!(told.events, [HealthEvent::DeliveryFailed { cause }]);
}

proptest! {
    #[test]
    fn whatever_happens_the_circuit_tells_its_story_in_order(
        steps in prop::collection::vec((any::<bool>(), 0i64..20_000, 0.0..1.0f64), 1..200),
    ) {
        let (mut health, mut now, mut is_failing) = (Health::default(), 0, false);
        for (is_success, wait, unit) in steps {
            now += wait;
            let before = health;
            if before.most_in_flight(at(now)) == Some(0) {
                continue;
            }
            let cause = (!is_success).then_some(Cause::Reset);
            let seen = Observed { unit, ..observed(cause, now) };
            let after = before.after(seen, Next::Unchanged, None);
            health = after.health;
            prop_assert_eq!(health.failures == 0, is_success);
            prop_assert_eq!(health.failures == 0, health.failing_since.is_none());
            prop_assert!(health.open_until.is_none() || health.failures >= FAILURES_TO_OPEN);
            prop_assert!(health.ramp.is_none_or(|ramp| (1..8).contains(&ramp)));
            if let Some(until) = health.open_until {
                let open = Duration::try_from(until.duration_since(at(now))).unwrap();
                prop_assert!(open >= FIRST_OPEN && open <= LONGEST_OPEN);
            }
            for event in after.events {
                // Failing and Recovered come in turn.
                match event {
                    HealthEvent::Failing { .. } => prop_assert!(!std::mem::replace(&mut is_failing, true)),
                    HealthEvent::Recovered { .. } => prop_assert!(std::mem::replace(&mut is_failing, false)),
                    _ => {}
                }
            }
            prop_assert_eq!(is_failing, health.open_until.is_some());
        }
    }
}
