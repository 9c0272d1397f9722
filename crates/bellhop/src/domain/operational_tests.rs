use std::time::Duration;

use bellhop_webhook::{Action, MessageId};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{operational_mail::mail_text, secret_text::SecretText},
    id::{DeliveryId, IntegrationId},
};

const ID: Uuid = Uuid::from_u128(0x9e5e_84e9_974d_4f16_9662_ab22_00f2_7cb1);

fn at() -> Timestamp {
    "2019-12-13T14:42:52.250Z".parse().unwrap()
}

fn subject() -> Subject<'static> {
    Subject {
        application_id: ApplicationId(ID),
        application_name: "Key \"cards\"",
        webhook_id: WebhookId(ID),
        url: "https://h.example/in?key=hush",
        description: "",
    }
}

fn failed(sequence: u64) -> FailedDelivery {
    FailedDelivery {
        id: DeliveryId(ID),
        message_id: MessageId::new(ID, sequence),
        integration: Named {
            id: IntegrationId(ID),
            name: "Front desk".into(),
        },
        action: Action::IntegrationDisabled,
        sequence,
        attempt_count: 10,
        cause: Cause::Timeout,
        created_utc: at().into(),
    }
}

#[test]
fn the_bytes_are_these() {
    let gone = OperationalEvent::WebhookDisabled {
        cause: Some(Cause::Gone),
        reason: "Gone.".into(),
    };
    let id = "9e5e84e9-974d-4f16-9662-ab2200f27cb1";
    let expected = format!(
        "{{\"Type\":\"webhook.disabled\",\"TimestampUtc\":\"2019-12-13T14:42:52Z\",\"Data\":{{\
         \"Application\":{{\"Id\":\"{id}\",\"Name\":\"Key \\\"cards\\\"\"}},\
         \"Webhook\":{{\"Id\":\"{id}\",\"Url\":\"https://h.example/in?…\",\"Description\":\"\"}},\
         \"Cause\":\"gone\",\"Reason\":\"Gone.\",\"Hint\":\"Its deliveries are held, and nothing is sent any more. \
         When its receiver is back, POST /v1/webhooks/{id}/resume sends everything that is held, in order. If it is \
         gone for good, delete the webhook.\"}}}}"
    );
    assert_eq!(gone.to_body(subject(), at()), expected);
}

#[test]
fn each_type_says_what_it_knows() {
    let since = at() - Duration::from_hours(1);
    let failing = OperationalEvent::WebhookFailing {
        cause: Cause::ConnectRefused,
        failures: 10,
        since,
    };
    let recovered = OperationalEvent::WebhookRecovered { since };
    let lost = OperationalEvent::DeliveryFailed(FailedDeliveries::one(failed(4)));
    for (event, about, members) in [
        (
            &failing,
            "webhook.failing",
            &["Cause", "FailingSinceUtc", "ConsecutiveFailures"][..],
        ),
        (&recovered, "webhook.recovered", &["FailingSinceUtc"]),
        (&lost, "delivery.failed", &["Cause", "Count", "Deliveries"]),
    ] {
        let body: serde_json::Value =
            serde_json::from_str(&event.to_body(subject(), at())).unwrap();
        assert_eq!(body["Type"], about);
        let data = body["Data"].as_object().unwrap();
        let always = ["Application", "Webhook", "Reason", "Hint"];
        for member in always.iter().chain(members) {
            assert!(!data[*member].is_null(), "{member} of {about}");
        }
        assert_eq!(data.len(), always.len() + members.len(), "{about}");
    }
}

#[test]
fn many_are_counted_and_the_first_are_listed() {
    let mut gathered = FailedDeliveries::default();
    for sequence in 1..=30 {
        assert_eq!(gathered.add(failed(sequence)), sequence <= 20);
    }
    assert_eq!((gathered.count, gathered.listed.len()), (30, MAX_LISTED));
    let body = OperationalEvent::DeliveryFailed(gathered).to_body(subject(), at());
    let mail = mail_text(OperationalType::DeliveryFailed, "msg_operational_1", &body);
    assert_eq!(
        mail.subject,
        "[Bellhop] 30 deliveries failed for good: Key \"cards\""
    );
    assert!(mail.text.contains("\nDeliveries (20 of 30):\n"));
    assert!(mail.text.contains(
        "- IntegrationDisabled 1 of Front desk: timeout after 10 attempts\n  delivery 9e5e84e9"
    ));
}

