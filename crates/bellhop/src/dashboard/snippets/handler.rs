//! A receiver of Bellhop's webhooks that trusts nothing but what is signed.
//! cargo add axum bellhop-webhook uuid tokio --features tokio/full

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, StatusCode};
use axum::{Router, body::Bytes, extract::State, routing::post};
use bellhop_webhook::{Message, MessageId, Secret, SignatureHeaders, Verifier};
use uuid::Uuid;

struct Receiver {
    verifier: Verifier,
    /// A database in earnest: the greatest sequence of each integration.
    seen: Mutex<HashMap<Uuid, u64>>,
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let signed = SignatureHeaders {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64);
    if receiver.verifier.verify(&signed, &body, now, 300).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(message) = Message::parse(&body) else {
        return StatusCode::NO_CONTENT; // An action of a later version.
    };
    let integration = message.integration().id;
    // The id is signed, and ends with the sequence. A test has none.
    let sequence = signed
        .id
        .parse::<MessageId>()
        .ok()
        .and_then(MessageId::sequence);
    let mut seen = receiver.seen.lock().expect("no holder panics");
    if sequence.is_none_or(|sequence| Some(&sequence) > seen.get(&integration)) {
        println!("{} {integration}", message.action()); // Store it durably here; work on it later.
        seen.extend(sequence.map(|sequence| (integration, sequence)));
    }
    StatusCode::NO_CONTENT // Also for what was there before.
}

pub fn router(secret: Secret) -> Router {
    let receiver = Receiver {
        verifier: Verifier::new(vec![secret], vec![]),
        seen: Mutex::default(),
    };
    Router::new()
        .fallback(post(receive))
        .with_state(Arc::new(receiver))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("WEBHOOK_SECRET")?.parse()?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "9000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok(axum::serve(listener, router(secret)).await?)
}
