//! Bodies of requests for the fuzzer: read and checked as handlers do it.

use serde::de::DeserializeOwned;

use super::{
    ApiError, Checks, JudgeUrl, applications, body, delivery_commands, enterprises,
    integration_commands, integrations, keys, replays, webhook_commands,
    webhook_settings::{CreateWebhook, UpdateWebhook},
};

/// Takes every URL: the guard has a target of its own.
#[derive(Debug)]
struct Anything;

impl JudgeUrl for Anything {
    fn judge(&self, url: &str) -> Result<String, String> {
        Ok(url.to_owned())
    }
}

/// Reads the bytes as each body that the API takes. Nothing may panic; what is refused is the caller's fault; and what is
/// taken is JSON.
pub fn bodies(bytes: &[u8]) {
    read::<enterprises::PutEnterprise>(bytes);
    read::<applications::CreateApplication>(bytes);
    read::<applications::UpdateApplication>(bytes);
    read::<integrations::CreateIntegration>(bytes);
    read::<integration_commands::CommandInput>(bytes);
    read::<integration_commands::RegenerateAccessToken>(bytes);
    read::<delivery_commands::DiscardDelivery>(bytes);
    read::<replays::StartReplay>(bytes);
    read::<keys::CreateKey>(bytes);
    read::<keys::RotateKey>(bytes);
    read::<webhook_commands::RotateSecret>(bytes);
    if let Some((webhook, mut checks)) = read::<CreateWebhook>(bytes) {
        let _ = webhook.check(&mut checks, &Anything, jiff::Timestamp::UNIX_EPOCH);
        refused_politely(checks.finish());
    }
    if let Some((webhook, mut checks)) = read::<UpdateWebhook>(bytes) {
        let _ = webhook.check(&mut checks, &Anything, jiff::Timestamp::UNIX_EPOCH, None);
        refused_politely(checks.finish());
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, Checks)> {
    match body::read::<T>(bytes) {
        Ok(read) => {
            let is_empty = bytes.trim_ascii().is_empty();
            assert!(is_empty || serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
            Some(read)
        }
        Err(error) => {
            refused_politely(Err(error));
            None
        }
    }
}

fn refused_politely(done: Result<(), ApiError>) {
    if let Err(error) = done {
        let reply = error.into_reply("req_fuzz");
        assert!(reply.status().is_client_error());
    }
}
