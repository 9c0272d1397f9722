//! Showing what was received: one line each.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::style::{BAD, DIM, GOOD, HEAD, WARN},
    receiving::{Received, Signature, masked},
};

/// The longest action of the contract and of profile `2025`.
const ACTION_WIDTH: usize = 24;
/// Names longer than this are cut.
const NAME_WIDTH: usize = 24;

/// The heading over [`line`].
pub fn heading() -> String {
    format!(
        "{HEAD}{:12}  {:9}  {:>6}  {:ACTION_WIDTH$}  {:>4}  {:>3}  {:NAME_WIDTH$}  NOTE{HEAD:#}",
        "TIME (UTC)", "SIGNATURE", "ANSWER", "ACTION", "SEQ", "TRY", "INTEGRATION"
    )
}

/// One request in aligned columns.
pub fn line(received: &Received) -> String {
    let (signature_style, signature) = match received.signature {
        Signature::Verified(_) => (GOOD, "ok"),
        Signature::Wrong(_) => (BAD, "WRONG"),
        Signature::Unchecked => (DIM, "unchecked"),
    };
    let answer_style = if received.answer.is_success() {
        GOOD
    } else {
        WARN
    };
    let action = match &received.action {
        Some(action) => action.as_str(),
        None if received.is_test() => "(test)",
        None => "(no message)",
    };
    let integration = match (&received.integration_name, received.integration) {
        (Some(name), _) => cut(name, NAME_WIDTH),
        (None, Some(id)) => cut(&id.to_string(), NAME_WIDTH),
        (None, None) => "-".to_owned(),
    };
    let mut line = format!(
        "{DIM}{:12}{DIM:#}  {signature_style}{signature:9}{signature_style:#}  \
         {answer_style}{:>6}{answer_style:#}  {action:ACTION_WIDTH$}  {:>4}  {:>3}  {integration:NAME_WIDTH$}",
        time_of_day(received.at),
        received.answer.to_string(),
        number(received.sequence),
        number(received.attempt.map(u64::from)),
    );
    let notes = notes(received);
    if !notes.is_empty() {
        let style = if received.order.is_good() { DIM } else { BAD };
        let _ = write!(line, "  {style}{notes}{style:#}");
    }
    line.truncate(line.trim_end().len());
    line
}

/// One request as one JSON object; access tokens are masked.
pub fn object(received: &Received) -> Value {
    let signature = match received.signature {
        Signature::Verified(verified) => {
            json!({"Verified": true, "Scheme": verified.scheme.as_str()})
        }
        Signature::Wrong(error) => json!({"Verified": false, "Reason": error.to_string()}),
        Signature::Unchecked => Value::Null,
    };
    let body = masked(&received.body);
    json!({
        "ReceivedUtc": received.at.to_string(),
        "Path": received.path,
        "MessageId": received.id,
        "Action": received.action,
        "IntegrationId": received.integration,
        "Sequence": received.sequence,
        "Previous": received.previous,
        "Attempt": received.attempt,
        "Signature": signature,
        "Order": format!("{:?}", received.order).split([' ', '{']).next(),
        "Note": notes(received),
        "Answer": received.answer.to_string(),
        "Body": serde_json::from_str(&body).unwrap_or(Value::String(body)),
    })
}

/// Hours, minutes, seconds and milliseconds in UTC.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// At most that many characters, with an ellipsis if some are left out.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn notes(received: &Received) -> String {
    let mut notes = received.order.note();
    if let Signature::Wrong(error) = received.signature {
        if !notes.is_empty() {
            notes.push_str("; ");
        }
        let _ = write!(notes, "{error}");
    }
    notes
}