#[test]
fn mail_is_for_people() {
    let recovered = OperationalEvent::WebhookRecovered { since: at() };
    let body = recovered.to_body(subject(), at());
    let mail = mail_text(recovered.about(), "msg_operational_1", &body);
    let id = "9e5e84e9-974d-4f16-9662-ab2200f27cb1";
    let expected = format!(
        "Webhook recovered: Key \"cards\"\n\n\
         Why:  An attempt has succeeded.\n\
         Next: Nothing is to be done: what was held is being sent, in order.\n\n\
         Application:   Key \"cards\"  {id}\n\
         Webhook:       https://h.example/in?…  {id}\n\
         Failing since: 2019-12-13T14:42:52Z\n\
         Time:          2019-12-13T14:42:52Z\n\
         Message:       msg_operational_1\n"
    );
    assert_eq!(mail.text, expected);
    // A body of a version that we do not know is still a mail.
    assert!(!mail_text(recovered.about(), "id", "{}").text.is_empty());
}

#[test]
fn it_is_tried_ten_times_and_never_early() {
    let gone = Outcome::Failed {
        cause: Cause::Gone,
        retry_after: None,
    };
    let after = |number| after_attempt(number, gone, at(), 0.0);
    let next = at() + Duration::from_secs(5);
    assert_eq!(after(1), OperationalNext::Retry { at: next });
    assert!(matches!(after(9), OperationalNext::Retry { .. }));
    assert_eq!(after(10), OperationalNext::Failed);
    let told = Outcome::Failed {
        cause: Cause::RateLimited,
        retry_after: Some(Duration::from_mins(2)),
    };
    let next = at() + Duration::from_mins(2);
    assert_eq!(
        after_attempt(1, told, at(), 0.0),
        OperationalNext::Retry { at: next }
    );
}

fn certificate() -> ClientCertificate {
    ClientCertificate {
        chain: String::new(),
        key: SecretText::new("hush"),
        subject: "CN=bellhop".into(),
        not_after: "2026-03-31T00:00:00Z".parse().unwrap(),
        fingerprint: "ab".repeat(32),
    }
}

#[test]
fn a_certificate_is_told_once_at_each_of_three_moments() {
    let certificate = certificate();
    let at = |text: &str| OperationalEvent::of_certificate(&certificate, text.parse().unwrap());
    assert_eq!(at("2026-02-28T23:59:59Z"), None);
    let [month, again, week, past] = [
        "2026-03-01T00:00:01Z",
        "2026-03-23T00:00:00Z",
        "2026-03-24T00:00:01Z",
        "2027-01-01T00:00:00Z",
    ]
    .map(|text| at(text).unwrap());
    let now = "2026-03-24T00:00:01Z".parse().unwrap();
    let body = |event: &OperationalEvent| event.to_body(subject(), now);
    assert!(again.is_told_by(&body(&month)));
    assert!(!week.is_told_by(&body(&month)) && !past.is_told_by(&body(&week)));
    assert!(!month.is_told_by("not a body"));
    // Another certificate with the same end is another.
    let other = ClientCertificate {
        fingerprint: "cd".repeat(32),
        ..certificate.clone()
    };
    let other = OperationalEvent::of_certificate(&other, now).unwrap();
    assert!(!other.is_told_by(&body(&week)));

    let told: serde_json::Value = serde_json::from_str(&body(&week)).unwrap();
    assert_eq!(told["Type"], "webhook.certificate_expiring");
    let shown = serde_json::json!({
        "Subject": "CN=bellhop", "NotAfterUtc": "2026-03-31T00:00:00Z",
        "FingerprintSha256": "ab".repeat(32), "ExpiresWithinDays": 7
    });
    assert_eq!(told["Data"]["ClientCertificate"], shown);
    assert!(!told.to_string().contains("hush"));
    let mail =
        |event: &OperationalEvent| mail_text(event.about(), "msg_operational_1", &body(event));
    assert_eq!(
        mail(&week).subject,
        "[Bellhop] Client certificate expires: Key \"cards\""
    );
    assert!(
        mail(&week)
            .text
            .contains("Certificate:   CN=bellhop  2026-03-31T00:00:00Z\n"),
        "{}",
        mail(&week).text
    );
    assert!(mail(&week).text.contains(
        "Why:  Its client certificate expires within 7 days, at 2026-03-31T00:00:00Z.\n"
    ));
    assert_eq!(
        mail(&past).subject,
        "[Bellhop] Client certificate expired: Key \"cards\""
    );
    assert!(
        mail(&past)
            .text
            .contains("Why:  Its client certificate has expired, at 2026-03-31T00:00:00Z.\n")
    );
}
