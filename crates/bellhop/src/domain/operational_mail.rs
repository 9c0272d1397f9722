//! An operational message as mail, for people: made of its bytes alone, so that every attempt says the same.

use std::fmt::Write as _;

use serde_json::Value;

use super::operational::OperationalType;

/// The subject and the text of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailText {
    /// The subject.
    pub subject: String,
    /// The text, plain.
    pub text: String,
}

/// Says it for people. What a body lacks is left out: it was written by another version.
pub fn mail_text(about: OperationalType, message_id: &str, body: &str) -> MailText {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let data = &body["Data"];
    let application = text(&data["Application"]["Name"]);
    let what = headline(about, data);
    let mut lines = String::new();
    let _ = writeln!(lines, "{what}: {application}\n");
    let _ = writeln!(lines, "Why:  {}", text(&data["Reason"]));
    let _ = writeln!(lines, "Next: {}\n", text(&data["Hint"]));
    for (name, value) in [
        ("Application", joined(&data["Application"], &["Name", "Id"])),
        (
            "Webhook",
            joined(&data["Webhook"], &["Description", "Url", "Id"]),
        ),
        ("Cause", text(&data["Cause"]).to_owned()),
        ("Failing since", text(&data["FailingSinceUtc"]).to_owned()),
        (
            "Certificate",
            joined(&data["ClientCertificate"], &["Subject", "NotAfterUtc"]),
        ),
        ("Time", text(&body["TimestampUtc"]).to_owned()),
        ("Message", message_id.to_owned()),
    ] {
        if !value.is_empty() {
            let _ = writeln!(lines, "{:<15}{value}", format!("{name}:"));
        }
    }
    list_deliveries(&mut lines, data);
    MailText {
        subject: format!("[Bellhop] {what}: {application}"),
        text: lines,
    }
}

fn headline(about: OperationalType, data: &Value) -> String {
    match about {
        OperationalType::WebhookFailing => "Webhook failing".into(),
        OperationalType::WebhookDisabled => "Webhook disabled".into(),
        OperationalType::WebhookRecovered => "Webhook recovered".into(),
        OperationalType::CertificateExpiring => {
            match data["ClientCertificate"]["ExpiresWithinDays"].as_u64() {
                Some(0) => "Client certificate expired".into(),
                _ => "Client certificate expires".into(),
            }
        }
        OperationalType::DeliveryFailed => match data["Count"].as_u64() {
            Some(count) if count > 1 => format!("{count} deliveries failed for good"),
            _ => "Delivery failed for good".into(),
        },
    }
}

fn list_deliveries(lines: &mut String, data: &Value) {
    let Some(listed) = data["Deliveries"].as_array() else {
        return;
    };
    let count = data["Count"].as_u64().unwrap_or_default();
    let _ = writeln!(lines, "\nDeliveries ({} of {count}):", listed.len());
    for delivery in listed {
        let _ = writeln!(
            lines,
            "- {} {} of {}: {} after {} attempts\n  delivery {}",
            text(&delivery["Action"]),
            delivery["Sequence"],
            text(&delivery["Integration"]["Name"]),
            text(&delivery["Cause"]),
            delivery["AttemptCount"],
            text(&delivery["Id"]),
        );
    }
}

fn joined(object: &Value, names: &[&str]) -> String {
    let parts: Vec<_> = names
        .iter()
        .map(|name| text(&object[*name]))
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("  ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
