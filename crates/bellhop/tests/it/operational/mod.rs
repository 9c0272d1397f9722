//! What the operator is told, from the cause to the operator's webhook and mailbox. Time is moved by hand.

mod failing;
mod python;

use bellhop::{delivery::operational::Encryption, domain::secret_text::SecretText};
use serde_json::{Value, json};

use crate::support::{
    mail_server::{MailServer, Setup},
    operating::{Operating, SECRET, mail_over},
    receiver::{Received, Scripted},
};

/// The judge is the library of Standard Webhooks itself, who would sign the same.
fn assert_signed(one: &Received) {
    let judge = standardwebhooks::Webhook::new(SECRET).unwrap();
    let timestamp = one.header("webhook-timestamp").parse().unwrap();
    let signature = judge.sign(one.header("webhook-id"), timestamp, &one.body);
    assert_eq!(one.header("webhook-signature"), signature.unwrap());
}

fn body(one: &Received) -> Value {
    serde_json::from_slice(&one.body).unwrap()
}

fn types(operating: &Operating) -> Vec<String> {
    let received = operating.operator.received();
    received
        .iter()
        .map(|one| one.header("bellhop-type").to_owned())
        .collect()
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_told_once_and_signed() {
    let mut operating = Operating::start().await;
    let webhook = operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    assert_eq!(operating.drain().await, 0);

    let received = operating.operator.received();
    assert_eq!(received.len(), 1);
    let one = &received[0];
    assert_signed(one);
    let id = one.header("webhook-id");
    assert!(id.starts_with("msg_operational_"), "{id}");
    assert_eq!(one.header("bellhop-type"), "webhook.disabled");
    assert_eq!(one.header("bellhop-attempt"), "1");
    assert_eq!(one.header("content-type"), "application/json");
    assert!(one.header("user-agent").starts_with("bellhop/"));
    assert_eq!(one.header("traceparent").len(), 55);

    let body = body(one);
    assert_eq!(body["Type"], "webhook.disabled");
    assert_eq!(body["TimestampUtc"], "2019-12-13T14:42:52Z");
    let data = &body["Data"];
    assert_eq!(data["Application"]["Name"], "Sample Key Cards");
    assert_eq!(data["Webhook"]["Id"], webhook["Id"]);
    assert_eq!(data["Cause"], "gone");
    assert_eq!(data["Reason"], "The receiver answered 410 Gone.");
    let resume = format!("/v1/webhooks/{}/resume", webhook["Id"].as_str().unwrap());
    assert!(data["Hint"].as_str().unwrap().contains(&resume));

    let listed = operating.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["MessageId"], id);
    assert_eq!(listed[0]["Type"], "webhook.disabled");
    assert_eq!(listed[0]["Body"], body);
    assert_eq!(listed[0]["WebhookId"], webhook["Id"]);
    let send = &listed[0]["Sends"][0];
    assert_eq!(send["Destination"], "Webhook");
    assert_eq!(
        (&send["State"], &send["AttemptCount"]),
        (&json!("Delivered"), &json!(1))
    );
    assert_eq!(
        (&send["Cause"], &send["NextAttemptUtc"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_delivery_that_failed_for_good_is_told() {
    let mut operating = Operating::start().await;
    let webhook = operating
        .sending
        .webhook(json!({ "RetrySchedule": [0, 5] }))
        .await;
    operating.sending.receiver.answers([500, 503]);
    let integration = operating.sending.integration("Front desk").await;
    assert_eq!(operating.drain().await, 0);
    assert_eq!(operating.after(6).await, 1);
    let delivery = operating.sending.delivery(&integration, 1).await;

    let received = operating.operator.received();
    assert_signed(&received[0]);
    let data = &body(&received[0])["Data"];
    assert_eq!(
        (&data["Count"], &data["Cause"]),
        (&json!(1), &json!("unavailable"))
    );
    let listed = &data["Deliveries"][0];
    for member in [
        "Id",
        "MessageId",
        "Action",
        "Sequence",
        "AttemptCount",
        "Cause",
        "CreatedUtc",
    ] {
        assert_eq!(listed[member], delivery[member], "{member}");
    }
    assert_eq!(
        listed["Integration"],
        json!({ "Id": integration, "Name": "Front desk" })
    );
    assert_eq!(data["Webhook"]["Id"], webhook["Id"]);
}

#[tokio::test]
async fn a_storm_of_lost_deliveries_is_told_twice_in_a_minute() {
    let mut operating = Operating::start().await;
    // One at a time, and one in ten arrives: so the webhook is not taken for one that fails altogether.
    operating
        .sending
        .webhook(json!({ "RetrySchedule": [0], "MaxInFlight": 1 }))
        .await;
    for place in 0..45 {
        let status = if place % 9 == 8 { 204 } else { 500 };
        operating.sending.receiver.answers([status]);
        operating.sending.integration("one of many").await;
    }
    assert_eq!(operating.drain().await, 1);
    assert_eq!(operating.after(59).await, 0);
    assert_eq!(operating.after(1).await, 1);
    assert_eq!(operating.after(600).await, 0);
    let received = operating.operator.received();
    let counts: Vec<Value> = received
        .iter()
        .map(|one| body(one)["Data"]["Count"].clone())
        .collect();
    assert_eq!(counts, [1, 39]);
    let second = body(&received[1]);
    let listed = second["Data"]["Deliveries"].as_array().unwrap();
    assert_eq!(listed.len(), 20);
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_the_same_after_a_restart_too() {
    let mut operating = Operating::start().await;
    operating.sending.plain_webhook().await;
    operating.operator.answers([500, 500]);
    assert_eq!(operating.answered_with("one", 410).await, 1);
    let send = operating.send_to("Webhook").await;
    assert_eq!(
        (&send["State"], &send["Cause"]),
        (&json!("Pending"), &json!("server_error"))
    );
    assert_eq!(
        operating.after(4).await,
        0,
        "never earlier than the schedule says"
    );
    operating.forget_everything_in_memory();
    assert_eq!(operating.after(2).await, 1);
    assert_eq!(operating.after(299).await, 0);
    operating.forget_everything_in_memory();
    assert_eq!(operating.after(61).await, 1);
    assert_eq!(operating.after(100_000).await, 0);

    let received = operating.operator.received();
    assert_eq!(received.len(), 3);
    for (place, one) in received.iter().enumerate() {
        assert_signed(one);
        assert_eq!(one.body, received[0].body);
        assert_eq!(one.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(one.header("bellhop-attempt"), (place + 1).to_string());
    }
    let send = operating.send_to("Webhook").await;
    assert_eq!(
        (&send["State"], &send["AttemptCount"]),
        (&json!("Delivered"), &json!(3))
    );
}

#[tokio::test]
async fn a_used_up_schedule_ends_it_and_the_next_one_goes() {
    let mut operating = Operating::start().await;
    operating
        .sending
        .webhook(json!({ "RetrySchedule": [0] }))
        .await;
    operating.operator.answers([503; 10]);
    operating.answered_with("one", 500).await;
    operating.answered_with("two", 410).await;
    for _ in 0..10 {
        operating.after(30 * 3600).await;
    }
    let mut expected = vec!["delivery.failed"; 10];
    expected.push("webhook.disabled");
    assert_eq!(types(&operating), expected);
    let listed = operating.listed().await;
    let states: Vec<&Value> = listed
        .iter()
        .map(|each| &each["Sends"][0]["State"])
        .collect();
    assert_eq!(states, ["Failed", "Delivered"]);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let mut operating = Operating::start().await;
    operating.sending.plain_webhook().await;
    let later = Scripted::from(429).header("retry-after", "120");
    operating.operator.answers([later]);
    operating.answered_with("one", 410).await;
    assert_eq!(operating.after(119).await, 0);
    assert_eq!(operating.after(1).await, 1);
}

#[tokio::test]
async fn no_secret_is_in_what_the_operator_gets() {
    let server = MailServer::start(Setup::default()).await;
    let mail = mail_over(&server, Encryption::None);
    let mut operating = Operating::with_mail(Some(mail)).await;
    let settings = json!({ "RetrySchedule": [0], "Headers": { "X-Key": "canary-header" } });
    let mut settings = settings;
    settings["Url"] = operating
        .sending
        .receiver
        .url("/hook?key=canary-query")
        .into();
    let application = operating.sending.application.clone();
    let webhook = operating.sending.app.webhook(&application, settings).await;
    operating.sending.receiver.answers([500]);
    let made = operating.sending.app.integration(&application, "one").await;
    operating.drain().await;
    let told = String::from_utf8(operating.operator.received()[0].body.to_vec()).unwrap();
    let mailed = server.mails()[0].data.clone();
    let listed = json!(operating.listed().await).to_string();
    for secret in [
        "canary-query",
        "canary-header",
        webhook["Secret"].as_str().unwrap(),
        made["AccessToken"].as_str().unwrap(),
    ] {
        for shown in [&told, &mailed, &listed] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test]
async fn mail_says_it_to_people() {
    let server = MailServer::start(Setup::default()).await;
    let mail = mail_over(&server, Encryption::None);
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    assert_eq!(operating.answered_with("one", 410).await, 2);

    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert!(
        mail.from.contains("<bellhop@platform.example>"),
        "{}",
        mail.from
    );
    assert!(mail.to[0].contains("<ops@platform.example>"));
    assert!(mail.to[1].contains("<night@platform.example>"));
    assert_eq!(
        mail.header("Subject"),
        "[Bellhop] Webhook disabled: Sample Key Cards"
    );
    assert_eq!(mail.header("Date"), "Fri, 13 Dec 2019 14:42:52 +0000");
    let id = operating.operator.received()[0]
        .header("webhook-id")
        .to_owned();
    assert_eq!(
        mail.header("Message-ID"),
        format!("<{id}@platform.example>")
    );
    assert!(mail.data.contains("The receiver answered 410 Gone."));
    assert_eq!(operating.send_to("Email").await["State"], "Delivered");
}

#[tokio::test]
async fn mail_that_is_deferred_or_refused_is_sent_again_and_is_not_in_the_way_of_the_webhook() {
    let server = MailServer::start(Setup::default()).await;
    server.answers("RCPT", "451 4.7.1 greylisted");
    server.answers(".", "554 5.7.1 looks like spam");
    let mail = mail_over(&server, Encryption::None);
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    let send = operating.send_to("Email").await;
    assert_eq!(
        (&send["State"], &send["Cause"]),
        (&json!("Pending"), &json!("mail_deferred"))
    );
    assert!(
        send["Detail"].as_str().unwrap().contains("greylisted"),
        "{send}"
    );
    assert_eq!(operating.send_to("Webhook").await["State"], "Delivered");

    operating.after(6).await;
    let send = operating.send_to("Email").await;
    assert_eq!(
        (&send["State"], &send["Cause"]),
        (&json!("Pending"), &json!("mail_rejected"))
    );
    operating.after(360).await;
    let send = operating.send_to("Email").await;
    assert_eq!(
        (&send["State"], &send["AttemptCount"]),
        (&json!("Delivered"), &json!(3))
    );
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let server = MailServer::start(Setup::default()).await;
    let mail = mail_over(&server, Encryption::StartTls);
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    let send = operating.send_to("Email").await;
    assert_eq!(
        (&send["State"], &send["Cause"]),
        (&json!("Pending"), &json!("tls_failed"))
    );
    assert!(
        send["Detail"].as_str().unwrap().contains("STARTTLS"),
        "{send}"
    );
    let commands = server.commands();
    assert!(
        !commands.iter().any(|verb| verb == "MAIL" || verb == "AUTH"),
        "{commands:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let server = MailServer::start(Setup {
        starttls: true,
        auth: false,
    })
    .await;
    let mail = mail_over(&server, Encryption::StartTls);
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    let send = operating.send_to("Email").await;
    assert_eq!(send["Cause"], "tls_untrusted", "{send}");
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn user_and_password_go_over_tls_alone() {
    let server = MailServer::start(Setup {
        starttls: true,
        auth: true,
    })
    .await;
    let mut mail = mail_over(&server, Encryption::StartTls);
    mail.authorities = Some(server.authority.clone());
    mail.server.credentials = Some(("user".into(), SecretText::new("p:w/")));
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    assert_eq!(operating.send_to("Email").await["Cause"], Value::Null);
    assert!(server.mails()[0].was_encrypted);
    let commands = server.commands();
    let place = |verb| commands.iter().position(|each| each == verb);
    assert!(place("STARTTLS").unwrap() < place("AUTH").unwrap());
}

#[tokio::test]
async fn a_password_that_the_server_repeats_is_shown_nowhere() {
    let server = MailServer::start(Setup {
        starttls: false,
        auth: true,
    })
    .await;
    let mut mail = mail_over(&server, Encryption::None);
    mail.server.credentials = Some(("nobody".into(), SecretText::new("p:w/")));
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    let send = operating.send_to("Email").await;
    assert_eq!(send["Cause"], "mail_rejected");
    let detail = send["Detail"].as_str().unwrap();
    assert!(
        detail.contains("no such user with password [redacted]"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_mail_server_that_is_away_is_tried_again() {
    let server = MailServer::start(Setup::default()).await;
    let mut mail = mail_over(&server, Encryption::None);
    let closed = zoo::ClosedPort::take().unwrap();
    mail.server.port = closed.address().unwrap().port();
    let mut operating = Operating::with_mail(Some(mail)).await;
    operating.sending.plain_webhook().await;
    operating.answered_with("one", 410).await;
    let send = operating.send_to("Email").await;
    assert_eq!(
        (&send["State"], &send["Cause"]),
        (&json!("Pending"), &json!("connect_refused")),
        "{send}"
    );
}

#[tokio::test]
async fn the_list_is_the_operators_and_paged() {
    let mut operating = Operating::start().await;
    operating
        .sending
        .webhook(json!({ "RetrySchedule": [0] }))
        .await;
    operating.answered_with("one", 500).await;
    operating.answered_with("two", 410).await;
    let app = &operating.sending.app;
    let page = app
        .get("/v1/operational-messages?Limit=1")
        .await
        .expect(200);
    assert_eq!(page["Items"][0]["Type"], "webhook.disabled");
    let cursor = page["NextCursor"].as_str().unwrap();
    let next = format!("/v1/operational-messages?Limit=1&Cursor={cursor}");
    let page = app.get(&next).await.expect(200);
    assert_eq!(page["Items"][0]["Type"], "delivery.failed");
    assert_eq!(page["NextCursor"], Value::Null);
    app.get("/v1/operational-messages?Type=x").await.expect(422);
}
