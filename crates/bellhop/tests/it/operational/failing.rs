//! A webhook that fails for long, as the operator learns of it.

use serde_json::{Value, json};

use super::{assert_signed, body, types};
use crate::support::operating::Operating;

/// So many lanes, whose attempts fail until the circuit is open.
async fn failing(lanes: usize) -> Operating {
    let mut operating = Operating::start().await;
    operating.sending.plain_webhook().await;
    for place in 0..lanes {
        let name = format!("integration {place}");
        operating.sending.integration(&name).await;
    }
    operating.sending.receiver.answers(vec![500; lanes]);
    operating.drain().await;
    operating.sending.receiver.forget_answers();
    operating
}

#[tokio::test]
async fn failing_is_told_once_and_so_is_recovering() {
    let mut operating = failing(12).await;
    assert_eq!(types(&operating), ["webhook.failing"]);
    let first = operating.operator.received()[0].clone();
    assert_signed(&first);
    let failing = body(&first)["Data"].clone();
    assert_eq!(failing["Cause"], "server_error");
    assert_eq!(failing["ConsecutiveFailures"], 10);
    assert_eq!(failing["FailingSinceUtc"], "2019-12-13T14:42:52Z");

    // The attempt that finds out fails: that is the same failing, and a restart does not tell it again.
    operating.sending.receiver.answers([503]);
    operating.forget_everything_in_memory();
    operating.after(6).await;
    assert_eq!(types(&operating).len(), 1);

    operating.after(13).await;
    operating.after(3600).await;
    assert_eq!(types(&operating), ["webhook.failing", "webhook.recovered"]);
    let recovered = operating.operator.received()[1].clone();
    assert_signed(&recovered);
    let recovered = body(&recovered)["Data"].clone();
    assert_eq!(recovered["FailingSinceUtc"], failing["FailingSinceUtc"]);
    assert_eq!(recovered["Webhook"], failing["Webhook"]);

    // It fails once more: that is news.
    for place in 0..12 {
        let name = format!("later integration {place}");
        operating.sending.integration(&name).await;
    }
    operating.sending.receiver.answers([500; 12]);
    operating.drain().await;
    assert_eq!(
        types(&operating),
        ["webhook.failing", "webhook.recovered", "webhook.failing"]
    );
    let listed = operating.listed().await;
    let states: Vec<&Value> = listed
        .iter()
        .map(|each| &each["Sends"][0]["State"])
        .collect();
    assert_eq!(states, ["Delivered", "Delivered", "Delivered"]);
}

#[tokio::test]
async fn five_days_of_nothing_but_failure_are_told() {
    let mut operating = failing(24).await;
    operating.sending.receiver.answers(vec![500; 1000]);
    for _ in 0..121 {
        operating.after(3600).await;
    }
    let told = types(&operating);
    let disabled: Vec<_> = operating
        .operator
        .received()
        .into_iter()
        .filter(|one| one.header("bellhop-type") == "webhook.disabled")
        .collect();
    assert_eq!(disabled.len(), 1, "{told:?}");
    assert_eq!(
        told.iter()
            .filter(|each| *each == "webhook.failing")
            .count(),
        1
    );
    let data = body(&disabled[0])["Data"].clone();
    assert_eq!(data["Cause"], "server_error");
    let reason = data["Reason"].as_str().unwrap();
    assert!(reason.contains("5 days"), "{reason}");
    let id = data["Webhook"]["Id"].as_str().unwrap();
    let webhook = operating
        .sending
        .app
        .get(&format!("/v1/webhooks/{id}"))
        .await;
    let webhook = webhook.expect(200);
    assert_eq!(
        (&webhook["State"], &webhook["StateReason"]),
        (&json!("Disabled"), &data["Reason"])
    );
}
