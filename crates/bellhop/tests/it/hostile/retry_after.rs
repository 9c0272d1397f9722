//! `Retry-After` in every form: never earlier than told, at most a day, and nonsense is ignored.

use serde_json::json;

use crate::support::{receiver::Scripted, sending::Sending};

/// The next try of the schedule, without jitter.
const SCHEDULED_S: i64 = 5;
const DAY_S: i64 = 86_400;

/// What is told at the 13th of December 2019, 14:42:52.250, and how many seconds later the next try is at least.
#[rustfmt::skip]
const FORMS: &[(&[&str], i64)] = &[
    (&["0"], SCHEDULED_S),
    (&["120"], 120),
    (&["00120"], 120),
    (&["86400"], DAY_S),
    (&["86401"], DAY_S),
    (&["99999999999999999999999999"], DAY_S),
    (&["-1"], SCHEDULED_S),
    (&["1.5"], SCHEDULED_S),
    (&["120, 240"], SCHEDULED_S),
    (&[""], SCHEDULED_S),
    (&["soon"], SCHEDULED_S),
    (&["Fri, 13 Dec 2019 14:52:52 GMT"], 600),
    (&["Friday, 13-Dec-19 14:52:52 GMT"], 600),
    (&["Fri Dec 13 14:52:52 2019"], 600),
    (&["Sun, 31 Feb 2020 12:00:00 GMT"], SCHEDULED_S),
    (&["Fri, 13 Dec 2019 14:00:00 GMT"], SCHEDULED_S),
    (&["Fri, 31 Dec 9999 23:59:59 GMT"], DAY_S),
    (&["60", "120"], 120),
    (&["120", "60"], 120),
    (&["soon", "60"], 60),
    (&["60", "Fri, 13 Dec 2019 14:52:52 GMT"], 600),
];

#[tokio::test]
async fn every_form_is_honoured_or_ignored() {
    for status in [429, 503] {
        for (values, seconds) in FORMS {
            let mut sending = Sending::start().await;
            sending
                .webhook(json!({ "RetrySchedule": [0, SCHEDULED_S, 5] }))
                .await;
            let answer = values.iter().fold(Scripted::from(status), |answer, value| {
                answer.header("retry-after", *value)
            });
            sending.receiver.answers([answer]);
            let id = sending.integration("one").await;
            assert_eq!(sending.drain().await, 1);
            let delivery = sending.delivery(&id, 1).await;
            let told = format!("{status} {values:?}: {delivery}");

            let next: jiff::Timestamp = delivery["NextAttemptUtc"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            let now: jiff::Timestamp = "2019-12-13T14:42:52Z".parse().unwrap();
            let waits = next.duration_since(now).as_secs();
            // A fifth of the scheduled wait is jitter; the second is that of what is shown in whole seconds.
            let most = (*seconds).max(SCHEDULED_S * 6 / 5) + 1;
            assert!((seconds - 1..=most).contains(&waits), "{told}");

            assert_eq!(
                sending.after((*seconds).cast_unsigned() - 1).await,
                0,
                "early: {told}"
            );
            assert_eq!(sending.after(3).await, 1, "late: {told}");
        }
    }
}
